"""What a stage costs before its own work, and what the runner adds, interleaved: `python benchmarks/runner.py [--rounds 5]`.

One notebook that imports what stages import, in three ways: A = plain papermill, in a process of its own each time;
B = a stage of `fashion-mlops run`, whose kernel is a fork of a process that has imported; C = the same with plain
kernels (FASHION_MLOPS_FORK=0). All in a home of their own with an MLflow store that has its tables.

- before: from the start of the process (A), or the end of the last cell of the stage before (B, C), to the first
  cell behind the imports and `stage.start`; of B and C all stages but the first, which waits for the imports too
- whole: a run of all stages (B, C), or papermill on each of them (A), with processor time
- memory: the most that the processes together hold, shared pages counted once (Linux)

Prints every round, then medians of the ratios, and writes JSON.
"""
import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from fashion_mlops.workflow.pipeline import write_stage_notebook

STAGES = 4
CODE = ["import os, time\nimport lightgbm, matplotlib.pyplot as plt, numpy as np, pandas as pd, scipy.stats, shap, sklearn.ensemble, sklearn.manifold, sklearn.svm, torch",
        "from fashion_mlops.datasets.catalogue import make_samples\nfrom fashion_mlops.samples.samples import load_samples\nfrom fashion_mlops.images.kind import fit_features\nfrom fashion_mlops.models.families import families",
        "stage.facts = {'dataset_digest': 'abc', 'synthetic': True}",
        "figure, axis = plt.subplots(); axis.plot(np.random.rand(50)); stage.picture(figure, 'Fifty random numbers.')"]
MARK = "print('{what}', '{stage}', time.time(), file=open(os.environ['MARKS'], 'a'))"


def make_project() -> Path:
    "A project of stages that are all the same."
    root = Path(tempfile.mkdtemp())
    (root/"nbs").mkdir()
    (root/"settings.ini").write_text("lib_name = fashion_mlops\n")
    for n in range(1, STAGES + 1):
        name = f"0{n}_draw"
        code = [*CODE[:2], MARK.format(what="own", stage=name), *CODE[2:], f"stage.write('{n}.txt').write_text('a')\n" + MARK.format(what="end", stage=name)]
        write_stage_notebook(root/"nbs"/f"{name}.ipynb", code, writes=[f"{n}.txt"])
    return root


def memory(process: psutil.Process) -> int:
    "Bytes that a process and its children hold, shared pages counted once."
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try: total += each.memory_full_info().pss
        except (psutil.Error, AttributeError): pass # it ended meanwhile, or this is no Linux
    return total


def timed(words: list[str], root: Path, watch: bool, **env) -> dict:
    "Wall and processor time and memory of a command that has to succeed, and the marks that its cells made."
    marks = root/"marks.txt"
    marks.unlink(missing_ok=True)
    env = os.environ | {"FASHION_MLOPS_ROOT": str(root), "FASHION_MLOPS_HOME": str(root), "MARKS": str(marks)} | env
    used, began, peak, done = resource.getrusage(resource.RUSAGE_CHILDREN), time.time(), [0], threading.Event()
    running = subprocess.Popen(words, cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    def look():
        while not done.wait(0.5):
            try: peak[0] = max(peak[0], memory(psutil.Process(running.pid)))
            except psutil.Error: return
    if watch: threading.Thread(target=look, daemon=True).start()
    said = running.communicate()[0]
    done.set()
    if running.returncode: sys.exit(f"{' '.join(words)} failed:\n{said}")
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"began": began, "wall": time.time() - began, "processor": now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime, "memory": peak[0],
            "marks": [(what, stage, float(moment)) for what, stage, moment in map(str.split, marks.read_text().splitlines())], "said": said}


def plain(root: Path, watch: bool) -> dict:
    "papermill on each notebook."
    runs = [timed([sys.executable, "-m", "papermill", f"nbs/0{n}_draw.ipynb", "out.ipynb", "--no-progress-bar"], root, watch) for n in range(1, STAGES + 1)]
    before = [moment - run["began"] for run in runs for what, _, moment in run["marks"] if what == "own"]
    return {"before": statistics.mean(before), "wall": sum(r["wall"] for r in runs), "processor": sum(r["processor"] for r in runs), "memory": max(r["memory"] for r in runs)}


def ours(root: Path, watch: bool, fork: str) -> dict:
    "One run of all stages."
    run = timed([sys.executable, "-m", "fashion_mlops.cli", "run", "--profile", "smoke", "--force"], root, watch, FASHION_MLOPS_FORK=fork)
    if "imports for itself" in run["said"]: sys.exit(f"Kernels were not forked:\n{run['said']}")
    own, end = ([moment for what, _, moment in run["marks"] if what == kind] for kind in ("own", "end"))
    return {"first": own[0] - run["began"], "before": statistics.mean(o - e for o, e in zip(own[1:], end)), **{n: run[n] for n in ("wall", "processor", "memory")}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, after one that does not (default 5)")
    parser.add_argument("--memory", action="store_true", help="measure memory too, which costs time")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    args = parser.parse_args()
    root, rounds = make_project(), []
    ways = {"papermill": lambda: plain(root, args.memory), "forked": lambda: ours(root, args.memory, "1"), "plain kernels": lambda: ours(root, args.memory, "0")}
    for n in range(-1, args.rounds): # turn about, so that drift of the machine falls on all
        order = list(ways) if n % 2 else list(ways)[::-1]
        figures = {name: ways[name]() for name in order}
        if n < 0: continue
        rounds.append(figures)
        print("   ".join(f"{name}: before {figures[name]['before']:.2f} s, whole {figures[name]['wall']:.1f} s, processor {figures[name]['processor']:.1f} s" for name in ways), flush=True)
    shutil.rmtree(root)
    told = {"stages": STAGES, "cores": os.cpu_count(), "load_average": os.getloadavg(), "python": platform.python_version(), "machine": platform.processor() or platform.machine(), "rounds": rounds}
    for name in ("forked", "plain kernels"):
        told[name] = {what: statistics.median(r[name][what] / r["papermill"][what] for r in rounds) for what in ("before", "wall", "processor")}
        print(f"{name} against papermill: before {told[name]['before']:.2f}, whole {told[name]['wall']:.2f}, processor {told[name]['processor']:.2f} (medians of ratios)")
    if args.memory: print(", ".join(f"{name} {max(r[name]['memory'] for r in rounds) / 2**20:.0f} MB" for name in ways))
    print(f"{told['cores']} cores, load average {told['load_average'][0]:.1f}")
    if args.output: args.output.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
