"""Intervals hold what they say they hold, stand still when the seed changes, and belong to positions."""
import re

import numpy as np
import pandas as pd
import pytest

from fashion_mlops.evaluation.calibration import at_temperature, compare_rules, cross_fitted, fit_temperature
from fashion_mlops.search.leaderboard import difference, vouched
from fashion_mlops.evaluation.metrics import calibration_estimate, classification_metrics, difference_interval, mean_interval, metric_intervals, paired_interval, shown


def drawn(rows, classes, seed, temperature=1.0):
    "Labels of an honest model, and what it says at another temperature."
    draws = np.random.default_rng(seed)
    true = draws.dirichlet(np.full(classes, 0.3), rows)
    return (true.cumsum(1) < draws.random(rows)[:, None]).sum(1).clip(0, classes - 1), at_temperature(true, temperature)


@pytest.mark.parametrize("classes, rows", [(10, 2000), (2, 2000), (10, 200), (2, 200)])
def test_an_honest_model_is_not_called_dishonest(classes, rows):
    found = np.array([calibration_estimate(*drawn(rows, classes, seed)) for seed in range(25)])
    assert (found[:, 1] == 0).sum() >= 21, "the true error, 0, lies in 95 % of the intervals"
    assert found[:, 0].mean() < 0.5/rows**0.5, "about half of what chance alone shows"
    assert ((found[:, 1] <= found[:, 0]) & (found[:, 0] <= found[:, 2])).all()


@pytest.mark.parametrize("classes", [10, 2])
def test_the_error_of_a_boastful_model_lies_in_its_interval(classes):
    labels, said = drawn(100_000, classes, 99, 0.5)
    true = calibration_estimate(labels, said)[0]
    found = np.array([calibration_estimate(*drawn(1000, classes, seed, 0.5)) for seed in range(25)])
    assert true > 0.05 and (found[:, 1] > 0).all()
    assert ((found[:, 1] <= true) & (true <= found[:, 2])).sum() >= 21
    assert abs(found[:, 0].mean() - true) < 0.01


def test_rows_that_belong_together_say_less_about_calibration():
    labels, said = drawn(60, 5, 1, 0.7)
    labels, said, patients = np.repeat(labels, 20), np.repeat(said, 20, axis=0), np.repeat(np.arange(60), 20)
    alone, together = calibration_estimate(labels, said), calibration_estimate(labels, said, patients)
    assert together[2] - together[1] > 1.5*(alone[2] - alone[1])
    assert calibration_estimate(labels[:20], said[:20], patients[:20])[1:] == (0.0, 1.0), "one patient says nothing about others"


@pytest.mark.parametrize("patients, power", [(8, 1.0), (30, 1.0), (30, 2.0)])
def test_a_patient_with_one_probability_and_one_outcome_is_one_answer(patients, power):
    def world(seed, count):
        draws = np.random.default_rng(seed)
        true = draws.uniform(0.02, 0.98, count)
        said = true**power/(true**power + (1 - true)**power)
        return (draws.random(count) < true).astype(int), np.stack([1 - said, said], 1)
    true = calibration_estimate(*world(99, 200_000))[0] if power > 1 else 0.0
    found = np.array([calibration_estimate(np.repeat(labels, 20), np.repeat(said, 20, axis=0), np.repeat(np.arange(patients), 20)) for labels, said in (world(seed, patients) for seed in range(25))])
    assert ((found[:, 1] <= true) & (true <= found[:, 2])).sum() >= 21
    assert ((found[:, 1] <= found[:, 0]) & (found[:, 0] <= found[:, 2])).all()


@pytest.mark.parametrize("patients", [1, 2, 3, 5])
def test_coins_are_not_shown_to_know_more_than_a_constant(patients):
    whose, known = np.repeat(np.arange(patients), 30), 0
    for seed in range(60):
        draws = np.random.default_rng(seed)
        labels, sure = draws.integers(0, 2, patients)[whose], draws.uniform(0.7, 0.9, len(whose))
        said = np.where(draws.integers(0, 2, patients)[whose] == 1, sure, 1 - sure)
        for metric in ("log_loss", "accuracy"):
            _, low, high = paired_interval(metric, labels, np.stack([1 - said, said], 1), np.full((len(whose), 2), 0.5), 0, 100, whose)
            known += not low <= 0 <= high
    assert known == 0


def test_no_end_of_a_difference_is_cut_off_before_nothing():
    gains, sites = np.r_[np.full(15, 0.3), np.full(15, 0.1)], np.repeat([0, 1], 15)
    for found in (mean_interval, vouched): assert found(gains, clusters=sites)[1] == 0 == -found(-gains, clusters=sites)[2]
    assert mean_interval(gains[:15], clusters=sites[:15]) == (pytest.approx(0.3), 0, 0.3)
    labels, right, wrong = np.arange(40) % 2, np.eye(2)[np.arange(40) % 2], np.eye(2)[1 - np.arange(40) % 2]
    better = np.where(np.arange(40)[:, None] < 10, wrong, right)
    assert paired_interval("accuracy", labels, right, better, clusters=np.zeros(40))[1] < 0, "one site says nothing about others"


@pytest.mark.parametrize("rows, classes", [(1, 2), (2, 3), (7, 2), (40, 10), (40, 200)])
def test_few_rows_and_absent_classes_have_intervals_too(rows, classes):
    labels, said = drawn(rows, classes, 3)
    whole, intervals = classification_metrics(labels, said), metric_intervals(labels, said)
    for name, (low, high) in intervals.items(): assert np.isnan(low) == np.isnan(whole[name]) and not low > high


@pytest.mark.parametrize("rows, classes", [(150, 3), (1000, 10), (120, 2)])
def test_the_last_decimal_that_is_printed_stands(rows, classes):
    labels, said = drawn(rows, classes, 5)
    whole, first, second = classification_metrics(labels, said), metric_intervals(labels, said, 1), metric_intervals(labels, said, 2)
    for name in whole:
        texts = [re.findall(r"-?\d+\.\d+", shown(whole[name], ends[name]))[1:] for ends in (first, second)]
        last = 10.0**-min(len(text.split(".")[1]) for pair in texts for text in pair)
        assert all(abs(float(a) - float(b)) < 2.5*last for a, b in zip(*texts)), (name, texts)


def test_labels_are_joined_to_probabilities_by_position():
    labels, said = drawn(300, 3, 8)
    other = pd.Series(labels, index=np.random.default_rng(0).permutation(300)*2)
    assert metric_intervals(other, said, resamples=50) == metric_intervals(labels, said, resamples=50)
    assert classification_metrics(other, said) == classification_metrics(labels, said)
    blurred = at_temperature(said, 2.0)
    for metric in ("macro_f1", "log_loss", "accuracy"): assert paired_interval(metric, other, said, blurred, resamples=50) == paired_interval(metric, labels, said, blurred, resamples=50)
    assert fit_temperature(other, said) == fit_temperature(labels, said)
    np.testing.assert_array_equal(cross_fitted(other, said), cross_fitted(labels, said))
    pd.testing.assert_frame_equal(compare_rules(other, said, list("abc")), compare_rules(labels, said, list("abc")))


@pytest.mark.parametrize("classes, rows", [(10, 4), (50, 3), (100, 2)])
def test_macro_f1_of_small_classes_lies_where_it_is(classes, rows):
    labels, inside, around = np.repeat(np.arange(classes), rows), 0, 0
    for seed in range(40):
        draws = np.random.default_rng(seed)
        answers = np.where(draws.random(len(labels)) < 0.9, labels, (labels + draws.integers(1, classes, len(labels))) % classes)
        said = np.eye(classes)[answers]
        low, high = metric_intervals(labels, said, seed, 200)["macro_f1"]
        inside += low <= 0.901 <= high # the truth, which millions of rows show
        around += low <= classification_metrics(labels, said)["macro_f1"] <= high
    assert inside >= 35 and around == 40


def test_macro_f1_of_small_classes_with_clusters_and_of_two_models():
    draws, labels = np.random.default_rng(0), np.repeat(np.arange(50), 3)
    first, second = (np.eye(50)[np.where(draws.random(150) < share, labels, draws.integers(0, 50, 150))] for share in (0.9, 0.6))
    low, high = metric_intervals(labels, first, 0, 200, clusters=np.arange(150)//2)["macro_f1"]
    assert low < classification_metrics(labels, first)["macro_f1"] < high
    change, low, high = paired_interval("macro_f1", labels, first, second, 0, 200)
    assert 0.1 < low < change < high and abs((low + high)/2 - change) < 0.03


def test_a_class_without_rows_is_nobodys_fault():
    labels = np.arange(9).repeat(20)
    perfect = np.eye(10)[labels]
    assert classification_metrics(labels, perfect)["macro_f1"] == 1 and metric_intervals(labels, perfect, resamples=50)["macro_f1"] == (1 - 3/180, 1)


def test_all_right_is_not_certain_by_whatever_way():
    right, of_ten = np.ones(40, bool), np.arange(40)//4
    for values in (right, right.astype(float), right.astype(int)):
        assert mean_interval(values) == vouched(values) == (1, 1 - 3/40, 1)
        assert mean_interval(values, clusters=of_ten) == (1, 0.7, 1) and vouched(values, clusters=of_ten)[1] < 0.7
    assert mean_interval(~right) == (0, 0, 3/40)
    assert mean_interval(np.zeros(40)) == (0, 0, 0)
    assert metric_intervals(np.arange(40) % 2, np.eye(2)[np.arange(40) % 2])["accuracy"] == mean_interval(right)[1:]


@pytest.mark.parametrize("rows", [30, 50, 200, 1000])
@pytest.mark.parametrize("gain", [0, 0.01, 0.03])
def test_a_difference_of_right_and_wrong_is_covered_also_where_no_row_shows_it(rows, gain):
    "Rows of which one model alone has 1 % right, and the other 1 % and what it gains; the interval is one of 95 %."
    luck, labels, covered = np.random.default_rng(rows).uniform(size=(1500, rows)), np.ones(rows, int), 0
    for row in luck: # both models are always sure, so that they often say the very same of all rows
        first, second = (np.stack([~right, right], 1).astype(float) for right in (row < 0.01 + gain, row > 0.99))
        mean, low, high = paired_interval("accuracy", labels, first, second)
        covered += low <= gain <= high
        assert low <= mean <= high and low < high
    assert covered/len(luck) > 0.93


def test_no_group_that_differs_is_no_proof_and_one_gain_in_all_rows_may_be_a_loss():
    right, none, groups = np.ones(60, bool), np.zeros(60, bool), np.arange(60)//6
    for found in (difference_interval, difference): assert found(right, right.copy(), clusters=groups)[1] < -0.2
    few = np.arange(200)//5
    for wins in (0, 1, 3): # whole groups say no more than single rows do: three that only one model has right prove nothing
        assert difference_interval(np.isin(few, range(wins)), np.zeros(200, bool), clusters=few)[1] < 0
    assert difference_interval(right, none)[1] < 1 == difference_interval(right, none)[2]
    one_more = np.arange(60) == 0
    for found in (difference_interval, difference): assert found(one_more, none)[1] < 0 < found(one_more, none)[2]


@pytest.mark.parametrize("off", [0.1, -0.1])
def test_the_second_class_said_too_often_is_an_error_on_both_sides(off):
    draws = np.random.default_rng(0)
    often = draws.uniform(0.15, 0.85, 20_000)
    labels = (draws.random(20_000) < often - off).astype(int)
    point, low, high = calibration_estimate(labels, np.stack([1 - often, often], 1))
    assert low < 0.1 < high and abs(point - 0.1) < 0.01
