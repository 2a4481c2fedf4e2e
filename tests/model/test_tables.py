"""Laws of tables: what a model sees must not depend on what it is not given, and requests are checked."""
import numpy as np
import pandas as pd
import pytest

from fashion_mlops.core import WorkflowError
from fashion_mlops.datasets.catalogue import make_samples


@pytest.fixture(scope="module")
def orders():
    return make_samples("synthetic_orders", 900, 0.2, seed=3)


@pytest.fixture(scope="module")
def pipeline(orders):
    from fashion_mlops.tables.kind import fit_features, pipeline_for
    fitted = pipeline_for(orders)
    fit_features(fitted, orders)
    return fitted


def test_features_of_a_row_do_not_depend_on_the_others(orders, pipeline):
    rows = orders.at(orders.rows("valid"))
    assert np.allclose(pipeline.transform(rows)[:7], np.concatenate([pipeline.transform(rows.iloc[[i]]) for i in range(7)]), atol=1e-5)


def test_the_order_of_columns_does_not_matter_and_others_are_ignored(orders, pipeline):
    rows = orders.at(orders.rows("valid"))
    assert np.array_equal(pipeline.transform(rows), pipeline.transform(rows[rows.columns[::-1]].assign(more=1)))


def test_missing_and_unseen_values_give_finite_features(orders, pipeline):
    rows = orders.at(orders.rows("valid")[:5])
    for name in rows: assert np.isfinite(pipeline.transform(rows.assign(**{name: pd.Series([None]*5, dtype=rows[name].dtype)}))).all(), name
    assert np.isfinite(pipeline.transform(rows.assign(garment=pd.Categorical(["never seen"]*5)))).all()


def test_a_column_that_is_not_there_is_named(orders, pipeline):
    with pytest.raises(WorkflowError, match="price"): pipeline.transform(orders.at(orders.rows("valid")).drop(columns="price"))


def test_encodings_of_training_rows_do_not_see_their_own_target():
    "A category that is another one in each row says nothing, in training as later: an encoding that saw the row's own target would say all."
    from dataclasses import replace
    from fashion_mlops.tables.kind import fit_features, pipeline_for
    orders = make_samples("synthetic_orders", 900, 0.2, seed=4)
    table = orders.table.assign(supplier=pd.Categorical([f"u{i}" for i in range(len(orders))]))
    alone = replace(orders, inputs=table[["supplier"]], columns=[c for c in orders.columns if c.name == "supplier"])
    train = fit_features(pipeline_for(alone), alone)
    labels = alone.labels[alone.rows("train")]
    assert all(abs(np.nan_to_num(np.corrcoef(values, labels)[0, 1])) < 0.2 for values in train.T if values.std() > 0)


@pytest.mark.slow
def test_the_splits_of_earthquakes_are_consecutive(monkeypatch):
    import os
    if not os.environ.get("FASHION_MLOPS_MIRROR"): pytest.skip("needs the catalogue in a mirror")
    samples = make_samples("earthquakes", 0, 0.1, seed=0)
    times = [samples.table["time"].iloc[samples.rows(split)] for split in samples.splits]
    assert times[0].max() < times[1].min() and times[1].max() < times[2].min()
    assert not {"mag", "magType", "magError", "magNst"} & set(samples.table)


@pytest.fixture(scope="module")
def rows():
    "Rows that a small net learns from in a moment."
    draws = np.random.default_rng(3)
    return draws.normal(size=(200, 6)).astype(np.float32), draws.integers(0, 2, 200)


def test_a_net_goes_on_only_from_what_was_trained_with_the_same_rows_and_weights(rows, tmp_path):
    from fashion_mlops.nets.table_net import TableRecipe, TableTrainer
    features, labels = rows
    recipe = TableRecipe(epochs=2, width=8, members=2)
    TableTrainer(recipe, features, labels, 2).fit(tmp_path)
    for weights, those in ((np.array([1.0, 9.0]), labels), (None, labels[::-1])):
        with pytest.raises(WorkflowError, match="other rows, labels or weights"): TableTrainer(recipe, features, those, 2, weights).fit(tmp_path)
    assert len(TableTrainer(recipe, features, labels, 2).fit(tmp_path)) == 2


@pytest.mark.parametrize("pauses", [{40: 30.0}, {step: 0.4 for step in range(60, 900)}])
def test_a_net_whose_time_was_cut_short_ends_at_a_low_rate_and_is_trained_again_without_a_clock(rows, pauses):
    from fashion_mlops.nets.table_net import TableRecipe, TableTrainer
    from fashion_mlops.nets.timetable import Deadline
    recipe = TableRecipe(epochs=60, width=8, members=2, average=0.9)
    timed = TableTrainer(recipe, *rows, 2)
    timed.deadline = Deadline(60, a_step=0.1, clock=lambda: sum(0.1 + pauses.get(step, 0) for step in range(timed.step)))
    timed.fit(patience=1000)
    again = TableTrainer(timed.repeated, *rows, 2)
    again.fit(patience=1000)
    states = [{name: value.numpy().tobytes() for name, value in trainer.net.state_dict().items()} for trainer in (timed, again)]
    assert states[0] == states[1] and (again.step, again.repeated) == (timed.step, timed.repeated)
    assert timed._rate() < 0.02*recipe.rate and timed.step < 60*timed.steps
