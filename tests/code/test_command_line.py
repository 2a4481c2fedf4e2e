"""What a person gets for a wrong word: one sentence, exit code 2, before any kernel starts."""
import json
import os
import shutil
import subprocess
import signal
import sys
from types import SimpleNamespace

import pytest

from fashion_mlops.cli import main
from fashion_mlops.core import project_root


@pytest.mark.parametrize("words, said", [
    (["-p", "draw.m=3"], "01_draw has a parameter 'm'"),
    (["-p", "draw.n=many"], "01_draw: n = 'many': expected a whole number from 1 to 100 (default 3)"),
    (["-p", "n=101"], "expected a whole number from 1 to 100"),
    (["-p", "draw.sede=3"], "Did you mean seed?"),
    (["-p", "draw"], "expected stage.name=value"),
    (["drew"], "Did you mean draw?"),
    (["--profile", "hasty"], "There is no profile 'hasty'"),
    (["-f", "nowhere.yaml"], "nowhere.yaml"),
    (["02"], "which 01_draw has not written yet"),
    (["--wait", "nan"], "argument --wait: 'nan': expected seconds from 0 to 1,000,000"),
    (["--wait=-1"], "'-1': expected seconds"),
])
def test_wrong_words_are_refused(project, words, said):
    answer = project.run(*words)
    assert answer.returncode == 2, answer.stdout
    assert said in answer.stderr and "Traceback" not in answer.stderr
    assert not (project.root/"reports").exists()


@pytest.mark.parametrize("words", [["run", "--wait", "nan"], ["run", "--wait", "inf"], ["run", "--minutes", "nan"], ["run", "--minutes", "inf"], ["run", "--minutes=-1"],
                                   ["study", "--port", "0"], ["study", "--port", "99999"]])
def test_no_number_that_is_none_is_taken(home, capsys, words):
    "Of every option that is a number, in this process."
    from fashion_mlops.cli import main
    try: code = main(words)
    except SystemExit as ended: code = ended.code
    assert code == 2 and "expected" in capsys.readouterr().err


@pytest.mark.parametrize("spoil, said", [
    (lambda p: p.stage("03_tell", [], reads=["sums.json"]), "03_tell.ipynb reads 'sums.json', which no earlier stage writes. Did you mean sum.json?"),
    (lambda p: p.stage("03_tell", [], writes=["sum.json"]), "03_tell.ipynb and 02_add.ipynb both write 'sum.json'"),
    (lambda p: p.edit("02_add", '"parameters"', '"other"'), "02_add.ipynb: no cell tagged `parameters`"),
    (lambda p: p.edit("02_add", "'02_add'", "'03_add'"), "02_add.ipynb, cell 4: the contract names the stage '03_add'"),
    (lambda p: (p.nbs/"02_add.ipynb").write_text("{"), "02_add.ipynb is not a notebook"),
])
def test_wrong_notebooks_are_named(project, spoil, said):
    spoil(project)
    answer = project.run()
    assert (answer.returncode, said in answer.stderr) == (2, True), answer.stderr


def test_params_file_and_order(project):
    (project.root/"params.yaml").write_text("smoke: {draw: {n: 4}}\n")
    (project.root/"mine.yaml").write_text("draw: {n: 5}\nall: {seed: 9}\n")
    shown = json.loads(project.call("params", "draw", "--profile", "smoke", "--json").stdout)["01_draw"]
    assert {p["name"]: (p["value"], p["source"]) for p in shown}["n"] == (4, "profile smoke")
    answer = project.run("-f", "mine.yaml", "-p", "draw.n=6", "--dry-run")
    assert answer.returncode == 0, answer.stderr


def test_status_graph_and_clean(project):
    assert {name: s["state"] for name, s in project.status().items()} == {"01_draw": "never", "02_add": "never"}
    assert "-->|numbers.json|" in project.call("graph", "--format", "mermaid").stdout
    assert project.call("graph", "--format", "svg").stdout.count("<rect") == 2
    assert "Nothing to remove" in project.call("clean").stdout
    assert project.call("diff", "latest", "previous").returncode == 2


def elsewhere(root, *words, **env):
    "The command of this library, asked about another root."
    env = {k: v for k, v in os.environ.items() if k != "FASHION_MLOPS_HOME"} | {"FASHION_MLOPS_ROOT": str(root), "PYTHONPATH": str(project_root())} | env
    return subprocess.run([sys.executable, "-P", "-m", "fashion_mlops.cli", *words], cwd=root, env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("lacking", ["cli.py", "__init__.py"])
def test_a_library_without_its_command_is_told_of_once(tmp_path, lacking):
    "It used to hand over to itself for ever."
    shutil.copytree(project_root()/"fashion_mlops", tmp_path/"fashion_mlops", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path/"nbs").mkdir()
    (tmp_path/"settings.ini").write_text("lib_name = fashion_mlops\nversion = 1\n")
    (tmp_path/"fashion_mlops"/lacking).unlink()
    if lacking == "__init__.py": (tmp_path/"fashion_mlops"/"cli.py").unlink()
    answer = elsewhere(tmp_path, "status")
    assert answer.returncode == 2 and "has no cli.py or no __init__.py" in answer.stderr and "Traceback" not in answer.stderr, answer.stderr


def test_a_command_hands_over_once(tmp_path):
    (tmp_path/"fashion_mlops").mkdir()
    for name in ("cli.py", "__init__.py"): (tmp_path/"fashion_mlops"/name).touch()
    (tmp_path/"settings.ini").write_text("lib_name = fashion_mlops\n")
    answer = elsewhere(tmp_path, "status", FASHION_MLOPS_HANDED=str((tmp_path/"fashion_mlops").resolve()))
    assert answer.returncode == 2 and "is answered by" in answer.stderr, answer.stderr


def test_what_a_library_lacks_comes_from_no_other_clone():
    code = """import sys
class Finder: __module__ = "__editable___fashion_mlops_9_finder"
sys.meta_path.append(Finder)
import fashion_mlops
print(Finder in sys.meta_path)"""
    assert subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(project_root())}, capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("words", [("status",), ("params",), ("clean",), ("clean", "--yes"), ("diff", "previous", "latest"), ("run", "--dry-run")])
def test_unknown_datasets_are_refused_by_every_command(home, capsys, words):
    from fashion_mlops.cli import main
    from fashion_mlops.core import artifacts_folder
    assert main([*words, "--dataset", "sinthetic"]) == 2
    assert "There is no dataset 'sinthetic'. Did you mean synthetic?" in capsys.readouterr().err
    artifacts_folder("sinthetic").mkdir(parents=True) # results of a dataset whose file is gone
    if words[0] in ("status", "params", "clean"): assert main([*words, "--dataset", "sinthetic"]) == 0


def test_a_name_that_begins_with_a_dash_is_told_how_to_be_said(home, tmp_path, capsys):
    from fashion_mlops.cli import main
    (tmp_path/"t.csv").write_text("size,-a\n" + "".join(f"{i % 7}.5,{('yes', 'no')[i % 2]}\n" for i in range(80)))
    with pytest.raises(SystemExit): main(["dataset", "add", str(tmp_path/"t.csv"), "--target", "-a"])
    assert "A value that begins with - is joined to its option: --target=-VALUE" in capsys.readouterr().err
    assert main(["dataset", "add", str(tmp_path/"t.csv"), "--target=-a"]) == 0


@pytest.mark.parametrize("module", ["cli", "workflow.sync"])
def test_a_broken_exporter_says_how_it_comes_back(tmp_path, module):
    shutil.copytree(project_root()/"fashion_mlops", tmp_path/"fashion_mlops", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path/"fashion_mlops"/"workflow"/"export.py").write_text("def (:")
    answer = subprocess.run([sys.executable, "-m", f"fashion_mlops.{module}"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert answer.returncode == 1 and "git checkout HEAD -- fashion_mlops/workflow/export.py" in answer.stderr and "Traceback" not in answer.stderr


def test_ctrl_c_while_the_library_is_loaded_is_one_word():
    code = """if True:
        import os, signal, sys
        sys.argv = ["fashion-mlops", "status"]
        class AtOnce:
            def find_spec(self, name, *_):
                if name == "fashion_mlops.core": os.kill(os.getpid(), signal.SIGINT)
        sys.meta_path.insert(0, AtOnce())
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from fashion_mlops.cli import entry
        entry()"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (said.returncode, said.stderr.strip()) == (130, "fashion-mlops: stopped.")


@pytest.mark.parametrize("served, registered, said", [
    (["shades"], ["shades", "other"], "shades"), ([], ["shades"], "shades"), ([], [], "no model is here"), ([], ["a", "b"], "models of a and b"), (["a", "b"], [], "models of a and b")])
def test_without_a_run_the_only_model_is_meant(home, monkeypatch, capsys, served, registered, said):
    from fashion_mlops.operations import registry
    from fashion_mlops.service import served_version
    from fashion_mlops.workflow import store
    names = [SimpleNamespace(name=name) for name in registered]
    if registered: (home/"mlflow.db").touch()
    monkeypatch.setattr(served_version, "served_datasets", lambda: served)
    monkeypatch.setattr(store, "client", lambda: SimpleNamespace(search_registered_models=lambda: names))
    monkeypatch.setattr(registry, "known_versions", lambda dataset: [])
    code, told = main(["models", "--json"]), capsys.readouterr()
    if said == "shades": assert code == 0 and json.loads(told.out)["dataset"] == "shades"
    else: assert code == 2 and said in told.err and "--dataset NAME" in told.err
    assert (home/"mlflow.db").exists() == bool(registered) # none is made for the question


def test_in_a_home_of_another_user_no_other_place_is_advised_first(home, monkeypatch, capsys):
    from fashion_mlops.operations import asking
    def status(args): raise PermissionError(13, "Permission denied", str(home/"data"/"x.lock"))
    monkeypatch.setattr(asking, "status", status)
    assert main(["status"]) == 2 and "be the user whose that is" in capsys.readouterr().err
