"""A challenger in the live service: a canary is begun once, ended by the service or by the test, and is nobody's for no moment when it is promoted."""
from types import SimpleNamespace

import numpy as np
import pytest

from fashion_mlops.loop import steps
from fashion_mlops.loop.policy import Policy
from fashion_mlops.loop.reason import Loop
from fashion_mlops.loop.turn import Done, Ended, Turn, Waiting
from fashion_mlops.loop.unpaired import Unpaired
from fashion_mlops.service import champion, deployment, traffic_changes
from fashion_mlops.service.audit_trail import read_trail
from fashion_mlops.service.traffic_changes import change_traffic, read_traffic

LOOP = Loop("orders", Policy(challenger={"live": "canary", "share": 0.2, "rows": 200}))
TURN = Turn("orders", 1, champion=1, steps={"data": {"version": 3, "parent": 0}, "train": {"model": 2}, "compare": {"words": "better"}})


def seen(champion_right: float, canary_right: float, callers: int = 1000) -> Unpaired:
    "A test with so many callers of one row each."
    others = np.arange(callers) % 5 == 0
    right = np.where(others, np.arange(callers) % 100 < 100*canary_right, np.arange(callers) % 100 < 100*champion_right).astype(float)
    told = int((~others).sum()), int(others.sum())
    return Unpaired(right, others, told, told, (int(right[~others].sum()), int(right[others].sum())), 0.2)


@pytest.fixture
def live(home, monkeypatch):
    "The step, with what the log says of it put in."
    monkeypatch.setattr(steps, "_lost", lambda loop, turn: None)
    monkeypatch.setattr(deployment, "fetch_pack", lambda dataset, version: None)
    monkeypatch.setattr(traffic_changes, "check_versions", lambda dataset, traffic: None)
    def does(test=None, turn=TURN, loop=LOOP):
        monkeypatch.setattr("fashion_mlops.loop.unpaired.read_unpaired", lambda *asked: test or seen(0.9, 0.9, 0))
        return steps.live(loop, turn)
    return does


def waiting(found: Waiting) -> Turn: return Turn(**{**vars(TURN), "waits": {"step": "live", "on": found.on, "words": found.words, "facts": found.facts}})


def test_a_canary_is_begun_once_with_its_share_and_is_found_again(live):
    found = live()
    assert isinstance(found, Waiting) and found.on == "traffic" and "fashion-mlops serve --dataset orders" in found.words
    for turn in (TURN, waiting(found)): live(turn=turn) # killed before, and after the turn was written
    traffic = read_traffic("orders")
    assert (traffic.mode, traffic.version, traffic.share, traffic.number) == ("canary", 2, 0.2, 1)


def test_it_goes_on_as_it_was_begun_when_the_policy_changes(live):
    found = live()
    assert live(turn=waiting(found), loop=Loop("orders", Policy(challenger={"live": "shadow"}))).facts["mode"] == "canary"
    assert read_traffic("orders").number == 1


@pytest.mark.parametrize("rates, ends", [((0.5, 0.9), "better"), ((0.9, 0.5), "refused"), ((0.8, 0.81), "undecided")])
def test_its_three_ends(live, rates, ends):
    found = live(seen(*rates))
    if ends == "better": assert isinstance(found, Done) and "v2 is better in the live service" in found.words
    else: assert isinstance(found, Ended) and found.outcome == "refused" and ("worse" if ends == "refused" else "undecided") in found.reasons[0]
    assert (found.facts["mode"], found.facts["callers"], found.facts["share"]) == ("canary", [800, 200], 0.2)


def test_one_that_the_service_took_back_is_refused_with_its_reason(live):
    found = live()
    change_traffic("orders", {"mode": "champion"}, "canary v2 taken back: 30 of its 40 requests failed, 0 of the champion's 300", "the service", 1)
    for turn in (waiting(found), TURN):
        ended = live(turn=turn)
        assert (ended.outcome, ended.reasons) == ("refused", ["The service has taken v2 back: 30 of its 40 requests failed, 0 of the champion's 300."])
    assert read_traffic("orders").number == 2


def test_one_that_a_person_ended_is_abandoned(live):
    found = live()
    change_traffic("orders", {"mode": "champion"}, "not on a Friday", "Ada")
    ended = live(turn=waiting(found))
    assert ended.outcome == "abandoned" and "changed by Ada" in ended.reasons[0]


def test_a_promoted_canary_keeps_its_callers_until_services_have_the_new_champion(live, monkeypatch):
    live()
    met, serves = [], [1]
    monkeypatch.setattr(champion, "champion_version", lambda dataset: serves[0])
    monkeypatch.setattr(champion, "promote", lambda *asked: serves.__setitem__(0, 2))
    monkeypatch.setattr(deployment, "tried_pack", lambda dataset, version: met.append(read_traffic("orders").mode))
    monkeypatch.setattr(deployment, "deploy", lambda dataset: met.append(read_traffic("orders").mode))
    monkeypatch.setattr("fashion_mlops.datasets.versions.settle", lambda dataset, number: None)
    assert isinstance(steps.promote(LOOP, TURN), Done)
    assert met == ["canary", "canary"] and read_traffic("orders").mode == "champion"


def test_a_service_that_is_faster_to_end_it_is_no_fault(live, monkeypatch):
    live()
    real = traffic_changes.change_traffic
    def late(dataset, *asked, **named):
        real(dataset, {"mode": "champion"}, "v2 has become champion", "the service", 1)
        return real(dataset, *asked, **named)
    monkeypatch.setattr(traffic_changes, "change_traffic", late)
    steps._champion_alone(LOOP, TURN)
    assert read_traffic("orders").mode == "champion" and read_trail("orders")[-1]["by"] == "the service"


def test_what_somebody_else_leads_is_left_alone(live):
    change_traffic("orders", {"mode": "ab", "version": 7}, "which is better on boots?", "Ada")
    found = live()
    assert isinstance(found, Waiting) and "led by Ada" in found.words and read_traffic("orders").mode == "ab"
    change_traffic("orders", {"mode": "champion"}, "v7 is not", "Ada")
    live(turn=waiting(found))
    assert read_traffic("orders").mode == "canary"


def test_where_slots_hold_another_version_it_is_said(live, monkeypatch):
    monkeypatch.setattr("fashion_mlops.operations.place.read_record", lambda dataset: {"address": "http://127.0.0.1:9"})
    monkeypatch.setattr(deployment, "is_in_service", lambda dataset: True)
    assert "the slots answer with what they hold" in live().words


def test_the_trail_of_a_turn_is_read_with_who_agreed_and_the_figures(live, capsys):
    from fashion_mlops.loop.commands import trail
    from fashion_mlops.loop.turn import note_once
    from fashion_mlops.service.approvals import approve, ask_approval
    found = live(seen(0.5, 0.9))
    note_once(TURN, "live", found.words, found.facts)
    ask_approval("orders", "turn-1-approve", "v2 may serve.")
    approve("orders", by="Ada")
    assert trail(SimpleNamespace(dataset="orders", turn=1, last=0, json=False)) == 0
    said = capsys.readouterr().out
    for words in ("traffic  by", "mode canary; version 2; share 0.2", "turn 1, live", "v2 is better in the live service", "callers 800, 200", "difference 0.", "approved  by Ada"):
        assert words in said, said
