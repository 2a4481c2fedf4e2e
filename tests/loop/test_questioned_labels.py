"""What a person is asked before labels are learnt from, and what ends a turn before it has begun to cost something."""
import argparse
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fashion_mlops.loop import questions as asking
from fashion_mlops.loop import steps
from fashion_mlops.loop.policy import Policy
from fashion_mlops.loop.reason import Loop
from fashion_mlops.loop.turn import Ended, Turn

CLASSES = ["Coat", "Pullover", "Bag", "Boot"]
TURN = Turn("pots", 1, champion=1, steps={"data": {"version": 3, "parent": 0}})


def world(right: float, count: int = 800, seed: int = 1):
    "Labels, answers of a champion that has so much right, and requests."
    draw = np.random.default_rng(seed)
    truth, boost = draw.integers(0, 4, count), {0.9: 4, 0.4: 0.9, 0.25: 0.0}[right]
    odds = draw.normal(0, 1, (count, 4)) + boost*np.eye(4)[truth] + [1, 0, 0, 0]
    answers = np.exp(odds)/np.exp(odds).sum(1, keepdims=True)
    return truth, answers, np.array([f"request{row//4}" for row in range(count)], object)


def asked(loop, labels, answers, requests, doubtful=0.0, table=None, monkeypatch=None):
    "The questions of a turn."
    monkeypatch.setattr(asking, "answered", lambda *said: pd.DataFrame() if table is None else table)
    labelled = SimpleNamespace(at=lambda rows: SimpleNamespace(inputs=rows, requests=requests[rows]), moments=np.full(len(labels), np.datetime64("2026-11-20", "us")))
    screened = SimpleNamespace(judged=np.arange(len(labels)), judged_labels=labels, doubtful=doubtful)
    source = SimpleNamespace(labels=np.arange(400) % 4, classes=CLASSES, rows=lambda split: np.arange(400))
    return steps._questions(loop, TURN, labelled, screened, source, SimpleNamespace(predict_proba=lambda rows: answers[rows], threshold=None))


class TestQuestions:
    @pytest.mark.parametrize("right", [0.9, 0.4, 0.25])
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_honest_labels_are_not_asked_about_however_weak_the_champion_is(self, right, seed, monkeypatch):
        assert asked(Loop("pots"), *world(right, seed=seed), monkeypatch=monkeypatch) == []

    @pytest.mark.parametrize("right", [0.9, 0.4])
    def test_exchanged_labels_are_asked_about_with_drift_and_without(self, right, monkeypatch):
        truth, answers, requests = world(right)
        found = asked(Loop("pots"), np.array([1, 0, 2, 3])[truth], answers, requests, monkeypatch=monkeypatch)
        assert len(found) == 1 and "Coat and Pullover the other way round" in found[0]

    def test_one_class_called_another_is_asked_about(self, monkeypatch):
        truth, answers, requests = world(0.9)
        found = asked(Loop("pots"), np.where(truth == 1, 0, truth), answers, requests, monkeypatch=monkeypatch)
        assert found[0].startswith("Pullover is the label of 0 of 800 rows")

    def test_mistakes_alone_are_asked_about(self, monkeypatch):
        truth, answers, requests = world(0.4)
        told = answers.argmax(1) != truth
        found = asked(Loop("pots"), truth[told], answers[told], requests[told], monkeypatch=monkeypatch)
        assert any("only its mistakes are told" in words for words in found)

    def test_rows_of_one_request_are_asked_about(self, monkeypatch):
        truth, answers, requests = world(0.9)
        assert "are of 1 request" in asked(Loop("pots"), truth, answers, np.full(800, "a", object), monkeypatch=monkeypatch)[0]

    def test_a_policy_that_asks_nobody_asks_nothing(self, monkeypatch):
        truth, answers, requests = world(0.9)
        loop = Loop("pots", Policy(data={"suspicious": 1}))
        assert asked(loop, np.array([1, 0, 2, 3])[truth], answers, requests, 0.9, monkeypatch=monkeypatch) == []


class TestBrokenPromise:
    @pytest.fixture
    def proposed(self, home, monkeypatch):
        from fashion_mlops.datasets import versions
        monkeypatch.setattr(steps, "_lost", lambda loop, turn: None)
        monkeypatch.setattr(steps, "_registered", lambda loop, number: None)
        monkeypatch.setattr(versions, "propose", lambda dataset, number: None)

    @staticmethod
    def run_of(stage: str, began: str = "2999-01-01T00:00:00+00:00"):
        "A runner whose stage fails."
        def run(words):
            from fashion_mlops.workflow.records import runs_folder
            folder = runs_folder()/"pots"
            folder.mkdir(parents=True, exist_ok=True)
            result = {"name": stage, "state": "failed", "error": "1 of 20 expectations are broken.\nno image is blank: 3 rows"}
            said = {"token": "29990101T000000-0000", "number": 1, "dataset": "pots", "began": began, "results": [result], "settings": {}, "stages": {}}
            (folder/"29990101T000000-0000.json").write_text(json.dumps(said))
            return 1
        return run

    def test_what_02_quality_stops_ends_the_turn_with_its_words(self, proposed):
        found = steps.train(Loop("pots", run=self.run_of("02_quality")), TURN)
        assert isinstance(found, Ended) and found.outcome == "refused"
        assert "02_quality stops version 3" in found.reasons[0] and "no image is blank" in found.reasons[0]

    @pytest.mark.parametrize("stage, began", [("07_training", "2999-01-01T00:00:00+00:00"), ("02_quality", "2001-01-01T00:00:00+00:00")])
    def test_another_failure_leaves_the_turn_where_it_is(self, proposed, stage, began):
        with pytest.raises(steps.WorkflowError, match="the turn stays where it is"):
            steps.train(Loop("pots", run=self.run_of(stage, began)), TURN)


class TestApproval:
    @pytest.fixture
    def parser(self):
        from fashion_mlops.operations.registry import add_parser
        parser = argparse.ArgumentParser()
        add_parser(parser.add_subparsers())
        return parser

    @pytest.mark.parametrize("words", [["approve"], ["models", "approve"]])
    def test_both_spellings_agree(self, home, parser, capsys, words):
        from fashion_mlops.service.approvals import ask_approval, open_approvals
        ask_approval("pots", "turn-1-approve", "v2 may serve.")
        for said in ([], ["turn-1-approve"]):
            args = parser.parse_args([*words, *said, "--dataset", "pots"])
            assert args.command(args) == 0
        assert "To agree: fashion-mlops approve turn-1-approve" in capsys.readouterr().out and open_approvals("pots") == {}

    @pytest.mark.parametrize("said, words", [(["models", "approve", "a", "b"], "2 names"), (["models", "three"], "'three' is no version")])
    def test_what_is_neither_is_refused(self, home, parser, said, words):
        args = parser.parse_args([*said, "--dataset", "pots"])
        with pytest.raises(steps.WorkflowError, match=words): args.command(args)
