"""What a person gets for a wrong word: one sentence, exit code 2, before any kernel starts."""
import json

import pytest


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
])
def test_wrong_words_are_refused(project, words, said):
    answer = project.run(*words)
    assert answer.returncode == 2, answer.stdout
    assert said in answer.stderr and "Traceback" not in answer.stderr
    assert not (project.root/"reports").exists()


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


@pytest.mark.parametrize("words", [("status",), ("params",), ("clean",), ("clean", "--yes"), ("diff", "previous", "latest"), ("run", "--dry-run")])
def test_unknown_datasets_are_refused_by_every_command(home, capsys, words):
    from fashion_mlops.cli import main
    from fashion_mlops.core import artifacts_folder
    assert main([*words, "--dataset", "sinthetic"]) == 2
    assert "There is no dataset 'sinthetic'. Did you mean synthetic?" in capsys.readouterr().err
    artifacts_folder("sinthetic").mkdir(parents=True) # results of a dataset whose file is gone
    if words[0] in ("status", "params", "clean"): assert main([*words, "--dataset", "sinthetic"]) == 0
