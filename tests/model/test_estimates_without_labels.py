"""What estimates without labels may not do: promise more than one knows of classes that the reference lacks, of rows of one request, of ends that cross."""
import numpy as np
import pandas as pd

from fashion_mlops.drift.class_mix import answers_at
from fashion_mlops.drift.estimation import _with_ends, estimate_performance
from fashion_mlops.drift.finding import worsening
from fashion_mlops.drift.label_shift import label_shift
from fashion_mlops.drift.observed import Observed


def answered(labels, sure, random, classes, together=None):
    "Invented answers: the true class as often as the answer says so."
    said = np.where(random.random(len(labels)) < sure, labels, random.integers(0, len(classes), len(labels)))
    answers = np.full((len(labels), len(classes)), (1 - sure)/len(classes))
    answers[np.arange(len(labels)), said] += sure
    table = pd.DataFrame({"size": random.normal(size=len(labels))})
    return Observed(table, answers.astype(np.float32), classes, labels, together=together)

def test_a_class_that_the_reference_lacks_is_no_loss_of_accuracy():
    random, classes = np.random.default_rng(1), ["a", "b", "c"]
    reference = answered(random.integers(0, 2, 600), 0.9, random, classes)
    labels = random.choice([0, 1, 2], 600, p=[0.35, 0.35, 0.3])
    current = answered(labels, 0.9, random, classes)
    found = estimate_performance(reference, current)
    assert found.accuracy[0] > 0.85, found.accuracy
    share = found.by_class.set_index("class").loc["c"]
    assert share["share_low"] <= 0.3 <= share["share_high"], share

def test_ends_do_not_cross():
    for value in (1.05, 0.99, -0.1, 0.5):
        found, low, high = _with_ends(value, (0.05, 0.01), (0.0, 1.0))
        assert 0 <= low <= found <= high <= 1

def test_rows_of_one_request_count_once():
    random, classes = np.random.default_rng(2), ["a", "b"]
    labels = random.integers(0, 2, 1000)
    reference = answered(labels, 0.9, random, classes)
    alone = estimate_performance(reference, answered(labels, 0.9, random, classes)).by_class
    together = estimate_performance(reference, answered(labels, 0.9, random, classes, np.arange(1000)//25)).by_class
    wide = (together.share_high - together.share_low)/(alone.share_high - alone.share_low)
    assert (wide > 2).all(), wide

def test_a_class_that_stays_is_seldom_said_to_change():
    random, k = np.random.default_rng(3), 10
    classes, before = [f"c{n}" for n in range(k)], np.full(k, 0.1)
    now, wrong, found = before.copy(), 0, 0
    now[:2] = 0.17, 0.03
    for _ in range(6):
        windows = [answered(random.choice(k, 800, p=shares), 0.8, random, classes) for shares in (before, now)]
        changed = label_shift(*windows, rate=0.05, draws=40).table.changed.to_numpy(bool)
        wrong, found = wrong + changed[2:].any(), found + changed[:2].any()
    assert wrong <= 2 and found >= 4, (wrong, found)

def test_certain_answers_of_a_class_without_a_share_stay_answers():
    answers = np.array([[1.0, 0.0, 0.0], [0.0, 0.6, 0.4], [0.2, 0.2, 0.6]])
    weighed = answers_at(answers, np.array([0.0, 0.5, 0.5]))
    assert np.isfinite(weighed).all() and np.allclose(weighed.sum(1), 1), weighed

def overlapping(rows, share, random, slope=1.5):
    "Two classes that overlap, with the answers that are right at even shares, and one watched number."
    labels = (random.random(rows) < share).astype(int)
    seen = random.normal(size=rows) + labels*slope
    second = 1/(1 + np.exp(-slope*(seen - slope/2)))
    return Observed(pd.DataFrame({"size": labels*0.2 + random.normal(size=rows)}), np.stack([1 - second, second], 1).astype(np.float32), ["kept", "returned"], labels)

def test_shares_that_cannot_be_read_off_make_the_interval_reach_them():
    random, held, calm = np.random.default_rng(5), 0, 0
    for _ in range(40):
        reference, window = overlapping(1500, 0.2, random, 0.9), overlapping(400, 0.35, random, 0.9)
        found, true = estimate_performance(reference, window), (window.said == window.labels).mean()
        held += found.accuracy[1] <= true <= found.accuracy[2]
        calm += worsening(found.change, 0.01) in ("no", "little") and true - found.before[0] < found.change[1]
    assert held >= 34 and calm <= 2, (held, calm)

def test_columns_that_moved_without_a_sign_in_the_answers_leave_more_open():
    random = np.random.default_rng(6)
    reference, window = (overlapping(1500, 0.2, random) for _ in range(2))
    moved = Observed(window.table + 2, window.probabilities, window.classes, window.labels)
    still, shifted = (estimate_performance(reference, each) for each in (window, moved))
    widths = [each.accuracy[2] - each.accuracy[1] for each in (still, shifted)]
    assert widths[1] > 1.5*widths[0], widths
    assert shifted.accuracy[0] - shifted.accuracy[1] > shifted.accuracy[2] - shifted.accuracy[0] # mostly towards worse

def test_the_change_is_stated_as_openly_as_the_accuracy():
    random = np.random.default_rng(7)
    found = estimate_performance(*(overlapping(800, 0.2, random) for _ in range(2)))
    assert np.allclose(np.subtract(found.accuracy, found.before[0]), found.change)
