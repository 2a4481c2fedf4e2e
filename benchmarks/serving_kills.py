"""What is left after kill -9: the prediction log of a service that is killed again and again under load, and the counters of
one whose worker is killed. The model is made up, so that all time goes into the service.

python benchmarks/serving_kills.py [--kills 20] [--requests 10000]
"""
import argparse
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from fashion_mlops.service.log_files import read_log

ROOT = Path(__file__).resolve().parents[1]
BODY, HEADERS = bytes(784), {"content-type": "application/octet-stream"}


class Service:
    "The stand-in of the tests, in a home of its own."
    def __init__(self, home: Path, **asked):
        self.home = home
        command = [sys.executable, str(ROOT/"tests"/"service"/"stand_in.py"), json.dumps({"model": "pictures", "log": {}} | asked)]
        self.process = subprocess.Popen(command, env=os.environ | {"FASHION_MLOPS_HOME": str(home)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = int(re.search(r":(\d+) ", self.process.stdout.readline())[1])

    def writers(self) -> list[str]:
        "Processes that still write this home's log."
        told = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout.splitlines()
        return [line for line in told if "service.log_writer" in line and str(self.home) in line]


def load(port: int, until: threading.Event, count: int = 4, most: int = 10**9):
    "Clients on connections that stay open; (moment, id) of what was answered, and how many requests got no answer."
    answered, lost, left, lock = [], [], [most], threading.Lock()
    def ask():
        wire = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        while not until.is_set():
            with lock:
                if not left[0]: return
                left[0] -= 1
            try:
                wire.request("POST", "/predict", BODY, HEADERS)
                found = wire.getresponse()
                said = json.loads(found.read())
                if found.status == 200: answered.append((time.monotonic(), said["id"]))
                else: lost.append(found.status)
            except (OSError, http.client.HTTPException):
                lost.append(0)
                wire.close()
                if until.wait(0.01): return
    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads: thread.start()
    return threads, answered, lost


def killed_service(seconds: float) -> tuple[int, int, float]:
    "Answered, missing that were older than a second, and the age of the oldest that is missing."
    home = Path(tempfile.mkdtemp(prefix="kills"))
    service, stop = Service(home), threading.Event()
    threads, answered, _ = load(service.port, stop)
    time.sleep(seconds)
    killed = time.monotonic()
    service.process.kill()
    stop.set()
    for thread in threads: thread.join(30)
    log = home/"data"/"serving"/"shades"/"log"
    read_log(log) # readable at once
    for _ in range(300):
        if not service.writers(): break
        time.sleep(0.05)
    there = set(read_log(log).id)
    ages = [killed - moment for moment, one in answered if one not in there]
    return len(answered), sum(age > 1 for age in ages), max(ages, default=0.0)


def killed_worker(requests: int, workers: int = 3) -> tuple[int, int, int]:
    "What clients counted, what the service counted, and requests without an answer."
    home = Path(tempfile.mkdtemp(prefix="kills"))
    service, stop = Service(home, workers=workers), threading.Event()
    threads, answered, lost = load(service.port, stop, 8, requests)
    while len(answered) < requests//2: time.sleep(0.01)
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    for thread in threads: thread.join(120)
    wire = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    wire.request("GET", "/metrics")
    text = wire.getresponse().read().decode()
    counted = re.search(r'requests_total\{method="POST",route="/predict",status="200"\} (\S+)', text)
    service.process.send_signal(signal.SIGTERM)
    service.process.wait(40)
    return len(answered), int(float(counted[1])), len(lost)


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--kills", type=int, default=20)
    asked.add_argument("--requests", type=int, default=10_000)
    asked.add_argument("--rounds", type=int, default=3)
    said = asked.parse_args()
    found = [killed_service(1.5 + number % 5*0.13) for number in range(said.kills)]
    print(f"{said.kills} kills under load: {sum(one for one, *_ in found):,} answered, log readable each time, "
          f"{sum(one for _, one, _ in found)} missing that were older than a second; the oldest that is missing was "
          f"{max(one for *_, one in found)*1000:.0f} ms old", flush=True)
    for _ in range(said.rounds):
        answered, counted, lost = killed_worker(said.requests)
        print(f"{said.requests:,} requests to 3 workers, one killed: clients counted {answered:,}, the service {counted:,}; "
              f"{lost} without an answer", flush=True)
