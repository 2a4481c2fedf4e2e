"""Rows that belong together are dealt, flipped and drawn as wholes: what is stated holds for them too."""
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from fashion_mlops.evaluation.calibration import conformal_threshold, coverage_report, prediction_sets, promised_range
from fashion_mlops.datasets.catalogue import make_samples
from fashion_mlops.drift.distances import MOST, TIMES, compare
from fashion_mlops.evaluation.curves import by_class, hits_interval, rows_worth
from fashion_mlops.drift.performance import score_change
from fashion_mlops.drift.windows import dealt_in_two
from fashion_mlops.samples.samples import rows_digest


def window(random, groups: int, each) -> tuple[pd.DataFrame, np.ndarray]:
    "Rows of groups that have ways of their own, and the group of each."
    whose = np.repeat(np.arange(groups), each)
    return pd.DataFrame({f"c{i}": (0.7*random.normal(size=groups))[whose] + 0.7*random.normal(size=len(whose)) for i in range(3)}), whose


@pytest.mark.parametrize("one, other", [((20, 10), (20, 10)), ((20, 10), (30, 2)), ((12, 50), (40, 1))])
def test_new_groups_of_the_same_population_ring_as_stated(one, other):
    rings = 0
    for turn in range(80):
        random = np.random.default_rng([turn, 1])
        (reference, whose), (current, of_whom) = window(random, *one), window(random, *other)
        rings += compare(reference, current, 0.05, 59, turn, (whose, of_whom)).drifted > 0
    assert rings <= binom.ppf(0.9999, 80, 0.05), f"{rings} of 80 rang, stated were 4"


def test_groups_of_every_size_ring_as_stated_and_changes_are_heard():
    rings = heard = 0
    for turn in range(60):
        random = np.random.default_rng([turn, 2])
        (reference, whose), (current, of_whom) = (window(random, count, random.geometric(0.2, count)) for count in (30, 20))
        rings += compare(reference, current, 0.05, 59, turn, (whose, of_whom)).drifted > 0
        heard += compare(reference, current + 2, 0.05, 59, turn, (whose, of_whom)).drifted > 0
    assert rings <= binom.ppf(0.9999, 60, 0.05) and heard == 60


def test_neither_names_of_groups_nor_the_order_of_rows_decide():
    random = np.random.default_rng(3)
    (reference, whose), (current, of_whom) = window(random, 12, 6), window(random, 9, 6)
    plain = compare(reference, current, together=(whose, of_whom))
    named = compare(reference, current, together=(whose*7 - 3, of_whom + 1000))
    order = random.permutation(len(reference))
    turned = compare(reference.iloc[order], current, together=(whose[order], of_whom))
    assert plain.p == named.p and abs(plain.p - turned.p) < 0.05 and plain.dealt == (12, 9)
    alone = compare(reference, current, 0.05, 199, together=(np.arange(len(reference)), np.arange(len(current)))) # groups of one row each are rows
    assert abs(alone.p - compare(reference, current, 0.05, 199).p) < 0.1


def test_few_groups_never_ring_however_many_rows_they_have():
    random = np.random.default_rng(4)
    (reference, whose), (current, of_whom) = window(random, 3, 100), window(random, 3, 100)
    found = compare(reference, current + 9, together=(whose, of_whom))
    assert found.drifted == 0 and "3 and 3 groups are too few" in found.note
    (reference, whose), (current, of_whom) = window(random, 400, 40), window(random, 6, 3000)
    found = compare(reference, current, 0.05, 39, together=(whose, of_whom))
    assert found.dealt == (6*TIMES, 6) and max(found.rows) <= MOST


def test_what_can_never_ring_does_not_ring():
    for seed in range(12): # of 91 divisions of these the windows are the rarest, which 999 draws meet 11 times, or 8
        random = np.random.default_rng([seed, 8])
        found = compare(pd.DataFrame({"a": random.normal(size=12)}), pd.DataFrame({"a": random.normal(9, 1, 2)}), 0.01, 999, seed)
        assert found.deaf and found.drifted == 0 and found.score <= 1 and "too few to watch" in found.note


def test_halves_share_no_group():
    whose = np.random.default_rng(5).integers(0, 11, 200)
    for seed in range(5):
        one, other = dealt_in_two(np.arange(1000, 1200), seed, whose)
        assert not set(whose[one - 1000]) & set(whose[other - 1000]) and len(one) + len(other) == 200
    one, other = dealt_in_two(np.arange(8), 0, np.zeros(8)) # a single group leaves nothing to deal
    assert len(one) == len(other) == 4


@pytest.mark.parametrize("kind", ["shares", "numbers"])
def test_no_change_lies_in_the_interval_of_a_change(kind):
    missed = 0
    for turn in range(300):
        random, whose = np.random.default_rng([turn, 6]), np.repeat(np.arange(20), 10)
        def scores():
            level = np.repeat(random.beta(4, 1, 20), 10)
            return random.random(200) < level if kind == "shares" else level + 0.1*random.normal(size=200)
        _, low, high = score_change(scores(), scores(), (whose, whose))
        missed += not low <= 0 <= high
    assert missed <= binom.ppf(0.9999, 300, 0.05)


def test_a_share_of_groups_is_worth_as_many_rows_as_it_says():
    whose, right = np.repeat(np.arange(30), 8), np.repeat(np.arange(30) % 6 > 0, 8)
    assert 20 < rows_worth(right, whose) < 30 and rows_worth(right, np.arange(240)) == pytest.approx(240, rel=0.03)
    assert hits_interval(right, whose)[0] < hits_interval(right)[0] and hits_interval(right, np.zeros(240)) == (0, 1)
    assert hits_interval(np.array([], bool), np.array([])) == (0, 1)
    alone, together = (by_class(np.zeros(240, int), (~right).astype(int), ["a"], clusters)[0] for clusters in (None, whose))
    assert alone["recall"] == together["recall"] and together["recall_low"] < alone["recall_low"]


def test_a_kept_promise_is_not_called_broken():
    "A threshold of 100 calibration rows keeps a little more or less than 90 %: both are what a kept promise gives."
    outside = narrow = 0
    for turn in range(200):
        random = np.random.default_rng([turn, 7])
        said = random.random((100 + 2000, 2))
        labels, said = np.zeros(2100, int), said/said.sum(1, keepdims=True)
        sets = prediction_sets(said[100:], conformal_threshold(labels[:100], said[:100], 0.9))
        found, (low, high) = coverage_report(labels[100:], sets, ["a", "b"]), promised_range(0.9, 100, 2000)
        outside += not low <= found["coverage"] <= high
        narrow += not found["low"] <= 0.9 <= found["high"] # what stood here before
    assert outside <= binom.ppf(0.9999, 200, 0.05) < narrow


def test_the_same_test_rows_are_counted_however_the_others_are_divided():
    for name, rows in (("synthetic", 200), ("synthetic_orders", 200)):
        one, other = (make_samples(name, rows, size, 42) for size in (0.1, 0.15))
        assert one.digest != other.digest and rows_digest(one) == rows_digest(other)
        assert rows_digest(one) != rows_digest(make_samples(name, rows, 0.1, 43)) != rows_digest(one, "valid")
