"""Laws of the AutoML stage: a killed search goes on where it stood, any cluster will do, and odd tables get a sentence instead of a traceback."""
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fashion_mlops.search.choice import choose, weigh_pipelines
from fashion_mlops.search.contest import contest, usable
from fashion_mlops.core import WorkflowError
from fashion_mlops.models.families import families
from fashion_mlops.samples.folds import make_folds, stratified_rows
from fashion_mlops.search.leaderboard import leaderboard, row_gains, scored
from fashion_mlops.search.front import pareto_front
from fashion_mlops.search.tpot import search_pipelines, searchable_rows


def problem(rows=240, columns=12, classes=3, seed=0):
    from sklearn.datasets import make_classification
    points, kinds = make_classification(rows, columns, n_informative=min(8, columns), n_redundant=0, n_classes=classes, random_state=seed)
    return points.astype(np.float32), kinds


def run(points, kinds, names=None, n_folds=3, minutes=0.0):
    "The stage's own steps, in the stage's order."
    points, names, notes = usable(points, kinds, names or [f"f{i}" for i in range(points.shape[1])], n_folds)
    (judged,), classes = stratified_rows(kinds, [len(kinds)], 0), kinds.max() + 1
    models = {name: family.build({"n_estimators": 5} if name in ("random_forest", "gradient_boosting") else {}) for name, family in families(len(names), classes=classes).items()}
    results, left_out = contest(models, points[judged], kinds[judged], make_folds(kinds[judged], n_folds, 0), 2, classes)
    board = leaderboard([scored(name, name, result, kinds[judged], len(kinds)) for name, result in results.items()])
    gains = {name: row_gains("accuracy", kinds[judged], result["probabilities"]) for name, result in results.items()}
    search = search_pipelines(points, kinds, minutes, 0, 0)
    choice = weigh_pipelines(choose(board, gains, 1000), {}, board, gains, 1000)
    return board, choice, [*notes, *left_out.values(), *filter(None, [search.note])]


class TestOddTables:
    def test_gaps_are_filled_and_said(self):
        points, kinds = problem()
        points[3, 2], points[5, 4] = np.nan, np.inf
        board, choice, notes = run(points, kinds)
        assert len(board) == 6 and "2 of 12 features have gaps or infinite values (f2, f4)" in notes[0]

    def test_constant_columns_are_left_out_and_said(self):
        points, kinds = problem()
        points[:, 7] = 5
        assert any("1 of 12 features are constant and left out here: f7." in note for note in run(points, kinds)[2])

    def test_nothing_but_constants_still_ends_with_a_choice(self):
        points, kinds = problem()
        board, choice, notes = run(np.ones_like(points), kinds)
        assert "All 12 features are constant" in notes[0] and board.accuracy.max() < 0.5 and choice["family"]

    def test_a_class_with_one_row_is_said_and_counts_as_wrong(self):
        points, kinds = problem()
        kinds[0] = 3
        board, choice, notes = run(points, kinds)
        assert len(board) == 6 and "Class 3 has a single training row" in notes[0]
        assert choice["reason"].count("wins") == 1

    def test_of_two_classes_one_with_one_row(self):
        points, kinds = problem(classes=2)
        kinds[:] = 0
        kinds[4] = 1
        board, choice, notes = run(points, kinds)
        assert len(board) >= 1 and any("single training row" in note for note in notes)

    def test_more_features_than_rows(self):
        points, kinds = problem(40, 90)
        board, choice, notes = run(points, kinds)
        assert len(board) == 6 and any("more features (90) than rows in a fit (26)" in note for note in notes)

    def test_one_class_stops_with_a_sentence(self):
        with pytest.raises(WorkflowError, match="expected two classes at least"): run(problem()[0], np.zeros(240, int))

    def test_a_budget_of_zero_means_no_search(self):
        assert run(*problem())[2] == ["TPOT was not asked to search: tpot_minutes is 0."]

    def test_rare_classes_are_left_out_of_the_search_and_said(self):
        enough, note = searchable_rows(np.array([0, 0, 0, 1, 1, 1, 2, 2]), 3)
        assert enough.sum() == 6 and "TPOT searches without the 2 rows of the classes 2" in note
        assert "TPOT cannot search" in search_pipelines(problem(20)[0], np.arange(20)//2, 1, 0, 0).note


def test_the_front_is_what_no_other_beats():
    draws = np.random.default_rng(0)
    scores, sizes = draws.uniform(size=60).round(1), draws.integers(1, 9, 60)
    for i, on in enumerate(pareto_front(scores, sizes)):
        assert on == (not any(scores[j] >= scores[i] and sizes[j] <= sizes[i] and (scores[j] > scores[i] or sizes[j] < sizes[i]) for j in range(60)))


@pytest.mark.slow
def test_an_address_where_nobody_answers_is_refused_within_seconds():
    began = time.monotonic()
    with pytest.raises(WorkflowError, match="leave scheduler empty"): search_pipelines(*problem(), 1, 0, 0, scheduler="tcp://127.0.0.1:9")
    assert time.monotonic() - began < 20


@pytest.mark.slow
class TestSearch:
    def test_a_cluster_by_its_address_is_used_and_left_running(self):
        from distributed import Client, LocalCluster
        with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
            found = search_pipelines(*problem(), 0.1, 0, 0, scheduler=cluster.scheduler_address)
            assert len(found.history) >= 2 and found.candidates
            with Client(cluster.scheduler_address, timeout=5) as client: assert len(client.nthreads()) == 2

    def test_a_cluster_without_workers_is_refused(self):
        from distributed import LocalCluster
        with LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster:
            with pytest.raises(WorkflowError, match="has no workers"): search_pipelines(*problem(), 0.1, 0, 0, scheduler=cluster.scheduler_address)

    def test_a_killed_search_goes_on_where_it_stood(self, tmp_path):
        "SIGKILL after the second generation: all that was scored is there afterwards, with the same scores, and only the rest of the time is used."
        code = f"""
import numpy as np, pathlib, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_automl import problem
from fashion_mlops.search.tpot import search_pipelines
search_pipelines(*problem(), minutes=5, workers=0, seed=0, population=6, folder=pathlib.Path({str(tmp_path)!r}), tell=lambda scored, generation: print(generation, flush=True))
"""
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            if line.strip() == "2": break
        process.kill()
        process.wait()
        before = pickle.loads((tmp_path/"kept.pkl").read_bytes()).evaluated_individuals
        before = before[before["log_bytes"].notna()]
        (tmp_path/"population.pkl").write_bytes((tmp_path/"population.pkl").read_bytes()[:1000]) # as if the kill had come in the middle of writing
        (tmp_path/"spent.json").write_text('{"seconds": 297}')
        began = time.monotonic()
        found = search_pipelines(*problem(), minutes=5, workers=0, seed=0, population=6, folder=tmp_path)
        assert time.monotonic() - began < 60, "three seconds of five minutes were left"
        scores = dict(zip(found.history.pipeline, found.history.score))
        assert found.earlier == len(before) >= 12 and len(found.history) > len(before)
        assert {name: scores[name] for name in before.index} == dict(zip(before.index, before.iloc[:, 0]))
