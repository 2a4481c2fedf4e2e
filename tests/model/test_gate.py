"""The gate believes a challenger's classes until a loss shows that chance does not explain, whatever their number."""
import numpy as np
import pytest
from scipy.stats import binom

from fashion_mlops.registry import gate, recall_losses

ASKED = {"metric": "accuracy", "score": 0.9, "constant": 0.1, "accuracy": 0.9, "ms_alone": 1.0}


def rivals(seed: int, classes: int, rows: int, recall: float = 0.8, lost: float = 0.0):
    "Labels, and the answers of two models that are equally good but for the first class."
    random, labels = np.random.default_rng(seed), np.repeat(np.arange(classes), rows)
    return labels, *(np.where(random.random(len(labels)) < share, labels, (labels + 1) % classes) for share in (np.full(len(labels), recall), recall - lost*(labels == 0)))


def refused(losses: list[dict]) -> bool:
    "Whether the gate refuses for a class."
    return any(reason.startswith("refused: largest clear loss") for reason in gate(ASKED, {"version": 1, "losses": losses}, (0.0, 0.0, 0.0), recall_drop=0.1).reasons)


@pytest.mark.parametrize("classes, rows", [(17, 25), (60, 8), (3, 15), (10, 200)])
def test_an_equal_challenger_passes(classes, rows):
    names, turns = [f"c{n}" for n in range(classes)], 150
    assert sum(refused(recall_losses(*rivals(turn, classes, rows), names)) for turn in range(turns)) <= binom.ppf(0.9999, turns, 0.05)


@pytest.mark.parametrize("classes, rows, lost", [(17, 25, 0.7), (17, 100, 0.4), (10, 600, 0.2)])
def test_a_challenger_that_is_clearly_worse_in_one_class_does_not(classes, rows, lost):
    names = [f"c{n}" for n in range(classes)]
    found = [recall_losses(*rivals(turn, classes, rows, lost=lost), names) for turn in range(40)]
    assert np.mean([refused(losses) for losses in found]) >= 0.9
    assert all(losses[0]["class"] == "c0" for losses in found if refused(losses))


def test_neither_names_nor_order_nor_idle_classes_count():
    labels, before, after = rivals(5, 6, 40, lost=0.4)
    plain = {row["class"]: row["p"] for row in recall_losses(labels, before, after, list("abcdef"))}
    turned = np.array([3, 5, 0, 1, 4, 2])
    other = recall_losses(turned[labels], turned[before], turned[after], [list("abcdef")[i] for i in np.argsort(turned)])
    assert {row["class"]: pytest.approx(row["p"]) for row in other} == plain
    idle = recall_losses(np.append(labels, [6]*500), np.append(before, [6]*500), np.append(after, [6]*500), list("abcdefg")) # 500 rows that both get right
    assert {row["class"]: row["p"] for row in idle if row["class"] != "g"} == pytest.approx(plain)


def test_a_small_loss_is_tolerated_however_sure_it_is():
    rows = np.arange(20_000)
    labels = np.zeros(20_000, int)
    losses = recall_losses(labels, labels, np.where(rows < 600, 1, 0), ["a", "b"])
    assert losses[0]["loss"] == 0.03 and losses[0]["p"] < 1e-9 and not refused(losses)


def test_one_row_proves_nothing():
    losses = recall_losses(np.array([0, 1]), np.array([0, 1]), np.array([1, 1]), ["a", "b"])
    assert losses[0]["loss"] == 1.0 and losses[0]["p"] == 0.5 and not refused(losses)
