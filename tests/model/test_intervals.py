"""Intervals hold what they say they hold, stand still when the seed changes, and belong to positions."""
import re

import numpy as np
import pandas as pd
import pytest

from fashion_mlops.calibration import at_temperature, compare_rules, cross_fitted, fit_temperature
from fashion_mlops.metrics import calibration_estimate, classification_metrics, metric_intervals, paired_interval, shown


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
