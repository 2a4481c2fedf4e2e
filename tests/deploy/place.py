"""`fashion-mlops deploy local` in a process of its own, verbs said to it, and clients that keep asking it."""
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from fashion_mlops.cli import main

BODY = {"content-type": "application/octet-stream"}


class Place:
    "A keeper and its slots."
    def __init__(self, home: Path, *words: str, dataset: str = "shades"):
        self.dataset, self.errors = dataset, (home/"stderr").open("ab")
        command = [sys.executable, "-m", "fashion_mlops.cli", "deploy", "local", "--dataset", dataset, "--port", "0", *words]
        self.process = subprocess.Popen(command, env=os.environ | {"FASHION_MLOPS_HOME": str(home)}, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        first = self.process.stdout.readline()
        assert "answers at" in first, first + (home/"stderr").read_text()
        self.address = first.split("answers at ")[1].split()[0]
        self.port, self.home = int(self.address.rpartition(":")[2]), home

    def deploy(self, *words: str) -> int:
        "A verb, said in this process."
        return main(["deploy", *words, "--dataset", self.dataset])

    def state(self, capsys) -> dict:
        "What `deploy show` says, by slot."
        capsys.readouterr()
        assert self.deploy("show", "--json") == 0
        said = json.loads(capsys.readouterr().out)
        return said | {one["slot"]: one for one in said["slots"]}

    def ask(self, wait: float = 20) -> tuple:
        "Status and version, on a connection of its own."
        wire = http.client.HTTPConnection("127.0.0.1", self.port, timeout=wait)
        try:
            wire.request("POST", "/predict", b"\0"*16, BODY)
            found = wire.getresponse()
            return found.status, json.loads(found.read()).get("model", {}).get("version")
        finally: wire.close()

    def end(self, sig=signal.SIGTERM) -> int:
        if self.process.poll() is None: self.process.send_signal(sig)
        code = self.process.wait(40)
        self.process.stdout.close()
        self.errors.close()
        return code


class Clients:
    "So many requests a second, half of them on connections that stay open, half on new ones."
    def __init__(self, place: Place, rate: float = 50, clients: int = 4):
        self.place, self.pause, self.stop, self.said = place, clients/rate, threading.Event(), []
        self.threads = [threading.Thread(target=self.go, args=(number % 2 == 0,)) for number in range(clients)]

    def go(self, keeps: bool):
        wire = http.client.HTTPConnection("127.0.0.1", self.place.port, timeout=20)
        due = time.monotonic()
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                wire.request("POST", "/predict", b"\0"*16, BODY)
                found = wire.getresponse()
                said = found.status, json.loads(found.read())
            except (OSError, http.client.HTTPException, ValueError) as error: said = type(error).__name__, str(error)
            if not keeps or said[0] != 200: wire.close()
            self.said.append((began, time.monotonic() - began, *said))
            due = max(due + self.pause, time.monotonic() - 1)
            time.sleep(max(0, due - time.monotonic()))
        wire.close()

    def failed(self) -> list: return [one for one in self.said if one[2] != 200]

    def __enter__(self):
        for thread in self.threads: thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads: thread.join(30)
