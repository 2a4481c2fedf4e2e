"""A packed candidate answers as the candidate in memory does: every family, two classes and ten, rows and pictures."""
import numpy as np
import pandas as pd
import pytest

from fashion_mlops.datasets.kinds import kind_of
from fashion_mlops.images.feature_pipeline import feature_pipeline as image_pipeline
from fashion_mlops.models.families import families, fitted
from fashion_mlops.models.model_file import save_model_file
from fashion_mlops.samples.columns import plain_column
from fashion_mlops.service.pack import write_pack
from fashion_mlops.service.predictor import load_predictor, save_blend, save_candidate
from fashion_mlops.service.session import open_pack
from fashion_mlops.tables.feature_pipeline import feature_pipeline as table_pipeline
from fashion_mlops.tables.orders import ORDER_COLUMNS, draw_orders

ALONE, TABLE, IMAGE = 1e-4, 1e-4, 1e-3 # of a probability
OF_A_KNOWN_ROW = 1e-3 # neighbours by distance: a row that was learnt lies at zero from itself, or at a rounding error


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch): monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"home"))


def as_served(candidate, tmp_path, rows, strange, close):
    "Pack, open, and compare on rows it was packed with and on strange ones."
    served = open_pack(write_pack(tmp_path/"v1", candidate, "drawn", rows))
    assert served.about["form"] == "graph", served.about.get("because")
    served.as_expected()
    in_memory = load_predictor(candidate)
    for inputs, close in ((rows, max(close, OF_A_KNOWN_ROW) if "neighbours" in candidate.name else close), (strange, close)):
        wanted, found = in_memory.predict_proba(inputs), served.predict_proba(inputs)
        assert np.abs(wanted - found).max() < close
        assert (wanted.argmax(1) == found.argmax(1)).all()
        part = inputs.iloc if hasattr(inputs, "iloc") else inputs
        alone = np.concatenate([served.predict_proba(part[row:row + 1]) for row in range(0, len(inputs), 9)])
        assert np.abs(alone - found[::9]).max() < ALONE


def orders(classes: int):
    "Orders with a constant column; strange ones with what is missing, new or far out."
    rows, returned = draw_orders(400, seed=classes)
    labels = returned if classes == 2 else (returned + 2*(np.argsort(np.argsort(rows["price"])) * 5 // len(rows)))
    strange, _ = draw_orders(60, seed=7, shift=2.0)
    strange = strange.assign(price=np.where(np.arange(60) % 4, strange["price"], np.nan), weight=1e9,
                             garment=pd.Categorical(["cape", None, "dress"]*20), note=["unsure unsure unsure unsure", None, ""]*20)
    return rows.assign(items=3.0), labels.astype(np.int64), strange


def described(classes: int, kind: str, more: dict) -> dict:
    return {"name": "drawn", "classes": [f"class {n}" for n in range(classes)], "temperature": 1.3,
            "input": {"kind": kind, **more}}


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("name", list(families()))
def test_rows(tmp_path, name, classes):
    rows, labels, strange = orders(classes)
    pipeline = table_pipeline(ORDER_COLUMNS, classes).fit(rows, labels)
    save_model_file(pipeline, tmp_path/"pipeline.skops")
    features = pipeline.transform(rows)
    model = fitted(families(features.shape[1], kind_of("table").HABITS, classes)[name].build(seed=1), features, labels)
    about = described(classes, "table", {"columns": [plain_column(column) for column in ORDER_COLUMNS]})
    about["class_weights"] = [1.0 + 0.5*(n % 3) for n in range(classes)]
    as_served(save_candidate(tmp_path/name, model, about, tmp_path/"pipeline.skops"), tmp_path, rows[:150], strange, TABLE)


def test_rows_without_a_graph_are_answered_as_expected(tmp_path):
    "What the library answers is tried, too: rows with missing values, categories and days, as they were packed."
    from dataclasses import replace
    from sklearn.naive_bayes import GaussianNB
    from fashion_mlops.core import WorkflowError
    rows, labels, _ = orders(2)
    pipeline = table_pipeline(ORDER_COLUMNS, 2).fit(rows, labels)
    save_model_file(pipeline, tmp_path/"pipeline.skops")
    about = described(2, "table", {"columns": [plain_column(column) for column in ORDER_COLUMNS]})
    candidate = save_candidate(tmp_path/"odd", GaussianNB().fit(pipeline.transform(rows), labels), about, tmp_path/"pipeline.skops")
    held_out = rows[300:].assign(price=rows["price"].where(np.arange(len(rows)) % 3 > 0))
    served = open_pack(write_pack(tmp_path/"v1", candidate, "drawn", held_out))
    assert served.about["form"] == "library" and len(served.expected["inputs"]) == 64
    pd.testing.assert_frame_equal(served.expected["inputs"], load_predictor(candidate).in_form(held_out)[:64])
    served.as_expected()
    def broken(inputs): raise KeyError("price")
    for answered in (broken, lambda inputs: served.answered(inputs)[:, ::-1]):
        with pytest.raises(WorkflowError, match="does not answer here as it did"): replace(served, answered=answered).as_expected()


def pictures(shape: tuple, classes: int):
    draws = np.random.default_rng(classes)
    labels = np.arange(160) % classes
    images = draws.integers(0, 90, (160, *shape)).astype(np.uint8)
    for image, label in zip(images, labels): image[2 + label:8 + label, 3:9 + label] += 120
    strange = np.concatenate([draws.integers(0, 256, (20, *shape)), np.zeros((1, *shape)), np.full((1, *shape), 255)])
    return images, labels, strange.astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(28, 28), (31, 45), (33, 29, 3)])
@pytest.mark.parametrize("name", list(families()))
def test_pictures(tmp_path, name, shape):
    images, labels, strange = pictures(shape, 10)
    pipeline = image_pipeline(12, 3 if len(shape) == 3 else 1).fit(images)
    save_model_file(pipeline, tmp_path/"pipeline.skops")
    features = pipeline.transform(images)
    model = fitted(families(features.shape[1], kind_of("image").HABITS, 10)[name].build(seed=1), features, labels)
    about = described(10, "image", {"shape": list(shape), "preparation": {}}) | {"shape": list(shape)}
    as_served(save_candidate(tmp_path/name, model, about, tmp_path/"pipeline.skops"), tmp_path, images, strange, IMAGE)


def test_a_blend_of_a_net_and_a_linear_model(tmp_path):
    from fashion_mlops.nets.net import build_net
    import torch
    torch.manual_seed(1)
    images, labels, strange = pictures((28, 28), 10)
    net = build_net(10, {}).eval()
    pipeline = image_pipeline(12).fit(images)
    save_model_file(pipeline, tmp_path/"pipeline.skops")
    linear = fitted(families()["logistic_regression"].build(seed=1), pipeline.transform(images), labels)
    about = described(10, "image", {"shape": [28, 28], "preparation": {}}) | {"shape": [28, 28]}
    members = [save_candidate(tmp_path/"linear", linear, about, tmp_path/"pipeline.skops"),
               save_candidate(tmp_path/"net", net, about | {"architecture": net.architecture, "mirror_average": True})]
    as_served(save_blend(tmp_path/"blend", members, about | {"temperature": 0.8}), tmp_path, images, strange, IMAGE)


def test_a_net_of_rows(tmp_path):
    from fashion_mlops.nets.table_net import TableNet
    import torch
    torch.manual_seed(1)
    rows, labels, strange = orders(2)
    pipeline = table_pipeline(ORDER_COLUMNS).fit(rows, labels)
    save_model_file(pipeline, tmp_path/"pipeline.skops")
    net = TableNet(features=pipeline.transform(rows).shape[1], classes=2).eval()
    about = described(2, "table", {"columns": [plain_column(column) for column in ORDER_COLUMNS]})
    about |= {"architecture": net.architecture, "class_weights": [1.0, 2.5]}
    as_served(save_candidate(tmp_path/"net", net, about, tmp_path/"pipeline.skops"), tmp_path, rows[:150], strange, TABLE)
