"""The gate believes a challenger's classes until a loss shows that chance does not explain, whatever their number."""
from inspect import getsource

import numpy as np
import pytest
from scipy.stats import binom

from fashion_mlops.evaluation.calibration import at_temperature, cross_fitted, fit_temperature
from fashion_mlops.core import project_root
from fashion_mlops.evaluation.metrics import paired_interval, row_losses
from fashion_mlops.service.duel import Duel
from fashion_mlops.service.gate import gate, recall_losses

ASKED = {"metric": "accuracy", "score": 0.9, "constant": 0.1, "lead": (0.8, 0.7, 0.9), "accuracy": 0.9, "ms_alone": 1.0}


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


def grouped_rivals(seed: int, groups: int, each: int, classes: int = 5, worse: float = 0.0):
    "Labels, the answers of two models of which each fails on whole groups of its own, and the groups."
    random, whose = np.random.default_rng(seed), np.repeat(np.arange(groups), each)
    labels = whose % classes
    def model(share): return np.where((random.random(groups) < share)[whose] ^ (random.random(len(whose)) < 0.05), labels, (labels + 1) % classes)
    return labels, model(np.full(groups, 0.85)), model(0.85 - worse*(np.arange(groups) % classes == 0)), whose


@pytest.mark.parametrize("groups, each", [(50, 1), (50, 10), (30, 40)])
def test_an_equal_challenger_passes_where_rows_belong_together(groups, each):
    names = list("abcde")
    found = [recall_losses(labels, before, after, names, whose) for labels, before, after, whose in (grouped_rivals(turn, groups, each) for turn in range(80))]
    assert sum(map(refused, found)) <= binom.ppf(0.9999, 80, 0.05)


def test_a_class_lost_in_most_of_its_groups_is_seen():
    found = [recall_losses(labels, before, after, list("abcde"), whose) for labels, before, after, whose in (grouped_rivals(turn, 100, 5, worse=0.8) for turn in range(20))]
    assert np.mean([refused(losses) and losses[0]["class"] == "a" for losses in found]) >= 0.9


def test_groups_of_one_row_are_rows_and_two_groups_prove_nothing():
    labels, before, after = rivals(5, 6, 40, lost=0.4)
    plain, alone = (({row["class"]: row["p"] for row in recall_losses(labels, before, after, list("abcdef"), whose)}) for whose in (None, np.arange(len(labels))))
    assert all(abs(plain[name] - alone[name]) < 0.05 for name in plain)
    whose = np.arange(len(labels)) % 2
    assert not refused(recall_losses(labels, labels, (labels + 1) % 6, list("abcdef"), whose))


@pytest.mark.parametrize("classes", [2, 3])
def test_guessing_is_not_promoted_where_there_is_no_champion(classes):
    promoted = 0
    for turn in range(100):
        random = np.random.default_rng(turn)
        labels = random.integers(0, classes, 100)
        said, always = np.eye(classes)[random.integers(0, classes, 100)]*0.5 + 0.5/classes, np.tile(np.full(classes, 1/classes), (100, 1))
        always[:, 0] += 1e-9
        metric = "log_loss" if classes == 2 else "accuracy"
        lead = paired_interval(metric, labels, said, always, turn, 500)
        promoted += gate({"metric": metric, "score": 0.5, "constant": 0.5, "lead": lead, "accuracy": 0.5, "ms_alone": 1.0}, None).promote
    assert promoted <= binom.ppf(0.9999, 100, 0.025)


def test_a_retrained_model_that_is_no_different_has_a_fair_chance():
    "Both answer at temperatures of the other half, as 08 has it; a champion at its own would win nearly always."
    gains, before = [], []
    for turn in range(40):
        random = np.random.default_rng(turn)
        truth = random.normal(0, 1.5, 300)
        labels = (random.random(300) < 1/(1 + np.exp(-truth))).astype(int)
        champion, challenger = ((lambda share: np.stack([1 - share, share], 1))(1/(1 + np.exp(-1.6*(truth + 0.1*random.normal(size=300))))) for _ in range(2))
        gains.append(row_losses(labels, cross_fitted(labels, challenger)).mean() <= row_losses(labels, cross_fitted(labels, champion)).mean())
        before.append(row_losses(labels, cross_fitted(labels, challenger)).mean() <= row_losses(labels, at_temperature(champion, fit_temperature(labels, champion))).mean())
    assert 0.25 < np.mean(gains) < 0.75 and np.mean(before) < 0.25
    source = (project_root()/"nbs"/"08_registry.ipynb").read_text()
    assert "duel.answers(predictor)" in source and "duel.against(rival, previous, answers)" in source and "rival.predict_proba" not in source
    assert "self.answers(champion)" in getsource(Duel.against) and "cross_fitted" in getsource(Duel.answers)
