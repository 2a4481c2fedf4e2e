"""Notebooks and modules may lie in rooms, folders of any depth: a change there is seen, made, packed, linked and checked as anywhere else."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from fashion_mlops.workflow import cleaning, documentation, name_check, report, static_check, sync
from fashion_mlops.workflow.contract import ContractError, read_stage
from fashion_mlops.core import project_root
from fashion_mlops.workflow.dependencies import code_mark, module_digests
from fashion_mlops.workflow.export import library_changes, refresh_library
from fashion_mlops.workflow.notebook_modules import ExportError, library_notebooks
from fashion_mlops.workflow.fingerprint import fingerprint, reasons_to_run, stage_state
from fashion_mlops.workflow.pipeline import discover, write_stage_notebook
from fashion_mlops.workflow.stage import Stage

HOUSE = {"core": ("core", "X = 1"), "attic/chair": ("attic.chair", "def sit():\n    from fashion_mlops import core\n    return core.X"),
         "attic/wood/tree": ("attic.wood.tree", "from fashion_mlops.attic.wood.twigs.bud import SIZE\nHEIGHT = SIZE + 1"),
         "attic/wood/twigs/bud": ("attic.wood.twigs.bud", "SIZE = 1")}
STAGE = Stage.__module__.removeprefix("fashion_mlops.")
HOUSE[STAGE.replace(".", "/")] = (STAGE, "class Stage: pass") # toy stages import it


def write(path: Path, *cells):
    "A notebook of Markdown (`# …`, `[…`) and code cells."
    path.parent.mkdir(parents=True, exist_ok=True)
    def cell(number, source):
        prose = source.startswith(("# ", "[", "!["))
        return {"id": f"c{number}", "metadata": {}, "source": source, **({"cell_type": "markdown"} if prose else {"cell_type": "code", "outputs": [], "execution_count": None})}
    notebook = {"cells": [cell(*pair) for pair in enumerate(cells)], "metadata": {"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook))


class House:
    "A small project with rooms three levels deep."
    def __init__(self, root: Path):
        self.root, self.nbs, self.package = root, root/"nbs", root/"fashion_mlops"
        (root/"settings.ini").write_text("lib_name = fashion_mlops\nversion = 1.0\n")
        for name in HOUSE: self.chapter(name, *HOUSE[name])
        write(self.nbs/"index.ipynb", "# House\n[tree](attic/wood/tree.ipynb)")
        write(self.nbs/"attic/index.ipynb", "# Attic\n> What is kept.")
        write(self.nbs/"attic/wood/index.ipynb", "# Wood\n> What grows.")

    def chapter(self, name, module, *sources):
        write(self.nbs/f"{name}.ipynb", f"# {name}\n> About it.", f"#| default_exp {module}", *(f"#| export\n{source}" for source in sources))

    def modules(self): return sorted(path.relative_to(self.package).as_posix() for path in self.package.rglob("*.py"))
    def stage(self, name, *code): return write_stage_notebook(self.nbs/f"{name}.ipynb", code, writes=[f"{Path(name).name}.json"])


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_MLOPS_ROOT", str(tmp_path))
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    made = House(tmp_path)
    refresh_library(tmp_path)
    return made


@pytest.mark.parametrize("line", ["from fashion_mlops.attic.wood.tree import HEIGHT", "import fashion_mlops.attic.wood.tree as t", "from fashion_mlops.attic.wood import tree", "def f():\n    from fashion_mlops.attic.wood.twigs.bud import SIZE",
                                  "from fashion_mlops.attic.wood.tree import *", "%%time\nimport fashion_mlops.attic.wood.twigs.bud", "import importlib; importlib.import_module('fashion_mlops.attic.wood.tree')", "__import__('fashion_mlops.attic.wood.tree')"])
def test_who_hangs_on_the_deepest_module_is_stale_and_nobody_else(house, line):
    stages = {name: read_stage(house.stage(name, code)) for name, code in (("01_far", line), ("02_near", "from fashion_mlops.attic.chair import sit"), ("03_none", "import json"))}
    def prints(): return {name: fingerprint(stage, {}, {}) for name, stage in stages.items()}
    before = prints()
    house.chapter("attic/wood/twigs/bud", "attic.wood.twigs.bud", "SIZE = 2")
    assert refresh_library(house.root) == ["attic/wood/twigs/bud.py"]
    after = prints()
    assert {name: reasons_to_run(before[name], after[name]) for name in stages} == {"01_far": ["module attic.wood.twigs.bud changed"], "02_near": [], "03_none": []}


@pytest.mark.parametrize("inside", ["from .wood.twigs.bud import SIZE", "from . import wood", "from .. import core", "def f():\n    from .wood.tree import HEIGHT"])
def test_relative_imports_lead_to_modules(house, inside):
    (house.package/"attic"/"chair.py").write_text(inside)
    found = module_digests(["from fashion_mlops.attic import chair"])
    assert {"from .wood.twigs.bud import SIZE": "attic.wood.twigs.bud", "from . import wood": "attic.wood", "from .. import core": "core"}.get(inside, "attic.wood.twigs.bud") in found


@pytest.mark.parametrize("line, said", [
    ("from fashion_mlops.attic.bud import SIZE", "imports fashion_mlops.attic.bud, which does not exist. There is fashion_mlops.attic.wood.twigs.bud."),
    ("from fashion_mlops.attic.wood import bush", "imports 'bush' from fashion_mlops.attic.wood"), ("import fashion_mlops.attic.chiar", "Did you mean attic.chair?")])
def test_a_module_that_is_not_there_is_said_and_blocks_that_stage(house, line, said):
    stage = read_stage(house.stage("01_far", line))
    with pytest.raises(ContractError, match=re.escape(said)) as caught: fingerprint(stage, {}, {})
    assert str(caught.value).startswith("01_far.ipynb imports")
    state = stage_state(stage, {}, "toy")
    assert state.state == "broken" and said in state.reasons[0]


def test_the_importer_may_be_a_module(house):
    (house.package/"attic"/"wood"/"tree.py").write_text("def f():\n    from .twigs.leaf import G")
    with pytest.raises(ContractError, match="fashion_mlops.attic.wood.tree imports fashion_mlops.attic.wood.twigs.leaf, which does not exist"): module_digests(["import fashion_mlops.attic.wood.tree"])
    (house.package/"attic"/"__init__.py").unlink()
    with pytest.raises(ContractError, match="a folder without __init__.py: `make export` writes it"): module_digests(["import fashion_mlops.attic.wood.tree"])


def test_what_a_stage_imports_is_found_through_rooms(house):
    "The runner imports it once for all stages, and must know whether torch is among it."
    from fashion_mlops.workflow.forked_kernels import imports_of
    (house.package/"attic"/"wood"/"twigs"/"bud.py").write_text("from ...chair import SIZE\nimport pandas")
    (house.package/"attic"/"wood"/"tree.py").write_text("from .twigs import bud\n\ndef grow():\n    import torch.nn")
    (house.package/"attic"/"chair.py").write_text("from .. import core\nfrom numpy import array\nSIZE = 1")
    top, anywhere = imports_of(read_stage(house.stage("01_far", "from fashion_mlops.attic.wood import tree")))
    assert (top, anywhere) == ({"pandas", "numpy"}, {"pandas", "numpy", "torch.nn"})


def test_a_checkpoint_knows_its_code_in_a_room(house):
    mark = code_mark("attic.wood.tree")
    code_mark.cache_clear()
    (house.package/"attic"/"wood"/"twigs"/"bud.py").write_text("SIZE = 3")
    assert code_mark("attic.wood.tree") != mark
    code_mark.cache_clear()


def test_rooms_are_made_moved_and_left(house):
    def attic(): return [name for name in house.modules() if name.startswith(("attic", "cellar"))]
    assert attic() == ["attic/__init__.py", "attic/chair.py", "attic/wood/__init__.py", "attic/wood/tree.py", "attic/wood/twigs/__init__.py", "attic/wood/twigs/bud.py"]
    assert library_changes(house.root) == {} and refresh_library(house.root, everything=True) == []
    (house.package/"attic"/"wood"/"__pycache__").mkdir()
    (house.package/"attic"/"wood"/"__pycache__"/"tree.pyc").write_text("")
    (house.nbs/"cellar").mkdir()
    shutil.move(house.nbs/"attic"/"chair.ipynb", house.nbs/"cellar"/"chair.ipynb")           # moved, and its module not yet
    assert library_changes(house.root) == {"attic.chair": "changed"}
    house.chapter("cellar/chair", "cellar.chair", "X = 1")
    assert library_changes(house.root) == {"cellar.__init__": "new", "cellar.chair": "new", "attic.chair": "without notebook"}
    refresh_library(house.root)
    shutil.rmtree(house.nbs/"attic")
    refresh_library(house.root)
    assert attic() == ["cellar/__init__.py", "cellar/chair.py"] and not (house.package/"attic").exists()


def test_what_a_person_put_into_a_room_stays(house):
    (house.package/"attic"/"mine.py").write_text("X = 1")
    shutil.rmtree(house.nbs/"attic")
    refresh_library(house.root)
    assert [name for name in house.modules() if "attic" in name] == ["attic/__init__.py", "attic/mine.py"]
    assert any("fashion_mlops/attic/mine.py is not made by a notebook" in line for line in sync.problems())


@pytest.mark.parametrize("after", range(5))
def test_an_export_that_is_killed_is_made_whole_by_the_next(house, monkeypatch, after):
    from fashion_mlops.workflow import export
    shutil.move(house.nbs/"attic", house.nbs/"loft")
    for name, (module, source) in HOUSE.items():
        if "attic" in name: house.chapter(name.replace("attic", "loft"), module.replace("attic", "loft"), source.replace("attic", "loft"))
    replace, done = export._replace, []
    def killed(source, target):
        if len(done) == after: (target.parent/f".{target.name}.half").touch() if target.parent.is_dir() else None; raise KeyboardInterrupt
        done.append(target)
        return replace(source, target)
    monkeypatch.setattr(export, "_replace", killed)
    with pytest.raises(KeyboardInterrupt): refresh_library(house.root)
    monkeypatch.undo()
    for half in house.package.rglob(".*.half"): os.utime(half, (1, 1))
    assert library_changes(house.root)
    refresh_library(house.root)
    assert library_changes(house.root) == {} and not (house.package/"attic").exists() and not list(house.package.rglob(".*.half"))
    assert subprocess.run([sys.executable, "-P", "-c", "import fashion_mlops.loft.wood.tree as t; assert t.HEIGHT == 2"], env=os.environ | {"PYTHONPATH": str(house.root)}).returncode == 0


def test_a_room_may_not_hide_a_module(house):
    house.chapter("attic", "attic", "X = 1")
    with pytest.raises(ExportError, match="nbs/attic.ipynb says `#| default_exp attic`, which is the name of a room".replace("|", "[|]")): library_changes(house.root)


def test_an_error_is_said_with_the_room(house):
    house.chapter("attic/wood/tree", "attic.wood.tree", "from fashion_mlops.attic.wood.twigs.bud import COLOUR")
    with pytest.raises(ExportError, match="^attic/wood/tree.ipynb, cell 3: fashion_mlops.attic.wood.twigs.bud has no 'COLOUR'"): refresh_library(house.root)
    house.chapter("attic/wood/tree", "attic.wood.tree", "X = 1", "Y = 1/0")
    with pytest.raises(ExportError, match="^attic/wood/tree.ipynb, cell 4: ZeroDivisionError"): refresh_library(house.root)


def test_the_check_tells_of_every_room(house):
    (house.root/"README.md").write_text(sync.readme_text(house.nbs/"index.ipynb"))
    assert sync.problems() == []
    assert "[tree](nbs/attic/wood/tree.ipynb)" in (house.root/"README.md").read_text()
    write(house.nbs/"attic/wood/index.ipynb", "# Wood", "[chair](../chair.ipynb), [bud](twigs/bud.ipynb#size), [bush](bush.ipynb)")
    house.stage("attic/13_pricing")
    for name in ("attic/index", "attic/wood/twigs/bud"):
        notebook = json.loads((house.nbs/f"{name}.ipynb").read_text())
        notebook["cells"].append({"cell_type": "code", "id": "z", "metadata": {}, "source": "1", "outputs": [], "execution_count": 3})
        (house.nbs/f"{name}.ipynb").write_text(json.dumps(notebook))
    (house.package/"attic"/"chair.py").write_text("X = 2")
    assert sync.problems() == ["fashion_mlops/attic/chair.py is changed: run make export", "fashion_mlops/attic/chair.py is not made by a notebook: code lives in nbs/",
                               "nbs/attic/index.ipynb: cell 2 has outputs; run: make clean-notebooks", "nbs/attic/wood/twigs/bud.ipynb: cell 4 has outputs; run: make clean-notebooks",
                               "nbs/attic/13_pricing.ipynb: is a stage, and is never run here: a stage lies in nbs/ itself. Run: git mv nbs/attic/13_pricing.ipynb nbs/",
                               "nbs/attic/wood/index.ipynb: links to bush.ipynb, which is not there"]
    assert [stage.name for stage in discover(house.nbs)] == []


def test_calls_and_names_are_checked_in_rooms(house, capsys):
    write(house.nbs/"attic/wood/wrong.ipynb", "# Wrong", "from IPython.display import Markdown\nnames = ['a']\ndef f(a): pass\ndef g(): f(1, 2)", "display(Markdown(f'{names[0]}'))")
    assert static_check.call_errors([path for path in library_notebooks(house.root) if path.stem == "wrong"])[0].startswith("attic/wood/wrong.ipynb, code cell 1: ")
    assert name_check.main() == 1 and "attic/wood/wrong.ipynb c2: names[0] goes into a page" in capsys.readouterr().err


def test_links_lead_from_reports_and_pages_into_rooms_and_back(house):
    page = report._markdown("[a](attic/wood/tree.ipynb#size) [b](04_features.ipynb) [c](https://a.org/x.ipynb)")
    assert re.findall('href="([^"]*)"', page) == ["../../nbs/attic/wood/tree.ipynb#size", "../../nbs/04_features.ipynb", "https://a.org/x.ipynb"]
    write(house.nbs/"attic/wood/tree.ipynb", "# Tree\n> Grows.", "[bud](twigs/bud.ipynb), [chair](../chair.ipynb), [core](../../core.ipynb) ![p](../../_pictures/p.png)")
    (house.nbs/"_pictures").mkdir()
    (house.nbs/"_pictures"/"p.png").write_bytes(b"")
    front = documentation.build(house.root/"_site", run=False)
    assert 'href="attic/wood/tree.html"' in front.read_text()
    for name in library_notebooks(house.root):
        page = (front.parent/name.relative_to(house.nbs)).with_suffix(".html")
        for link in re.findall('(?:href|src)="([^"#:]+)["#]', page.read_text()): assert (page.parent/link).is_file(), f"{page}: {link}"


def test_rooms_leave_nothing_for_clean_to_call_a_stage(house):
    house.stage("01_far")
    assert cleaning.known_stages("toy") == {"01_far"}


def test_every_notebook_is_tested_once():
    "The two calls of `nbdev_test` in the Makefile share the notebooks between them."
    from fastcore.xtras import globtastic
    target = (project_root()/"Makefile").read_text().partition("\nnbdev-test:")[2].partition("\n\n")[0]
    calls = [dict(re.findall(r"--(skip_file_re|skip_folder_re|file_re) ('[^']*'|\S+)", line)) for line in target.splitlines() if "nbdev_test" in line]
    names = ["index", "00_core", "01_data", "10_monitoring", "11_flow", "12_cli", "search/index", "search/study", "a/b/c", "_draft", "_pictures/x", "search/.ipynb_checkpoints/study"]
    with tempfile.TemporaryDirectory() as folder:
        for name in names: write(Path(folder)/f"{name}.ipynb", "# A")
        found = [{Path(path).relative_to(folder).with_suffix("").as_posix() for path in
                  globtastic(folder, file_glob="*.ipynb", **{"skip_folder_re": "^[_.]", "skip_file_re": "^[_.]"} | {key: value.strip("'") for key, value in call.items()})} for call in calls]
    assert found == [{"index", "00_core", "12_cli", "search/index", "search/study", "a/b/c"}, {"01_data", "10_monitoring", "11_flow"}]
    assert re.search(r"^recursive = True$", (project_root()/"settings.ini").read_text(), re.M)


def test_a_registered_model_carries_every_room(house, monkeypatch):
    import mlflow.pyfunc # at once: before its first use it is a stand-in
    from mlflow.utils.model_utils import _validate_and_copy_code_paths
    from fashion_mlops.service import registered_model
    from fashion_mlops.workflow import tracking
    given = {}
    class Stop(Exception): pass
    def log_model(**kwargs): given.update(kwargs); raise Stop
    monkeypatch.setattr(mlflow.pyfunc, "log_model", log_model)
    monkeypatch.setattr(mlflow, "start_run", lambda **kwargs: nullcontext())
    monkeypatch.setattr(tracking, "translated", nullcontext)
    for name in ("model_signature", "plain_example"): monkeypatch.setattr(registered_model, name, lambda *args: None)
    with pytest.raises(Stop): registered_model.log_model(house.root, SimpleNamespace(kind="net"), "run", None, house.root)
    (house.root/"model").mkdir()
    _validate_and_copy_code_paths(given["code_paths"], house.root/"model")
    assert (house.root/"model"/"code"/"fashion_mlops"/"attic"/"wood"/"twigs"/"bud.py").is_file()


@pytest.mark.slow
def test_a_wheel_holds_every_room(house):
    for name in ("setup.py", "settings.ini", "LICENSE"): shutil.copy(Path(__file__).parents[2]/name, house.root/name)
    answer = subprocess.run([sys.executable, "setup.py", "-q", "bdist_wheel"], cwd=house.root, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    with zipfile.ZipFile(next((house.root/"dist").glob("*.whl"))) as wheel:
        assert sorted(name.removeprefix("fashion_mlops/") for name in wheel.namelist() if name.endswith(".py")) == house.modules()


NEAR, FAR = "from fashion_mlops.core import write_json\nwrite_json(stage.write('99_near.json'), 1)", "def size():\n    from fashion_mlops.attic.wood import tree\n    return tree.HEIGHT\n\nfrom fashion_mlops.core import write_json\nwrite_json(stage.write('98_far.json'), size())"

@pytest.mark.slow
def test_a_clone_with_rooms_runs_sees_edits_and_obeys_papermill(clone, empty_store):
    rooms = House.__new__(House)
    rooms.root, rooms.nbs, rooms.package = clone.root, clone.root/"nbs", clone.root/"fashion_mlops"
    for name in HOUSE:
        if "attic" in name: rooms.chapter(name, HOUSE[name][0], HOUSE[name][1].replace("core.X", "1"))
    rooms.stage("98_far", FAR), rooms.stage("99_near", NEAR)
    (clone.root/"mlflow.db").write_bytes(empty_store.read_bytes())
    answer = clone.call("run", "--profile", "smoke", "far", "near")
    assert answer.returncode == 0 and "exported attic/wood/twigs/bud.py" in answer.stdout, answer.stdout + answer.stderr
    def told(): return {stage["name"]: (stage["state"], stage["reasons"]) for stage in json.loads(clone.call("status", "--dataset", "synthetic", "--json").stdout)["stages"] if stage["name"] in ("98_far", "99_near")}
    assert told() == {"98_far": ("fresh", []), "99_near": ("fresh", [])}
    rooms.chapter("attic/wood/twigs/bud", "attic.wood.twigs.bud", "SIZE = 41")
    assert told() == {"98_far": ("stale", ["module attic.wood.twigs.bud changed"]), "99_near": ("fresh", [])}
    answer = clone.call("run", "--profile", "smoke", "far", "near")
    assert "exported attic/wood/twigs/bud.py" in answer.stdout and "99_near         up to date" in answer.stdout, answer.stdout + answer.stderr
    assert json.loads(max((clone.root/"data"/"artifacts"/"synthetic"/"98_far").glob("[0-9]*/98_far.json"), key=os.path.getmtime).read_text()) == 42
    words = [sys.executable, "-m", "papermill", "nbs/98_far.ipynb", "out.ipynb", "-p", "seed", "7"]
    plain = subprocess.run(words, cwd=clone.root, env=clone.env, capture_output=True, text=True, timeout=450)
    assert plain.returncode == 0, plain.stderr[-2000:]
    assert told()["98_far"][0] == "stale"


@pytest.mark.slow
def test_the_command_that_mends_the_library_may_lie_in_a_room(clone):
    source = clone.root/"nbs"/"workflow/sync.ipynb"
    (clone.root/"nbs"/"paper").mkdir()
    (clone.root/"nbs"/"paper"/"sync.ipynb").write_text(source.read_text().replace("default_exp workflow.sync", "default_exp paper.sync"))
    source.unlink()
    refresh_library(clone.root)
    core, good = clone.root/"fashion_mlops"/"core.py", clone.module("core")
    core.write_text("1/0\n")
    answer = clone.call(module="paper.sync")
    assert answer.returncode == 0 and clone.module("core") == good and "wrote fashion_mlops/core.py" in answer.stdout, answer.stdout + answer.stderr
