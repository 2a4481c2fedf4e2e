"""The same rows through every door of a real service: the same classes everywhere, and probabilities that differ by roundings only."""
from types import SimpleNamespace

import numpy as np
import pytest

from fashion_mlops.datasets.kinds import kind_of
from fashion_mlops.models.families import families, fitted
from fashion_mlops.models.model_file import save_model_file
from fashion_mlops.samples.columns import plain_column
from fashion_mlops.samples.samples import Samples
from fashion_mlops.service.deployment import open_champion, set_champion
from fashion_mlops.service.parity import FAR, NEAR, Visitor, ask_over_http, held_out_rows, prove_parity
from fashion_mlops.service.predictor import save_candidate
from fashion_mlops.service.trial import on_trial
from packs import place_version

SPLIT = np.arange(500) % 5 # of which the fourth is valid and the fifth test


def orders() -> Samples:
    from fashion_mlops.tables.orders import ORDER_COLUMNS, draw_orders
    rows, labels = draw_orders(500, seed=3)
    return Samples(rows, labels, np.select([SPLIT == 3, SPLIT == 4], [1, 2], 0).astype(np.uint8), ["kept", "returned"], "drawn", "table", columns=ORDER_COLUMNS)


def pictures() -> Samples:
    from fashion_mlops.images.garments import draw_garments
    images, labels = draw_garments(500, seed=3)
    return Samples(images, labels, np.select([SPLIT == 3, SPLIT == 4], [1, 2], 0).astype(np.uint8), [f"class {n}" for n in range(10)], "drawn", "image")


def trained(samples: Samples, folder):
    "A candidate as 07_training leaves it."
    wing, (inputs, labels) = kind_of(samples), samples.take("train")
    pipeline, count = wing.pipeline_for(samples).fit(inputs, labels), len(samples.classes)
    save_model_file(pipeline, folder/"pipeline.skops")
    features = pipeline.transform(inputs)
    model = fitted(families(features.shape[1], wing.HABITS, count)["logistic_regression"].build(seed=1), features, labels)
    about = {"name": "drawn", "classes": samples.classes, "temperature": 1.2, "input": wing.input_description(samples)}
    if samples.kind == "image": about["shape"] = [28, 28]
    if samples.binary: about["threshold"] = 0.35
    return save_candidate(folder/"candidates"/"drawn", model, about, folder/"pipeline.skops")


@pytest.mark.slow
@pytest.mark.parametrize("drawn", [orders, pictures])
def test_every_door_of_a_champion_agrees(drawn, home, empty_store):
    "From the notebook's candidate over the registry and the graph to every form in which a service can be asked."
    from fashion_mlops.service.champion import promote, register_candidate
    from fashion_mlops.service.deployment import deploy
    from fashion_mlops.workflow import tracking
    (home/"mlflow.db").write_bytes(empty_store.read_bytes())
    samples = drawn()
    candidate, valid = trained(samples, home), samples.rows("valid")
    run = tracking.client().create_run(tracking.client().create_experiment("drawn")).info.run_id
    version, _ = register_candidate("drawn", candidate, run, samples.at(valid[:2]), {}, samples.at(valid))
    promote("drawn", version, None)
    deploy("drawn", {})
    served, _ = open_champion("drawn")
    assert served.about["form"] == "graph", served.about.get("because")
    with on_trial("drawn") as trial: found = prove_parity(trial.address, served, samples, held_out_rows(samples), home/"candidates")
    assert found.holds and found.rows == 100, found.told()
    assert {"notebook's candidate", "load_champion", "serving form", "HTTP, JSON", "HTTP, files"} <= set(found.doors)
    assert all(pair["largest_difference"] <= (NEAR if pair["first"].startswith(("serving", "HTTP")) else FAR) for pair in found.pairs)


def test_doors_over_http_answer_as_the_pack_does(home):
    place_version("shades", 3)
    set_champion("shades", 3)
    served, _ = open_champion("shades")
    images = np.random.default_rng(0).integers(0, 256, (130, 4, 4), np.uint8)
    with on_trial("shades") as trial: found, _ = ask_over_http(trial.address, served, images)
    assert {"HTTP, JSON", "HTTP, files"} <= set(found)
    for told in found.values(): np.testing.assert_allclose(told.probabilities, served.predict_proba(images), atol=1e-6)


def test_a_refusal_is_an_error_and_no_missing_door(home):
    "A door that answers with an error is not passed over."
    from fashion_mlops.core import WorkflowError
    place_version("shades", 3)
    set_champion("shades", 3)
    served, _ = open_champion("shades")
    other = SimpleNamespace(kind="image", classes=served.classes, dataset="shades", about={"input": {"kind": "image", "shape": [5, 5]}})
    with on_trial("shades") as trial, pytest.raises(WorkflowError, match="refused with 422.*a list of 5; expected 4 rows"):
        ask_over_http(trial.address, other, np.zeros((2, 5, 5), np.uint8))


def test_a_trial_ends_with_its_block_and_logs_where_it_was_told(home, tmp_path):
    import os
    from fashion_mlops.service.log_files import log_folder, read_log
    place_version("shades", 3)
    set_champion("shades", 3)
    with on_trial("shades", tmp_path/"own") as trial:
        Visitor(trial.address, ["dark", "bright"]).ask("POST", "/predict", np.zeros(16, np.uint8).tobytes(), content_type="application/octet-stream")
    with pytest.raises(ProcessLookupError): os.kill(trial.process, 0)
    assert len(read_log(tmp_path/"own")) == 1 and not log_folder("shades").exists()


def test_a_trial_is_of_the_champion_alone(home):
    "Whatever is said of traffic, and whoever else has a pack."
    from fashion_mlops.core import write_json
    from fashion_mlops.service.traffic import traffic_of
    from fashion_mlops.service.traffic_changes import traffic_path
    for version in (3, 4): place_version("shades", version)
    set_champion("shades", 3)
    write_json(traffic_path("shades"), traffic_of({"mode": "canary", "version": 4, "share": 0.99, "reason": "nearly all of it"}).as_json())
    served, _ = open_champion("shades")
    images = np.zeros((40, 4, 4), np.uint8)
    with on_trial("shades") as trial: found, _ = ask_over_http(trial.address, served, images)
    for told in found.values(): np.testing.assert_allclose(told.probabilities, served.predict_proba(images), atol=1e-6)
