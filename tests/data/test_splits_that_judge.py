"""A split that cannot judge is told when the data are added, not after everything was computed."""
import numpy as np
import pytest

from fashion_mlops import cli
from fashion_mlops.core import WorkflowError
from fashion_mlops.datasets.catalogue import make_samples
from fashion_mlops.samples.splits import judging, split_by_class, split_by_group


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"home"))
    return tmp_path


def add(home, lines, *words) -> int:
    "Write a table and add it."
    (home/"t.csv").write_text("\n".join(lines) + "\n")
    return cli.main(["dataset", "add", str(home/"t.csv"), "--target", "kept", *words])


@pytest.mark.parametrize("rows, least", [(32, 50), (40, 50), (30, 50)])
def test_too_few_rows_are_refused_with_the_least_number(home, capsys, rows, least):
    assert add(home, ["size,kept"] + [f"{i % 7}.5,{('yes', 'no')[i % 2]}" for i in range(rows)]) == 2
    error = capsys.readouterr().err
    assert f"that takes about {least} rows" in error and error.count("\n") == 1
    assert add(home, ["size,kept"] + [f"{i % 7}.5,{('yes', 'no')[i % 2]}" for i in range(least)]) == 0
    assert "valid holds 4 rows" in capsys.readouterr().out


@pytest.mark.parametrize("share", [0.5, 0.3, 0.1, 0.04])
def test_the_number_that_is_told_is_enough(share):
    classes, rare = ["no", "yes"], lambda n: (np.arange(n) < round(share*n)).astype(int)
    with pytest.raises(WorkflowError, match="about ([0-9,]+) rows") as told: judging(rare(30), split_by_class(rare(30), 0.2, 0.1, 42), classes, shares=(0.08, 0.2))
    enough = rare(int(str(told.value).split("about ")[1].split(" rows")[0].replace(",", "")))
    judging(enough, split_by_class(enough, 0.2, 0.1, 42), classes) # raises nothing


def test_groups_are_dealt_out_so_that_every_split_can_judge():
    "Ten groups, each of one class: a draw without looking leaves validation with one group and one class."
    groups, labels = np.repeat(np.arange(10), 30), np.repeat([0, 1]*5, 30)
    for seed in range(20):
        split = split_by_group(groups, 0.2, 0.1, seed, labels)
        for code in range(3):
            assert len(set(groups[split == code])) >= 2 and set(labels[split == code]) == {0, 1}
        assert all(len(set(split[groups == group])) == 1 for group in range(10))
        assert (split == split_by_group(groups, 0.2, 0.1, seed, labels)).all()


@pytest.mark.parametrize("count, sizes", [(3, (1, 1, 1)), (5, (3, 1, 1)), (6, (2, 2, 2)), (100, (72, 8, 20))])
def test_each_split_has_groups(count, sizes):
    split = split_by_group(np.repeat(np.arange(count), 10), 0.2, 0.1, 0)
    assert tuple(np.bincount(split)//10) == sizes


def test_a_class_of_one_group_is_learnt_rather_than_judged():
    groups, labels = np.repeat(np.arange(12), 20), np.repeat([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 2], 20)
    assert all(set(split_by_group(groups, 0.2, 0.1, seed, labels)[labels == 2]) == {0} for seed in range(10))


def test_groups_that_cannot_judge_are_told_at_add(home, capsys):
    lines = ["size,who,kept"] + [f"{i % 7}.5,p{i // 20},{'yes' if i // 20 == 4 else 'no'}" for i in range(200)]
    assert add(home, lines, "--split", "group", "--split-column", "who") == 2
    assert "Split by class, or by another column" in capsys.readouterr().err
    assert add(home, [line.replace(",no", ",yes", 1) if i % 3 else line for i, line in enumerate(lines)], "--split", "group", "--split-column", "who") == 0
    samples = make_samples("t", 0, 0.1, seed=42)
    assert "who" not in samples.table and "names the groups" in samples.about["left_out"]["who"]


def test_a_time_split_whose_end_has_one_class(home, capsys):
    lines = ["size,when,kept"] + [f"{i % 7}.5,2025-{1 + i // 28:02d}-{1 + i % 28:02d},{'yes' if i % 2 and i < 150 else 'no'}" for i in range(300)]
    assert add(home, lines, "--split", "time", "--split-column", "when") == 2
    assert "(24 of 'no', 0 of 'yes')" in capsys.readouterr().err


def test_what_add_refuses_the_stage_refuses_in_the_same_words(home, capsys):
    assert add(home, ["size,kept"] + [f"{i % 7}.5,{('yes', 'no')[i % 2]}" for i in range(60)]) == 0
    (home/"t.csv").write_text("\n".join(["size,kept"] + [f"{i % 7}.5,{('yes', 'no')[i % 2]}" for i in range(32)]))
    with pytest.raises(WorkflowError, match="that takes about 50 rows"): make_samples("t", 0, 0.1, seed=42)
    assert cli.main(["dataset", "check", "t"]) == 2


def test_a_class_without_rows_is_told(home, capsys):
    assert add(home, ["size,kept"] + [f"{i % 7}.5,{('yes', 'no')[i % 2]}" for i in range(90)]) == 0
    file = home/"home"/"data"/"datasets"/"t.yaml"
    file.write_text(file.read_text().replace("  classes:\n", "  classes:\n  - perhaps\n"))
    assert cli.main(["dataset", "check", "t"]) == 2
    assert "No training row is of the class 'perhaps'" in capsys.readouterr().err
