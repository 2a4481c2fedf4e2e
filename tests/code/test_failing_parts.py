"""A part of a report that fails: what is said of it, to whom, and what the next run makes of it."""
import json
import math
import shlex
import subprocess

import pytest

from fashion_mlops.workflow import tracking
from fashion_mlops.core import artifacts_folder
from fashion_mlops.workflow.manifests import log_to_mlflow
from fashion_mlops.workflow.stage import Stage, TooFew

SECRET = "hunter2/hunter2"


@pytest.fixture
def stage(home, empty_store, monkeypatch):
    "A started stage whose notebook has a secret parameter."
    monkeypatch.delenv("FASHION_MLOPS_STRICT", raising=False)
    monkeypatch.setenv("FASHION_MLOPS_TRACKING_WAIT", "3")
    (home/"mlflow.db").write_bytes(empty_store.read_bytes())
    monkeypatch.setattr("fashion_mlops.workflow.stage.show", lambda figure, caption: b"")
    return Stage("01_toy", writes=["page.html"]).start({"__annotations__": {"token": "secret", "name": "str", "seed": "int"}, "token": SECRET, "name": f"of {SECRET}", "seed": 1})


def fail(error):
    raise error


@pytest.mark.parametrize("error", [RuntimeError(f"401 for /?k={SECRET}"), OSError(f"{SECRET}\nmore"), TooFew(f"too few of {SECRET}"), KeyError(SECRET), ValueError("k=hunter2%2Fhunter2")])
def test_no_secret_reaches_disk_or_mlflow(stage, home, error, capsys):
    stage.tool_report(f"the page of {SECRET}", "page.html", lambda: fail(error))
    stage.picture(b"", f"what {SECRET} opens", name=f"of {SECRET.replace('/', '_')}")
    stage.finish(f"done with {SECRET}")
    found = [path for path in home.rglob("*") if path.is_file() and (b"hunter2" in path.read_bytes().replace(b"hunter2_hunter2", b""))]
    assert not found, found
    assert "hunter2" not in capsys.readouterr().out
    manifest = json.loads((artifacts_folder(stage.dataset)/"01_toy.json").read_text())
    assert manifest["params"]["seed"] == 1 and manifest["stage"] == "01_toy"


@pytest.mark.parametrize("word", ["stage", "toy", "params", "seed", "synthetic", "1"])
def test_a_secret_that_is_an_ordinary_word_leaves_the_manifest_whole(stage, word):
    stage.secrets = [word]
    stage.write("page.html").write_text("page")
    stage.finish(f"all of {word}")
    manifest = json.loads((artifacts_folder(stage.dataset)/"01_toy.json").read_text())
    assert manifest["stage"] == "01_toy" and manifest["params"]["seed"] == 1 and word not in manifest["headline"]
    assert manifest["writes"]["page.html"]["path"].startswith("01_toy/")


@pytest.mark.parametrize("reason", [TooFew("only 3 rows"), OSError(28, "No space left on device"), ValueError(), AssertionError("")])
def test_a_tool_that_fails_leaves_a_page_with_the_reason(stage, reason):
    stage.tool_report("the page", "page.html", lambda: fail(reason))
    page = stage.write("page.html").read_text()
    words = {TooFew: "only 3 rows", OSError: "no room on the disk of"}.get(type(reason), type(reason).__name__)
    assert words in page
    assert bool(stage.failures) != isinstance(reason, TooFew)


def test_what_is_no_number_is_left_out_the_first_time_and_later(stage):
    stage.log({"valid_x": math.nan, "valid_y": 1}, {"valid_x": (math.nan, math.nan), "valid_y": (0, math.inf)})
    stage.log_curve("loss", [1.0, math.nan, 0.5])
    stage.write("page.html").write_text("page")
    stage.finish("done")
    kept = json.loads((artifacts_folder(stage.dataset)/"01_toy.json").read_text())
    assert kept["intervals"]["valid_x"] == [None, None]
    tracking.client().delete_run(kept["run_id"])
    for run_id in (kept["run_id"], log_to_mlflow(kept)["run_id"]):
        run = tracking.client().get_run(run_id)
        assert run.data.metrics == {"valid_y": 1, "valid_y_low": 0, "loss": 0.5}
        assert [m.step for m in tracking.client().get_metric_history(run_id, "loss")] == [1, 3]


def test_a_failure_is_no_reason_to_call_a_stage_up_to_date(project):
    "In words of its own; what was too little is none."
    from fashion_mlops.workflow import fingerprint
    from fashion_mlops.workflow.contract import read_stage
    stage = read_stage(project.nbs/"01_draw.ipynb")
    manifest = {"fingerprint": fingerprint.fingerprint(stage, {}, {}), "writes": {}, "watched": {}, "aliases": {}}
    for failures, words in (({}, []), ({"the page": "OSError: [Errno 28] No space left on device"}, ["the page was not made (OSError: [Errno 28] No space left on device), and is tried again"])):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FASHION_MLOPS_HOME", str(project.root))
            patch.setattr(fingerprint, "read_manifest", lambda *_: manifest | {"failures": failures})
            assert fingerprint.stage_state(stage, {}, "synthetic").reasons == words


def test_one_manifest_that_cannot_be_logged_does_not_stop_the_others(monkeypatch):
    from fashion_mlops.workflow import runner
    found = {f"0{n}_x": {"run_id": "1", "logged": False, "stage": f"0{n}_x"} for n in (1, 2, 3)}
    logged, said = [], []
    monkeypatch.setattr(runner, "manifests", lambda *_: found)
    monkeypatch.setattr(runner, "log_to_mlflow", lambda m: fail(TypeError("not a number")) if m["stage"] == "01_x" else logged.append(m["stage"]))
    for name, value in (("missing_runs", []), ("abandoned", [])): monkeypatch.setattr(tracking, name, lambda *_, value=value: value)
    run, display = runner.Run("synthetic"), runner.Display(every=0)
    monkeypatch.setattr(display, "line", said.append)
    runner._catch_up(run, display)
    assert logged == ["02_x", "03_x"] and run.problems == ["01_x in MLflow: TypeError: not a number"]


@pytest.mark.parametrize("kept, spent, seconds", [(False, None, 0), (True, None, 0), (True, '{"seconds": 7}', 7), (True, '{"sec', 0)])
def test_a_search_that_was_killed_anywhere_goes_on(tmp_path, kept, spent, seconds):
    from fashion_mlops.search.tpot import kept_seconds
    (tmp_path/"population.pkl").write_bytes(b"cut o")
    if kept: (tmp_path/"kept.pkl").write_bytes(b"\x80\x04}\x94.")
    if spent: (tmp_path/"spent.json").write_text(spent)
    assert kept_seconds(tmp_path) == seconds
    assert (tmp_path/"population.pkl").exists() == kept


def test_a_notebook_that_is_cut_off_is_a_matter_of_the_disk(tmp_path):
    from nbformat import NO_CONVERT, read
    from fashion_mlops.workflow.at_work import _not_kept
    cut = tmp_path/"01_draw.ipynb"
    cut.write_text('{"cells": [')
    with pytest.raises(ValueError) as told: read(cut, NO_CONVERT)
    words = _not_kept("01_draw", cut, told.value)
    assert str(tmp_path) in words and "01_draw.ipynb is cut off" in words and "are free" in words and "NotJSON" not in words


@pytest.mark.parametrize("said", ["(sqlite3.OperationalError) disk I/O error [SQL: CREATE TABLE tags]", "(sqlite3.OperationalError) database or disk is full"])
def test_a_store_on_a_full_disk_says_so(home, said):
    from fashion_mlops.workflow.full_disk import is_full_disk
    from fashion_mlops.workflow.store import store_sentence
    words = store_sentence(RuntimeError(said))
    assert is_full_disk(words) and "are free" in words and "SQL" not in words


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [20, 300]) # of a kilobyte
def test_where_no_file_may_grow_a_run_fails_in_words_and_is_resumed(project, blocks):
    "At the first contact with the store, and at its tables, which are all there or none."
    (project.root/"mlflow.db").unlink(missing_ok=True)
    command = project.command("run", "--profile", "smoke", "--dataset", "synthetic")
    words = f"ulimit -f {blocks}; exec {shlex.join(command)}"
    answer = subprocess.run(["bash", "-c", words], cwd=project.root, env=project.env, capture_output=True, text=True, timeout=120)
    said = answer.stdout + answer.stderr
    assert answer.returncode and "Traceback" not in said and "SQL" not in said.replace("MLflow store sqlite", ""), said
    assert "a file could not grow in" in said and said.count("FASHION_MLOPS_HOME") == 1, said
    again = project.run()
    assert again.returncode == 0, again.stdout + again.stderr
