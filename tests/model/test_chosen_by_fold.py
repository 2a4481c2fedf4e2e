"""Laws of what is promised by cross-validation: the rows that judge have neither chosen the features nor taught them."""
import numpy as np
import pandas as pd
import pytest

from fashion_mlops.search.contest import contest
from fashion_mlops.samples.columns import Column
from fashion_mlops.evaluation.explanation import fit_trees, judged, shapley_values, with_shadows
from fashion_mlops.models.families import families
from fashion_mlops.tables.habits import HABITS
from fashion_mlops.datasets.pipelines import features_by_fold
from fashion_mlops.evaluation.selection import strongest
from fashion_mlops.models.feature_table import feature_names, with_selection
from fashion_mlops.datasets.kinds import kind_of
from fashion_mlops.samples.folds import fit_and_ask, judged_in, make_folds
from fashion_mlops.images.garments import CLASSES, draw_garments
from fashion_mlops.samples.samples import Key, Samples


def noise(seed, rows=240, columns=100, key=Key()):
    "Numbers, names and words, and labels that have nothing to do with them."
    draws = np.random.default_rng(seed)
    table = pd.DataFrame({f"c{i}": draws.normal(size=rows) for i in range(columns)})
    for i in range(3): table[f"s{i}"] = pd.Categorical([f"v{v}" for v in draws.integers(0, 60, rows)])
    table["text"] = pd.Series([" ".join(f"word{w}" for w in draws.integers(0, 30, 6)) for _ in range(rows)], dtype="string")
    kinds = [Column(name, "numeric" if name[0] == "c" else "category" if name[0] == "s" else "text") for name in table]
    return Samples(table, draws.integers(0, 2, rows), np.zeros(rows, np.uint8), ["a", "b"], "noise", "table", columns=kinds, key=key)


def selected(samples, seed=0):
    "A pipeline as 04_features leaves it, and what it gives for the training rows."
    pipeline = kind_of(samples).pipeline_for(samples)
    values, labels = kind_of(samples).fit_features(pipeline, samples), np.asarray(samples.labels)
    fit, ask = fit_and_ask(labels, len(labels)*3//4, 300, seed, samples.key)
    wide = with_shadows(values[np.r_[fit, ask]], 60, seed, samples.key.at(np.r_[fit, ask]))
    names = feature_names(pipeline)
    kept = judged(np.abs(shapley_values(fit_trees(wide[:len(fit)], labels[fit], 20, seed), wide[len(fit):])).mean((0, 2)), names, 0.9).kept.to_numpy()
    return with_selection(pipeline, [name for name, keep in zip(names, kept) if keep]), values[:, kept]


def test_noise_keeps_its_promise():
    found = {"chosen before": [], "chosen by fold": []}
    for seed in range(4):
        samples = noise(seed)
        labels, (pipeline, values) = np.asarray(samples.labels), selected(samples, seed)
        folds = make_folds(labels, 3, seed)
        each = features_by_fold(pipeline, samples, np.arange(240), folds, seed)
        for name, features in (("chosen before", values), ("chosen by fold", each)):
            results, _ = contest({"lr": families(20, HABITS, 2)["logistic_regression"].build(seed=seed)}, features, labels, folds, 1, 2)
            found[name].append((results["lr"]["probabilities"].argmax(1) == labels[judged_in(folds)]).mean())
    assert np.mean(found["chosen before"]) > 0.56 > 0.545 > np.mean(found["chosen by fold"]) > 0.44


@pytest.mark.parametrize("key", [Key(), Key("group", np.arange(240)//8), Key("time", np.arange(240))], ids=["rows", "groups", "time"])
def test_other_labels_of_judged_rows_change_nothing(key):
    samples = noise(1, columns=12, key=key)
    pipeline, _ = selected(samples)
    folds = make_folds(samples.labels, 3, 0, key)
    before = features_by_fold(pipeline, samples, np.arange(240), folds)
    for place, (fit, judge) in enumerate(folds):
        flipped = np.array(samples.labels)
        flipped[judge] = 1 - flipped[judge]
        other = Samples(**{**samples.__dict__, "labels": flipped})
        after = features_by_fold(pipeline, other, np.arange(240), folds)[place]
        rows = np.sort(np.r_[fit, judge])
        np.testing.assert_array_equal(before[place][rows], after[rows])


def test_few_rows_and_one_class_still_give_features():
    values = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
    for labels in (np.zeros(12, int), np.r_[1, np.zeros(11, int)], np.arange(12), np.arange(12) % 2):
        assert len(strongest(values, labels, 3)) == 3
    assert strongest(values[:, :2], np.arange(12) % 2, 3).tolist() == [0, 1]
    constant = noise(0, 12, 1)
    still = Samples(**{**constant.__dict__, "inputs": constant.inputs.assign(c0=[*np.zeros(6), *np.arange(6.)])[["c0"]], "columns": constant.columns[:1]})
    pipeline, _ = selected(still)
    made = features_by_fold(pipeline, still, np.arange(12), [(np.arange(6), np.arange(6, 12))])
    assert made[0].shape[0] == 12 and np.isfinite(made[0]).all()


def test_images_choose_by_fold_too():
    images, labels = draw_garments(60, seed=0)
    samples = Samples(images, labels, np.zeros(60, np.uint8), CLASSES, "drawn", "image")
    pipeline = kind_of(samples).pipeline_for(samples)
    kind_of(samples).fit_features(pipeline, samples)
    small = with_selection(pipeline, feature_names(pipeline)[:9])
    made = features_by_fold(small, samples, np.arange(60), make_folds(labels, 3))
    assert [each.shape for each in made] == [(60, 9)]*3 and any((made[0] != each).any() for each in made[1:])
