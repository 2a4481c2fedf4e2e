"""What is fingerprinted is what is executed, and what is gone answers nothing: through the real command line and real kernels."""
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from fashion_mlops.workflow.contract import read_stage
from fashion_mlops.core import project_root
from fashion_mlops.workflow.manifests import declared_writes, find_artifact, manifests

CELLS = ["text = ('%d'\n        % 3)", "assert (1\n        != 2)", "%%html\n<b>hello</b>", "%%bash\nls | head -1", "files = !ls", "len?", "for i in range(2):\n    !echo {i}",
         "%%time\nfrom fashion_mlops.core import home", "s = '''\n% latex\n! shell\n'''", "%%capture out\nprint(1)"]


def add_cell(project, name, source, place=-1):
    path = project.nbs/f"{name}.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"].insert(place, {"cell_type": "code", "id": f"c{abs(hash(source)) % 10**8}", "metadata": {}, "source": source, "outputs": [], "execution_count": None})
    path.write_text(json.dumps(notebook))


def rename(project, old, new, **kwargs):
    (project.nbs/f"{old}.ipynb").unlink()
    project.stage(new, **kwargs)


def manifest(home, stage, finished, **writes):
    folder = home/"data"/"artifacts"/"toy"
    for name, text in writes.items():
        (folder/stage).mkdir(parents=True, exist_ok=True)
        (folder/stage/name).write_text(text)
    (folder/f"{stage}.json").write_text(json.dumps({"stage": stage, "finished": finished, "writes": {n: {"path": f"{stage}/{n}", "digest": ""} for n in writes}}))


class TestLookUps:
    "An artifact belongs to the stage that declares it now."
    @pytest.fixture(autouse=True)
    def root(self, project, monkeypatch):
        monkeypatch.setenv("FASHION_MLOPS_ROOT", str(project.root))
        monkeypatch.setenv("FASHION_MLOPS_HOME", str(project.root))
        self.project = project

    def found(self, name): return (there := find_artifact("toy", name)) and there[0].read_text()

    def test_a_stage_that_is_gone_answers_nothing(self):
        manifest(self.project.root, "00_before", "2026-01-03", numbers="old")
        manifest(self.project.root, "01_draw", "2026-01-01", **{"numbers.json": "new"})
        manifest(self.project.root, "03_after", "2026-01-09", **{"numbers.json": "old"})
        assert self.found("numbers.json") == "new" and self.found("numbers") is None
        assert list(manifests("toy")) == ["01_draw"]

    @pytest.mark.parametrize("name, writes", [("00a_first", ["numbers.json"]), ("01a_draw", ["numbers.json", "more.json"])])
    def test_an_artifact_that_moved_is_not_found_under_its_old_writer(self, name, writes):
        manifest(self.project.root, "01_draw", "2026-01-01", **{"numbers.json": "old", "more.json": "old"})
        self.project.stage("01_draw", [], writes=["other.json"])
        self.project.stage(name, [], writes=writes)
        assert self.found("numbers.json") is None and self.found("more.json") is None
        manifest(self.project.root, name, "2026-01-02", **{w: "new" for w in writes})
        assert self.found("numbers.json") == "new"

    def test_a_notebook_that_became_a_library_writes_nothing(self):
        manifest(self.project.root, "01_draw", "2026-01-01", **{"numbers.json": "old"})
        (self.project.nbs/"01_draw.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": "x = 1", "metadata": {}}]}))
        assert "01_draw" not in declared_writes() and self.found("numbers.json") is None

    def test_a_notebook_that_is_being_saved_keeps_what_it_wrote(self):
        manifest(self.project.root, "01_draw", "2026-01-01", **{"numbers.json": "new"})
        (self.project.nbs/"01_draw.ipynb").write_text('{"cells": [')
        assert self.found("numbers.json") == "new"

    def test_status_names_what_was_left_behind(self):
        (self.project.root/"data"/"artifacts"/"synthetic").mkdir(parents=True)
        (self.project.root/"data"/"artifacts"/"synthetic"/"00_before.json").write_text('{"writes": {}}')
        assert "no longer there, and not looked at: 00_before" in self.project.call("status", "--dataset", "synthetic").stdout


@pytest.mark.parametrize("cell", CELLS)
def test_what_ipython_runs_is_no_mistake(project, cell):
    add_cell(project, "02_add", cell)
    assert read_stage(project.nbs/"02_add.ipynb").problem == ""


def test_a_cell_that_is_no_python_blocks_its_own_stage_only(project):
    add_cell(project, "02_add", "def f(:")
    (project.nbs/"Untitled.ipynb").write_text("")
    states = project.status()
    assert states["01_draw"]["state"] == "never" and states["02_add"]["state"] == "broken"
    refused = project.run("add", "draw")
    assert refused.returncode == 2 and "02_add.ipynb, cell 9: invalid syntax" in refused.stderr
    planned = project.run("draw", "--dry-run")
    assert planned.returncode == 0 and "01_draw         would run" in planned.stdout
    assert not (project.root/"data"/"artifacts").exists()


@pytest.mark.parametrize("text, words, said", [
    ("02: {n: 5}\n01: {n: 4}", [], "would run"), ("9: {n: 5}", [], "There is no stage '9'"), ("draw: {n: 5}\ndraw: {seed: 3}", [], "line 2: 'draw' stands there a second time"),
    ("all: {dataset: other}", [], "use --dataset NAME"), ("draw: {n: 010}", [], "010 is 8 to some"), ("", ["--dataset", ""], "'' cannot be a dataset's name"),
    ("", ["--from", ""], "There is no stage ''"), ("draw: {n: 4}\n01: {n: 4}", [], "n of 01_draw is set twice"), ("draw: [5]", [], "found a list")])
def test_one_door_for_parameters(project, text, words, said):
    (project.root/"mine.yaml").write_text(text)
    answer = project.call("run", "--profile", "smoke", "--dry-run", "-f", "mine.yaml", *(words or ["--dataset", "synthetic"]))
    assert said in answer.stdout + answer.stderr and "Traceback" not in answer.stderr
    assert answer.returncode == (0 if said == "would run" else 2)


@pytest.mark.slow
def test_a_renamed_writer_and_all_ipython_cells(project):
    for cell in CELLS: add_cell(project, "02_add", cell)
    assert project.run().returncode == 0
    rename(project, "01_draw", "01a_draw", code=["from fashion_mlops.core import write_json", "write_json(stage.write('numbers.json'), list(range(n)))"], writes=["numbers.json"],
           parameters='dataset: str = "toy"  # dataset name\nn: "int[1, 100]" = 5  # how many')
    assert project.status()["02_add"]["state"] == "stale"
    again = project.run()
    assert again.returncode == 0 and "02_add          runs: numbers.json changed" in again.stdout, again.stdout
    assert json.loads(project.artifact("sum.json").read_text()) == 10
    today, _, earlier = (project.root/"reports"/"index.html").read_text().partition("Pages of earlier runs: ")
    assert "01_draw" not in today.replace("01a_draw", "") and "synthetic/01_draw.html" in earlier
    record = json.loads(sorted((project.root/"data"/"runs"/"synthetic").glob("*.json"))[-1].read_text())
    assert set(record["stages"]) == {"01a_draw", "02_add"}


@pytest.mark.slow
def test_an_edit_while_an_earlier_stage_runs_waits_for_the_next_run(project):
    flag = project.root/"go"
    project.edit("01_draw", "write_json(stage.write('numbers.json')", f"import pathlib, time; [time.sleep(.1) for _ in range(300) if not pathlib.Path('{project.root}/go').exists()]; write_json(stage.write('numbers.json')")
    running = project.start()
    started = time.monotonic()
    while not list((project.root/"data"/"artifacts"/"synthetic"/"01_draw").glob(".*")): assert time.monotonic() - started < 90; time.sleep(.1)
    project.edit("02_add", "sum(read_json", "1000 + sum(read_json")
    flag.touch()
    running.communicate(timeout=120)
    assert json.loads(project.artifact("sum.json").read_text()) == 3       # as the run began
    assert project.status()["02_add"]["state"] == "stale"                   # and what it did not see is seen
    project.edit("02_add", "1000 + sum(read_json", "sum(read_json")
    assert project.status()["02_add"]["state"] == "fresh"
    executed = json.loads((project.root/"reports"/"synthetic"/"notebooks"/"02_add.ipynb").read_text())
    assert "1000" not in json.dumps(executed["cells"])


@pytest.mark.slow
def test_questions_and_runs_look_at_notebooks_and_modules_and_questions_write_nothing(clone):
    from fashion_mlops.workflow.export import library_changes, refresh_library
    before = clone.state()
    assert library_changes(clone.root) == {}
    clone.edit("evaluation/metrics", "def is_better(", "CHANGED = 1\\n\",\n    \"def is_better(")
    assert library_changes(clone.root) == {"evaluation.metrics": "changed"}
    for words in (("status", "--dataset", "synthetic"), ("run", "--profile", "smoke", "--dry-run")):
        answer = clone.call(*words)
        assert answer.returncode == 0 and clone.state() == before, answer.stderr
    assert refresh_library(clone.root) == ["evaluation/metrics.py"] and "CHANGED = 1" in clone.module("evaluation/metrics")
    (clone.root/"fashion_mlops"/"evaluation/metrics.py").write_bytes(before["evaluation/metrics.py"])   # git checkout -- fashion_mlops
    assert library_changes(clone.root) == {"evaluation.metrics": "changed"}
    assert refresh_library(clone.root) == ["evaluation/metrics.py"] and "CHANGED = 1" in clone.module("evaluation/metrics")


@pytest.mark.slow
def test_an_error_in_a_library_notebook_never_reaches_the_library(clone):
    from fashion_mlops.workflow.export import refresh_library
    from fashion_mlops.workflow.notebook_modules import ExportError
    before = clone.state()
    for old, new, said in (("def home()", "def home(", "00_core.ipynb, cell "), ("def now()", "BROKEN = nowhere\\n\",\n    \"def now()", "NameError: name 'nowhere' is not defined"),
                           ("def now()", "def then()", "has no 'now'"), ("import difflib,", "import hashlibb, difflib,", "00_core.ipynb, cell 3: no module named 'hashlibb'")):
        clone.edit("00_core", old, new)
        with pytest.raises(ExportError, match=said.replace("(", "[(]")): refresh_library(clone.root)
        assert clone.state() == before
        if "hashlibb" not in new: clone.edit("00_core", new, old)
    answer = clone.call("status", "--dataset", "synthetic")                 # which tells of the rest
    assert answer.returncode == 0 and said in answer.stdout and "06_tuning" in answer.stdout, answer.stderr
    for answer in (clone.dry(), clone.call(module="workflow.sync")):
        assert answer.returncode in (1, 2) and said in answer.stdout + answer.stderr and "Traceback" not in answer.stderr, answer.stderr
    clone.edit("00_core", new, old)
    assert clone.state() == before and clone.dry().returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("module, spoilt", [("core", b"<<<<<<< HEAD\nimport hashlibb\n"), ("workflow/pipeline", b"1/0\n"), ("workflow/fingerprint", b"raise KeyError('x')\n")])
def test_a_library_that_does_not_import_is_mended_by_its_notebooks(clone, module, spoilt):
    path = clone.root/"fashion_mlops"/f"{module}.py"
    good = path.read_bytes()
    path.write_bytes(spoilt)
    answer = clone.dry()
    assert answer.returncode == 0 and "would run" in answer.stdout, answer.stderr[-2000:]
    assert path.read_bytes() != good                                        # a question writes nothing
    answer = clone.call(module="workflow.sync")
    assert answer.returncode == 0 and path.read_bytes() == good, answer.stderr[-2000:]


@pytest.mark.slow
def test_stray_and_doubled_notebooks_are_said(clone):
    copy = clone.root/"nbs"/"evaluation"/"metrics_try.ipynb"
    shutil.copy(clone.root/"nbs"/"evaluation/metrics.ipynb", copy)
    before = clone.state()
    for answer in (clone.dry(), clone.call("--check", module="workflow.sync")): assert "both say `#| default_exp evaluation.metrics`" in answer.stdout + answer.stderr and answer.returncode
    copy.unlink()
    (clone.root/"nbs"/"Untitled.ipynb").write_text("")
    metrics = clone.root/"nbs"/"evaluation/metrics.ipynb"
    text = metrics.read_text()
    metrics.write_text("\ufeff" + text)                                       # an editor's mark
    assert clone.dry().returncode == 0 and clone.state() == before
    assert "Untitled.ipynb is not a notebook: it is empty" in clone.call("--check", module="workflow.sync").stdout
    metrics.write_text(text.replace('"cells"', '<<<<<<< HEAD\n"cells"', 1))
    for answer in (clone.dry(), clone.call("status"), clone.call("--check", module="workflow.sync")):
        assert "evaluation/metrics.ipynb is not a notebook: it holds the marks of an unfinished merge" in answer.stdout + answer.stderr and "Traceback" not in answer.stderr
    assert clone.state() == before


@pytest.mark.slow
def test_nbdev_is_needed_only_when_something_is_written(clone):
    (clone.root/"none"/"nbdev").mkdir(parents=True)
    (clone.root/"none"/"nbdev"/"__init__.py").write_text("raise ImportError('not here')")
    path = os.pathsep.join([str(clone.root), str(clone.root/"none")])
    assert clone.call("run", "--profile", "smoke", "--dry-run", PYTHONPATH=path).returncode == 0
    clone.edit("evaluation/metrics", "def is_better(", "CHANGED = 1\\n\",\n    \"def is_better(")
    answer = clone.call("run", "--profile", "smoke", "--dry-run", PYTHONPATH=path)
    assert answer.returncode == 2 and "writing the library needs nbdev" in answer.stderr and "make setup" in answer.stderr


TOLD = "from fashion_mlops.core import write_json\nimport fashion_mlops\nwrite_json(stage.write('told.json'), [fashion_mlops.__file__, getattr(__import__('fashion_mlops.core').core, 'MINE', 0)])"

@pytest.mark.slow
@pytest.mark.parametrize("folder", ["nbs"])
def test_the_library_that_runs_is_that_of_the_root(clone, project, folder, empty_store):
    "As in a git worktree with the environment of the main clone."
    project.nbs = clone.root/"nbs"
    project.stage("99_told", TOLD.splitlines(), writes=["told.json"])
    (clone.root/"mlflow.db").write_bytes(empty_store.read_bytes())
    (clone.root/"nbs"/"00_core.ipynb").write_text((clone.root/"nbs"/"00_core.ipynb").read_text().replace("def now()", "MINE = 7\\n\",\n    \"def now()", 1))
    env = clone.env | {"PYTHONPATH": str(project_root())}                      # the installed library is another checkout's
    words = [sys.executable, "-P", "-m", "fashion_mlops.cli", "run", "--profile", "smoke", "told"]
    answer = subprocess.run(words, cwd=clone.root/folder, env=env, capture_output=True, text=True, timeout=200)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    file, mine = json.loads(next((clone.root/"data"/"artifacts"/"synthetic"/"99_told").glob("[0-9]*/told.json")).read_text())
    assert (file, mine) == (str(clone.root/"fashion_mlops"/"__init__.py"), 7)
    again = subprocess.run(words, cwd=clone.root/folder, env=env, capture_output=True, text=True, timeout=200)
    assert "99_told         up to date" in again.stdout, again.stdout


@pytest.mark.slow
def test_a_module_that_is_written_while_a_stage_runs_makes_it_stale(clone, project, empty_store):
    project.nbs = clone.root/"nbs"
    touch = "import pathlib, fashion_mlops; p = pathlib.Path(fashion_mlops.__file__).with_name('core.py'); s = p.read_bytes(); p.write_bytes(s + b'#'); p.write_bytes(s)"
    project.stage("99_told", ["from fashion_mlops.core import write_json", touch, "write_json(stage.write('told.json'), 1)"], writes=["told.json"])
    (clone.root/"mlflow.db").write_bytes(empty_store.read_bytes())
    answer = clone.call("run", "--profile", "smoke", "told")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "module core changed" in clone.call("run", "--profile", "smoke", "told", "--dry-run").stdout


@pytest.mark.slow
def test_half_done_work_is_gone_on_with_by_the_same_code_only(project):
    "The whole notebook counts: a later cell may be what fills the folder."
    kept = "folder = stage.scratch('study', n); (folder/'trials').open('a').write(f'{loss()} ')"
    filled = "if not (folder/'by').exists(): (folder/'by').write_text('wrong')"
    told = "from fashion_mlops.core import write_json; write_json(stage.write('told.json'), (folder/'trials').read_text().split())"
    project.stage("02_add", ["def loss(): return 'good'", kept, filled, "1 / 0", told], writes=["told.json"])
    for _ in range(2): assert project.run("add").returncode == 1
    project.edit("02_add", "write_text('wrong')", "write_text('right')")
    assert project.run("add").returncode == 1
    folders = (project.root/"data"/"artifacts"/"synthetic"/"02_add"/"scratch").iterdir()
    assert sorted(((f/"trials").read_text(), (f/"by").read_text()) for f in folders) == [("good ", "right"), ("good good ", "wrong")]
