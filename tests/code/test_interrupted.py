"""Runs that are ended at random moments, in every way in which that happens. FASHION_MLOPS_KILLS=20 tries twenty moments of each way."""
import json
import os
import pty
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from toy_stages import DRAW

POINTS = int(os.environ.get("FASHION_MLOPS_KILLS", "0"))
WAYS = ["kill -9", "closed terminal", "Ctrl-C", "SIGHUP"]


def in_a_terminal(project, *words) -> tuple[int, int]:
    "Start a run on a terminal of its own; returns its process and the terminal."
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(project.root)
        os.execvpe(sys.executable, project.command("run", "--profile", "smoke", "--dataset", "synthetic", *words), project.env)
    return pid, terminal


def interrupt(project, way: str, after: float, *words):
    "Start a run and end it after some seconds, if it has not ended by then."
    pid, terminal = in_a_terminal(project, *words)
    deadline = time.monotonic() + after
    os.set_blocking(terminal, False)
    while time.monotonic() < deadline:
        time.sleep(0.02)
        try: os.read(terminal, 65536)
        except OSError: pass # nothing new
    if way == "closed terminal": os.close(terminal)
    elif way == "Ctrl-C": os.write(terminal, b"\x03")
    else: os.kill(pid, signal.SIGKILL if way == "kill -9" else signal.SIGHUP)
    deadline = time.monotonic() + 90
    while not os.waitpid(pid, os.WNOHANG)[0]:
        assert time.monotonic() < deadline, f"the run did not end after {way}"
        if way != "closed terminal":
            try: os.read(terminal, 65536)
            except OSError: pass
        time.sleep(0.05)
    if way != "closed terminal": os.close(terminal)


def at_work(project) -> list[str]:
    "Processes of the project's kernels, and what these have started."
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("FASHION_MLOPS_RUN", "").startswith(str(project.root)): found.append(" ".join(process.cmdline()))
        except psutil.Error: pass # another's, or gone
    return found


def left_over(project) -> list[str]:
    "What an interrupted run has left: open runs in MLflow, notes, folders, sockets, processes."
    store = sqlite3.connect(project.root/"mlflow.db")
    found = [f"{name} is {status} in MLflow" for name, status in store.execute("select name, status from runs where status not in ('FINISHED', 'KILLED', 'FAILED')")]
    store.close()
    places = [*(project.root/"data"/".run").glob("*"), *(project.root/"data"/".open").glob("*"), *(project.root/"data").glob("artifacts/*/*/.*"),
              *(project.root/"data").glob("**/.*.unfinished"), *(project.root/"reports").glob("**/.*"), *Path(project.env["TMPDIR"]).glob("kernel-*")]
    return found + [str(path) for path in places if path.exists()] + at_work(project)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", WAYS if POINTS else WAYS[:2])
def test_an_interrupted_run_is_resumed_and_leaves_nothing(project, way):
    moment, horizon = random.Random(way), 12.0
    project.env["TMPDIR"] = tempfile.mkdtemp(prefix="kills-", dir="/tmp")
    project.stage("01_draw", ["import subprocess; subprocess.Popen(['sleep', '777'], start_new_session=True)", *DRAW], writes=["numbers.json"])
    for n in range(4, 4 + (POINTS or 1)):
        after = moment.uniform(0.2, horizon)
        interrupt(project, way, after, "-p", f"draw.n={n}")
        began = time.monotonic()
        answer = project.run("-p", f"draw.n={n}")
        horizon = 0.5 * horizon + 0.5 * max(8.0, 1.3 * (time.monotonic() - began))
        said = f"{way} after {after:.1f} s: {answer.stdout} {answer.stderr}"
        assert answer.returncode == 0, said
        assert json.loads(project.artifact("sum.json").read_text()) == sum(range(n)), said
        assert left_over(project) == [], said
        print(f"{way} after {after:.1f} s: resumed, {answer.stdout.count('runs:')} stages ran", flush=True)
    assert "would run" not in project.run("-p", f"draw.n={n}", "--dry-run").stdout
    shutil.rmtree(project.env["TMPDIR"])


def test_what_a_kernel_has_started_ends_with_its_run(tmp_path):
    "Also what left its group or changed its parents; nothing of another run, and not this process."
    from fashion_mlops.workflow.lock import end_processes
    begin = "import subprocess, sys; subprocess.Popen(['sleep', '777'], start_new_session=True); subprocess.Popen(['sh', '-c', 'sleep 777 & sleep 777']); print('up', flush=True)"
    context, other = tmp_path/"ours.json", tmp_path/"other.json"
    for path in (context, other):
        subprocess.run([sys.executable, "-c", begin], env=os.environ | {"FASHION_MLOPS_RUN": str(path)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    project = SimpleNamespace(root=context)
    assert len(at_work(project)) >= 3
    os.environ["FASHION_MLOPS_RUN"] = str(context)
    try: end_processes([context])
    finally: del os.environ["FASHION_MLOPS_RUN"]
    assert at_work(project) == [] and at_work(SimpleNamespace(root=other)) != []
    end_processes([other])
    assert at_work(SimpleNamespace(root=other)) == []


@pytest.mark.parametrize("remove", ["sweep", "put away", "drop", "unfinished"])
def test_nothing_is_removed_that_somebody_begins_to_hold(home, monkeypatch, remove):
    "Between the look and the removal, that is: whoever then holds the folder keeps it, or knows that it is gone."
    from fashion_mlops import core
    from fashion_mlops.workflow import at_work, lock, stage
    folder = home/"data"/"artifacts"/"toy"/"01_toy"
    target = folder/".token.1" if remove != "unfinished" else home/"data"/".kept.abcdefgh.unfinished"
    target.mkdir(parents=True)
    began, removal = threading.Event(), shutil.rmtree
    def slow(path, *words, **options):
        if Path(path) == target: began.set(); time.sleep(0.3)
        removal(path, *words, **options)
    monkeypatch.setattr(shutil, "rmtree", slow)
    deed = {"sweep": lambda: stage.sweep(folder, "token"), "put away": lock._put_away, "unfinished": lambda: core.sweep_unfinished(home/"data"),
            "drop": lambda: at_work._drop_unpublished(SimpleNamespace(dataset="toy"), SimpleNamespace(name="01_toy"))}[remove]
    thread = threading.Thread(target=deed)
    thread.start()
    assert began.wait(5)
    try: held = core.hold(target)
    except FileNotFoundError: held = None
    there = target.is_dir()
    thread.join()
    assert target.is_dir() == there
    core.release(held)
