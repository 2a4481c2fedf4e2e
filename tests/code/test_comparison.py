"""Two runs are compared row by row where they measured the same rows, and not at all where they did not."""
import json
from functools import partial

import numpy as np
import pytest

from fashion_mlops.evaluation.kept_rows import keep_rows, paired_differences
from fashion_mlops.workflow.comparison import compare_runs as compared, comparison_text
from fashion_mlops.workflow.records import run_records, two_runs as chosen
from fashion_mlops.core import WorkflowError

compare_runs = partial(compared, differences=paired_differences)


def answers(right: np.ndarray) -> np.ndarray:
    "Answers to questions whose answer is class 1."
    return np.where(right, 0.2, 0.7)[:, None] + np.where(right, 0.6, -0.4)[:, None]*[0, 1]


def record(run_id: str, accuracy: float, digest: str = "d", dataset: str = "synthetic") -> dict:
    stage = {"params": {}, "dataset_digest": digest, "fingerprint": None, "run_id": run_id, "metrics": {"test_accuracy": accuracy, "test_macro_f1": accuracy},
             "intervals": {"test_accuracy": (accuracy - 0.03, accuracy + 0.03), "test_macro_f1": (accuracy - 0.03, accuracy + 0.03)}}
    return {"token": run_id, "dataset": dataset, "profile": "smoke", "began": "", "succeeded": True, "mlflow_run_id": run_id, "stages": {"08_registry": stage}}


@pytest.fixture
def two_runs(home):
    "Two models that differ on one row in fifty, always in favour of the second."
    ids = np.arange(1000)
    first, second = ids % 10 > 0, (ids % 10 > 0) | (ids % 50 == 0)
    for run_id, right in (("a", first), ("b", second)): keep_rows("synthetic", run_id, "test", ids, np.ones(1000, int), {"": answers(right)})
    return home


def test_a_difference_that_joined_intervals_would_hide(two_runs):
    row = compare_runs(record("a", 0.90), record("b", 0.92))["metrics"]["08_registry.test_accuracy"]
    mean, low, high = row["difference"]
    assert np.isclose(mean, 0.02) and 0.01 < low < high < 0.03
    assert np.hypot(0.03, 0.03) > 0.02 # what the two own intervals would have come to


def test_the_other_way_round_is_the_same_with_the_other_sign(two_runs):
    there, back = (compare_runs(*pair)["metrics"]["08_registry.test_accuracy"]["difference"] for pair in ((record("a", 0.9), record("b", 0.92)), (record("b", 0.92), record("a", 0.9))))
    assert np.isclose(there[0], -back[0]) and np.isclose(there[1], -back[2], atol=0.002)
    assert compare_runs(record("a", 0.9), record("a", 0.9))["metrics"]["08_registry.test_accuracy"]["difference"] == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("other", [record("b", 0.92, digest="another split"), record("gone", 0.92), record("b", 0.92, dataset="synthetic_orders")])
def test_other_rows_are_not_compared(two_runs, other):
    comparison = compare_runs(record("a", 0.90), other)
    assert all(row["difference"] is None for row in comparison["metrics"].values())
    text = comparison_text(comparison)
    assert "2 metrics without a difference" in text and "more than noise" not in text
    json.dumps(comparison)


def test_what_is_no_mean_over_rows_has_no_difference(two_runs):
    comparison = compare_runs(record("a", 0.90), record("b", 0.92))
    assert comparison["metrics"]["08_registry.test_macro_f1"]["difference"] is None
    assert "1 metrics without a difference" in comparison_text(comparison) and comparison_text(comparison).count("more than noise") == 1


def test_rows_that_belong_together_widen_the_interval(home):
    ids, right = np.arange(1000), np.arange(1000) % 10 > 0
    better = right | (ids < 60) # all in the same few groups
    for run_id, clusters in (("plain", None), ("grouped", ids//50)):
        for name, each in (("a", right), ("b", better)): keep_rows("synthetic", f"{run_id}_{name}", "valid", ids, np.ones(1000, int), {"": answers(each)}, clusters)
    plain, grouped = (paired_differences("synthetic", {"run_id": f"{name}_a"}, {"run_id": f"{name}_b"})["valid_accuracy"] for name in ("plain", "grouped"))
    assert plain[0] == grouped[0] and grouped[2] - grouped[1] > plain[2] - plain[1]


def test_kept_rows_are_small_and_are_no_record(two_runs):
    files = list((two_runs/"data"/"runs").rglob("*.npz"))
    assert len(files) == 2 and all(file.stat().st_size < 10_000 for file in files)
    assert run_records() == []
    with pytest.raises(WorkflowError): keep_rows("../elsewhere", "a", "test", np.arange(2), np.ones(2, int), {})


def test_places_mean_runs_of_one_dataset_that_got_through_a_stage():
    runs = [record("1", 0.9, dataset="money"), record("2", 0.9, dataset="money"), record("3", 0.9, dataset="pics"), {**record("4", 0.9, dataset="money"), "stages": {}}, {**record("5", 0.9, dataset="pics"), "stages": {}}]
    assert [r["token"] for r in chosen(("previous", "latest"), runs[:2] + runs[4:])] == ["1", "2"] # the other dataset's run was stopped
    assert [r["token"] for r in chosen(("latest", "2"), runs)] == ["2", "2"]
    with pytest.raises(WorkflowError, match="no run of pics before"): chosen(("previous", "latest"), runs)
    assert "Runs of two datasets, money and pics" in comparison_text(compare_runs(*chosen(("2", "3"), runs)))


def test_of_many_lines_none_is_more_than_noise_by_their_number_alone(home):
    "Lines whose own intervals just miss zero: a single one is more than noise, one of eight is not."
    def text(lines: int) -> str:
        rows = {f"stage.m{n}": {"values": [0.5, 0.5], "intervals": [None, None], "difference": (0.022, 0.001, 0.043) if n == 0 else (0.0, -0.02, 0.02)} for n in range(lines)}
        runs = [{"token": token, "dataset": "d", "profile": "p"} for token in "ab"]
        return comparison_text({"runs": runs, "parameters": {}, "data": {}, "code": {}, "metrics": rows})
    assert "more than noise" in text(1) and "more than noise" not in text(8)
