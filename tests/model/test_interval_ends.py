"Intervals hold what counting each sample by hand gives."
import numpy as np
import pytest

from fashion_mlops.evaluation.metrics import classification_metrics, enough, interval_ends, metric_intervals, resample_weights


def answers(rows, classes, step=None):
    draws = np.random.default_rng(rows)
    labels, said = draws.integers(0, classes, rows), draws.dirichlet(np.ones(classes), rows)
    said[np.arange(rows), labels] += 0.6
    said /= said.sum(1, keepdims=True)
    return labels, said if step is None else np.round(said, step)


@pytest.mark.parametrize("classes, step, together", [(2, None, False), (2, 1, False), (2, 1, True), (3, None, True)])
def test_the_ends_are_those_of_samples_that_are_put_together(classes, step, together):
    labels, said = answers(90, classes, step)
    clusters = np.arange(90)//6 if together else None
    found = [classification_metrics(np.repeat(labels, often), np.repeat(said, often, axis=0))
             for block in resample_weights(90, 3, 200, clusters) for often in block.astype(int)]
    whole, ends = classification_metrics(labels, said), metric_intervals(labels, said, 3, 200, clusters)
    for name in set(whole) - {"calibration_error"}:
        by_hand = interval_ends(whole[name], np.array([one[name] for one in found]), clusters, (0.0, 40.0 if name == "log_loss" else 1.0))
        np.testing.assert_allclose(ends[name], by_hand, atol=1e-5)


def test_fewer_samples_where_rows_are_many():
    assert [enough(rows) for rows in (600, 12_000, 1_000_000)] == [10_000, 2000, 1000]
