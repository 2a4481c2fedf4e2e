"""What a request costs: this service beside others, its own share of the processor, its start, and too many requests.

python benchmarks/serving.py peers|own|alone|start|overload [--home HOME] [--dataset fashion_mnist] [--seconds 2] [--rounds 4]
                             [--peers mlflow,fastapi,litserve,bentoml] [--litserve PYTHON] [--bentoml PYTHON] [--output FILE]

HOME holds a champion of images (default: this home); nothing is written there. Servers are held to core 0 and the load
(wrk) to core 1; who is not in turn has nothing to do. Peers answer with the same files: the whole champion (its graph; through
the library in `mlflow models serve`, which serves the registered version, and in FastAPI) and its net alone (TorchScript
in FastAPI and LitServe, the graph elsewhere). LitServe and BentoML want environments of their own, with onnxruntime (and
torch for LitServe): say their Python. What is missing is named, and the rest goes on.
"""
import argparse
import io
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
CONCURRENCY = (1, 16, 64)
WANTED = {"mlflow": 10, "fastapi": 3, "litserve": 1.5, "bentoml": 1.5}
TICK = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Server:
    "A server in processes of its own, on core 0."
    all = [] # that were started
    def __init__(self, name: str, command: list, ready: str, log: Path, **env):
        self.name, self.port, self.log = name, free_port(), log
        command = [part.replace("PORT", str(self.port)) for part in map(str, command)]
        one = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        self.began = time.monotonic()
        self.process = subprocess.Popen(["taskset", "-c", "0", *command], env=os.environ | one | env, stdout=log.open("wb"),
                                        stderr=subprocess.STDOUT, start_new_session=True, cwd=log.parent)
        self.all.append(self)
        self.ready = f"http://127.0.0.1:{self.port}{ready}"

    def wait(self, seconds: float = 90) -> float: # seconds that it took
        while time.monotonic() < self.began + seconds:
            if self.process.poll() is not None: break
            try:
                with urllib.request.urlopen(self.ready, timeout=5): return time.monotonic() - self.began
            except OSError: time.sleep(.005)
        self.end()
        raise RuntimeError(f"{self.name} did not start: {self.log.read_text(errors='replace')[-300:]!r}")

    def pids(self) -> list[int]: # its process, and all that descend from it
        parents = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try: parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
            except OSError: continue
        found = [self.process.pid]
        for pid in found: found += [child for child, parent in parents.items() if parent == pid]
        return [pid for pid in found if pid in parents]

    def cpu(self) -> float: # seconds of its processes so far
        total = 0
        for pid in self.pids():
            try: fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError: continue
            total += int(fields[11]) + int(fields[12])
        return total/TICK

    def memory(self) -> float: # megabytes of its processes
        said = (Path(f"/proc/{pid}/status").read_text() for pid in self.pids())
        return sum(int(text.partition("VmRSS:")[2].split()[0]) for text in said if "VmRSS:" in text)/1024

    def send(self, sig):
        for pid in self.pids():
            try: os.kill(pid, sig)
            except ProcessLookupError: pass

    def end(self):
        own = self.pids()
        self.send(signal.SIGTERM)
        try: self.process.wait(5)
        except subprocess.TimeoutExpired: pass
        for pid in own:
            try: os.kill(pid, signal.SIGKILL)
            except ProcessLookupError: pass
        self.process.wait()


SCRIPT = """local f = io.open("{body}", "rb"); wrk.body = f:read("*a"); f:close()
wrk.method = "POST"; wrk.headers["Content-Type"] = "{kind}"
function done(summary, latency)
  io.write(string.format("FOUND %d %d %d %d %d\\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end"""


class Load:
    "A body, again and again, from core 1."
    def __init__(self, folder: Path, name: str, path: str, body: bytes, kind: str):
        self.path, self.body, self.kind, self.script = path, body, kind, folder/f"{name}.lua"
        (folder/name).write_bytes(body)
        self.script.write_text(SCRIPT.format(body=folder/name, kind=kind))

    def ask(self, server: Server) -> dict:
        address = f"http://127.0.0.1:{server.port}{self.path}"
        asked = urllib.request.Request(address, self.body, {"Content-Type": self.kind})
        with urllib.request.urlopen(asked, timeout=60) as answer: return json.loads(answer.read())

    def run(self, server: Server, connections: int, seconds: int) -> dict:
        before = server.cpu()
        said = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s",
                               self.script, f"http://127.0.0.1:{server.port}{self.path}"], capture_output=True, text=True, check=True).stdout
        requests, took, median, p99, errors = map(int, said.partition("FOUND ")[2].split()[:5])
        used = server.cpu() - before
        return {"per_second": requests/(took/1e6), "cpu_ms": 1000*used/max(requests, 1), "median_ms": median/1000, "p99_ms": p99/1000, "errors": errors}


def turns(servers: list[Server], loads: dict, rounds: int, seconds: int) -> dict: # by server and concurrency: a list of rounds
    "Everybody in turn, another first in each round; the others wait."
    found = {one.name: {c: [] for c in CONCURRENCY} for one in servers}
    for one in servers: loads[one.name].run(one, 16, 1)
    before = [one.cpu() for one in servers]
    time.sleep(1)
    busy = {one.name: round(one.cpu() - was, 2) for one, was in zip(servers, before) if one.cpu() - was > .02}
    if busy: print(f"idle, these take of the core: {busy}")
    for turn in range(rounds):
        for connections in CONCURRENCY:
            for place in range(len(servers)):
                one = servers[(place + turn) % len(servers)]
                found[one.name][connections].append(loads[one.name].run(one, connections, seconds))
    return found


def ratio(first: list[float], second: list[float]) -> list[float]: # geometric mean over rounds, with a 95 % interval of t
    from scipy.stats import t
    logs = np.log(first) - np.log(second)
    wide = t.ppf(.975, len(logs) - 1)*logs.std(ddof=1)/np.sqrt(len(logs)) if len(logs) > 1 else np.nan
    return np.exp([logs.mean(), logs.mean() - wide, logs.mean() + wide]).tolist()


def machine() -> dict:
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    name = info.partition("model name")[2].partition("\n")[0].strip(" \t:") or platform.machine()
    flags = [flag for flag in ("avx2", "avx512f", "avx512_vnni") if f" {flag} " in info]
    return {"cpu": name, "flags": flags, "cores": os.cpu_count(), "load_average": os.getloadavg()[0],
            "python": platform.python_version(), "versions": {one: version(one) for one in ("onnxruntime", "uvicorn", "mlflow", "torch", "fastapi")}}


def own_home(home: Path, dataset: str, new: Path) -> Path:
    "A home with the champion that is served, and nothing of what is written later."
    for part in (f"serving/{dataset}", "keys"): shutil.copytree(home/"data"/part, new/"data"/part)
    return new


def latest(folder: Path) -> Path:
    found = sorted(path for path in folder.glob("*") if path.is_dir()) if folder.is_dir() else []
    if not found: raise RuntimeError(f"{folder} is missing: run the pipeline in this home")
    return found[-1]


def net_home(home: Path, dataset: str, pack: Path, folder: Path) -> Path:
    "A home whose champion is the net alone; and the net as TorchScript for the peers."
    import warnings
    import torch
    from fashion_mlops.service.deployment import place_pack, set_champion
    from fashion_mlops.service.graph import _Answer, candidate_graph
    from fashion_mlops.service.pack import write_pack
    net = latest(home/"data"/"artifacts"/dataset/"07_training")/"candidates"/"net"
    if not net.is_dir(): raise RuntimeError("this run trained no net")
    os.environ["FASHION_MLOPS_HOME"] = str(folder/"net-home")
    inputs = np.load(pack/"expected.npz")["inputs"]
    place_pack(write_pack(folder/"net", net, dataset, inputs), dataset, 1)
    set_champion(dataset, 1)
    with torch.inference_mode(), warnings.catch_warnings(action="ignore"):
        torch.jit.trace(_Answer(candidate_graph(net)).eval(), torch.from_numpy(inputs[:2])).save(str(folder/"net.pt"))
    return folder/"net-home"


def champion(home: Path, dataset: str) -> int:
    path = home/"data"/"serving"/dataset/"slots.json"
    if not path.is_file(): sys.exit(f"{home} has no champion of {dataset}. Say another --home, or run the pipeline.")
    return json.loads(path.read_text())["champion"]


def ours(new: Path, dataset: str, log: Path, *more, name: str = "ours") -> Server:
    command = [sys.executable, "-m", "fashion_mlops.cli", "serve", "--dataset", dataset, "--port", "PORT", "--quiet", *more]
    return Server(name, command, "/health/ready", log, FASHION_MLOPS_HOME=str(new), FASHION_MLOPS_ROOT=str(HERE.parent), PYTHONPATH=str(HERE.parent))


def mlflow_model(home: Path, dataset: str, number: int, folder: Path) -> str: # address of the registered version, downloaded
    script = ("import mlflow, sys; mlflow.set_tracking_uri(sys.argv[1]);"
              "print(mlflow.artifacts.download_artifacts(artifact_uri=sys.argv[2], dst_path=sys.argv[3]))")
    shutil.copy(home/"mlflow.db", folder/"mlflow.db")
    for name in ("mlflow.db-wal", "mlflow.db-shm"):
        if (home/name).is_file(): shutil.copy(home/name, folder/name)
    done = subprocess.run([sys.executable, "-c", script, f"sqlite:///{folder}/mlflow.db", f"models:/{dataset}/{number}", folder/"version"],
                          capture_output=True, text=True)
    if done.returncode: raise RuntimeError(f"the registered version is not to be had ({done.stderr.strip().splitlines()[-1][:200]})")
    return done.stdout.strip().splitlines()[-1]


def peer(name: str, model: Path, args, folder: Path, log: Path, what: str) -> Server:
    env = {"PEER_MODEL": str(model), "PYTHONPATH": f"{HERE/'peers'}:{HERE.parent}", "FASHION_MLOPS_ROOT": str(HERE.parent), "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(folder/"bento")}
    title = f"{name}, {what}"
    if name == "mlflow":
        path = mlflow_model(args.home, args.dataset, champion(args.home, args.dataset), folder)
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", path, "--env-manager", "local", "--port", "PORT", "--host", "127.0.0.1"]
        return Server("mlflow models serve", command, "/ping", log)
    if name == "fastapi":
        command = [sys.executable, "-m", "uvicorn", "plain:app", "--port", "PORT", "--no-access-log", "--log-level", "warning"]
        return Server(title, command, "/ready", log, **env)
    python = getattr(args, name)
    if not python or not Path(python).is_file(): raise RuntimeError(f"no Python of an environment with it; say --{name}")
    if name == "litserve": return Server(title, [python, HERE/"peers"/"lit.py", "PORT"], "/health", log, **env)
    command = [Path(python).parent/"bentoml", "serve", "bento:Answer", "--port", "PORT", "--host", "127.0.0.1", "--working-dir", HERE/"peers"]
    return Server(title, command, "/readyz", log, **env)


def contestants(args, packs: dict[str, Path], folder: Path) -> tuple[dict[str, list[Server]], list[str]]: # by model, and what is missing
    graph, net, missing = packs["champion"]/"model.onnx", packs["net"]/"model.onnx", []
    name = json.loads((packs["champion"]/"serving.json").read_text())["candidate"]
    library = latest(args.home/"data"/"artifacts"/args.dataset/"07_training")/"candidates"/name
    wanted = {"champion": [("mlflow", None, "library"), ("fastapi", library, "library"), ("litserve", graph, "graph"), ("bentoml", graph, "graph")],
              "net": [("fastapi", folder/"net.pt", "torch"), ("litserve", folder/"net.pt", "torch"), ("litserve", net, "graph"), ("bentoml", net, "graph")]}
    running = {}
    for model, others in wanted.items():
        running[model] = [ours(packs[model].parents[3], args.dataset, folder/f"{model}-ours.log")]
        running[model][0].wait()
        for who, path, how in others:
            if who not in args.peers: continue
            try:
                started = peer(who, path, args, folder, folder/f"{model}-{who}-{how}.log", how)
                started.wait()
                running[model].append(started)
            except (OSError, RuntimeError) as error: missing.append(f"{who} ({model}): {error}")
    return running, missing


def agreed(load: Load, server: Server, wanted: np.ndarray) -> float: # largest difference of a probability
    said = load.ask(server)
    if isinstance(said, dict) and "predictions" in said and isinstance(said["predictions"][0], dict) and "probabilities" in said["predictions"][0]:
        found = list(said["predictions"][0]["probabilities"].values())
    else: found = said.get("probabilities", said.get("predictions")) if isinstance(said, dict) else said
    found = np.array(found, float).reshape(-1)
    return float(np.abs(found - wanted).max())


def peers(args, folder: Path) -> dict:
    number, record = champion(args.home, args.dataset), {}
    packs = {"champion": own_home(args.home, args.dataset, folder/"home")/"data"/"serving"/args.dataset/f"v{number}"}
    packs["net"] = net_home(args.home, args.dataset, packs["champion"], folder)/"data"/"serving"/args.dataset/"v1"
    running, missing = contestants(args, packs, folder)
    for one in missing: print(f"missing: {one}", flush=True)
    for model, servers in running.items():
        expected = np.load(packs[model]/"expected.npz")
        image, wanted, loads = expected["inputs"][0].tolist(), expected["probabilities"][0], {}
        for number, one in enumerate(servers):
            path, key = ("/invocations", "inputs") if one.name.startswith("mlflow") else ("/predict", "images")
            loads[one.name] = Load(folder, f"{model}-{number}", path, json.dumps({key: [image]}).encode(), "application/json")
        apart = {one.name: agreed(loads[one.name], one, wanted) for one in servers}
        if max(apart.values()) > 1e-3: print(f"not the same model: {apart}")
        found = turns(servers, loads, args.rounds, args.seconds)
        record[model] = {"rounds": found, "apart": apart, "ratios": told(model, found)}
        for one in servers: one.end()
    return record


def told(model: str, found: dict) -> dict:
    "The table of a model, printed; and its ratios."
    ratios = {}
    print(f"\n{model}, JSON of one image; ratios of ours to each (95 % over rounds)")
    print(f"{'':24}" + "".join(f"{f'c={c}: per s':>14}{'CPU ms':>8}{'p99 ms':>8}{'ours is':>22}" for c in CONCURRENCY))
    for name, by in found.items():
        line = f"{name:24}"
        for c, rows in by.items():
            mean = {key: np.median([row[key] for row in rows]) for key in rows[0]}
            speed, late = (ratio([row[key] for row in found["ours"][c]], [row[key] for row in rows]) for key in ("per_second", "p99_ms"))
            ratios[f"{name}, c={c}"] = {"throughput": speed, "p99": late, "errors": sum(row["errors"] for row in rows)}
            words = "" if name == "ours" else f"{speed[0]:.1f} × ({speed[1]:.1f} to {speed[2]:.1f})"
            line += f"{mean['per_second']:14,.0f}{mean['cpu_ms']:8.2f}{mean['p99_ms']:8.1f}{words:>22}"
        print(line, flush=True)
    failed = {key: said["errors"] for key, said in ratios.items() if said["errors"]}
    if failed: print(f"answers that were no 200: {failed}")
    others = [name for name in found if name != "ours"]
    if others:
        best = min(others, key=lambda name: np.median([row["p99_ms"] for row in found[name][16]]))
        print("p99 at c=16 against the best of them ({}): {:.2f} × ({:.2f} to {:.2f})".format(best, *ratios[f"{best}, c=16"]["p99"]), flush=True)
    return ratios


def bodies(image: np.ndarray) -> dict[str, tuple[bytes, str]]: # by what it is: body and content type
    from PIL import Image
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    head = b'--xyz\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    return {"bytes": (image.tobytes(), "application/octet-stream"), "JSON": (json.dumps({"images": [image.tolist()]}).encode(), "application/json"),
            "upload of a PNG": (head + file.getvalue() + b"\r\n--xyz--\r\n", "multipart/form-data; boundary=xyz")}


OWN = {"bytes": .25, "JSON": .3, "upload of a PNG": .5}


def own(args, folder: Path) -> dict:
    "The service's own share: a model that costs nothing, and the champion beside it."
    new = own_home(args.home, args.dataset, folder/"home")
    image = np.load(next((new/"data"/"serving"/args.dataset).glob("v*/expected.npz")))["inputs"][0]
    free = Server("a model that costs nothing", [sys.executable, HERE/"peers"/"nothing.py", "PORT", args.dataset], "/health/ready", folder/"nothing.log",
                  FASHION_MLOPS_HOME=str(new), FASHION_MLOPS_ROOT=str(HERE.parent), PYTHONPATH=str(HERE.parent))
    servers, record = [free, ours(new, args.dataset, folder/"ours.log", name="the champion")], {}
    for one in servers: one.wait()
    print(f"{'server CPU, ms a request':44}" + "".join(f"{f'c={c}':>24}" for c in CONCURRENCY) + "   wanted beyond the model")
    for what, (body, kind) in bodies(image).items():
        load = Load(folder, what.replace(" ", "-"), "/predict", body, kind)
        found = turns(servers, {one.name: load for one in servers}, args.rounds, args.seconds)
        record[what] = found
        for name, by in found.items():
            cells = "".join("{:>24}".format("{:.3f} ({:.3f} to {:.3f})".format(*np.quantile([row["cpu_ms"] for row in rows], [.5, 0, 1]))) for rows in by.values())
            print(f"{what + ', ' + name:44}{cells}   {OWN[what] if name == free.name else ''}", flush=True)
    return record


def alone(args, folder: Path) -> dict:
    "One image, whole champion, in this process, one thread; and which part of the graph takes it."
    os.sched_setaffinity(0, {0})
    new, record = own_home(args.home, args.dataset, folder/"home"), {}
    os.environ["FASHION_MLOPS_HOME"] = str(new)
    from fashion_mlops.service.session import open_pack
    packs = [new/"data"/"serving"/args.dataset/f"v{champion(new, args.dataset)}", *map(Path, args.pack)]
    opened = {json.loads((pack/"serving.json").read_text())["form"]: open_pack(pack) for pack in packs}
    net = net_home(args.home, args.dataset, packs[0], folder)/"data"/"serving"/args.dataset/"v1"
    opened, packs = opened | {"the net alone": open_pack(net)}, [*packs, net]
    image = next(iter(opened.values())).expected["inputs"][:1]
    times = {form: [] for form in opened}
    for turn in range(20*args.rounds):
        for form, served in opened.items():
            for _ in range(3): served.predict_proba(image)
            began = time.process_time_ns()
            for _ in range(20): served.predict_proba(image)
            times[form].append((time.process_time_ns() - began)/20e6)
    for form, pack in zip(opened, packs):
        record[form] = {"cpu_ms": times[form], "parts": parts(pack/"model.onnx", image, folder)}
        print("{}: {:.2f} ms of CPU (quarter to quarter {:.2f} to {:.2f}); of a profile's time: {}".format(
            form, *np.quantile(times[form], [.5, .25, .75]), ", ".join(f"{name} {share:.0%}" for name, share in record[form]["parts"].items())))
    if "int8" in opened: print("ratio: {:.2f}".format(np.median(times["int8"])/np.median(times["graph"])))
    return record


def parts(graph: Path, image: np.ndarray, folder: Path) -> dict[str, float]: # shares
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_profiling, options.profile_file_prefix = True, str(folder/"profile")
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    for _ in range(100): session.run(None, {"inputs": image})
    took = {}
    for row in json.loads(Path(session.end_profiling()).read_text())[200:]:
        if row.get("cat") != "Node" or not row["name"].endswith("_kernel_time"): continue
        name = row["name"]
        part = ("convolutions" if row["args"]["op_name"] in ("Conv", "QLinearConv") else "features" if "/before/" in name else "classifier" if "/classifier/" in name
                else "the net's rest" if "/net/" in name else "what is between")
        took[part] = took.get(part, 0) + row["dur"]
    return {name: value/sum(took.values()) for name, value in sorted(took.items(), key=lambda pair: -pair[1])}


def start(args, folder: Path) -> dict:
    "From exec to ready, and the memory after a thousand requests."
    new, record = own_home(args.home, args.dataset, folder/"home"), {"seconds": [], "memory": []}
    image = np.load(next((new/"data"/"serving"/args.dataset).glob("v*/expected.npz")))["inputs"][0]
    load = Load(folder, "json", "/predict", *bodies(image)["JSON"])
    for turn in range(max(args.rounds, 5)):
        server = ours(new, args.dataset, folder/f"{turn}.log")
        record["seconds"].append(server.wait())
        asked = 0
        while asked < 1000: asked += round(load.run(server, 16, 1)["per_second"])
        record["memory"].append(server.memory())
        server.end()
    print("from exec to ready: {:.2f} s ({:.2f} to {:.2f}), wanted 1.5; memory after 1,000 requests or more: {:.0f} MB ({:.0f} to {:.0f}), wanted 400".format(
        *np.quantile(record["seconds"], [.5, 0, 1]), *np.quantile(record["memory"], [.5, 0, 1])))
    return record


def flood(load: Load, server: Server, rate: float, seconds: float) -> dict:
    command = ["taskset", "-c", "1", sys.executable, HERE/"peers"/"flood.py", server.port, load.path, rate, seconds, load.script.with_suffix(""), load.kind]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode: raise RuntimeError(f"the flood ended early: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


def overload(args, folder: Path) -> dict:
    "Three times as many requests as can be answered, for a minute."
    new = own_home(args.home, args.dataset, folder/"home")
    image = np.load(next((new/"data"/"serving"/args.dataset).glob("v*/expected.npz")))["inputs"][0]
    server, load = ours(new, args.dataset, folder/"ours.log"), Load(folder, "json", "/predict", *bodies(image)["JSON"])
    server.wait()
    load.run(server, 16, 2)
    most = max(load.run(server, connections, 3)["per_second"] for connections in (16, 64))
    record = {"capacity": most, "before": flood(load, server, .5*most, 10), "memory": [server.memory()]}
    record["during"] = flood(load, server, 3*most, args.minute)
    record["memory"].append(server.memory())
    record["after"] = flood(load, server, .5*most, 10)
    print(f"capacity (c=16 or 64): {most:,.0f} a second, JSON of one image; the flood lasts {args.minute} s")
    for when, rate in (("before", .5), ("during", 3), ("after", .5)):
        said = record[when]
        print(f"{when + f', {rate:g} × capacity':24}" + "; ".join("{}: {count:,}, median {median_ms:.1f} ms, p99 {p99_ms:.1f} ms".format(status, **row) for status, row in said["status"].items())
              + f"; sent up to {said['late_ms']:.1f} ms late (p99), {said['unsent']:,} not sent for want of a connection")
    first, then = record["memory"]
    accepted = (record[when]["status"].get("200", {"p99_ms": np.nan})["p99_ms"] for when in ("during", "before"))
    print("p99 of accepted: {:.1f} × unloaded, wanted at most 3; memory {:.0f} → {:.0f} MB ({:+.0%}), wanted at most +20 %".format(
        np.divide(*accepted), first, then, then/first - 1))
    return record


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("peers", "own", "alone", "start", "overload"), help="which table")
    parser.add_argument("--home", type=Path, help="with the champion (default: this home)")
    parser.add_argument("--dataset", default="fashion_mnist", help="with images (default fashion_mnist)")
    parser.add_argument("--peers", default="mlflow,fastapi,litserve,bentoml", help="which, with commas between")
    parser.add_argument("--pack", nargs="*", default=[], help="other packs beside the champion's, for `alone`")
    parser.add_argument("--minute", type=int, default=60, help="seconds of overload (default 60)")
    parser.add_argument("--litserve", help="Python of an environment with litserve, onnxruntime and torch")
    parser.add_argument("--bentoml", help="Python of an environment with bentoml and onnxruntime")
    parser.add_argument("--seconds", type=int, default=2, help="of a turn (default 2)")
    parser.add_argument("--rounds", type=int, default=4, help="in which each has its turns (default 4)")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    args = parser.parse_args()
    if not shutil.which("wrk") or not shutil.which("taskset"): sys.exit("wrk or taskset is missing: apt-get install wrk util-linux")
    from fashion_mlops.core import home
    args.home, args.peers = (args.home or home()).resolve(), args.peers.split(",")
    began, before = time.monotonic(), machine()
    with tempfile.TemporaryDirectory(prefix="serving-", ignore_cleanup_errors=True) as folder:
        try: record = globals()[args.what](args, Path(folder))
        finally:
            for one in Server.all: one.end()
    print(f"\n{before['cpu']} ({', '.join(before['flags'])}), {before['cores']} cores, load average {before['load_average']:.1f} before and {os.getloadavg()[0]:.1f} after; "
          f"{before['versions']}; {time.monotonic() - began:.0f} s")
    if args.output: args.output.write_text(json.dumps({"what": args.what, "machine": before, "seconds": args.seconds, "rounds": args.rounds, "found": record}, indent=1))


if __name__ == "__main__": main()
