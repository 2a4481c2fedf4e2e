"""What the log keeps of a request and what was stored with the version are the same numbers of the same row, to the last bit: else everything that compares them would see a drift."""
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fashion_mlops.datasets.kinds import kind_of
from fashion_mlops.drift.observed import Observed
from fashion_mlops.drift.quality import quality
from fashion_mlops.drift.reference import answers_of, described_of, reference_of
from fashion_mlops.images.feature_pipeline import feature_pipeline as image_pipeline
from fashion_mlops.models.families import families, fitted
from fashion_mlops.models.model_file import save_model_file
from fashion_mlops.samples.garments import draw_garments
from fashion_mlops.samples.samples import Samples
from fashion_mlops.service.held_out import held_out_rows
from fashion_mlops.service.log_files import read_log, write_rows
from fashion_mlops.service.pack import write_pack
from fashion_mlops.service.predictor import load_predictor, save_blend, save_candidate
from fashion_mlops.service.prediction_log import log_rows
from fashion_mlops.service.requests import answers, request_inputs
from fashion_mlops.service.session import open_pack
from fashion_mlops.tables.feature_pipeline import feature_pipeline as table_pipeline
from fashion_mlops.tables.orders import ORDER_COLUMNS, draw_orders


def drawn(kind: str) -> Samples:
    "Garments, or orders with missing values, levels, days and notes; a third of them valid."
    split = np.repeat([0, 1], [200, 100]).astype(np.uint8)
    if kind == "image": return Samples(*draw_garments(300, seed=1), split, [f"class {n}" for n in range(10)], "drawn", "image")
    rows, labels = draw_orders(300, seed=1)
    return Samples(rows, labels, split, ["kept", "returned"], "drawn", "table", columns=ORDER_COLUMNS)


@pytest.fixture(params=["image", "table"])
def packed(request, tmp_path, monkeypatch):
    "Samples, and the pack of a mean of two linear models of them."
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"home"))
    samples = drawn(request.param)
    train, valid, described = samples.rows("train"), samples.rows("valid"), kind_of(samples).input_description(samples)
    pipeline = image_pipeline(6) if request.param == "image" else table_pipeline(ORDER_COLUMNS, 2)
    features = pipeline.fit(samples.at(train), samples.labels[train]).transform(samples.at(train))
    save_model_file(pipeline, tmp_path/"pipeline.skops")
    about = {"classes": samples.classes, "input": described, "shape": described.get("shape", [])}
    for seed, name in enumerate(("one", "two")):
        part = np.random.default_rng(seed).permutation(200)[:150]
        model = fitted(families(features.shape[1])["logistic_regression"].build(seed=seed), features[part], samples.labels[train][part])
        save_candidate(tmp_path/name, model, about | {"name": name}, tmp_path/"pipeline.skops")
    save_blend(tmp_path/"blend", [tmp_path/"one", tmp_path/"two"], about | {"name": "blend"})
    said = {name: load_predictor(tmp_path/name).predict_proba(samples.at(valid)) for name in ("one", "two")}
    held = held_out_rows(samples, {"id": valid, "label": samples.labels[valid], **said}, ["one", "two"])
    return samples, write_pack(tmp_path/"v1", tmp_path/"blend", "drawn", samples.at(valid)[:20], held)


def asked(served, inputs) -> list[dict]:
    "Rows of the log after a request about these."
    described = described_of(served.about)
    ready = request_inputs(described, "application/json", served.wing.json_of_inputs(served.about["input"], inputs))
    return log_rows(served, "r", answers(served, served.answered(ready)), served.wing.watched_values(ready, described), b"", 0.001)


def test_asked_alone_or_together_a_row_is_what_was_stored(packed, tmp_path):
    samples, pack = packed
    served, reference, valid = open_pack(pack), reference_of(pack), samples.rows("valid")
    inputs = served.in_form(samples.at(valid))
    alone = [row | {"row": number} for number in range(20) for row in asked(served, inputs[number:number + 1])]
    for number, rows in enumerate((asked(served, inputs), alone)):
        write_rows(tmp_path/f"log{number}", [("predictions", row | {"version": 1}) for row in rows])
        log = read_log(tmp_path/f"log{number}").sort_values("row", ignore_index=True)
        seen = served.wing.watched_table(described_of(served.about), log.watched)
        pd.testing.assert_frame_equal(seen, reference.table[:len(seen)], check_exact=True)
        found = answers_of(pa.array(log.probabilities, pa.map_(pa.string(), pa.float32())), served.classes)
        assert np.abs(found - reference.probabilities[:len(seen)]).max() < 1e-4 # a batch of another size rounds otherwise
    assert reference.labels.tolist() == samples.labels[valid].tolist() and reference.ids[3] == str(valid[3])
    assert np.abs(reference.members.mean(0) - reference.probabilities).max() < 2e-3


def test_the_reference_beside_itself_is_in_order_and_a_broken_client_is_not(packed):
    samples, pack = packed
    served, reference = open_pack(pack), reference_of(pack)
    described, few = described_of(served.about), served.in_form(samples.at(samples.rows("valid")))[:60]
    assert not quality(reference, reference, described).alarming.any()
    if samples.kind == "image": few = few*0
    else: few = few.assign(price=np.nan)
    table = served.wing.watched_table(described, served.wing.watched_values(few, described))
    broken = Observed(table, served.answered(few), served.classes)
    found = quality(reference, broken, described)
    assert {"image": "blank", "table": "missing"}[samples.kind] in set(found[found.alarming].what)
