"""How long `/predict` takes alone, while inputs are explained, and while a job is answered.

    fashion-mlops serve --port 8932 --quiet &
    python benchmarks/beside.py --address 127.0.0.1:8932 --example data/serving/fashion_mnist/example.png [--job FILE]

One client asks every 10 ms; two others explain without a pause, or one job is on its way. Rounds are interleaved: what else the machine does falls on all."""
import argparse
import http.client
import json
import threading
import time

import numpy as np


def ask(wire, method: str, path: str, body=None, kind: str = "") -> tuple:
    "Status, content and seconds."
    began = time.perf_counter()
    wire.request(method, path, body, {"content-type": kind} if kind else {})
    found = wire.getresponse()
    return found.status, found.read(), time.perf_counter() - began


def main(args):
    with open(args.example, "rb") as file: body = file.read()
    kind = "image/png" if args.example.endswith(".png") else "application/json"
    def wire(): return http.client.HTTPConnection(args.address, timeout=120)
    def asked(seconds):
        mine, took, end = wire(), [], time.monotonic() + seconds
        while time.monotonic() < end:
            status, content, taken = ask(mine, "POST", "/predict", body, kind)
            assert status == 200, content
            took.append(1000*taken)
            time.sleep(0.01)
        return took
    explained, jobs, told = [], [], {}
    def explaining(goes):
        mine = wire()
        while goes: explained.append(ask(mine, "POST", "/explain", body, kind)[2])
    asked(1)
    for _ in range(args.rounds):
        told.setdefault("alone", []).extend(asked(5))
        goes = [True]
        threads = [threading.Thread(target=explaining, args=(goes,)) for _ in range(2)]
        for thread in threads: thread.start()
        told.setdefault("beside two who explain", []).extend(asked(5))
        goes.clear()
        for thread in threads: thread.join()
        if not args.job: continue
        with open(args.job, "rb") as file: status, content, _ = ask(wire(), "POST", "/predict/batch", file.read())
        assert status == 202, content
        job, began = json.loads(content)["job"], time.monotonic()
        told.setdefault("beside a job", []).extend(asked(5))
        while ask(wire(), "GET", f"/jobs/{job['id']}?as=csv")[0] == 409: time.sleep(0.2)
        jobs.append((job["rows"], time.monotonic() - began))
    for name, took in told.items():
        print(f"{name:24} {len(took):5} requests: median {np.median(took):6.2f} ms, p99 {np.quantile(took, .99):6.2f} ms, longest {max(took):6.2f} ms")
    print(f"{len(explained)} explanations, each {np.median(explained):.2f} s" + "".join(f"; a job of {rows:,} in {taken:.1f} s" for rows, taken in jobs))


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--address", required=True)
    p.add_argument("--example", required=True)
    p.add_argument("--job")
    p.add_argument("--rounds", type=int, default=3)
    main(p.parse_args())
