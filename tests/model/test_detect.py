"""What an answer of `drift/detect` must not depend on."""
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fashion_mlops.drift.detect import detect
from fashion_mlops.drift.observed import Observed


def world(rows: int, seed: int, moved: float = 0.0) -> Observed:
    "Rows of an invented world with two classes."
    random = np.random.default_rng(seed)
    size = random.normal(size=rows)
    sure = 1/(1 + np.exp(-2*size))
    table = pd.DataFrame({"size": size, "weight": size + random.gamma(2, size=rows) + moved, "shop": random.choice(list("abc"), rows)})
    return Observed(table, np.column_stack([1 - sure, sure]).astype(np.float32), ["bag", "boot"])


def in_other_units(rows: Observed) -> Observed:
    "The same rows, weighed in another unit, in shops with other names."
    return replace(rows, table=rows.table.assign(weight=1024*rows.table.weight, shop="shop " + rows.table.shop))


@pytest.mark.parametrize("moved", [0.0, 1.2])
def test_order_units_and_names_change_nothing(moved):
    steady, window = world(600, 1), world(120, 2, moved)
    found = detect(steady, window, rate=0.05, draws=199)
    mixed = detect(steady, window.at(np.random.default_rng(3).permutation(120)), rate=0.05, draws=199)
    other = detect(in_other_units(steady), in_other_units(window), rate=0.05, draws=199)
    assert found.changed == (moved > 0)
    assert mixed.p == pytest.approx(found.p, abs=0.006) and other.p == pytest.approx(found.p, abs=0.011)
    assert set(found.columns.column[found.columns.drifted]) <= set(found.columns.column) and (found.changed or not found.columns.drifted.any())


@pytest.mark.parametrize("reference, current", [(1, 1), (3, 500), (60, 2), (250, 1), (250, 2000)])
def test_every_size_has_an_answer(reference, current):
    found = detect(world(reference, 4), world(current, 5), rate=0.05, draws=99)
    assert 0 < found.p <= 1 and found.tests.p.between(0, 1, inclusive="right").all()
    assert np.isfinite(found.columns[["distance", "alarm_line", "score"]].to_numpy()).all()
    assert found.changed == found.tests.rang.any() and not (found.deaf and found.changed)


def test_a_column_that_vanished_is_noticed():
    steady, window = world(400, 6), world(80, 7)
    assert detect(steady, replace(window, table=window.table.assign(weight=np.nan)), draws=199, rate=0.05).changed


def asked_at_once(rows: int, seed: int, common: float) -> Observed:
    "Requests of 25 rows; `common` is the share of the weight's variance that rows of one request have in common."
    one, random = world(rows, seed), np.random.default_rng(seed)
    weight = random.normal(size=rows)*np.sqrt(1 - common) + np.repeat(random.normal(size=rows//25), 25)*np.sqrt(common)
    return replace(one, table=one.table.assign(weight=weight), together=np.repeat(np.arange(rows//25), 25))


@pytest.mark.parametrize("common, counted", [(0.0, 400), (0.5, 16)])
def test_rows_of_a_request_that_are_alike_count_once(common, counted):
    steady, window = replace(asked_at_once(1000, 8, 0), together=None), asked_at_once(400, 9, common)
    found = detect(steady, window, rate=0.05, draws=199)
    assert found.rows[1] == counted and ("one of each counts" in found.note) == (counted < 400)


def test_customers_in_one_window_only_still_belong_together():
    single, steady = asked_at_once(400, 10, 0.5), replace(asked_at_once(1000, 11, 0), together=None)
    found = detect(single, steady.at(np.arange(300)), rate=0.05, draws=199)
    assert found.rows == (16, 160) and not found.deaf # one row of each customer, and ten times as many beside them
