"""What decides a result is fingerprinted, whatever form it has."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fashion_mlops.workflow.contract import ContractError, read_stage
from fashion_mlops.core import WorkflowError, digest_path, path_part
from fashion_mlops.datasets.description import watched_paths
from fashion_mlops.workflow.dependencies import compile_by_content, pinned
from fashion_mlops.workflow.fingerprint import _altered, fingerprint
from fashion_mlops.workflow.pipeline import write_stage_notebook
from fashion_mlops.workflow.stage import Stage
from fashion_mlops.workflow.watched import watched_place


def of(path, *cells): return fingerprint(read_stage(write_stage_notebook(path, cells, writes=["x.json"])), {}, {})["digest"]


def test_a_directive_hides_no_code(tmp_path):
    one, two = (of(tmp_path/"01_a.ipynb", f"#| default_exp a\nK = {k}") for k in (5, 7))
    assert one != two
    assert of(tmp_path/"01_a.ipynb", "K = 5") == of(tmp_path/"01_a.ipynb", "#| default_exp a\n# words", "K = 5")


def test_a_second_cell_in_the_form_of_the_parameters_is_code(tmp_path):
    def with_cell(text): return fingerprint(read_stage(write_stage_notebook(tmp_path/"01_a.ipynb", [text], writes=["x.json"], parameters="seed: int = 0")), {}, {})["digest"]
    assert with_cell("seed: int = 3") != with_cell("seed: int = 4")


def test_a_module_that_the_environment_names_counts(tmp_path, monkeypatch):
    (tmp_path/"far").mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path/"far"), os.environ.get("PYTHONPATH", "")]))
    found = []
    for text in ("V = 1", "V = 1 # the same", "V = 2"):
        (tmp_path/"far"/"lookup.py").write_text(text)
        found.append(of(tmp_path/"01_a.ipynb", "from lookup import V"))
    assert found[0] == found[1] != found[2]


def test_files_and_contents_cannot_be_confused(tmp_path):
    for name, files in {"one": {"a": "xb\0y"}, "two": {"a": "x", "b": "y"}, "three": {"a": "x"}}.items():
        (tmp_path/name).mkdir()
        for file, text in files.items(): (tmp_path/name/file).write_text(text)
    assert len({digest_path(tmp_path/name) for name in ("one", "two", "three")}) == 3


def test_folders_behind_links_count_and_circles_end(tmp_path):
    far, near = tmp_path/"far", tmp_path/"near"
    far.mkdir(); near.mkdir()
    (far/"a").write_text("1")
    (near/"link").symlink_to(far)
    (far/"back").symlink_to(near)
    before = digest_path(near)
    (far/"a").write_text("2")
    assert digest_path(near) != before


@pytest.mark.parametrize("place", ["nbs/helper.py", "helper.py", "nbs/kit/__init__.py"])
def test_a_module_of_ones_own_counts(project, place):
    stage = project.stage("03_own", [f"import {'kit' if 'kit' in place else 'helper'}"], writes=["y.json"])
    os.environ["FASHION_MLOPS_ROOT"], before = str(project.root), os.environ.get("FASHION_MLOPS_ROOT")
    try:
        (project.root/place).parent.mkdir(exist_ok=True)
        found = []
        for text in ("V = 1", "V = 1 # the same", "V = 2"):
            (project.root/place).write_text(text)
            found.append(fingerprint(read_stage(stage), {}, {})["digest"])
    finally: os.environ.pop("FASHION_MLOPS_ROOT") if before is None else os.environ.update(FASHION_MLOPS_ROOT=before)
    assert found[0] == found[1] != found[2]


@pytest.mark.slow
def test_a_kernel_works_beside_its_notebook_wherever_the_command_was_given(project):
    (project.root/"helper.py").write_text("V = 1")
    (project.nbs/"helper.py").write_text("V = 2")
    project.stage("01_draw", ["import helper, os", "from fashion_mlops.core import write_json", "write_json(stage.write('numbers.json'), [helper.V, os.getcwd()])"], writes=["numbers.json"])
    assert project.run("draw").returncode == 0
    assert json.loads(project.artifact("numbers.json").read_text()) == [2, str(project.nbs.resolve())]
    (project.nbs/"helper.py").write_text("V = 3")
    assert project.status()["01_draw"]["reasons"] == ["module nbs/helper.py changed"]


def test_python_compares_our_modules_by_content(tmp_path):
    module = tmp_path/"zz.py"
    def write(text): module.write_text(text); os.utime(module, (1_700_000_000, 1_700_000_000))
    def executed(): return subprocess.run([sys.executable, "-c", "import zz; print(zz.K)"], cwd=tmp_path, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""}, capture_output=True, text=True).stdout.strip()
    write("K = 5"); assert executed() == "5"
    write("K = 7"); compile_by_content([str(module)]); assert executed() == "7"
    write("K = 8"); assert executed() == "8"


@pytest.mark.parametrize("line", ["numpy==2.3.5  # via pandas", "numpy==2.3.5 --hash=sha256:00", "numpy==2.3.5 \\\n    --hash=sha256:00", "-e .\nnumpy==2.3.5", "https://a.org/b.whl\nnumpy==2.3.5"])
def test_a_lock_may_be_written_in_any_way_that_pip_reads(line): assert pinned(line) == {"numpy": "2.3.5"}


def test_a_lock_that_asks_for_nothing_is_a_sentence():
    with pytest.raises(WorkflowError, match="requirements.txt asks for 'numpy=2'"): pinned("numpy=2")


@pytest.mark.parametrize("name", ["../numbers.json", "/tmp/x", "a/b", "", "a@b", "x\ny"])
def test_an_artifact_has_a_name_and_no_path(tmp_path, name):
    with pytest.raises(ContractError, match="cannot be an artifact's name"): read_stage(write_stage_notebook(tmp_path/"01_a.ipynb", writes=[name]))


@pytest.mark.parametrize("name", ["a@b", "@", "orders@champion", "a/b", "a:b", "a'b", 'a"b', "a%b"])
def test_a_name_that_the_registry_cannot_hold_is_refused(name):
    with pytest.raises(WorkflowError, match="cannot be"): path_part(name)


def test_listed_pictures_are_watched(home, monkeypatch):
    import numpy as np
    from PIL import Image
    monkeypatch.setenv("FASHION_MLOPS_ROOT", str(home))
    def draw(shade):
        for i in range(6): Image.fromarray(np.full((8, 8), (i * 9 + shade) % 256, np.uint8)).save(home/f"pics/{i}.png")
    (home/"pics").mkdir()
    draw(0)
    (home/"list.csv").write_text("file,label\n" + "".join(f"pics/{i}.png,{'ab'[i % 2]}\n" for i in range(6)))
    (home/"data/datasets").mkdir(parents=True)
    (home/"data/datasets/p.yaml").write_text("kind: image\npath: list.csv\nimages: {layout: csv, shape: [8, 8], columns: {path: file, target: label}}\ntarget: {name: x}\n")
    stage = Stage("01_a")
    stage.watch(*watched_paths("p"))
    watched = {path: (watched_place(path), stamp) for path, stamp in json.loads(json.dumps(stage.watched)).items()}
    (home/"data/artifacts/p").mkdir(parents=True)
    (home/"pics"/"stranger.txt").write_text("not listed")
    assert _altered("p", watched) == []
    draw(1)
    assert len(_altered("p", watched)) == 1
    draw(0)
    assert _altered("p", watched) == []
    (home/"pics/3.png").unlink()
    assert len(_altered("p", watched)) == 1


@pytest.mark.parametrize("results", ["root", "root/work", "results"], ids=["in the project", "below it", "beside it"])
def test_results_that_are_moved_are_watched_where_they_are_now(tmp_path, monkeypatch, results):
    root, before, after = tmp_path/"root", tmp_path/results, tmp_path/"moved"
    (before/"data/datasets").mkdir(parents=True)
    root.mkdir(exist_ok=True)
    (before/"data/datasets/orders.yaml").write_text("kind: table\n")
    (root/"orders.csv").write_text("a\n1\n")
    for name, place in (("ROOT", root), ("HOME", before)): monkeypatch.setenv(f"FASHION_MLOPS_{name}", str(place))
    stage = Stage("01_a")
    stage.watch(before/"data/datasets/orders.yaml", root/"orders.csv")
    after.mkdir()
    (before/"data").rename(after/"data")
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(after))
    (after/"data/artifacts/orders").mkdir(parents=True)
    def altered(): return _altered("orders", {path: (watched_place(path), stamp) for path, stamp in stage.watched.items()})
    assert altered() == []
    (after/"data/datasets/orders.yaml").write_text("kind: image\n")
    assert [Path(path).name for path in altered()] == ["orders.yaml"]


def test_a_default_that_somebody_else_put_there_is_no_default():
    import math
    from fashion_mlops.workflow.contract import Parameter, ParameterError, checked
    minutes = Parameter("minutes", "float", math.nan, low=0, high=0.25)
    with pytest.raises(ParameterError, match="from 0 to 0.25.$"): checked(minutes, minutes.default)
