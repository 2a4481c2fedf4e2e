"""How quick the dashboard is on a million logged predictions, and what it takes of memory and processor.

python benchmarks/dashboard.py [--rows 1000000] [--days 30] [--rounds 3] [--changes 0] [--home HOME] [--output FILE]

Without a home, one is made: a log of so many rows over so many days, written by the service's own writer of files, a tenth of it told of.
Then the command is started as a user starts it, and Chromium walks through its pages. Reported are seconds of the clock, seconds of the
server's processor, and its memory; the first page is that of a browser that has nothing stored, right after the start, so its first round is
the first visitor's. What is said of a page change is when the page stands still, charts drawn. `--changes 200` walks on and says how
memory grows. Clock times mean little beside other work: the load of the machine is reported.
"""
import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

PAGES = ("Performance", "Drift", "Traffic", "Runs", "Registry", "Data", "Overview")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
STILL = """title => document.querySelector('h1')?.innerText.startsWith(title) && !document.querySelector('[data-stale="true"]')
    && !document.querySelector('[data-testid=stStatusWidget]')
    && [...document.querySelectorAll('[data-testid=stVegaLiteChart]')].every(one => one.querySelector('svg, canvas'))"""


def write_log(dataset: str, rows: int, days: int):
    "A log as the service leaves it: 12,000 rows a file, and what somebody has told."
    from fashion_mlops.service.log_files import log_folder, write_rows
    random, classes, folder = np.random.default_rng(0), [f"class {number}" for number in range(10)], log_folder(dataset)
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for back in reversed(range(days)):
        begin, count = midnight - timedelta(days=back), rows//days
        span = 86_000.0 if back else max(60.0, (now - begin).total_seconds() - 60)
        seconds = np.sort(random.uniform(5, span, count))
        for first in range(0, count, 12_000):
            lines = []
            for second in seconds[first:first + 12_000]:
                moment, said = begin + timedelta(seconds=float(second)), classes[random.integers(10)]
                row = {"id": f"{int(moment.timestamp()*1000):012x}{random.bytes(10).hex()}", "row": 0, "time": moment, "dataset": dataset, "version": 1 + (back < days/3), "slot": "champion", "unit": None,
                       "digest": "", "watched": [("ink", random.random())], "input": None, "said": said, "confidence": random.beta(6, 1.2), "probabilities": [], "rejected": False,
                       "seconds": float(random.lognormal(-6, 0.8))}
                lines.append(("predictions", row))
                if random.random() < 0.1: lines.append(("feedback", {"id": row["id"], "row": 0, "time": moment, "label": said if random.random() < 0.9 else classes[random.integers(10)]}))
            written, failed, why = write_rows(folder, lines)
            if failed: raise SystemExit(f"{failed} rows could not be written: {why}")


def used(process: int) -> tuple[float, int, int]: # seconds of the processor, megabytes now and at most
    "What a process has taken."
    found = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    memory = {line.split()[0]: int(line.split()[1])//1024 for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith(("VmRSS", "VmHWM"))}
    return (int(found[11]) + int(found[12]))/os.sysconf("SC_CLK_TCK"), memory["VmRSS:"], memory["VmHWM:"]


def start(home: str) -> tuple: # process, address, seconds until it answers
    "The command, as a user starts it, on a free port."
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port = asked.getsockname()[1]
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "fashion_mlops.cli", "dashboard", "--port", str(port)], env=os.environ | {"FASHION_MLOPS_HOME": home}, stdout=subprocess.DEVNULL)
    while time.perf_counter() - began < 180:
        if process.poll() is not None: raise SystemExit("The dashboard did not start.")
        with socket.socket() as asked:
            if not asked.connect_ex(("127.0.0.1", port)): return process, f"http://127.0.0.1:{port}/", time.perf_counter() - began
        time.sleep(0.05)
    raise SystemExit("The dashboard does not answer.")


def timed(process: int, act) -> dict:
    "What something takes of the clock and of the server."
    before, began = used(process)[0], time.perf_counter()
    act()
    seconds = time.perf_counter() - began
    return {"seconds": round(seconds, 2), "cpu": round(used(process)[0] - before, 2), "memory": used(process)[1]}


def walk(address: str, process: int, changes: int) -> dict:
    "The first page of a new browser, then each page once, then as many changes as are wanted."
    from playwright.sync_api import sync_playwright
    found = {}
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page()
        page.goto("about:blank")
        def first():
            page.goto(f"{address}?window=all", timeout=60_000)
            page.wait_for_selector("[data-testid=stMetric]", timeout=60_000)
        def change(name):
            page.locator("[data-testid=stSidebar] label", has_text=name).first.click()
            page.wait_for_function(STILL, arg=name, timeout=60_000)
        found["first page"] = timed(process, first)
        page.wait_for_function(STILL, arg="Overview", timeout=60_000)
        for name in PAGES: found[name] = timed(process, lambda name=name: change(name))
        for number in range(changes): change(PAGES[number % len(PAGES)])
        browser.close()
    return found


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", type=int, default=1_000_000)
    p.add_argument("--days", type=int, default=30)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--changes", type=int, default=0)
    p.add_argument("--home")
    p.add_argument("--output")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as made:
        home, found = args.home or made, {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "rounds": []}
        os.environ["FASHION_MLOPS_HOME"] = home
        if not args.home: write_log("many", args.rows, args.days)
        process, address, found["start"] = start(home)
        try:
            counting = not args.home
            while counting: # the log, beside
                before = used(process.pid)[0]
                time.sleep(2)
                counting = used(process.pid)[0] - before > 0.05
            for number in range(args.rounds):
                round_ = walk(address, process.pid, args.changes if number == args.rounds - 1 else 0) | {"load": os.getloadavg()[0]}
                found["rounds"].append(round_)
                for name, said in round_.items(): print(f"{number + 1} {name}: {said}", flush=True)
            found["memory"], found["most memory"] = used(process.pid)[1:]
        finally:
            process.terminate()
            process.wait(20)
    print(f"start {found['start']:.1f} s; memory {found['memory']} MB at the end, {found['most memory']} MB at most")
    if args.output: Path(args.output).write_text(json.dumps(found, indent=1))


if __name__ == "__main__": main()
