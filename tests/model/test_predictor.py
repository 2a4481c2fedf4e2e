"""Behaviour of trained models, on garments drawn for the purpose: they learn, they answer the same in any batch, and survive the disk."""
import numpy as np
import pytest

from fashion_mlops.core import WorkflowError
from fashion_mlops.datasets.catalogue import make_samples


@pytest.fixture(scope="module")
def samples():
    return make_samples("synthetic", 700, 0.2, seed=11)


@pytest.fixture(scope="module")
def classical(samples, tmp_path_factory):
    "A logistic regression on the feature pipeline, saved and loaded."
    from sklearn.linear_model import LogisticRegression
    from fashion_mlops.images.feature_pipeline import feature_pipeline
    from fashion_mlops.models.model_file import save_model_file
    from fashion_mlops.service.predictor import load_predictor, save_candidate
    folder = tmp_path_factory.mktemp("classical")
    images, labels = samples.take("train")
    pipeline = feature_pipeline(n_components=20).fit(images)
    save_model_file(pipeline, folder/"pipeline.skops")
    model = LogisticRegression(C=0.1, max_iter=300).fit(pipeline.transform(images), labels)
    about = {"name": "classical", "classes": samples.classes, "shape": [28, 28]}
    return load_predictor(save_candidate(folder/"candidate", model, about, folder/"pipeline.skops"))


@pytest.fixture(scope="module")
def net(samples, tmp_path_factory):
    "A narrow net after a few epochs, saved and loaded."
    from fashion_mlops.nets.trainer import Recipe, Trainer
    from fashion_mlops.service.predictor import load_predictor, save_candidate
    trainer = Trainer(Recipe(epochs=8, width=16, batch=32, seed=1), *samples.take("train"), classes=10, threads=2)
    trainer.fit(tell=lambda line: None)
    about = {"name": "net", "classes": samples.classes, "shape": [28, 28], "mirror_average": True,
             "architecture": {"width": 16}}
    return load_predictor(save_candidate(tmp_path_factory.mktemp("net")/"candidate", trainer.net, about))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classical", "net"])
class TestPredictor:
    @pytest.fixture
    def predictor(self, kind, request): return request.getfixturevalue(kind)

    def test_it_has_learnt(self, predictor, samples):
        images, labels = samples.take("valid")
        assert (predictor.predict_proba(images).argmax(1) == labels).mean() > 0.5, "chance is 0.1"

    def test_rows_are_probabilities(self, predictor, samples):
        answers = predictor.predict_proba(samples.images[:50])
        assert answers.shape == (50, 10) and answers.dtype == np.float32
        assert (answers >= 0).all() and np.allclose(answers.sum(1), 1, atol=1e-4)

    def test_an_image_gets_the_same_answer_in_any_company(self, predictor, samples):
        images = np.array(samples.images[:40])
        together = predictor.predict_proba(images)
        assert np.allclose(together, np.concatenate([predictor.predict_proba(i[None]) for i in images]), atol=2e-3)
        assert np.allclose(together[::-1], predictor.predict_proba(images[::-1]), atol=2e-3)

    def test_a_little_noise_changes_few_answers(self, predictor, samples):
        images = np.array(samples.images[samples.rows("valid")])
        noise = np.random.default_rng(0).integers(-2, 3, images.shape)
        noisy = np.where(images > 0, np.clip(images.astype(int) + noise, 1, 255), 0).astype(np.uint8)
        same = predictor.predict_proba(images).argmax(1) == predictor.predict_proba(noisy).argmax(1)
        assert same.mean() > 0.8

    @pytest.mark.parametrize("wrong", [np.zeros((28, 28)), np.zeros((2, 27, 28)), np.full((1, 28, 28), np.nan), np.full((1, 28, 28), 0.5), np.full((1, 28, 28), 300)])
    def test_what_is_no_image_is_refused(self, predictor, wrong):
        with pytest.raises(WorkflowError): predictor.predict_proba(wrong)


@pytest.mark.slow
def test_a_net_can_learn_a_handful_by_heart(samples):
    from fashion_mlops.nets.trainer import Recipe, Trainer
    from fashion_mlops.nets.net import probabilities
    images, labels = samples.take("train", limit=60)
    trainer = Trainer(Recipe(epochs=40, width=16, batch=20, shift=0, cutout=0, mirror=False, label_smoothing=0, seed=2), images, labels, classes=10, threads=2)
    trainer.fit(tell=lambda line: None)
    assert (probabilities(trainer.net, images, False, threads=2).argmax(1) == labels).mean() > 0.95


def test_features_of_an_image_do_not_depend_on_the_batch(samples):
    from fashion_mlops.images.feature_pipeline import feature_pipeline
    images, _ = samples.take("train", limit=200)
    pipeline = feature_pipeline(n_components=10).fit(images)
    assert np.allclose(pipeline.transform(images)[:5], np.concatenate([pipeline.transform(i[None]) for i in images[:5]]), atol=1e-4)


def test_a_blank_image_has_finite_features(samples):
    from fashion_mlops.images.feature_pipeline import feature_pipeline
    pipeline = feature_pipeline(n_components=10).fit(samples.take("train", limit=200)[0])
    assert np.isfinite(pipeline.transform(np.zeros((1, 28, 28), np.uint8))).all()
