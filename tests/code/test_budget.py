"""A stage that has a time to keep to writes down what it took, and what it took can be had again without a clock."""
import math
import time

import numpy as np
import pytest

from fashion_mlops.workflow.budget import Budget, measured
from fashion_mlops.workflow.contract import ParameterError
from fashion_mlops.core import write_json
from fashion_mlops.workflow.stage import Stage, TooFew, TooLate


@pytest.fixture
def count(tmp_path, monkeypatch):
    "A stage that counts as far as there is time for, of which a thousandth is for counting."
    for name in ("FASHION_MLOPS_RUN", "MLFLOW_TRACKING_URI"): monkeypatch.delenv(name, raising=False)
    for name in ("FASHION_MLOPS_HOME", "FASHION_MLOPS_ROOT"): monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("fashion_mlops.workflow.stage._check_package", lambda: None)

    def run(chosen_name="n", fails=None, **values):
        values = {"minutes": 0, "n": 30000} | values
        stage = Stage("01_draw", writes=["numbers.json"]).start({**values, "__annotations__": {"minutes": "float[0, 100000]", "n": "int[1, 100000]"}})
        n = stage.affordable(chosen_name, "Counting takes {time}.", measured(lambda size: time.sleep(size/10000), 100, 200), share=0.001)
        with stage.may_fail("the picture"):
            if fails: raise fails
        write_json(stage.write("numbers.json"), list(range(n)))
        return stage.finish(f"{n} numbers")
    return run


def test_what_a_clock_chose_is_had_again_without_it(count):
    first = count(minutes=10)
    assert list(first["chosen"]) == ["n"] and 1 < first["chosen"]["n"] < 30000 == first["params"]["n"]
    again = count(**first["chosen"])
    assert again["chosen"] == {} and again["writes"]["numbers.json"]["digest"] == first["writes"]["numbers.json"]["digest"]
    with pytest.raises(ParameterError, match="nobody could ask for it again"): count("rows", minutes=10)
    for minutes, said in ((0.01, "at least 0.1"), (-1, "from 0 to 100,000")):
        with pytest.raises(ParameterError, match=said): count(minutes=minutes)


def test_a_part_that_came_too_late_is_noted_and_one_that_says_too_little_is_not(count):
    late, few = (count(minutes=10, fails=error) for error in (TooLate("The time was over."), TooFew("Three rows.")))
    assert (late["late"], few["late"]) == (["the picture"], []) and not late["failures"]


def test_an_attempt_goes_on_with_the_choice_of_the_work_that_it_finds(tmp_path, monkeypatch):
    "And never with a choice without work, which may be that of a machine that was slow then."
    for name in ("FASHION_MLOPS_RUN", "MLFLOW_TRACKING_URI"): monkeypatch.delenv(name, raising=False)
    for name in ("FASHION_MLOPS_HOME", "FASHION_MLOPS_ROOT"): monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("fashion_mlops.workflow.stage._check_package", lambda: None)
    monkeypatch.setattr("fashion_mlops.workflow.half_done._code_so_far", lambda names: [])

    def attempt(seconds, trials=0, minutes=1):
        "Rows that an attempt takes, of which a second is enough for a hundred; it is broken off after some trials."
        stage = Stage("06_study").start({"minutes": minutes, "n": 5000, "__annotations__": {"minutes": "float[0, 100000]", "n": "int[1, 100000]"}})
        stage.budget.left = lambda: seconds
        folder = stage.scratch("study", 5000, minutes)
        begun = (folder/"study.log").is_file()
        rows = stage.kept_choice(folder, begun, lambda: {"n": stage.affordable("n", "{time}", lambda rows: rows/100, share=1)})["n"]
        if trials: (folder/"study.log").write_text("a trial")
        assert stage.chosen == {"n": rows}
        return rows, begun

    assert [attempt(2), attempt(20, trials=1), attempt(30), attempt(30, minutes=2)] == [(200, False), (2000, False), (2000, True), (3000, False)]


def test_trials_that_the_clock_stopped_are_run_again_by_their_number(tmp_path):
    from fashion_mlops.models.families import families
    from fashion_mlops.search.journal import trials_done
    from fashion_mlops.search.study import open_study, search
    space, start = families(20)["svm"].space, {"C": 10.0, "gamma": 0.025}

    def climb(seconds):
        def losses(parameters):
            for step in range(3):
                time.sleep(seconds)
                yield (math.log(parameters["C"]) - 1)**2 + 2 - step
        return losses

    stopped, again = (open_study(tmp_path/f"{name}.log", space, [start]) for name in ("stopped", "again"))
    assert "time was over" in search(stopped, space, climb(0.1), n_trials=400, seed=3, rungs=3, batch=2, timeout=2)
    count = len(trials_done(stopped))
    assert 2 <= count < 400 and search(again, space, climb(0), n_trials=count, seed=3, rungs=3, batch=2) == f"all {count} trials were run"
    of = lambda study: [(trial.params, trial.state.name, trial.intermediate_values) for trial in trials_done(study)]
    assert of(stopped) == of(again)


def test_a_clock_that_jumps_or_an_idle_machine_never_ends_a_budget_twice():
    moments = iter(np.concatenate([[0.0, 5, 3, 40, -1e9, 41], np.full(1000, 1e12)]))
    budget = Budget(1, lambda: float(next(moments)))
    assert [budget.left() for _ in range(6)] == [55, 55, 20, 20, 19, 0]


def test_pieces_that_turn_out_larger_tell_what_the_larger_cost():
    now, asked = [0.0], []

    def of_a_thousand_classes(rows): # ten rows of each, whatever is asked for
        asked.append(rows)
        now[0] += max(rows, 10_000)/1000
        return max(rows, 10_000)

    cost = measured(of_a_thousand_classes, 600, 1800, (0.3, 2.2), clock=lambda: now[0])
    assert asked == []
    assert [cost(rows) for rows in (600, 10_000, 100_000)] == pytest.approx([10, 10, 100]) and asked == [600, 600, 30_000]


@pytest.mark.parametrize("seconds, pieces", [(100, 3), (10, 2), (0, 2)])
def test_measuring_keeps_to_its_time(seconds, pieces):
    now, asked = [0.0], []

    def work(rows):
        asked.append(rows)
        now[0] += rows/100

    cost = measured(work, 600, 1800, (0.5, 2), seconds=seconds, clock=lambda: now[0])
    assert cost(6000) == pytest.approx(60 if pieces == 3 else 600) and len(asked) == pieces
    assert cost(150) >= 1.5 # never less than it may be
