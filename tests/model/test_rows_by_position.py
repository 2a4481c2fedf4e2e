"""A row is a position: what its index, its order or its form is changes no answer, for tables and images alike."""
import io

import numpy as np
import pandas as pd
import pytest

from fashion_mlops.samples.columns import Column
from fashion_mlops.core import WorkflowError
from fashion_mlops.datasets.catalogue import make_samples
from fashion_mlops.tables.feature_pipeline import feature_pipeline
from fashion_mlops.service.predictor import Predictor
from fashion_mlops.tables.requests import as_frame, check_rows, input_description
from fashion_mlops.samples.samples import Samples
from fashion_mlops.tables.corruptions import corrupted
from fashion_mlops.tables.shift import shift_inputs


@pytest.fixture(scope="module")
def orders():
    "A table predictor that looks at every column: logistic regression on the fitted features."
    from sklearn.linear_model import LogisticRegression
    samples = make_samples("synthetic_orders", 400, 0.2, seed=1)
    rows, labels = samples.take("train")
    pipeline = feature_pipeline(samples.columns).fit(rows, labels)
    model = LogisticRegression(max_iter=200).fit(pipeline.transform(rows), labels)
    about = {"input": input_description(samples), "threshold": 0.5}
    return Predictor("orders", "classical", samples.classes, (), lambda part: model.predict_proba(pipeline.transform(part)), about), samples.at(np.arange(60)), samples.columns


def as_csv_gives(frame, **how):
    "The frame as somebody else's program reads it."
    return pd.read_csv(io.StringIO(frame.to_csv(index=False)), **how)


FORMS = {
    "in the model's form": lambda frame: frame,
    "as read_csv gives it": as_csv_gives,
    "all words": lambda frame: as_csv_gives(frame, dtype=str),
    "of pandas' newer types": lambda frame: as_csv_gives(frame).convert_dtypes(),
    "arrow": lambda frame: as_csv_gives(frame, dtype_backend="pyarrow"),
    "objects": lambda frame: as_csv_gives(frame).astype(object),
    "half in form": lambda frame: frame.assign(**{name: as_csv_gives(frame)[name] for name in ("items", "member", "garment", "note")}),
    "the other half": lambda frame: frame.assign(**{name: as_csv_gives(frame)[name] for name in ("price", "supplier", "size", "ordered")}),
    "categories": lambda frame: frame.assign(**{name: frame[name].astype("category") for name in ("garment", "supplier", "note", "items")}),
    "more categories": lambda frame: frame.assign(garment=frame.garment.cat.add_categories(["aaa"]).cat.reorder_categories(["aaa", *frame.garment.cat.categories])),
    "a time zone": lambda frame: frame.assign(ordered=frame.ordered.dt.tz_localize("UTC")),
}
INDEXES = {
    "shuffled": lambda n: np.random.default_rng(0).permutation(n),
    "filtered": lambda n: np.arange(n)*3 + 5,
    "backwards": lambda n: np.arange(n)[::-1],
    "put together": lambda n: np.arange(n) % 7,
    "all the same": lambda n: np.zeros(n, int),
    "words": lambda n: [f"order {i % 50}" for i in range(n)],
    "moments": lambda n: pd.date_range("2025-01-01", periods=n, freq="h")[::-1],
    "two levels": lambda n: pd.MultiIndex.from_arrays([np.arange(n) % 3, np.arange(n)[::-1]], names=["price", None]),
    "missing": lambda n: [None, *range(n - 1)],
}


@pytest.mark.parametrize("form", FORMS)
def test_answers_belong_to_their_rows(orders, form):
    predictor, rows, _ = orders
    right, given = predictor.predict_proba(rows), FORMS[form](rows)
    np.testing.assert_allclose(predictor.predict_proba(given), right, atol=1e-6)
    for kind, index in INDEXES.items():
        answers = predictor.predict_proba(given.set_axis(index(len(given))))
        assert answers.shape == right.shape, kind
        np.testing.assert_allclose(answers, right, atol=1e-6, err_msg=kind)
    order = np.random.default_rng(3).permutation(len(rows))
    np.testing.assert_allclose(predictor.predict_proba(given.iloc[order]), right[order], atol=1e-6)
    keep = np.flatnonzero(right[:, 1] > np.median(right[:, 1]))
    np.testing.assert_allclose(predictor.predict_proba(given.iloc[keep]), right[keep], atol=1e-6)
    np.testing.assert_allclose(predictor.predict_proba(pd.concat([given.iloc[:9], given.iloc[:9]])), np.concatenate([right[:9]]*2), atol=1e-6)
    np.testing.assert_allclose(predictor.predict_proba(given.iloc[[4]]), right[[4]], atol=1e-6)


def test_records_columns_and_frames_say_the_same(orders):
    predictor, rows, _ = orders
    right, mixed = predictor.predict_proba(rows[:9]), rows[:9].set_axis([5, 5, 1, 0, 2, 8, 8, 8, 3])
    for given in (mixed.to_dict("records"), mixed.to_dict("list"), dict(mixed.items()), [row for _, row in mixed.iterrows()], {name: mixed[name].to_numpy() for name in mixed}):
        np.testing.assert_allclose(predictor.predict_proba(given), right, atol=1e-6)
    np.testing.assert_allclose(predictor.predict_proba(mixed.iloc[2]), right[[2]], atol=1e-6)
    np.testing.assert_allclose(predictor.predict_proba(mixed.to_dict("records")[2]), right[[2]], atol=1e-6)
    assert check_rows(predictor.columns, mixed) == check_rows(predictor.columns, rows[:9])
    with pytest.raises(WorkflowError, match="named differently"): predictor.predict_proba({name: mixed[name].sample(frac=1, random_state=n) for n, name in enumerate(mixed)})
    with pytest.raises(WorkflowError, match="there twice"): predictor.predict_proba(mixed.assign(again=1).rename(columns={"again": "price"}))


def test_a_value_that_does_not_fit_is_named_by_its_position(orders):
    predictor, rows, _ = orders
    wrong = rows.set_axis(np.arange(60)[::-1]).astype({"price": object})
    wrong.iloc[7, list(wrong).index("price")] = "dear"
    with pytest.raises(WorkflowError, match="'dear' in row 8"): predictor.predict_proba(wrong)
    assert "row 8" in check_rows(predictor.columns, wrong)[0][0]


@pytest.mark.parametrize("index", INDEXES)
def test_whatever_makes_a_frame_of_columns_joins_them_by_position(orders, index):
    _, rows, columns = orders
    other = rows.set_axis(INDEXES[index](len(rows)))
    for make in (lambda frame: shift_inputs(frame, columns, 1.0, 3), lambda frame: corrupted(frame, "noise", 3, 3, columns), lambda frame: corrupted(frame, "missing", 3, 3, columns)):
        pd.testing.assert_frame_equal(make(other).reset_index(drop=True), make(rows).reset_index(drop=True))
    samples = Samples(other, np.zeros(len(other), np.uint8), np.zeros(len(other), np.uint8), ["a", "b"], "own", "table", columns=columns)
    assert list(samples.table.index) == list(range(len(other))), "the row number is the sample's id"


def test_images_belong_to_their_answers():
    bright = Predictor("toy", "net", ["dark", "bright"], (2, 2), lambda images: np.stack([255 - images.mean((1, 2)), images.mean((1, 2))], 1)/255)
    images, order = np.random.default_rng(0).integers(0, 256, (40, 2, 2)), np.random.default_rng(1).permutation(40)
    np.testing.assert_allclose(bright(images[order]), bright(images)[order])
    np.testing.assert_allclose(bright(list(images)), bright(images))
    np.testing.assert_allclose(bright(images[::-2]), bright(images)[::-2])


def test_what_is_asked_is_answered(orders):
    predictor, rows, _ = orders
    assert predictor.predict_proba(rows[:0]).shape == (0, 2) and predictor.predict_proba([]).shape == (0, 2)
    short = Predictor("short", "classical", ["a", "b"], (), lambda part: np.full((len(part) - 1, 2), .5), predictor.about)
    with pytest.raises(WorkflowError, match="59 answers to 60 rows"): short.predict_proba(rows)
