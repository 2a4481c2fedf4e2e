"""Where the project is, and what may be removed from it."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fashion_mlops import core
from fashion_mlops.cli import main
from fashion_mlops.core import WorkflowError, find_root, home, project_root
from fashion_mlops.workflow.pipeline import discover, write_stage_notebook
from fashion_mlops.workflow.stage import Stage

TOKEN = "20260101T080000-ab12-cd34"


@pytest.fixture
def nowhere(tmp_path, monkeypatch) -> Path:
    "A folder that is no clone, as the working folder of a process that has not found its project yet."
    for name in ("FASHION_MLOPS_ROOT", "FASHION_MLOPS_HOME"): monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(core, "_found", [])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mine(folder: Path) -> dict[str, str]:
    "Files of a person, in folders that are called like ours."
    names = ("reports/annual.docx", "reports/2025/01_spring.html", "reports/2025/notebooks/01_spring.ipynb", "data/runs/gps_track_1.json",
             "data/runs/2025/20260101.json", "data/artifacts/pottery.csv", "data/artifacts/vases/01_draw.json", "data/artifacts/vases/01_draw/red.jpg", "data/raw/a.csv")
    for name in names:
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        (folder/name).write_text("mine")
    return {name: "mine" for name in names}


def results(folder: Path):
    "What a run of ours leaves."
    for name in (f"data/artifacts/toy/01_draw/{TOKEN}/numbers.json", "data/artifacts/toy/01_draw/scratch/x/y", f"data/artifacts/toy/01_draw/.{TOKEN}.77/half",
                 f"data/runs/toy/{TOKEN}.json", "reports/toy/01_draw.html", "reports/toy/01_draw/pictures/a.png", "reports/toy/notebooks/01_draw.ipynb"):
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        (folder/name).write_text("{}")
    (folder/f"data/runs/toy/{TOKEN}.json").write_text(json.dumps({"token": TOKEN, "results": []}))
    (folder/"reports/toy/01_draw.html").write_text('<meta name="generator" content="fashion_mlops">')
    (folder/"reports/toy/notebooks/01_draw.ipynb").write_text('{"metadata": {"papermill": {}}}')
    (folder/"data/artifacts/toy/01_draw.json").write_text(json.dumps({"stage": "01_draw", "token": TOKEN, "writes": {}}))


def files(folder: Path) -> dict[str, str]: return {p.relative_to(folder).as_posix(): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("words", [["clean", "--yes"], ["clean", "--yes", "--dataset", "toy"]])
def test_nothing_is_removed_outside_a_clone(nowhere, capsys, words):
    kept = mine(nowhere)
    results(nowhere)
    before = files(nowhere)
    assert main(words) == 2 and "no clone of the project" in capsys.readouterr().err
    for name in ("FASHION_MLOPS_ROOT", "FASHION_MLOPS_HOME"): os.environ[name] = str(nowhere) # monkeypatch takes them away again
    assert main(words) == 2 and "no clone of the project" in capsys.readouterr().err
    assert files(nowhere) == before and kept.items() <= before.items()


def test_only_what_runs_wrote_is_removed(nowhere, capsys):
    (nowhere/"settings.ini").write_text("lib_name = fashion_mlops\n")
    kept = mine(nowhere)
    results(nowhere)
    assert main(["clean"]) == 0 and "would remove" in capsys.readouterr().out
    assert main(["clean", "--yes"]) == 0
    assert "stays, since no run wrote it" in capsys.readouterr().out
    left = files(nowhere)
    left.pop("data/.run.lock")
    assert left == kept | {"settings.ini": "lib_name = fashion_mlops\n"}
    assert not (nowhere/"data/artifacts/toy").exists() and not (nowhere/"reports/toy").exists()


@pytest.mark.parametrize("name", ["/etc", "..", "../../x", ".", "a/b", "", "~", "x\n"])
def test_a_dataset_is_a_name_and_no_path(nowhere, capsys, name):
    (nowhere/"settings.ini").write_text("lib_name = fashion_mlops\n")
    results(nowhere)
    before = files(nowhere)
    if not name: return
    assert main(["clean", "--yes", "--dataset", name]) == 2 and "cannot be a dataset's name" in capsys.readouterr().err
    assert files(nowhere) == before
    with pytest.raises(WorkflowError, match="cannot be a dataset's name"): Stage("01_draw").start({"dataset": name, "__annotations__": {"dataset": str}})


@pytest.mark.parametrize("linked", ["data/artifacts", "data", "reports", "data/runs"])
def test_a_linked_folder_is_emptied_of_ours_and_stays(nowhere, linked):
    (nowhere/"settings.ini").write_text("lib_name = fashion_mlops\n")
    results(nowhere)
    disk = nowhere/"disk"
    shutil.move(nowhere/linked, disk)
    (disk/"my_own").write_text("mine")
    (nowhere/linked).symlink_to(disk)
    assert main(["clean", "--yes"]) == 0
    assert (nowhere/linked).is_symlink() and (disk/"my_own").read_text() == "mine"
    assert not [name for name in files(disk) if "01_draw" in name or "2026" in name]


@pytest.mark.parametrize("link", ["data/artifacts/toy/01_draw", "reports/toy/01_draw", "data/artifacts/other", "reports/other"])
def test_links_out_are_not_followed(nowhere, link):
    (nowhere/"settings.ini").write_text("lib_name = fashion_mlops\n")
    results(nowhere)
    outside = nowhere/"outside"
    results(outside)
    before = files(outside)
    shutil.rmtree(nowhere/link, ignore_errors=True)
    (nowhere/link).symlink_to(outside/link if (outside/link).exists() else outside)
    assert main(["clean", "--yes"]) == 0
    assert files(outside) == before


def test_the_root_is_found_once_and_whatever_the_file_is_written_in(nowhere, monkeypatch):
    (nowhere/"settings.ini").write_bytes("# Jürgen's\r\nlib_name=fashion_mlops\r\n".encode("latin-1"))
    (nowhere/"nbs").mkdir()
    monkeypatch.chdir(nowhere/"nbs")
    assert project_root() == home() == nowhere.resolve()
    monkeypatch.chdir("/")
    assert project_root() == home() == nowhere.resolve()
    assert find_root("/") is None
    monkeypatch.setenv("FASHION_MLOPS_HOME", "results")
    monkeypatch.chdir(nowhere)
    assert home() == nowhere/"results"
    monkeypatch.chdir("/")
    assert home() == nowhere/"results"


def test_a_stage_belongs_to_the_clone_of_its_notebook(project, tmp_path_factory):
    "papermill is started elsewhere, with the notebook's path: the command line of a kernel's parent."
    ask = "from fashion_mlops.workflow.stage import Stage; from fashion_mlops.core import home; Stage('01_draw'); print(home())"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ask!r}])"
    env = {name: value for name, value in project.env.items() if name not in ("FASHION_MLOPS_ROOT", "FASHION_MLOPS_HOME")}
    words = [sys.executable, "-c", start, str(project.nbs/"01_draw.ipynb"), "out/01_draw.ipynb"]
    answer = subprocess.run(words, cwd=tmp_path_factory.mktemp("away"), env=env, capture_output=True, text=True)
    assert answer.stdout.strip() == str(project.root.resolve()), answer.stderr


@pytest.mark.parametrize("name, said", [("reports/toy/01_draw/notes.docx", "mine"), ("reports/toy/01_draw/pictures/notes.docx", "mine"), ("data/runs/toy/20250101T101010-beef.json", '{"sail": 7}'),
                                        ("data/runs/toy/rows/boat1.npz", "mine"), ("reports/toy/02_add.html", "mine"), ("data/artifacts/toy/02_add.json", "{}")])
def test_a_name_like_ours_is_no_proof(nowhere, capsys, name, said):
    (nowhere/"settings.ini").write_text("lib_name = fashion_mlops\n")
    (nowhere/"nbs").mkdir()
    (nowhere/"nbs"/"02_add.ipynb").write_text("{}")
    results(nowhere)
    (nowhere/name).parent.mkdir(parents=True, exist_ok=True)
    (nowhere/name).write_text(said)
    assert main(["clean"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert f"stays, since no run wrote it: {nowhere/name}" in told or f"stays, since no run wrote it: {(nowhere/name).parent}" in told
    assert main(["clean", "--yes"]) == 0 and (nowhere/name).read_text() == said
    assert not (nowhere/"reports/toy/01_draw.html").exists() and not (nowhere/"reports/toy/01_draw/pictures/a.png").exists()


def test_what_runs_as_a_stage_is_cleaned_as_one(nowhere):
    (nowhere/"settings.ini").write_text("lib_name = fashion_mlops\n")
    (nowhere/"nbs").mkdir()
    write_stage_notebook(nowhere/"nbs"/"13-pricing.ipynb", writes=["x.json"])
    assert [stage.name for stage in discover()] == ["13-pricing"]
    folder = nowhere/"data"/"artifacts"/"toy"
    (folder/"13-pricing"/TOKEN).mkdir(parents=True)
    (folder/"13-pricing.json").write_text(json.dumps({"stage": "13-pricing", "token": TOKEN, "writes": {}}))
    assert main(["clean", "--yes"]) == 0 and not folder.exists()
