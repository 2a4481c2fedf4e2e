"""Random walks of the state of an alert against an oracle that knows no states: it looks back over the whole story."""
import random

import pytest

from fashion_mlops.alerts.conditions import Span, read_condition
from fashion_mlops.alerts.rules import SEVERITIES, AlertRule
from fashion_mlops.alerts.state import ACTIVE, AlertState, acknowledged, step


def lasted(span: Span, story: list, is_so) -> bool:
    "Whether the last checks of a story were so for long enough."
    row = []
    for moment, *said in reversed(story):
        if not is_so(*said): break
        row.append(moment)
    return bool(row) and span.met(len(row), row[0] - row[-1])


class Oracle:
    "What rings, from the whole story and what has rung before; moments only grow."
    def __init__(self, rule): self.rule, self.story, self.loud, self.over, self.since = rule, [], None, None, 0

    def hear(self, moment: float, reached: int, well: bool) -> str:
        self.story.append((moment, reached, well))
        held = [number for number, name in enumerate(SEVERITIES) if name in self.rule.when
                and lasted(self.rule.debounce, self.story, lambda reached, well: reached >= number)]
        if self.loud is None:
            if not held or self.over is not None and moment - self.over < self.rule.cooldown.seconds: return ""
            self.loud, self.since = max(held), len(self.story)
            return "rang"
        if lasted(self.rule.recovers_after, self.story, lambda reached, well: well):
            self.loud, self.over = None, moment
            return "resolved"
        if held and max(held) > self.loud:
            self.loud, self.since = max(held), len(self.story)
            return "worsened"
        if held and max(held) < self.loud and lasted(self.rule.recovers_after, self.story[self.since:], lambda reached, well: reached < self.loud):
            self.loud, self.since = max(held), len(self.story)
            return "eased"
        return ""


def drawn_rule(draw: random.Random) -> AlertRule:
    def span(): return Span(float(draw.randint(1, 4))) if draw.random() < 0.6 else Span(float(draw.randint(0, 5)), "hours")
    levels = draw.sample(SEVERITIES, draw.randint(1, 3))
    when = {one: read_condition(f"above {number}") for number, one in enumerate(SEVERITIES) if one in levels}
    return AlertRule("walk", "rows", when, debounce=span(), recovers=read_condition("below -1"), recovers_after=span(),
                     cooldown=Span(float(draw.choice((0, 0, 3, 12))), "hours"))


def drawn_check(draw: random.Random, rule: AlertRule, mood: float) -> tuple[int, bool]:
    ranks = [SEVERITIES.index(one) for one in rule.when]
    if draw.random() < mood: return draw.choice(ranks), False
    return -1, draw.random() < 0.7


@pytest.mark.parametrize("seed", range(60))
def test_a_walk_rings_when_the_whole_story_says_so(seed):
    draw = random.Random(seed)
    rule, state, moment, mood, silent, rung = drawn_rule(draw), AlertState(), 0., 0.5, None, 0
    oracle = Oracle(rule)
    for _ in range(400):
        if draw.random() < 0.05: mood = draw.choice((0.05, 0.5, 0.95)) # good and bad times last a while
        moment += 3600*draw.choice((0, 0.5, 1, 1, 1, 7))
        reached, well = drawn_check(draw, rule, mood)
        before = state
        state, rings = step(rule, state, reached, well, moment)
        assert rings == oracle.hear(moment, reached, well)
        assert (state.state in ACTIVE) == (oracle.loud is not None)
        if rings in ("rang", "worsened", "eased"): assert SEVERITIES.index(state.severity) == oracle.loud
        if before.acknowledged and state.active: assert rings in ("", "worsened", "eased")
        if before.active: assert rings != "rang" # the same alert does not ring twice
        assert not (state.acknowledged and not state.active)
        if state.state == "firing" and draw.random() < 0.3: state = acknowledged(state, moment, "ada", "seen")
        rung += rings == "rang"
    assert state.number == rung


@pytest.mark.parametrize("seed", range(20))
def test_a_clock_that_jumps_back_keeps_nothing_from_ringing(seed):
    "After the last jump an alert that goes on being bad rings within its spans, whatever was there before."
    draw = random.Random(1000 + seed)
    rule, state, moment = drawn_rule(draw), AlertState(), 1e9
    for _ in range(200):
        moment += 3600*draw.choice((1, 1, 2, -50, -5000, 300))
        state, _ = step(rule, state, *drawn_check(draw, rule, 0.6), moment)
        seen = [state.since, state.began, *(run[0] for run in state.runs.values()), *state.well[:1], state.resolved or 0]
        assert max(seen) <= moment
    worst = max(SEVERITIES.index(one) for one in rule.when)
    needed = max(rule.debounce.count + 1, rule.debounce.seconds/3600 + 2, rule.cooldown.seconds/3600 + 2)
    for _ in range(int(needed) + 1):
        moment += 3600
        state, _ = step(rule, state, worst, False, moment)
    assert state.active and state.severity == SEVERITIES[worst]
