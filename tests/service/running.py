"""A real server on a free port of loopback, in a process of its own."""
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


class Running:
    "A server in a process of its own."
    def __init__(self, home: Path, **asked):
        self.home, env = home, os.environ | {"FASHION_MLOPS_HOME": str(home)}
        self.errors = (home/"stderr").open("ab")
        self.process = subprocess.Popen([sys.executable, str(Path(__file__).parent/"stand_in.py"), json.dumps(asked)], env=env,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True)
        first = self.process.stdout.readline()
        assert "answers at" in first, first + (home/"stderr").read_text()
        self.address = first.split("answers at ")[1].split()[0]
        self.port = int(self.address.rpartition(":")[2])

    def ask(self, path: str, body: bytes | None = None, method: str | None = None, **headers):
        "Status, content (JSON where it is) and headers."
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.address + path, body, said, method=method or ("POST" if body is not None else "GET"))
        try: found = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error: found = error
        with found: content = found.read()
        is_json = found.headers.get("content-type", "").startswith("application/json")
        return found.status, json.loads(content) if is_json else content.decode(errors="replace"), found.headers

    def waits(self, path: str, body: bytes, times: int = 20, **headers) -> list[float]:
        "Seconds that each of some requests, one after the other, took to be answered."
        waited = []
        for _ in range(times):
            began = time.perf_counter()
            assert self.ask(path, body, **headers)[0] == 200
            waited.append(time.perf_counter() - began)
        return waited

    def rows(self, *rows, **headers): return self.ask("/predict", json.dumps({"rows": rows}).encode(), content_type="application/json", **headers)

    def end(self, sig=signal.SIGTERM) -> int:
        if self.process.poll() is None: self.process.send_signal(sig)
        code = self.process.wait(40)
        self.process.stdout.close()
        self.errors.close()
        return code
