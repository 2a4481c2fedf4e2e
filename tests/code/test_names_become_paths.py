"""A name that becomes a folder or a file is a single name, whoever gives it: the command line, papermill, a stored model, a dataset."""
import json

import numpy as np
import pytest

from fashion_mlops import cli
from fashion_mlops.core import WorkflowError

STRANGE = ["../../x", "/tmp/x", "..", ".", "", "a/b", "a\\b", "~", "x\n", "x\0", ".hidden"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"a"/"b"/"home"))
    return tmp_path


@pytest.mark.parametrize("name", STRANGE)
def test_a_stage_under_plain_papermill_writes_nowhere_else(home, name):
    from fashion_mlops.workflow.stage import Stage
    values = {"dataset": name, "seed": 1, "__annotations__": {"dataset": "str", "seed": "int"}} # as papermill injects them
    with pytest.raises(WorkflowError, match="dataset"): Stage("02_quality", reads=["samples"], writes=[]).start(values)
    assert not list(home.rglob("*"))


@pytest.mark.parametrize("member", [*STRANGE, "link"])
def test_members_of_a_blend_lie_in_its_folder(home, member):
    from fashion_mlops.service.predictor import load_predictor
    folder = home/"blend"
    folder.mkdir()
    (folder/"link").symlink_to(home)
    (folder/"model.json").write_text(json.dumps({"format": 1, "kind": "blend", "name": "b", "classes": ["a", "b"], "members": [member]}))
    with pytest.raises(WorkflowError, match="the name of a blend's member|is a link"): load_predictor(folder)


@pytest.mark.parametrize("name", STRANGE)
def test_expectations_of_a_dataset_with_a_strange_name(home, name):
    import pandas as pd
    from fashion_mlops.samples.columns import Column
    from fashion_mlops.samples.samples import Samples
    from fashion_mlops.tables.checks import expectations_file
    samples = Samples(pd.DataFrame({"a": np.arange(9.)}), np.zeros(9, int), np.repeat([0, 1, 2], 3), ["x", "y"], name, "table", columns=[Column("a", "numeric")])
    with pytest.raises(WorkflowError, match="a dataset's name"): expectations_file(samples)


@pytest.mark.parametrize("words", [("show",), ("check",), ("remove",)])
@pytest.mark.parametrize("name", ["../../a/b/home/data/datasets/shop", "/etc/passwd", ".."])
def test_dataset_commands_take_names_and_no_paths(home, capsys, words, name):
    assert cli.main(["dataset", *words, name]) == 2
    assert "There is no dataset" in capsys.readouterr().err


def test_removing_a_dataset_removes_what_was_expected_of_it(home, capsys):
    base = home/"a"/"b"/"home"/"data"
    base.mkdir(parents=True)
    (base/"shop.csv").write_text("size,kept\n" + "\n".join(f"{i % 7}.5,{('yes', 'no')[i % 2]}" for i in range(90)))
    assert cli.main(["dataset", "add", str(base/"shop.csv"), "--target", "kept"]) == 0
    (base/"expectations").mkdir()
    for name in ("shop", "other"): (base/"expectations"/f"{name}.yaml").write_text("columns: {}\n")
    capsys.readouterr()
    assert cli.main(["dataset", "add", str(base/"shop.csv"), "--target", "kept", "--replace"]) == 0
    assert "data/expectations/shop.yaml says what to expect of the columns, and was written for the data as they were" in capsys.readouterr().out
    assert cli.main(["dataset", "remove", "shop"]) == 0
    out = capsys.readouterr().out
    assert "data/datasets/shop.yaml is removed" in out and "data/expectations/shop.yaml is removed" in out and "clean --dataset shop" in out
    assert sorted(path.name for path in base.rglob("*") if path.is_file()) == ["other.yaml", "shop.csv"]
