"""Champion and shadow are compared fairly: who does not answer cannot win, who asks twice counts once, what was learnt from is no test, and complaints decide nothing."""
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fashion_mlops.loop import steps
from fashion_mlops.loop.chosen_labels import chosen_words
from fashion_mlops.loop.pairs import Pairs, by_caller, caller_bounds, decision, paired, paired_bounds
from fashion_mlops.loop.policy import Challenger
from fashion_mlops.loop.reason import Loop
from fashion_mlops.loop.turn import Done, Ended, Turn, Waiting
from fashion_mlops.service import champion, deployment
from fashion_mlops.service.log_files import log_folder, write_rows

BEGAN = datetime(2026, 11, 28, tzinfo=UTC)
TURN = Turn("orders", 1, champion=1, steps={"data": {"version": 3, "parent": 0}, "train": {"model": 2}, "compare": {"words": "better"}})


def log(count, heard, shadow, answers=lambda number: True, unit=lambda number: None, digest=lambda number: ""):
    "What was told: a request each, by whether the one who is heard and the one in the shadow are right."
    rows = []
    for number in range(count):
        said = [("champion", 1, heard(number))] + [("shadow", 2, shadow(number))]*answers(number)
        rows += [(f"r{number}", 0, pd.Timestamp(BEGAN) + pd.Timedelta(seconds=number), version, slot, "yes" if right else "no", "yes", unit(number), digest(number))
                 for slot, version, right in said]
    return pd.DataFrame(rows, columns=["id", "row", "time", "version", "slot", "said", "label", "unit", "digest"])


class TestWhoDoesNotAnswer:
    def test_a_shadow_that_fails_at_what_is_hard_does_not_win(self):
        draw = np.random.default_rng(0)
        hard, luck = draw.random(1500) < 0.4, draw.random((2, 1500))
        rows = log(1500, lambda n: luck[0, n] < (0.55 if hard[n] else 0.85), lambda n: luck[1, n] < 0.9, answers=lambda n: not hard[n])
        failed = frozenset(f"r{number}" for number in np.flatnonzero(hard))
        seen = paired(rows, 1, 2, failed=failed)
        assert decision(seen, Challenger()) == "worse" and seen.failed == hard.sum() and f"{hard.sum():,} of them it failed to answer" in seen.words("v1", "v2")

    def test_what_was_dropped_is_said_and_where_most_is_nothing_is_decided(self):
        for share, ends in ((0.1, "better"), (0.3, "better"), (0.6, "")):
            seen = paired(log(900, lambda n: n % 2, lambda n: True, answers=lambda n: n // 2 % 50 >= 50*share), 1, 2)
            assert decision(seen, Challenger()) == ends and (f"{seen.dropped:,} more rows it was not asked about" in seen.words("v1", "v2")) and seen.failed == 0

    def test_nothing_is_decided_where_what_is_dropped_is_hard(self):
        hard = np.random.default_rng(0).random(1500) < 0.3
        seen = paired(log(1500, lambda n: n % 9 if not hard[n] else n % 2, lambda n: True, answers=lambda n: not hard[n]), 1, 2)
        assert decision(seen, Challenger()) == "" and "of another kind" in seen.words("v1", "v2")

    def test_what_came_before_the_shadow_was_up_is_none_of_the_test(self):
        seen = paired(log(600, lambda n: n % 2, lambda n: True, answers=lambda n: n >= 400), 1, 2)
        assert (seen.rows, seen.dropped, decision(seen, Challenger())) == (200, 0, "better")


class TestWhoAsksTwice:
    def test_equal_models_are_told_apart_no_more_often_than_alpha_says(self):
        draw, wrong = np.random.default_rng(1), 0
        for _ in range(40):
            own, callers = draw.choice([-1.0, 0, 1], 60, p=[0.1, 0.8, 0.1]), draw.permutation(np.repeat(np.arange(60), 20))
            bounds = [caller_bounds(own[callers][:seen], callers[:seen]) for seen in (100, 300, 500, 900, 1200)]
            wrong += any(low > 0 or high < 0 for low, high in bounds)
        assert wrong <= 5 # where each request counted, 20 of them

    def test_each_caller_has_one_difference(self):
        found = by_caller(np.array([1.0, 0, 0, -1, 1]), np.array([0, 1, 0, 2, 2]), 3)
        assert sorted(found) == [-1.0, 0.0, 0.5]
        assert len(by_caller(np.zeros(0), np.zeros(0, int), 0)) == 0

    def test_callers_are_known_by_pseudonym_else_by_what_they_send(self):
        rows = log(300, lambda n: n % 2, lambda n: True, unit=lambda n: f"1.1:{n % 7}" if n < 100 else None, digest=lambda n: f"d{n % 11}" if n < 200 else "")
        assert len(paired(rows, 1, 2).means) == 7 + 11 + 100

    def test_who_asks_once_pays_little_for_it(self):
        own = np.resize([1.0, 0, 0, 0], 200)
        assert abs(caller_bounds(own, np.arange(200))[0] - paired_bounds(own)[0]) <= 0.01

    def test_a_hundred_thousand_requests_take_less_than_a_second(self):
        draw = np.random.default_rng(2)
        seen = Pairs(draw.choice([-1.0, 0, 1], (100_000, 4), p=[0.06, 0.86, 0.08]).mean(1), 400_000, (0, 0), callers=np.arange(100_000), known=np.zeros(200))
        began = time.process_time()
        assert decision(seen, Challenger()) == "better" and "100,000 requests" in seen.words("v1", "v2")
        assert time.process_time() - began < 1


def test_what_one_of_the_two_has_learnt_from_is_left_out():
    rows = log(200, lambda n: n >= 20, lambda n: True, digest=lambda n: f"d{n % 150}")
    seen = paired(rows, 1, 2, known=(frozenset({"r0 · 0", "r1 · 0"}), frozenset({"d0", "d5"})))
    assert (seen.learnt, seen.rows) == (5, 195) and "5 rows are left out" in seen.words("v1", "v2")


def told(count, told_right, told_wrong, hits=(0.85, 0.75)):
    "A world in which somebody speaks by whether the one who is heard is right."
    draw = np.random.default_rng(4)
    right = draw.random((2, count)) < np.array(hits)[:, None]
    truth = draw.integers(0, 5, count)
    said = [np.where(each, truth, (truth + draw.integers(1, 5, count)) % 5) for each in right]
    speaks = draw.random(count) < np.where(right[0], told_right, told_wrong)
    return pd.DataFrame({"id": [f"r{number}" for number in range(count)], "time": np.arange(count), "together": np.arange(count).astype(str), "said": said[0].astype(str),
                         "said_shadow": said[1].astype(str), "confidence": draw.random(count), "label": np.where(speaks, truth.astype(str), None), "told": speaks})


class TestComplaints:
    @pytest.mark.parametrize("right, wrong, chosen", [(0.3, 0.3, False), (1, 1, False), (0, 1, True), (0.1, 0.6, True), (0.6, 0.1, True)])
    def test_who_speaks_by_the_answer_is_seen(self, right, wrong, chosen):
        words = chosen_words(told(2000, right, wrong))
        assert bool(words) == chosen and ("drawn by lot" in words) == chosen

    @pytest.fixture
    def logged(self, home, monkeypatch):
        "A log in which the one in the shadow is better by what is told; who is heard: v1 in the live test, v2 in the watch."
        monkeypatch.setattr(steps, "_lost", lambda loop, turn: None)
        monkeypatch.setattr(steps, "_champion_alone", lambda loop, turn: None)
        monkeypatch.setattr(deployment, "deploy", lambda dataset: None)
        traffic = SimpleNamespace(since=BEGAN.isoformat(), number=1, mode="shadow")
        monkeypatch.setattr(steps, "_beside", lambda *asked: traffic)
        def write(heard, shadow, right, wrong, hits):
            table, rows = told(1200, right, wrong, hits), []
            for place, one in enumerate(table.itertuples()):
                own = {"id": one.id, "row": 0, "dataset": "orders", "unit": None, "digest": "", "watched": [], "input": None, "confidence": one.confidence,
                       "probabilities": [], "rejected": False, "seconds": 0.01}
                for version, slot, said in ((heard, "champion", one.said), (shadow, "shadow", one.said_shadow)):
                    rows.append(("predictions", own | {"version": version, "slot": slot, "said": said, "time": BEGAN + timedelta(seconds=place, milliseconds=version)}))
                if one.told: rows.append(("feedback", {"id": one.id, "row": 0, "time": BEGAN, "label": one.label}))
            write_rows(log_folder("orders"), rows)
        return write

    LOOP = Loop("orders", clock=lambda: BEGAN + timedelta(hours=1))

    @pytest.mark.parametrize("right, wrong, hits, ends", [(0, 1, (0.85, 0.75), Waiting), (0.4, 0.4, (0.7, 0.85), Done)])
    def test_the_live_test_waits_for_labels_by_lot(self, logged, right, wrong, hits, ends):
        logged(1, 2, right, wrong, hits)
        found = steps.live(self.LOOP, TURN)
        assert isinstance(found, ends), found
        if ends is Waiting: assert found.on == "labels" and "drawn by lot" in found.words

    @pytest.mark.parametrize("right, wrong, hits, ends", [(0, 1, (0.85, 0.75), Waiting), (0.4, 0.4, (0.7, 0.85), Ended)])
    def test_the_watch_takes_nothing_back_for_complaints_and_else_goes_back_to_whom_it_compared(self, logged, monkeypatch, right, wrong, hits, ends):
        logged(2, 1, right, wrong, hits)
        serves, moved = [2], []
        monkeypatch.setattr(champion, "champion_version", lambda dataset: serves[0])
        monkeypatch.setattr(champion, "rollback_target", lambda dataset: 7) # the trail's idea, after changes by other hands
        monkeypatch.setattr(champion, "promote", lambda dataset, version, expected, reason, what: moved.append((version, expected, what)))
        found = steps.watch(self.LOOP, TURN)
        assert isinstance(found, ends), found
        assert moved == ([] if ends is Waiting else [(1, 2, "rolled back")])
