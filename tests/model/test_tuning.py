"""Promises of a study: a dead worker's trial is taken over, a foreign file is kept, and no budget is a budget."""
import os
import signal
import socket
import time

import pytest

from fashion_mlops.models.families import families
from fashion_mlops.search.journal import MOST_RETRIES, rescue, trials_done
from fashion_mlops.search.study import open_study, run_batch, search
from fashion_mlops.search.workers import search_with_workers

SPACE, START = families(20)["svm"].space, {"C": 10.0, "gamma": 0.025}


def slow_bowl(parameters):
    import math
    import time
    for step in range(3):
        time.sleep(0.1) # stands for a model that takes a while
        yield (math.log(parameters["C"]) - 1)**2 + 2 - step




def states(study): return [trial.state.name for trial in study.get_trials(deepcopy=False)]


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_trial_tried_again(tmp_path):
    study, victims = open_study(tmp_path/"study.log", SPACE, [START]), []

    def kill_first(process):
        if victims: return
        victims.append(process.pid)
        deadline = time.monotonic() + 60
        while not any(trial.user_attrs.get("worker", "").endswith(f" {process.pid}") for trial in study.get_trials(deepcopy=False)):
            assert time.monotonic() < deadline, "the worker began no trial"
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)

    reason = search_with_workers(tmp_path/"study.log", study, SPACE, slow_bowl, n_trials=8, seed=0, rungs=3, workers=2, timeout=120, started=kill_first)
    assert reason == "all 8 trials were run"
    retried = [trial for trial in study.trials if "retry_of" in trial.user_attrs]
    assert states(study).count("FAIL") == len(retried) == 1
    lost = study.trials[retried[0].user_attrs["retry_of"]]
    assert lost.params == retried[0].params and lost.user_attrs["worker"].endswith(f" {victims[0]}")
    assert retried[0].state.name in ("COMPLETE", "PRUNED") and 8 <= len(trials_done(study)) <= 9


def test_a_trial_that_kills_every_time_is_given_up(tmp_path):
    study = open_study(tmp_path/"study.log", SPACE, [START])

    def dies(parameters):
        raise KeyboardInterrupt
        yield

    for _ in range(MOST_RETRIES + 1):
        with pytest.raises(KeyboardInterrupt): run_batch(study, SPACE, dies, seed=0, rungs=3)
        rescue(study, everything=True)
    assert states(study) == ["FAIL"]*(MOST_RETRIES + 1)
    assert search(study, SPACE, slow_bowl, n_trials=2, seed=0, rungs=3) == "all 2 trials were run"
    assert trials_done(study)[0].params != START


@pytest.fixture
def asked(tmp_path):
    "A study with two trials that run in a process which is there, and what moves the clocks on."
    study = open_study(tmp_path/"study.log", SPACE, [START])
    trials = study.ask(), study.ask()
    for trial in trials: SPACE(trial)
    return study, trials


def sign(trials, number, host="another-machine"):
    for trial in trials:
        trial.set_user_attr("worker", f"{host} {os.getpid()}")
        trial.set_user_attr("beat", number)


def test_a_silent_trial_is_dead_and_a_living_one_is_not(asked, monkeypatch):
    (study, (quiet, busy)), since = asked, time.monotonic()
    sign((quiet, busy), 1)
    assert rescue(study) == 0                                    # nobody has watched them yet
    sign((busy,), 2)
    monkeypatch.setattr(time, "monotonic", lambda: since + 100)
    assert rescue(study) == 1
    assert states(study) == ["FAIL", "RUNNING", "WAITING"]


@pytest.mark.parametrize("host", [socket.gethostname(), "another-machine"])
def test_a_clock_that_is_set_kills_no_trial(asked, monkeypatch, host):
    study, trials = asked
    sign(trials, time.time(), host)                              # what older code wrote
    for jump in (0, 3600, 3605, -86400, 86400):
        monkeypatch.setattr(time, "time", lambda now=time.time() + jump: now)
        assert rescue(study) == 0
    assert states(study) == ["RUNNING"]*2


@pytest.mark.slow
def test_workers_that_keep_dying_are_said(tmp_path):
    from fashion_mlops.core import WorkflowError
    study = open_study(tmp_path/"study.log", SPACE, [START])
    with pytest.raises(WorkflowError, match="workers of the study died"):
        search_with_workers(tmp_path/"study.log", study, SPACE, lambda parameters: iter(()), n_trials=4, seed=0, rungs=3, workers=1, timeout=120)


def test_a_worker_that_comes_back_from_the_dead_changes_nothing(tmp_path):
    study = open_study(tmp_path/"study.log", SPACE, [START])

    def declared_dead(parameters):
        yield 2.0
        rescue(study, everything=True) # what another machine does after a minute of silence
        yield 1.0
        yield 0.5

    run_batch(study, SPACE, declared_dead, seed=0, rungs=3)
    assert states(study) == ["FAIL", "WAITING"]


def test_a_half_written_line_and_a_foreign_file(tmp_path, capsys):
    path = tmp_path/"study.log"
    search(open_study(path, SPACE, [START]), SPACE, slow_bowl, n_trials=2, seed=0, rungs=3)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 6, "wor')
    assert len(trials_done(open_study(path, SPACE, [START]))) == 2
    path.write_bytes(whole.replace(b'"op_code"', b'"opc', 1))
    assert not trials_done(open_study(path, SPACE, [START]))
    assert "is not a study file. It is kept as study.kept1.log" in capsys.readouterr().out
    logistic = families(20)["logistic_regression"]
    assert not trials_done(open_study(path, logistic.space, [{"C": 1.0}]))
    assert "belongs to another search space (C, gamma; expected C" in capsys.readouterr().out
    assert (tmp_path/"study.kept2.log").is_file()
