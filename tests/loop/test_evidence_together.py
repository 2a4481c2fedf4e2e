"""Comparison and live test are one piece of evidence: what they pass together, how often they err, and what a policy of them means."""
import numpy as np
import pytest

from fashion_mlops.loop.evidence import Compared, Rows, compare, differences_of, is_shown, verdict
from fashion_mlops.loop.pairs import Pairs, decision, paired_bounds
from fashion_mlops.loop.policy import Challenger, policy_of


def compared(mean, low, high, requests=((0.0, 10),)): return Compared("the newest rows", 100, 0.8, 0.8 + mean, (mean, low, high), [list(one) for one in requests], [])


def drawn(draw, count, mean):
    "Differences of requests of four rows, with a mean."
    up = 0.12 + mean/2
    return draw.choice([1.0, -1.0, 0.0], (count, 4), p=[up, up - mean, 1 - 2*up + mean]).mean(1)


class TestComparison:
    @pytest.mark.parametrize("mean, low, live, passed, shown", [
        (0.04, -0.05, "shadow", True, False), (0.04, -0.05, "none", False, False), (0.04, -0.01, "none", True, True),
        (0.0, -0.01, "shadow", False, True), (-0.04, -0.1, "shadow", False, False)])
    def test_a_best_guess_above_the_gain_is_tried_and_only_what_is_sure_serves_untried(self, mean, low, live, passed, shown):
        said = verdict(compared(mean, low, 0.1), compared(0, -0.01, 0.01), Challenger(live=live))
        assert (said.passed, said.facts["newest"]["shown"]) == (passed, shown)
        assert said.reasons[0].startswith("refused: ") != passed

    def test_how_sure_is_what_alpha_says(self):
        assert [is_shown(compared(0.05, -0.04, 0.14), Challenger(alpha=alpha)) for alpha in (0.01, 0.05, 0.2)] == [False, False, True]

    def test_rows_of_before_are_read_as_surely_as_the_newest(self):
        newest, before = compared(0.2, 0.1, 0.3), compared(-0.01, -0.06, 0.04)
        assert [verdict(newest, before, Challenger(alpha=alpha)).passed for alpha in (0.05, 0.2)] == [False, True]

    def test_differences_are_kept_by_request(self):
        hits = np.array([1, 1, 0, 1, 0, 1], bool), np.array([1, 0, 0, 0, 1, 1], bool)
        assert differences_of(hits, np.array(["a", "a", "b", "b", "c", "c"])) == [[-0.5, 1], [0.5, 2]]
        assert differences_of(hits, None) == [[-1.0, 1], [0.0, 3], [1.0, 2]]


class TestTogether:
    def test_bounds_of_both_are_those_of_one_longer_test(self):
        draw = np.random.default_rng(3)
        first, second = drawn(draw, 60, 0.1), drawn(draw, 80, 0.1)
        tally = [[float(value), int(count)] for value, count in zip(*np.unique(first, return_counts=True))]
        assert Pairs(second, 320, (0, 0)).after(tally).bounds == paired_bounds(np.concatenate([first, second]))
        assert Pairs(second, 320, (0, 0)).after([]).bounds == paired_bounds(second)

    def test_a_loss_of_the_margin_passes_no_more_often_than_alpha_says(self):
        draw, policy, passed, plays = np.random.default_rng(5), Challenger(alpha=0.2, margin=0.03, least=40), 0, 80
        for _ in range(plays):
            known = drawn(draw, 45, -0.03)
            low = known.mean() - 1.96*known.std(ddof=1)/np.sqrt(len(known))
            if known.mean() <= 0: continue
            shown, live = is_shown(compared(known.mean(), low, 1), policy), drawn(draw, 100, -0.03)
            passed += any(decision(Pairs(live[:seen], 4*seen, (0, 0), alpha=policy.alpha, known=known), policy, shown) in ("better", "not worse") for seen in (20, 40, 60, 80, 100))
        assert passed <= 0.2*plays, passed

    def test_small_gains_are_taken_sooner_than_a_gain_is_proven(self):
        draw, policy = np.random.default_rng(6), Challenger(alpha=0.2, margin=0.03, least=40)
        known, live = drawn(draw, 60, 0.06), drawn(draw, 60, 0.06)
        pairs = Pairs(live, 240, (0, 0), alpha=policy.alpha, known=known)
        assert decision(pairs, policy) == "not worse" and paired_bounds(live, 0.05)[0] < 0

    def test_what_was_shown_before_is_not_enough_where_live_rows_say_otherwise(self):
        policy, live = Challenger(), np.resize([-0.25, 0, 0], 60)
        assert decision(Pairs(live, 240, (0, 0), known=np.full(60, 0.25)), policy, True) == ""

    def test_a_loss_that_only_live_rows_have_is_a_loss(self):
        assert decision(Pairs(np.resize([-1.0, 0, 0], 90), 360, (0, 0), known=np.full(200, 0.5)), Challenger(), True) == "worse"


def test_a_live_test_that_ends_before_it_may_answer_is_refused():
    with pytest.raises(Exception, match="least 100 can never be reached"): policy_of("challenger: {least: 100, rows: 60}")


def test_a_comparison_hands_its_requests_on():
    class Says:
        threshold = None
        def __init__(self, said): self.said = np.eye(2)[said]
        def predict_proba(self, inputs): return self.said
    labels = np.array([0, 1, 0, 1])
    found = compare(Rows("rows", np.zeros((4, 1)), labels, np.array(["a", "a", "b", "b"])), Says(1 - labels), Says(labels), ["no", "yes"])
    assert found.requests == [[1.0, 2]]
