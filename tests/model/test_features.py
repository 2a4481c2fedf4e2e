"""Laws of the features and of what explains them: scikit-learn's conventions, and input that is not as hoped for."""
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_no_attributes_set_in_init, check_parameters_default_constructible

from fashion_mlops.evaluation.agreement import asked_again, importances, stability
from fashion_mlops.core import WorkflowError
from fashion_mlops.evaluation.decisions import reasons, telling_decisions, worst_mistakes
from fashion_mlops.evaluation.explanation import fit_trees, interaction_values, judged, shapley_values, strongest_pairs, with_shadows
from fashion_mlops.images.feature_pipeline import feature_footprints, feature_pipeline
from fashion_mlops.models.feature_table import feature_names, with_selection
from fashion_mlops.images.garments import draw_garments
from fashion_mlops.images.families import FAMILIES, feature_family, image_families, spoken

IMAGES, LABELS = draw_garments(60, seed=5)
EVERY = dict(image_families(8, channels=3))


def as_given(prefix, images=IMAGES):
    "Grey images, or the same as colour for the family that wants it."
    return images[..., None].repeat(3, -1) if prefix == "colour" else images


@pytest.fixture(scope="module")
def pipeline():
    return feature_pipeline(n_components=8).fit(IMAGES)


@pytest.mark.parametrize("prefix", FAMILIES)
class TestFamilies:
    def test_scikit_learn_conventions(self, prefix):
        family = EVERY[prefix]
        check_no_attributes_set_in_init(prefix, clone(family))
        check_parameters_default_constructible(prefix, clone(family))
        assert clone(family).get_params() == family.get_params()
        assert type(family)().set_params(**family.get_params()).get_params() == family.get_params()
        with pytest.raises(NotFittedError): clone(family).transform(as_given(prefix))

    def test_fit_returns_itself_and_changes_no_parameter_and_no_image(self, prefix):
        family, images = clone(EVERY[prefix]), as_given(prefix).copy()
        before = family.get_params()
        assert family.fit(images) is family and family.get_params() == before
        family.transform(images)
        assert np.array_equal(images, as_given(prefix))

    def test_names_carry_family_and_place(self, prefix):
        family = clone(EVERY[prefix]).fit(as_given(prefix))
        names = list(family.get_feature_names_out())
        assert len(set(names)) == len(names) == family.transform(as_given(prefix)[:2]).shape[1]
        assert {feature_family(name) for name in names} == {FAMILIES[prefix]} and all(spoken(name) for name in names)
        assert family.footprint().shape == (len(names), 28, 28)
        assert list(family.set_output(transform="pandas").transform(as_given(prefix)[:2]).columns) == names

    def test_in_any_company_in_any_order(self, prefix):
        images = as_given(prefix, draw_garments(1100, seed=6)[0]) # three blocks
        family = clone(EVERY[prefix]).fit(images)
        values = family.transform(images)
        assert values.dtype == np.float32 and np.isfinite(values).all()
        assert np.allclose(family.transform(images[::-1])[::-1], values, atol=1e-4)
        assert np.allclose(family.transform(images[511:514]), values[511:514], atol=1e-4)

    @pytest.mark.parametrize("brightness", [0, 1, 255])
    def test_blank_images_have_numbers_too(self, prefix, brightness):
        family = clone(EVERY[prefix]).fit(as_given(prefix))
        blank = as_given(prefix, np.full((3, 28, 28), brightness, np.uint8))
        assert np.isfinite(family.transform(blank)).all()
        assert np.isfinite(clone(EVERY[prefix]).set_params(**({"n_components": 2} if prefix == "pca" else {})).fit(blank).transform(blank)).all()

    @pytest.mark.parametrize("wrong, said", [(lambda x: x.astype(float), "expected uint8"), (lambda x: np.where(x > 9, np.nan, x), "expected uint8"), (lambda x: x[0], "One image alone"),
                                             (lambda x: x[:, :20], "the features were fitted on 28 × 28"), (lambda x: x[..., :1] if x.ndim == 4 else x[..., None].repeat(3, -1), None)])
    def test_other_images_are_refused_in_words(self, prefix, wrong, said):
        if said == "One image alone" and prefix == "colour": pytest.skip("one colour image looks like grey images of three columns, and is refused for its size")
        family = clone(EVERY[prefix]).fit(as_given(prefix))
        with pytest.raises(WorkflowError, match=said): family.transform(wrong(as_given(prefix)))

    def test_no_images(self, prefix):
        with pytest.raises(WorkflowError, match="at least one training image"): clone(EVERY[prefix]).fit(as_given(prefix)[:0])
        family = clone(EVERY[prefix]).fit(as_given(prefix))
        assert family.transform(as_given(prefix)[:0]).shape == (0, len(family.get_feature_names_out()))


class TestPipeline:
    def test_pandas_clones_and_names(self, pipeline):
        names = feature_names(pipeline)
        frame = clone(pipeline).set_output(transform="pandas").fit(IMAGES).transform(IMAGES[:3])
        assert list(frame.columns) == names and np.allclose(frame, pipeline.transform(IMAGES[:3]), atol=1e-4)
        small = with_selection(pipeline, names[5:9])
        assert feature_names(small) == names[5:9] and feature_footprints(small).shape == (4, 28, 28)
        assert np.allclose(clone(small).fit(IMAGES).transform(IMAGES), small.transform(IMAGES), atol=1e-4)

    def test_one_image_of_two_classes_is_enough(self):
        few = feature_pipeline(n_components=1).fit(IMAGES[:2])
        assert np.isfinite(few.transform(IMAGES)).all()

    def test_more_components_than_images(self):
        with pytest.raises(WorkflowError, match="at most 5"): feature_pipeline(n_components=40).fit(IMAGES[:5])


def table(rows=90, columns=6, classes=3, seed=0):
    "Numbers, of which the first column decides."
    draws = np.random.default_rng(seed)
    X = draws.normal(size=(rows, columns)).astype(np.float32)
    return X, np.digitize(X[:, 0], np.linspace(-.8, .8, classes - 1))


def everything_said(X, y):
    "All explanations of one small table, from trees to the worst mistakes."
    rows, names = len(X)*2//3, [f"f{i}" for i in range(X.shape[1])]
    wide = with_shadows(X, 12, 1)
    trees = fit_trees(wide[:rows], y[:rows], 6)
    values = shapley_values(trees, wide[rows:])
    strength = np.abs(values).mean((0, 2))
    verdict = judged(strength, names, .9)
    known = np.isin(y[rows:], trees.classes_)
    codes, answers = np.searchsorted(trees.classes_, y[rows:][known]), trees.predict_proba(wide[rows:][known])
    worst = worst_mistakes(codes, answers)
    found = importances(trees, strength[:len(names)], wide[rows:][known], codes, wide[:rows], 2, 100)
    pairs = strongest_pairs(interaction_values(fit_trees(X[:rows], (y[:rows] == y[0]).astype(int), 6), X[rows:]), names)
    steady = stability(*asked_again(X, y, [1, 2], rows, 6, 12))
    assert reasons(values[known][worst], answers[worst].argmax(1), codes[worst]).shape == (len(worst), wide.shape[1])
    assert len(telling_decisions(codes, answers, X[rows:][known])) == 3 and len(pairs) <= 5 and len(steady) == 1
    assert all(np.isfinite(importance).all() and importance.shape == (len(names),) for importance in found.values())
    return verdict


@pytest.mark.slow
class TestExplanations:
    def test_what_decides_is_found(self):
        verdict = everything_said(*table(600))
        assert verdict.sort_values("mean_abs_shap").feature.iloc[-1] == "f0" and verdict.kept[0]

    def test_constant_features_explain_nothing(self):
        X, y = table()
        X[:, 2], X[:, 3] = 7, 0
        verdict = everything_said(X, y)
        assert (verdict.mean_abs_shap[2:4] == 0).all() and not verdict.kept[2:4].any()

    def test_missing_values(self):
        X, y = table(300)
        X[::3, 1] = np.nan
        trees = fit_trees(X[:200], y[:200], 6)
        assert np.isfinite(shapley_values(trees, X[200:])).all()
        assert np.isfinite(interaction_values(fit_trees(X[:200], (y[:200] == 1).astype(int), 6), X[200:])).all()

    def test_a_class_with_one_sample(self):
        X, y = table(120)
        y[3] = 9
        assert len(everything_said(X, y)) == 6

    def test_more_features_than_rows(self):
        assert len(everything_said(*table(45, 200, 2))) == 200

    def test_trees_that_cannot_split(self):
        X, y = np.ones((60, 4), np.float32), np.arange(60) % 2
        verdict = everything_said(X, y)
        assert verdict.kept.sum() == 3 and "strongest" in verdict.reason[0], "something has to stay, and the verdict says why"

    @pytest.mark.parametrize("y", [np.zeros(90, int), np.zeros(0, int)])
    def test_one_class_or_none(self, y):
        with pytest.raises(WorkflowError, match="at least two classes"): fit_trees(table()[0][:len(y)], y)


def test_a_pipeline_of_an_earlier_version_is_refused_with_one_sentence(pipeline, tmp_path):
    import zipfile
    from fashion_mlops.datasets.pipelines import load_feature_pipeline
    from fashion_mlops.models.model_file import save_model_file
    now, before = save_model_file(with_selection(pipeline, feature_names(pipeline)[:3]), tmp_path/"now.skops"), tmp_path/"before.skops"
    with zipfile.ZipFile(now) as stored, zipfile.ZipFile(before, "w") as old: # when the class stood in the stage's own module
        for name in stored.namelist(): old.writestr(name, stored.read(name).replace(b"fashion_mlops.models.feature_table", b"fashion_mlops.features"))
    assert feature_names(load_feature_pipeline(now)) == feature_names(pipeline)[:3]
    with pytest.raises(WorkflowError, match=r"holds fashion_mlops\.features\.KeepColumns.* Run 04_features again, and register what comes of it\."):
        load_feature_pipeline(before)
