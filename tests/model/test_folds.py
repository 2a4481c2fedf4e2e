"""Laws of every division inside training: rows that belong together stay together, the past answers for the future, and what cannot be divided says so."""
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from fashion_mlops.search.choice import weigh_pipelines
from fashion_mlops.search.contest import contest, cross_validated
from fashion_mlops.evaluation.calibration import halves
from fashion_mlops.samples.columns import Column
from fashion_mlops.core import read_json
from fashion_mlops.evaluation.explanation import with_shadows
from fashion_mlops.models.families import families, fitted, predicted
from fashion_mlops.models.feature_table import feature_table, split_table
from fashion_mlops.tables.kind import fit_features, pipeline_for
from fashion_mlops.samples.folds import NOT_FEATURES, fit_and_ask, fold_numbers, hold_out, judged_in, key_in, make_folds, shuffled_rows, stratified_rows
from fashion_mlops.models.kernel_machine import KernelMachine, _folds as machine_folds
from fashion_mlops.evaluation.metrics import mean_interval, metric_intervals
from fashion_mlops.models.model_file import load_model_file, save_model_file
from fashion_mlops.tables.habits import HABITS
from fashion_mlops.tables.net_search import NetSearch
from fashion_mlops.search.pipeline_space import family_of
from fashion_mlops.service.predictor import TRUSTED
from fashion_mlops.search.refinement import refinement_table, with_and_without
from fashion_mlops.samples.samples import Key, Samples, key_of, load_samples, save_samples
from fashion_mlops.samples.splits import split_by_group
from fashion_mlops.tables.families import CategoryFeatures
from fashion_mlops.nets.table_net import TableRecipe, TableTrainer
from fashion_mlops.tables.statistics import column_statistics
from fashion_mlops.search.tpot import search_pipelines


def grouped_noise(groups=60, rows=12, seed=0):
    "Features that tell the groups apart, one label for each group, and nothing that a new group would share."
    draws, which = np.random.default_rng(seed), np.repeat(np.arange(groups), rows)
    features = (draws.normal(size=(groups, 6))[which] + 0.1*draws.normal(size=(len(which), 6))).astype(np.float32)
    return features, draws.integers(0, 2, groups)[which], key_of("group", which)


def drifting(rows=2000, seed=0):
    "Each stretch of fifty hours has a rule of its own, and a feature that tells the hour."
    draws, hours = np.random.default_rng(seed), np.arange(rows)
    taste = draws.normal(size=(-(-rows//50), 4))[hours//50]*3
    features = draws.normal(size=(rows, 4))
    return np.column_stack([features, hours/50]).astype(np.float32), ((features*taste).sum(1) > 0).astype(int), key_of("time", hours)


def cross_validated_accuracy(features, labels, key, family="nearest_neighbours"):
    folds = make_folds(labels, 3, 0, key)
    model = families(features.shape[1], HABITS)[family].build({"n_neighbors": 5} if family == "nearest_neighbours" else {})
    answers = cross_validated(model, features, labels, folds, 1, 2, key)["probabilities"]
    return (answers.argmax(1) == labels[judged_in(folds)]).astype(float), key.at(judged_in(folds)).clusters


class TestPromises:
    def test_noise_in_groups_promises_nothing(self):
        features, labels, key = grouped_noise()
        right, clusters = cross_validated_accuracy(features, labels, key)
        mean, low, high = mean_interval(right, clusters=clusters)
        assert cross_validated_accuracy(features, labels, Key())[0].mean() > 0.95 # the promise that was made
        assert mean < 0.7 and low < 0.5 < high and high - low > 0.15

    def test_a_drifting_series_promises_what_comes_next(self):
        features, labels, key = drifting()
        early = np.arange(700)
        forward = cross_validated_accuracy(features[early], labels[early], key.at(early))[0].mean()
        at_random = cross_validated_accuracy(features[early], labels[early], Key())[0].mean()
        model = families(5, HABITS)["nearest_neighbours"].build({"n_neighbors": 5}).fit(features[early], labels[early])
        later = (model.predict(features[700:]) == labels[700:]).mean()
        assert at_random - later > 0.15 and abs(forward - later) < 0.1

    def test_a_signal_that_groups_share_is_still_seen(self):
        features, _, key = grouped_noise()
        labels = (features[:, 0] > 0).astype(int)
        assert cross_validated_accuracy(features, labels, key, "logistic_regression")[0].mean() > 0.85


GROUPS = {"sixty": np.repeat(np.arange(60), 6), "two": np.repeat([0, 1], 180), "a giant": np.r_[np.zeros(300, int), np.arange(1, 61)], "each row": np.arange(360),
          "some without": np.where(np.arange(360) % 5 == 0, -1, np.arange(360)//10), "three": np.arange(360) % 3}


class TestNoRowOfAGroupOnBothSides:
    @pytest.mark.parametrize("name", GROUPS)
    def test_everywhere(self, name):
        key, labels = Key("group", GROUPS[name]), np.random.default_rng(1).integers(0, 3, 360)
        groups = key.groups
        def apart(*parts): assert not set(groups[parts[0]]) & set(groups[parts[1]]) and all(len(part) for part in parts)
        for fit, judge in make_folds(labels, 3, 0, key): apart(fit, judge)
        held = hold_out(labels, 36, 0, key)
        apart(held, np.setdiff1d(np.arange(360), held))
        apart(*fit_and_ask(labels, 200, 60, 0, key))
        apart(*stratified_rows(labels, [90, 60], 0, key))
        first = halves(labels, 0, key)
        apart(np.flatnonzero(first), np.flatnonzero(~first))
        assert pd.Series(fold_numbers(360, 5, 0, key)).groupby(groups).nunique().max() == 1
        for fit, judge in machine_folds(labels, 3, 0, key): apart(fit, judge)
        trainer = TableTrainer(TableRecipe(epochs=1, width=8, members=2), np.c_[groups, groups].astype(np.float32), labels, 3, key=key)
        assert not set(trainer.x[:, 0].tolist()) & set(trainer.held_x[:, 0].tolist())
        study = NetSearch(None, (groups[:, None], labels), (groups[:, None], labels), 3, (100, 16, 128, 0), key=key)
        assert not set(study.fit[0][:, 0]) & set(study.judge[0][:, 0]) and len(study.fit[2].codes) == len(study.fit[1])

    @pytest.mark.parametrize("moments", [np.arange(360), np.arange(360)//40, np.random.default_rng(0).integers(0, 100, 360)])
    def test_the_past_answers_for_the_future(self, moments):
        key, labels = key_of("time", moments), np.random.default_rng(1).integers(0, 3, 360)
        def before(past, future): assert len(past) and len(future) and key.codes[past].max() < key.codes[future].min()
        for fit, judge in make_folds(labels, 3, 0, key): before(fit, judge)
        held = hold_out(labels, 36, 0, key)
        before(np.setdiff1d(np.arange(360), held), held)
        before(*fit_and_ask(labels, 200, 60, 0, key))
        parts = stratified_rows(labels, [90, 60], 0, key)
        assert not set(key.codes[parts[0]]) & set(key.codes[parts[1]])
        assert (np.diff(fold_numbers(360, 10, 0, key)[np.argsort(key.codes, kind="stable")]) >= 0).all()

    def test_shuffled_rows_are_divided_as_soundly(self):
        features, labels, key = grouped_noise()
        order = np.random.default_rng(3).permutation(len(labels))
        for fit, judge in make_folds(labels[order], 3, 0, key.at(order)): assert not set(key.codes[order][fit]) & set(key.codes[order][judge])

    def test_what_cannot_be_divided_says_so(self):
        labels = np.repeat([0, 1], 30)
        for key in (Key("group", np.zeros(60, int)), Key("group", labels), Key("time", np.zeros(60, int)), Key("time", labels)):
            folds = make_folds(labels, 3, 0, key)
            assert len(folds) == 3 and "at random, because no division" in folds.words and "say nothing about" in folds.words
            assert len(hold_out(labels, 6, 0, key)) and all(len(part) for part in fit_and_ask(labels, 30, 10, 0, key))
        assert "3 were wished" not in make_folds(np.tile([0, 1], 30), 2, 0, Key("group", labels)).words
        assert "3 were wished; 2 groups" in make_folds(np.tile([0, 1], 30), 3, 0, Key("group", labels)).words

    def test_without_a_key_nothing_has_changed(self):
        from sklearn.model_selection import StratifiedKFold
        labels = np.random.default_rng(1).integers(0, 3, 100)
        old = list(StratifiedKFold(3, shuffle=True, random_state=5).split(labels, labels))
        assert all((a[0] == b[0]).all() and (a[1] == b[1]).all() for a, b in zip(make_folds(labels, 3, 5), old))


def visits(rows=240):
    "A table of patients, in the form of samples that are split by patient."
    draws, who = np.random.default_rng(0), np.arange(rows)//8
    table = pd.DataFrame({"age": draws.normal(size=rows), "doctor": pd.Categorical([f"doctor {i}" for i in who])})
    columns = [Column("age", "numeric"), Column("doctor", "category")]
    return Samples(table, draws.integers(0, 2, rows//8)[who].astype(np.uint8), np.repeat(np.uint8([0, 1, 2]), [160, 40, 40]), ["well", "ill"], "visits", "table",
                   columns=columns, key=key_of("group", [f"p{i}" for i in who]))


def lonely_class():
    "Ten subjects, and a class that only one of them has."
    draws, who = np.random.default_rng(0), np.repeat(np.arange(10), 30)
    labels = np.where(who == 3, draws.integers(0, 3, 300), draws.integers(0, 2, 300))
    return draws.normal(size=(300, 12)).astype(np.float32) + labels[:, None], labels, key_of("group", who)


class TestAClassInOneGroup:
    "The subjects of a study: somewhere a fold learns without a class, and nothing may break."
    def test_leaderboard_and_refinement(self):
        features, labels, key = lonely_class()
        folds = make_folds(labels, 3, 0, key)
        results, left_out = contest({name: families(12, HABITS, 3)[name].build() for name in ("logistic_regression", "gradient_boosting")}, features, labels, folds, 1, 3, key=key)
        assert not left_out and all(np.isfinite(result["probabilities"]).all() for result in results.values())
        found = with_and_without(features, labels, np.arange(12) < 6, fit_and_ask(labels, 150, 90, 0, key), "accuracy", HABITS, key=key)
        assert len(found) == 6 and len(refinement_table(found, clusters=None)) == 6

    def test_exact_machine_and_net(self):
        features, labels, key = lonely_class()
        assert KernelMachine(gamma=0.1).fit(features, labels, key=key).predict_proba(features).shape == (300, 3)
        trainer = TableTrainer(TableRecipe(epochs=1, width=8, members=2), features, labels, 3, key=key)
        assert np.isfinite(trainer.fit()[0]["held_out_loss"])

    @pytest.mark.slow
    def test_the_search_of_pipelines(self):
        features, labels, key = lonely_class()
        search = search_pipelines(features, labels, 0.08, 0, 0, metric="log_loss", habits=HABITS, key=key)
        assert search.history is not None and np.isfinite(search.history.score).all() and search.history.score.max() > -40


class TestTheKeyTravels:
    def test_to_the_disk_and_the_feature_table_but_into_no_feature(self, tmp_path):
        samples = visits()
        opened = load_samples(save_samples(samples, tmp_path/"samples"))
        assert opened.key.by == "group" and (opened.key.codes == samples.key.codes).all()
        pipeline = pipeline_for(opened)
        table = feature_table(pipeline, opened, fit_features(pipeline, opened))
        assert (key_in(table).codes == samples.key.codes).all()
        names = split_table(table, "train")[2]
        assert not set(names) & set(NOT_FEATURES) and len(names) == table.shape[1] - 4

    def test_into_the_encodings_by_target(self):
        samples = visits()
        pipeline = pipeline_for(samples)
        values = pd.DataFrame(fit_features(pipeline, samples), columns=pipeline.get_feature_names_out())
        labels = samples.labels[samples.rows("train")]
        assert np.ptp(values["category_doctor_target"]) == 0 # a doctor sees one patient, whose label must not come back, nor its mirror image
        alone = Samples(**{**samples.__dict__, "key": Key()})
        pipeline = pipeline_for(alone)
        values = pd.DataFrame(fit_features(pipeline, alone), columns=pipeline.get_feature_names_out())
        assert np.corrcoef(values["category_doctor_target"], labels)[0, 1] > 0.9

    @pytest.mark.parametrize("groups, levels", [(8, 200), (16, 200), (16, 20)])
    def test_no_encoding_mirrors_the_label_of_its_group(self, groups, levels):
        areas = []
        for seed in range(12):
            draws, which = np.random.default_rng(seed), np.repeat(np.arange(groups), 400//groups)
            labels = (draws.permutation(groups) % 2)[which]
            noise = pd.DataFrame({"s": pd.Categorical([f"v{v}" for v in draws.integers(0, levels, 400)])})
            encoded = CategoryFeatures([{"name": "s", "type": "category"}]).fit_transform(noise, labels, key=Key("group", which))[:, -1]
            areas.append(roc_auc_score(labels, encoded))
        assert abs(np.mean(areas) - 0.5) < 0.04

    def test_into_the_shadows(self):
        features, _, key = grouped_noise()
        wide = with_shadows(features, 3, 0, key)[:, 6:]
        within = pd.DataFrame(wide).groupby(key.codes).std().mean().mean()
        assert within < 0.2 < 0.8 < pd.DataFrame(with_shadows(features, 3, 0)[:, 6:]).groupby(key.codes).std().mean().mean()
        turned = shuffled_rows(100, np.random.default_rng(0), key_of("time", np.arange(100)))
        assert (np.diff(turned) % 100 == 1).all() and turned[0] != 0


class TestIntervals:
    def test_groups_cover_where_rows_do_not(self):
        inside = {"rows": 0, "groups": 0}
        for seed in range(40):
            draws = np.random.default_rng(seed)
            which = np.repeat(np.arange(15), draws.integers(5, 40, 15))
            right = (draws.uniform(size=15) < 0.6)[which].astype(float)
            for name, clusters in (("rows", None), ("groups", which)):
                _, low, high = mean_interval(right, seed, 200, clusters)
                inside[name] += low <= 0.6 <= high
        assert inside["groups"] >= 36 and inside["rows"] < 27

    def test_time_has_few_stretches_and_says_what_they_cannot_know(self):
        outside = 0
        for seed in range(60): # errors stay alike for some thirty rows of five hundred
            steps = np.random.default_rng(seed).normal(size=560)
            alike = np.convolve(steps, np.ones(30)/30**0.5, "valid")[:500] > -0.9
            _, low, high = mean_interval(alike, seed, 200, key_of("time", np.arange(500)).clusters)
            outside += not low <= 0.8159 <= high
        assert outside <= 12 # with fifty stretches it was every third
        assert "too narrow" in key_of("time", np.arange(500)).caution

    def test_one_group_leaves_everything_open(self):
        labels, answers = np.array([0, 1, 1, 0]), np.tile([0.4, 0.6], (4, 1))
        found = metric_intervals(labels, answers, clusters=np.zeros(4))
        assert found["accuracy"] == (0, 1) and found["log_loss"][0] == 0


class TestWhatMoved:
    def dealt(self, seed, shift=0):
        draws, groups = np.random.default_rng(seed), np.repeat(np.arange(40), 15)
        split = split_by_group(groups, 0.2, 0.1, seed)
        values = {f"c{i}": np.repeat(draws.normal(size=40), 15) + 0.3*draws.normal(size=600) for i in range(4)}
        values["c0"] = values["c0"] + shift*(split == 2)
        samples = Samples(pd.DataFrame(values), draws.integers(0, 2, 600), split, ["a", "b"], "dealt", "table", columns=[Column(name, "numeric") for name in values], key=key_of("group", groups))
        return column_statistics(samples)[0].drifted

    def test_groups_dealt_at_random_have_not_moved(self):
        assert sum(self.dealt(seed).sum() for seed in range(10)) <= 2

    def test_what_moved_is_found(self):
        assert all(self.dealt(seed, 3.0)["c0"] for seed in range(3))


class TestPipelinesGoOn:
    @pytest.mark.parametrize("transformation, shape", [("PCA", {"n_components": 4}), ("selection", {"percentile": 50.0})])
    @pytest.mark.parametrize("family", ["svm", "gradient_boosting"])
    def test_a_transformed_candidate_is_stored_and_opened(self, tmp_path, transformation, shape, family):
        features, labels, _ = grouped_noise()
        choice = {"family": family, "transformation": transformation, "shape": shape}
        model = fitted(family_of(choice, 6, HABITS).build({"landmarks": 20} if family == "svm" else {}), features, labels)
        again = load_model_file(save_model_file(model, tmp_path/"estimator.skops"), TRUSTED, "07_training")
        np.testing.assert_allclose(predicted(again, features[:9], 2), predicted(model, features[:9], 2))

    def test_few_rows_bend_the_shape_and_weights_reach_the_last_step(self):
        features, labels, _ = grouped_noise()
        chosen = family_of({"family": "svm", "transformation": "PCA", "shape": {"n_components": 6}}, 6, HABITS)
        assert predicted(fitted(chosen.build({"landmarks": 4}), features[::200], np.arange(4) % 2), features, 2).shape == (720, 2)
        weighed = fitted(chosen.build({"landmarks": 20}), features, labels, weights=np.where(labels == 1, 50.0, 1.0))
        assert predicted(weighed, features, 2)[:, 1].mean() > labels.mean() + 0.1

    def test_a_pipeline_with_a_transformation_wins(self):
        line = {"family": "svm", "title": "SVM (RBF)", "accuracy": 0.6, "accuracy_low": 0.5, "accuracy_high": 0.7, "log_loss": 0.6, "full_fit_seconds": 1.0}
        board = pd.DataFrame([line | {"family": "tpot", "title": "TPOT: PCA, then SVM (RBF)", "accuracy": 0.9}, line])
        gains = {"tpot": np.ones(50), "svm": (np.arange(50) % 5 < 3).astype(float)}
        found = {"family": "svm", "transformation": "PCA", "shape": {"n_components": 3}, "parameters": {"C": 3.0}}
        choice = weigh_pipelines({"family": "svm", "reason": "", "parameters": {}}, {"tpot": found}, board, gains, 60)
        assert choice["transformation"] == "PCA" and choice["shape"] == {"n_components": 3} and "the transformation goes on with it: it wins" in choice["reason"]


@pytest.mark.slow
def test_the_stages_promise_nothing_for_noise_in_groups(tmp_path):
    "The real command line, from the file to the choice of a model."
    features, labels, key = grouped_noise(60, 15)
    frame = pd.DataFrame(features, columns=[f"m{i}" for i in range(6)]).assign(who=[f"p{code}" for code in key.codes], ill=np.where(labels, "yes", "no"))
    frame.to_csv(tmp_path/"noise.csv", index=False)
    def call(*words): return subprocess.run([sys.executable, "-m", "fashion_mlops.cli", *words], env=os.environ | {"FASHION_MLOPS_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=400)
    call("dataset", "add", str(tmp_path/"noise.csv"), "--name", "noise", "--target", "ill", "--split", "group", "--split-column", "who")
    done = call("run", "01", "04", "05", "--profile", "smoke", "--dataset", "noise", "-p", "05_automl.tpot_minutes=0", "-p", "04_features.stability_seeds=2")
    assert done.returncode == 0, done.stdout + done.stderr
    choice = read_json(next((tmp_path/"data"/"artifacts"/"noise").glob("05_automl/[0-9]*/choice.json")))
    low, high = choice["interval"]
    assert "folds of whole groups" in choice["division"] and low < np.log(2) < high and choice["score"] > 0.4
    page = next((tmp_path/"reports"/"noise").glob("05_automl.html")).read_text()
    assert "every row is judged by a model that saw none of its group" in page and "The selection of features was judged with" in page
