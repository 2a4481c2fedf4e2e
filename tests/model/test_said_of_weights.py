"A candidate's file names the weights of classes that this candidate was fitted with: else whoever answers takes out what never went in."
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from fashion_mlops.datasets.kinds import WINGS, kind_of
from fashion_mlops.models.fitting import asked_weights, said_of_weights
from fashion_mlops.samples.samples import Samples
from fashion_mlops.service.candidates import about_all, about_classical
from fashion_mlops.workflow.budget import Budget

SIZES = {"epochs": 1, "width": 4, "batch": 16, "precision": "float32", "start_from": "", "processes": 1, "speed_seconds": 0.,
         "table_epochs": 1, "table_width": 8, "table_members": 1, "replanned": "", "class_weights": "balanced", "minutes": 0, "threads": 1, "seed": 3}


def a_stage(folder):
    "As much of a stage as a training asks for."
    return SimpleNamespace(params=SIZES, seed=3, budget=Budget(), scratch=lambda *key: folder, went_on=lambda *_: None, may_fail=lambda what: nullcontext(), log_curve=lambda *curve: None)


def unbalanced(kind: str, folder):
    "Samples of two classes, one four times as frequent, and the file of their features."
    import pandas as pd
    labels, draws = np.tile([0, 0, 0, 0, 1], 20), np.random.default_rng(0)
    split = np.tile([0, 0, 0, 1], 25).astype(np.uint8)
    images = (60*draws.random((100, 8, 8)) + 120*labels[:, None, None]).astype(np.uint8)
    table = pd.DataFrame({"height": labels + draws.normal(0, .3, 100)})
    frame = pd.DataFrame({"id": range(100), "split": np.array(["train", "valid"])[split], "label": labels, "height": table["height"].astype("float32")})
    frame.to_parquet(features := folder/"features.parquet")
    inputs = {"image": images, "table": table}[kind]
    return Samples(inputs, labels, split, ["often", "rare"], "unbalanced", kind), features


@pytest.mark.parametrize("kind", WINGS)
def test_a_net_says_what_it_was_fitted_with(kind, tmp_path, monkeypatch):
    samples, features = unbalanced(kind, tmp_path)
    weights, used = asked_weights("balanced", np.asarray(samples.labels)[samples.rows("train")], 2), []
    from fashion_mlops.nets.table_net import TableTrainer
    from fashion_mlops.nets.trainer import Trainer
    for trainer in (Trainer, TableTrainer):
        def watched(self, *given, begin=trainer.__init__, **named):
            used.append(any(value is weights for value in (*given, *named.values())))
            begin(self, *given, **named)
        monkeypatch.setattr(trainer, "__init__", watched)
    net = kind_of(kind).train_net(a_stage(tmp_path), samples, {}, weights, None, features, None)
    assert used and ("class_weights" in net.about) == any(used)
    assert "class_weights" not in about_all(samples, 3) # what all files say, the blend's among them
    if any(used): assert net.about["class_weights"] == pytest.approx(weights.tolist())


def test_the_answers_of_an_image_net_are_its_own(tmp_path):
    from fashion_mlops.nets.net import probabilities
    from fashion_mlops.service.predictor import load_predictor, save_candidate
    samples, features = unbalanced("image", tmp_path)
    net = kind_of(samples).train_net(a_stage(tmp_path), samples, {}, np.array([.625, 2.5]), None, features, None)
    folder = save_candidate(tmp_path/"net", net.net, {"name": net.name} | about_all(samples, 3) | net.about)
    own = probabilities(net.net, samples.images, net.about["mirror_average"])
    np.testing.assert_allclose(load_predictor(folder).predict_proba(samples.images), own, atol=1e-5)


def test_the_classical_candidate_says_its_own():
    choice = {"family": "random_forest", "parameters": {}}
    assert about_classical(choice, [], said_of_weights(np.array([.5, 2.])))["class_weights"] == [.5, 2.]
    assert "class_weights" not in about_classical(choice, [], said_of_weights(None))
