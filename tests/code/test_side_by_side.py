"""Stages that read nothing of each other's, side by side."""
import json
import signal
import sys
import time
from types import SimpleNamespace

import pytest

from fashion_mlops.workflow import runner
from fashion_mlops.workflow.pipeline import Setting
from fashion_mlops.workflow.runner import Sequence, _may_begin, jobs_for
from fashion_mlops.workflow.progress import Display, Result, Run

MET = ["import time; from pathlib import Path; from fashion_mlops.core import home", "began = time.monotonic()",
       "(home()/'{me}.up').write_text('')\nwhile not (home()/'{other}.up').exists() and time.monotonic() - began < 60: time.sleep(0.05)",
       "from fashion_mlops.core import write_json; write_json(stage.write('{me}.json'), (home()/'{other}.up').exists())"]


def stage(name, reads=(), writes=()): return SimpleNamespace(name=name, reads=list(reads), writes=list(writes))


STAGES = [stage("01_data", (), ["samples"]), stage("02_quality", ["samples"], ["quality"]), stage("03_eda", ["samples"], ["eda"]), stage("04_features", ["samples"], ["features"]),
          stage("05_automl", ["features"], ["choice"]), stage("06_tuning", ["choice"], ["best"])]


class Work:
    "A stage of a make-believe run: it is at work until it is told to end."
    def __init__(self, stage): self.stage, self.thread, self.watch, self.alive = stage, self, SimpleNamespace(process=None), True
    def start(self): pass
    def is_alive(self): return self.alive
    def join(self, seconds): pass


@pytest.fixture
def sequence(monkeypatch):
    "A sequence whose stages end in an order of the test's choice."
    def make(jobs, minutes=(), failing=()):
        run = Run("toy", settings={s.name: {"minutes": Setting(2.0 if s.name in minutes else 0.0, "profile")} for s in STAGES}, jobs=jobs)
        run.remaining = SimpleNamespace(start=lambda n: None, end=lambda n, counts=True: None, skip=lambda n: None)
        monkeypatch.setattr(runner, "_look_at", lambda run, stage, *_: Work(stage))
        monkeypatch.setattr(runner, "settle_stage", lambda run, work, _: Result(work.stage.name, "failed" if work.stage.name in failing else "done"))
        return Sequence(run, STAGES, set(), Display(every=1e9), None)
    return make


def ends(sequence, name):
    sequence.going[name].alive = False
    sequence.settle()
    sequence.begin()
    return [*sequence.going]


def test_what_depends_on_nothing_at_work_begins(sequence):
    going = sequence(3)
    going.begin()
    assert [*going.going] == ["01_data"]                       # all the others need it, at least by way of others
    assert ends(going, "01_data") == ["02_quality", "03_eda", "04_features"]
    assert ends(going, "04_features") == ["02_quality", "03_eda", "05_automl"]
    assert ends(going, "02_quality") == ["03_eda", "05_automl"] # 06 waits for 05
    going = sequence(1)
    going.begin()
    assert [ends(going, s.name) for s in STAGES] == [[s.name] for s in STAGES[1:]] + [[]]


def test_after_a_failure_those_at_work_end_and_nothing_new_begins(sequence):
    going = sequence(2, failing=["02_quality"])
    going.begin()
    assert ends(going, "01_data") == ["02_quality", "03_eda"]
    assert ends(going, "02_quality") == ["03_eda"] and ends(going, "03_eda") == []
    assert [(r.name, r.state) for r in going.run.results] == [("01_data", "done"), ("02_quality", "failed"), ("03_eda", "done")]


@pytest.mark.parametrize("minutes, beside", [([], True), (["03_eda"], False), (["02_quality"], False), (["04_features"], True)])
def test_a_stage_with_minutes_has_the_machine_for_itself(sequence, minutes, beside):
    going = sequence(2, minutes)
    going.begin()
    assert ends(going, "01_data") == (["02_quality", "03_eda"] if beside else ["02_quality", "04_features"] if minutes == ["03_eda"] else ["02_quality"])


def test_where_memory_is_short_one_runs_alone(sequence, monkeypatch):
    monkeypatch.setattr(runner, "MEMORY_BESIDE", 1e15)
    going = sequence(4)
    going.begin()
    assert ends(going, "01_data") == ["02_quality"]


def test_a_number_of_jobs_that_makes_no_sense_is_refused():
    assert jobs_for(5) == 5 and jobs_for(None) == 1
    with pytest.raises(runner.WorkflowError, match="expected 1"): jobs_for(0)


def test_a_terminal_has_a_line_for_each(monkeypatch):
    import io
    class Terminal(io.StringIO):
        def isatty(self): return True
    monkeypatch.setenv("TERM", "xterm"); monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    display, watch = Display(), SimpleNamespace(cell=1, cells=3, label="draw", seconds=12.0, peak=10**6, line="")
    display.progress({"02_quality": watch, "03_eda": watch}, 100)
    display.progress({"03_eda": watch}, 90)
    display.line("03_eda done")
    assert terminal.getvalue().count("\x1b[1A\x1b[J") == 1 and "90 s left" in terminal.getvalue() and terminal.getvalue().endswith("03_eda done\n")


def meeting(project):
    "Two stages that each wait for the other to be there."
    for me, other in (("02_add", "03_mul"), ("03_mul", "02_add")):
        project.stage(me, [line.replace("{me}", me).replace("{other}", other) for line in MET], reads=["numbers.json"], writes=[f"{me}.json"])


@pytest.mark.slow
def test_two_kernels_are_at_work_at_once_and_all_is_as_it_should_be(project):
    meeting(project)
    answer = project.run("--jobs", "2")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert all(json.loads(project.artifact(f"{name}.json").read_text()) for name in ("02_add", "03_mul"))
    said = json.loads(next((project.root/"data"/"runs"/"synthetic").glob("*.json")).read_text())
    assert [r["name"] for r in said["results"]] == ["01_draw", "02_add", "03_mul"] and said["jobs"] == 2
    from fashion_mlops.workflow import tracking
    import mlflow
    store = mlflow.tracking.MlflowClient(f"sqlite:///{project.root}/mlflow.db")
    runs = store.search_runs([e.experiment_id for e in store.search_experiments()])
    parents = [run.data.tags.get("mlflow.parentRunId") for run in runs]
    assert parents.count(said["mlflow_run_id"]) == 3 and {run.info.status for run in runs} == {"FINISHED"}


@pytest.mark.slow
def test_ctrl_c_ends_all_kernels(project):
    for name in ("02_add", "03_mul"):
        project.stage(name, ["import os, time; from fashion_mlops.core import home", f"(home()/'{name}.pid').write_text(str(os.getpid()))", "time.sleep(300)"], reads=["numbers.json"], writes=[f"{name}.json"])
    running = project.start("--jobs", "2")
    pids, deadline = [project.root/f"{name}.pid" for name in ("02_add", "03_mul")], time.monotonic() + 120
    while not all(pid.exists() and pid.read_text() for pid in pids):
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 130 and said.count("interrupted: stopped by Ctrl-C") == 2
    import psutil
    assert not any(psutil.pid_exists(int(pid.read_text())) for pid in pids)
    assert not list((project.root/"data"/".run").glob("*.json")) and not list((project.root/"data"/"artifacts"/"synthetic").glob("0[23]_*/.*"))
