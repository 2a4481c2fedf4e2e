"""The drift alarm keeps its promise whatever the columns hold, and still hears what has changed."""
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from fashion_mlops.core import WorkflowError
from fashion_mlops.drift.distances import MOST, TIMES, compare, distances, divisions, draw_alarm, draw_scores, too_few

KINDS = {"normal": lambda random, rows: random.normal(size=rows), "heavy": lambda random, rows: random.standard_t(2, rows),
         "rare flag": lambda random, rows: (random.random(rows) < 0.02).astype(float), "constant but for a row": lambda random, rows: (random.random(rows) < 0.005).astype(float),
         "rare level": lambda random, rows: np.where(random.random(rows) < 0.03, "rare", "usual"), "many levels": lambda random, rows: random.integers(0, 40, rows).astype(str),
         "mostly zero": lambda random, rows: np.maximum(random.normal(size=rows) - 1.5, 0), "yes or no": lambda random, rows: random.random(rows) < 0.1,
         "lone giants": lambda random, rows: np.where(random.random(rows) < 0.01, 1e12, random.normal(size=rows))}


def window(kind: str, random, rows: int, columns: int = 2) -> pd.DataFrame:
    return pd.DataFrame({f"c{i}": KINDS[kind](random, rows) for i in range(columns)})


@pytest.mark.parametrize("kind", KINDS)
def test_windows_without_drift_ring_as_rarely_as_stated(kind):
    rings = 0
    for turn in range(100):
        random = np.random.default_rng([turn, 3])
        rings += compare(window(kind, random, 90), window(kind, random, 40), 0.05, 59, seed=turn).drifted > 0
    assert rings <= binom.ppf(0.9999, 100, 0.05), f"{rings} of 100 rang, stated were 5"


@pytest.mark.parametrize("kind", ["normal", "heavy", "mostly zero", "many levels"])
def test_windows_that_have_changed_ring(kind):
    random = np.random.default_rng(1)
    reference, current = window(kind, random, 400), window(kind, random, 200)
    moved = current.assign(c1="new" if kind == "many levels" else current.c1 + 1.0)
    found = compare(reference, moved)
    assert found.table.column[found.table.drifted].tolist() == ["c1"] and found.p <= 0.002
    assert compare(reference, current).drifted == 0


def test_what_the_reference_lacks_neither_rings_by_chance_nor_is_missed():
    random = np.random.default_rng(2)
    reference, current = pd.DataFrame({"flag": np.zeros(200)}), pd.DataFrame({"flag": (np.arange(100) == 7).astype(float)})
    lone = compare(reference, current)
    assert lone.drifted == 0 and lone.p > 0.2 # one odd row lies in a window of a third of the rows in a third of all cases
    assert compare(reference, pd.DataFrame({"flag": (random.random(100) < 0.2).astype(float)})).drifted == 1
    assert compare(reference, reference.iloc[:80] + 1).p == 0.001 # a constant that has become another one


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e-300, 1e300, "same", None, True])
def test_a_column_that_never_differs_has_no_say(constant):
    random = np.random.default_rng(8)
    reference, current = window("normal", random, 73), window("normal", random, 80)
    plain, beside = compare(reference, current), compare(reference.assign(flat=constant), current.assign(flat=constant))
    assert beside.table.set_index("column").loc["flat", ["distance", "score"]].tolist() == [0.0, 0.0]
    assert (beside.p, beside.score) == (plain.p, plain.score)


def test_neither_order_nor_units_of_rows_count():
    random = np.random.default_rng(3)
    reference, current = window("heavy", random, 150), window("heavy", random, 70)
    both = pd.concat([reference, current], ignore_index=True)
    order = random.permutation(len(both))
    inside = divisions(150, 70, 5)
    np.testing.assert_allclose(distances(both, inside), distances(both.iloc[order], inside[order]), rtol=1e-4)
    plain, scaled = compare(reference, current), compare(reference*1e6 - 3, current*1e6 - 3)
    np.testing.assert_allclose(plain.table.sort_values("column").score, scaled.table.sort_values("column").score, rtol=1e-3)
    assert abs(plain.p - scaled.p) < 0.005
    exchanged = compare(current, reference)
    np.testing.assert_allclose(exchanged.table.sort_values("column").distance, plain.table.sort_values("column").distance, rtol=1e-4)


@pytest.mark.parametrize("sizes", [(1, 1), (1, 2), (2, 1), (3, 3), (1, 90), (4, 5), (5, 5)])
def test_a_few_rows_get_a_sentence_and_never_nan(sizes):
    random = np.random.default_rng(4)
    table = pd.DataFrame({"number": random.normal(size=sum(sizes)), "flat": 0.0, "word": "same"})
    found = compare(table.iloc[:sizes[0]], table.iloc[sizes[0]:].assign(number=99.0))
    assert np.isfinite(found.table[["distance", "alarm_line", "score"]].to_numpy()).all() and np.isfinite(found.null).all()
    assert (found.drifted == 0) == (found.p > 0.01)
    if too_few(*sizes, 0.01): assert found.drifted == 0 and "can never ring" in found.note and "5 rows in each window" in found.note
    import matplotlib.pyplot as plt
    for figure in (draw_alarm({"clean": found}), draw_scores({"clean": found.table})): plt.close(figure)


def test_the_least_rows_are_enough():
    assert too_few(4, 4, 0.01) and not too_few(5, 5, 0.01)
    apart = compare(pd.DataFrame({"x": np.arange(5.0)}), pd.DataFrame({"x": np.arange(5.0) + 100}), draws=1999)
    assert apart.drifted == 1


def test_many_rows_are_drawn_from_and_this_is_said():
    random = np.random.default_rng(5)
    found = compare(pd.DataFrame({"x": random.normal(size=40_000)}), pd.DataFrame({"x": random.normal(size=30)}), draws=199)
    assert found.rows == (30*TIMES, 30) and "300 of 40,000 reference rows" in found.note
    found = compare(pd.DataFrame({"x": random.normal(size=9000)}), pd.DataFrame({"x": random.normal(size=9000) + 0.2}), draws=199)
    assert found.rows == (MOST, MOST) and found.drifted == 1


def test_the_same_seed_gives_the_same_answer():
    random = np.random.default_rng(6)
    reference, current = window("heavy", random, 150), window("heavy", random, 70)
    first, second = compare(reference, current, seed=1), compare(reference, current, seed=1)
    pd.testing.assert_frame_equal(first.table, second.table)
    assert first.p == second.p and (first.null == second.null).all() and (compare(reference, current, seed=2).null != first.null).any()


def test_fresh_divisions_ring_as_stated():
    from fashion_mlops.drift.detect import detect, rings_by_chance
    from fashion_mlops.drift.observed import Observed
    random = np.random.default_rng(7)
    def seen(rows, moved=0.0):
        share = random.uniform(0.1, 0.9, rows).astype(np.float32)
        return Observed(window("rare flag", random, rows, 6) + moved, np.stack([1 - share, share], 1), ["a", "b"])
    for rows in (90, 300): # few rows are divided, of more a yardstick is made
        reference, current = seen(2*rows), seen(rows)
        assert rings_by_chance(reference, current, 0.05, 199, 200) <= binom.ppf(0.9999, 200, 0.05)
        assert detect(reference, seen(rows, 1.0), 0.05, 199).changed # and it is no alarm that never rings


def test_values_that_are_no_numbers_are_named():
    with pytest.raises(WorkflowError, match="'x' has 1 values that are missing or infinite"): compare(pd.DataFrame({"x": [1.0, np.inf]}), pd.DataFrame({"x": [1.0, 2.0]}))
    with pytest.raises(WorkflowError, match="the reference has 0"): compare(pd.DataFrame({"x": []}), pd.DataFrame({"x": [1.0]}))
    found = compare(pd.DataFrame({"word": ["a", None, "a"]*20}), pd.DataFrame({"word": [None]*60})) # a missing word is a word of its own
    assert found.drifted == 1


@pytest.mark.slow
def test_the_report_counts_as_we_do(tmp_path):
    from fashion_mlops.drift.evidently_report import drift_report
    random = np.random.default_rng(9)
    def watched(rows, moved=0.0):
        table = pd.concat([window(kind, random, rows, 1).rename(columns={"c0": kind}) for kind in ("normal", "heavy", "rare flag", "mostly zero")], axis=1)
        return table.assign(normal=table.normal + moved, flat=0.0, predicted_class=random.choice(["a", "b"], rows, p=[0.9, 0.1]), confidence=random.random(rows))
    for moved in (0.0, 1.5):
        reference, current = watched(200), watched(120, moved)
        found = compare(reference, current)
        assert drift_report(reference, current, found.table, "<Test>", tmp_path/"page.html") == found.drifted == (moved > 0)
    assert "&lt;Test&gt;" in (tmp_path/"page.html").read_text()
