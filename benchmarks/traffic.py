"""What a shadow costs the one who answers, and what the test of two versions needs.

python benchmarks/traffic.py shadow [--seconds 4] [--rounds 6] [--output FILE]
python benchmarks/traffic.py test   [--tests 1000] [--output FILE]

shadow: one server with a made-up champion of pictures, asked by wrk on one connection after another way of traffic: the champion alone, and
a shadow that is good, raises, hangs, eats memory. Rounds are interleaved; reported are p50 and p99 of the answers and their ratio
to the rounds of the champion alone just before and after. The first second of a round (a shadow opens) is not counted.
test: false decisions of equal versions looked at after every row, and rows until a difference is seen.
"""
import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
WAYS = {"good": 2, "raises": 3, "hangs": 5, "eats": 6}


def percentiles(address: str, seconds: float, connections: int) -> dict:
    "What wrk says of answers to a white picture."
    script = 'wrk.method = "POST"\nwrk.body = string.rep("\\255", 16)\nwrk.headers["content-type"] = "application/octet-stream"\n'
    script += 'done = function(s, l, r) io.write(string.format("p50 %d p99 %d n %d bad %d\\n", l:percentile(50), l:percentile(99), s.requests, s.errors.status)) end'
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        said = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", file.name, f"{address}/predict"], capture_output=True, text=True, check=True).stdout
    return {name: int(value) for name, value in re.findall(r"(p50|p99|n|bad) (\d+)", said)}


def processor(process: int) -> float:
    "Seconds of the processor that a server has taken, without the processes that it has started."
    found = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(found[11]) + int(found[12]))/os.sysconf("SC_CLK_TCK")


def shadows(seconds: float, rounds: int, connections: int) -> dict:
    "Interleaved rounds."
    sys.path.insert(0, str(ROOT/"tests"/"service"))
    from moody import place_moody
    from packs import place_version
    from running import Running

    from fashion_mlops.service.deployment import set_champion
    from fashion_mlops.service.traffic_changes import change_traffic
    found = {way: [] for way in ("alone", *WAYS)}
    with tempfile.TemporaryDirectory() as name:
        os.environ["FASHION_MLOPS_HOME"] = name
        for version in (1, 2): place_version("shades", version)
        for mood, version in list(WAYS.items())[1:]: place_moody("shades", version, mood)
        set_champion("shades", 1)
        running = Running(Path(name), dataset="shades")
        try:
            percentiles(running.address, 2, connections)
            for _ in range(rounds):
                for way, version in WAYS.items():
                    for one, said in [("alone", {"mode": "champion"}), (way, {"mode": "shadow", "version": version, "seconds": 1, "memory": 1500})]:
                        change_traffic("shades", said, "benchmark")
                        time.sleep(2.5)
                        began = processor(running.process.pid)
                        counted = percentiles(running.address, seconds, connections)
                        found[one].append(counted | {"cpu": 1e6*(processor(running.process.pid) - began)/max(1, counted["n"])})
            copies = re.findall(r'shadow_copies_total\{outcome="(\w+)"\} (\S+)', running.ask("/metrics")[1])
        finally: running.end()
    return {"rounds": found, "copies": dict(copies)}


def false_and_needed(tests: int) -> dict:
    "How often equal versions are called different, and how many rows a difference takes."
    from fashion_mlops.service.sequential_test import log_capital
    random, line = np.random.default_rng(0), np.log(20)
    def looks(rows, champion, challenger, share):
        sent = random.random(rows) < share
        right = random.random(rows) < np.where(sent, challenger, champion)
        return np.stack([sent & right, sent & ~right, ~sent & right, ~sent & ~right], 1).cumsum(0)
    said = {}
    for level, share, expected in [(.9, .5, .9), (.9, .1, .9), (.6, .5, .9), (.98, .2, .9)]:
        said[f"equal at {level:.0%}, share {share}, expected {expected}"] = sum(log_capital(looks(5000, level, level, share), share, expected).max() >= line for _ in range(tests))/tests
    for gain in (.02, .03, .05, .08):
        took = [found.argmax() + 1 if (found := log_capital(looks(20_000, .9, .9 + gain, .5), .5, .9) >= line).any() else 20_000 for _ in range(max(20, tests//10))]
        said[f"90 % against {90 + 100*gain:g} %, rows: median, 80 %"] = [int(np.quantile(took, share)) for share in (.5, .8)]
    return said


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("shadow", "test"))
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--tests", type=int, default=1000)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    if args.what == "test": found = false_and_needed(args.tests)
    else:
        found = shadows(args.seconds, args.rounds, args.connections)
        alone = found["rounds"]["alone"]
        for way in WAYS:
            own, place = found["rounds"][way], list(WAYS).index(way)
            before = [alone[place + len(WAYS)*number] for number in range(len(own))]
            ratios = {name: [one[name]/other[name] for one, other in zip(own, before)] for name in ("p50", "p99", "cpu")}
            found[way] = {name: round(float(np.median(values)), 3) for name, values in ratios.items()} | {"p99 µs": float(np.median([one["p99"] for one in own])), "p99 alone µs": float(np.median([one["p99"] for one in before])),
                          "µs of the server for a request": round(float(np.median([one["cpu"] for one in own])), 1), "and alone": round(float(np.median([one["cpu"] for one in before])), 1),
                          "not 200": sum(one["bad"] for one in own)}
    found |= {"machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores"}
    print(json.dumps({name: value for name, value in found.items() if name != "rounds"}, indent=1, ensure_ascii=False))
    if args.output: args.output.write_text(json.dumps(found, indent=1))
