"""What a keeper in front of a service costs: requests a second, the 99th percentile and the processor of `serve` beside `deploy local`, in turns.

python benchmarks/slots.py [--home HOME] [--dataset NAME] [--seconds 3] [--rounds 6] [--clients 16] [--output FILE]

Without a home, a model that does next to nothing is made: then whatever a keeper costs shows most. Servers are held to the first core and
the load (wrk) to the last; who is not in turn has nothing to do. Clients that keep their connection meet the keeper once;
those that open one for each request meet it each time. Last, a switch: seconds of a rollback while clients keep asking.
"""
import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
LUA = 'wrk.method = "POST"\nwrk.headers["Content-Type"] = "{kind}"\n{close}local file = io.open("{body}", "rb")\nwrk.body = file:read("*a")\n'
CLOSE = 'wrk.headers["Connection"] = "close"\n'


class Server:
    "A server on the first core, found by what it prints."
    def __init__(self, name: str, *words: str):
        self.name, self.errors = name, tempfile.TemporaryFile()
        self.process = subprocess.Popen(["taskset", "-c", "0", sys.executable, "-m", "fashion_mlops.cli", *words, "--port", "0", "--quiet"],
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True)
        line = self.process.stdout.readline()
        if " answers at " not in line:
            self.errors.seek(0)
            raise SystemExit(f"{name} did not start: {self.errors.read().decode()[-500:]}")
        self.address = line.split(" answers at ")[1].split()[0]

    def cpu(self) -> float: # seconds of its processes so far
        "Of the process that was started and of all that descend from it: keeper, slots, writers of the log."
        stats = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try: stats[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
            except OSError: continue
        found = [self.process.pid]
        for pid in found: found += [child for child, said in stats.items() if int(said[1]) == pid]
        return sum(int(stats[pid][11]) + int(stats[pid][12]) for pid in found if pid in stats)/os.sysconf("SC_CLK_TCK")

    def measured(self, script: Path, clients: int, seconds: float) -> dict:
        before = self.cpu()
        said = wrk(self.address, script, clients, seconds)
        return said | {"cpu_us": (self.cpu() - before)/said["requests"]*1e6}

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def wrk(address: str, script: Path, clients: int, seconds: float) -> dict: # a second, p50 and p99 in ms, errors
    last = (os.cpu_count() or 1) - 1
    said = subprocess.run(["taskset", "-c", str(last), "wrk", "-t1", f"-c{clients}", f"-d{seconds:g}s", "--latency", "-s", str(script), f"{address}/predict"],
                          capture_output=True, text=True, check=True).stdout
    def milliseconds(share):
        number, unit = re.search(rf"{share}%\s+([\d.]+)(us|ms|s)", said).groups()
        return float(number)*{"us": 1e-3, "ms": 1, "s": 1e3}[unit]
    wrong = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", said))) + sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", said)))
    return {"requests": int(re.search(r"(\d+) requests in", said)[1]), "a_second": float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]), "p50_ms": milliseconds(50), "p99_ms": milliseconds(99), "errors": wrong}


def small_home(folder: Path) -> str:
    "Two versions that do next to nothing."
    sys.path.append(str(ROOT/"tests"/"service"))
    os.environ["FASHION_MLOPS_HOME"] = str(folder)
    from packs import place_version
    from fashion_mlops.service.deployment import set_champion
    for version in (1, 2): place_version("shades", version)
    set_champion("shades", 1)
    return "shades"


def middle(values) -> float:
    "The median."
    return sorted(values)[len(values)//2]


def switched(address: str, dataset: str, script: Path, clients: int) -> dict:
    "Seconds of rollbacks under load, as the command line takes them, and what failed meanwhile."
    def deploy(*words): subprocess.run([sys.executable, "-m", "fashion_mlops.cli", "deploy", *words, "--dataset", dataset], check=True, capture_output=True)
    deploy("green", "--version", "2")
    took, load = [], None
    for _ in range(5):
        load = subprocess.Popen(["wrk", "-t1", f"-c{clients}", "-d3s", "-s", str(script), f"{address}/predict"], stdout=subprocess.PIPE, text=True)
        time.sleep(1)
        began = time.monotonic()
        deploy("rollback")
        took.append(time.monotonic() - began)
        said = load.communicate()[0]
        deploy("green", "--version", "2")
    return {"rollback_seconds": middle(took), "most": max(took), "said": re.findall(r"(Socket errors.*|Non-2xx.*)", said)}


def main():
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, kind, default in [("home", str, None), ("dataset", str, None), ("seconds", float, 3), ("rounds", int, 6), ("clients", int, 16), ("output", str, None)]:
        asked.add_argument(f"--{name}", type=kind, default=default)
    args = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = args.dataset or (None if args.home else small_home(Path(folder)))
        if args.home: os.environ["FASHION_MLOPS_HOME"] = args.home
        where = ["--dataset", dataset] if dataset else []
        servers = [Server("serve", "serve", *where), Server("deploy local", "deploy", "local", *where)]
        body = Path(folder)/"body"
        with urllib.request.urlopen(servers[0].address + "/example") as example:
            body.write_bytes(example.read())
            name = example.headers["content-disposition"].rpartition("filename=")[2].strip('"')
        kind = "image/png" if name.endswith("png") else "application/json"
        found = {}
        for way, close in [("kept", ""), ("new", CLOSE)]:
            script = Path(folder)/f"{way}.lua"
            script.write_text(LUA.format(kind=kind, close=close, body=body))
            for server in servers: wrk(server.address, script, args.clients, 1) # warm
            rounds = []
            for number in range(args.rounds): # the first one first, then the other one
                turns = [(at, servers[at].measured(script, args.clients, args.seconds)) for at in ((0, 1), (1, 0))[number % 2]]
                rounds.append([said for _, said in sorted(turns, key=lambda turn: turn[0])])
            ratios = {what: middle([two[what]/one[what] for one, two in rounds]) for what in ("a_second", "p50_ms", "p99_ms", "cpu_us")}
            found[way] = {"ratio": ratios, **{server.name: {what: middle([each[at][what] for each in rounds]) for what in rounds[0][0]} for at, server in enumerate(servers)}}
            print(f"connections {way:<5}" + "".join(f"  {server.name}: {found[way][server.name]['a_second']:,.0f} a second, p99 {found[way][server.name]['p99_ms']:.1f} ms, "
                                                    f"{found[way][server.name]['cpu_us']:.0f} µs of processor, {found[way][server.name]['errors']} errors" for server in servers)
                  + f"  → {ratios['a_second']:.3f} of the rate, {ratios['p99_ms']:.2f} times the p99, {ratios['cpu_us']:.2f} times the processor", flush=True)
        if not args.home:
            found["switch"] = switched(servers[1].address, dataset, Path(folder)/"kept.lua", args.clients)
            print(f"rollback under load, command line included: {found['switch']['rollback_seconds']:.2f} s (most {found['switch']['most']:.2f} s) {found['switch']['said'] or 'without an error'}")
        for server in servers: server.end()
    found["machine"] = {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine(), "load": os.getloadavg()[0]}
    if args.output: Path(args.output).write_text(json.dumps(found, indent=1))


if __name__ == "__main__": main()
