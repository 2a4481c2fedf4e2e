"""A turn of the loop that was killed between two writes, or in which somebody else has had a hand: nothing happens twice, nothing is left half done."""
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from fashion_mlops.core import project_root, write_json
from fashion_mlops.datasets import versions as dataset_versions
from fashion_mlops.loop import reason, steps
from fashion_mlops.loop.policy import Policy
from fashion_mlops.loop.reason import Loop
from fashion_mlops.loop.turn import Done, Ended, Turn
from fashion_mlops.service import champion, deployment
from fashion_mlops.service.audit_trail import note_change, read_trail, served_before
from fashion_mlops.service.log_files import log_folder, new_id, write_rows

LOOP = Loop("orders")
GONE = Turn("orders", 1, champion=1, steps={"data": {"version": 3, "parent": 0}, "train": {"model": 2}, "compare": {"words": "better"}})


@pytest.fixture
def registry(home, monkeypatch):
    "A registry of one name, and what was deployed."
    class Registry:
        serves, deployed = 1, []
        def set_registered_model_alias(self, dataset, alias, version): self.serves = int(version)
    there = Registry()
    there.deployed = []
    from fashion_mlops.workflow import tracking
    monkeypatch.setattr(tracking, "client", lambda: there)
    monkeypatch.setattr(champion, "champion_version", lambda dataset: there.serves)
    monkeypatch.setattr(deployment, "deploy", lambda dataset: there.deployed.append(there.serves))
    monkeypatch.setattr(deployment, "tried_pack", lambda dataset, version: None)
    monkeypatch.setattr(deployment, "is_deployed", lambda dataset, version: there.deployed[-1:] == [version])
    note_change("orders", "promoted", 1, None, "the first one")
    return there


def moves(): return [(line["what"], line["version"], line["before"]) for line in read_trail("orders") if line["version"] != line["before"]]


class TestTrail:
    def test_a_promotion_killed_before_its_line_is_noted_once_and_can_be_taken_back(self, registry):
        registry.serves = 2 # the alias was moved, and then the process was killed
        for _ in range(2): champion.promote("orders", 2, 1, "again")
        assert moves() == [("promoted", 1, None), ("promoted", 2, 1)]
        assert served_before(read_trail("orders"), 2) == 1
        assert champion.roll_back("orders", "worse") == (1, 2)

    def test_a_line_of_traffic_in_between_does_not_hide_it(self, registry):
        registry.serves = 2
        note_change("orders", "traffic", 1, 1, "services still have the old one")
        champion.promote("orders", 2, 1, "again")
        note_change("orders", "traffic", 1, 1, "services still have the old one")
        champion.promote("orders", 2, 1, "and again")
        assert moves()[1:] == [("promoted", 2, 1)]

    def test_an_approval_is_not_taken_for_a_champion_that_has_gone(self, registry):
        note_change("orders", "approved", None, None, "v2 may serve")
        champion.promote("orders", 2, 1, "approved")
        assert [what for what, *_ in moves()] == ["promoted", "promoted"], "no line says that another program had moved the alias"

    def test_a_champion_moved_elsewhere_is_still_found(self, registry):
        registry.serves = 7
        champion.promote("orders", 8, 7, "better")
        assert moves()[1:] == [("found", 7, 1), ("promoted", 8, 7)]


class TestGround:
    @pytest.mark.parametrize("step", [steps.train, steps.compare, steps.live, steps.promote])
    def test_a_vanished_dataset_version_ends_the_turn_before_anything_is_promoted(self, registry, step):
        found = step(LOOP, GONE)
        assert isinstance(found, Ended) and found.outcome == "abandoned" and "no version 3" in found.reasons[0]
        assert registry.serves == 1

    def test_who_waits_for_a_person_notices_too(self, registry):
        registry.serves = 4
        found = steps.ask(Loop("orders", Policy(approve=True)), GONE)
        assert isinstance(found, Ended) and "v4 has become champion" in found.reasons[0]

    def test_what_a_person_took_back_is_not_promoted_again(self, registry, monkeypatch):
        monkeypatch.setattr(steps, "_lost", lambda loop, turn: None)
        note_change("orders", "promoted", 2, 1, "turn 1 of the loop")
        note_change("orders", "rolled back", 1, 2, "boots for bags")
        found = steps.promote(LOOP, GONE)
        assert isinstance(found, Ended) and found.outcome == "rolled back" and "boots for bags" in found.reasons[0]
        assert registry.serves == 1

    def test_a_promotion_goes_on_where_it_was_killed_even_without_its_rows(self, registry, monkeypatch):
        monkeypatch.setattr(dataset_versions, "settle", lambda dataset, number: None)
        registry.serves = 2
        assert isinstance(steps.promote(LOOP, GONE), Done)
        assert registry.deployed == [2] and moves()[-1] == ("promoted", 2, 1)

    def test_a_rollback_killed_before_services_know_is_brought_to_its_end(self, registry):
        note_change("orders", "promoted", 2, 1, "turn 1 of the loop")
        assert registry.serves == 1
        found = steps.watch(LOOP, GONE)
        assert found.outcome == "rolled back" and registry.deployed == [1] and moves()[-1] == ("rolled back", 1, 2)

    def test_the_alias_moves_before_the_watch_ends(self, registry, monkeypatch):
        from types import SimpleNamespace
        note_change("orders", "promoted", 2, 1, "turn 1 of the loop")
        registry.serves, met = 2, []
        pairs = SimpleNamespace(bounds=(0.1, 0.2), rows=100, words=lambda *names: "worse", is_torn=False)
        monkeypatch.setattr(steps, "_chosen", lambda *asked: "")
        monkeypatch.setattr("fashion_mlops.loop.pairs.read_pairs", lambda *asked: pairs)
        monkeypatch.setattr(steps, "_shadowed", lambda *asked: SimpleNamespace(since="", number=1))
        monkeypatch.setattr(steps, "_facts_of", lambda pairs: {})
        monkeypatch.setattr(steps, "_champion_alone", lambda loop, turn: met.append(registry.serves))
        assert steps.watch(LOOP, GONE).outcome == "rolled back"
        assert met == [1], "who is killed with the traffic put back and the alias not would take it for a person's change, and keep the worse one"

    def test_at_the_end_services_and_dataset_follow_the_champion_whoever_made_it(self, registry, monkeypatch):
        monkeypatch.setattr(dataset_versions, "versions", lambda dataset: [dataset_versions.DatasetVersion("orders", 3, 0, "", "", "", [], {}, {})])
        settled = []
        monkeypatch.setattr(dataset_versions, "settle", lambda dataset, number: settled.append(number))
        registry.serves = 2 # a person has promoted the challenger, and the turn was abandoned
        for _ in range(2): steps.end(LOOP, Turn(**{**vars(GONE), "outcome": "abandoned"}))
        assert settled[0] == 3 and registry.deployed == [2]

    def test_a_turn_ends_though_the_version_that_it_goes_back_to_is_gone(self, registry, monkeypatch):
        monkeypatch.setattr(dataset_versions, "version_in_use", lambda dataset: 3)
        settled = []
        monkeypatch.setattr(dataset_versions, "settle", lambda dataset, number: settled.append(number))
        registry.serves = 2
        steps.end(LOOP, Turn(**{**vars(GONE), "outcome": "abandoned"}))
        assert settled == [0] and "Version 3 of the dataset is gone" in read_trail("orders")[-1]["reason"]


class TestJudgedOnce:
    def test_an_abandoned_turn_has_judged_nothing(self, home, monkeypatch):
        made = [dataset_versions.DatasetVersion("orders", number, 0, "", f"2026-11-2{number}", "", [], {}, {}) for number in (1, 2, 3)]
        played = [Turn("orders", number, steps={"data": {"version": number}}, outcome=outcome) for number, outcome in ((1, "promoted"), (2, "refused"), (3, "abandoned"))]
        for one in made: write_json(dataset_versions.version_folder("orders", one.number)/"ids.json", [f"r{one.number} · 0"])
        monkeypatch.setattr(dataset_versions, "versions", lambda dataset: made)
        monkeypatch.setattr(reason, "turns", lambda dataset: played)
        assert reason._judged("orders") == ({"r1 · 0", "r2 · 0"}, "2026-11-22")

    def test_a_label_counts_once_and_however_late_it_comes(self, home, monkeypatch):
        asked, ids = datetime.now(UTC) - timedelta(days=30), [new_id() for _ in range(60)]
        usual = {"row": 0, "dataset": "orders", "version": 1, "slot": "champion", "unit": None, "digest": "", "watched": [], "input": None, "said": "a",
                 "confidence": 0.5, "probabilities": [], "rejected": False, "seconds": 0.01}
        def told(some, days): return [("feedback", {"id": one, "row": 0, "time": asked + timedelta(days=days), "label": "a"}) for one in some]
        write_rows(log_folder("orders"), [("predictions", usual | {"id": one, "time": asked}) for one in ids] + told(ids[:40], 1))
        assert reason._labels_at_hand("orders")[0] == 40
        monkeypatch.setattr(reason, "_judged", lambda dataset: ({f"{one} · 0" for one in ids[:30]}, (asked + timedelta(days=2)).isoformat()))
        assert reason._labels_at_hand("orders")[0] == 0, "ten were left out, and are no news"
        write_rows(log_folder("orders"), told(ids[25:30], 3) + told(ids[40:], 3)) # five are corrections
        assert reason._labels_at_hand("orders")[0] == 20


class TestPromotedBefore:
    TURNS = [Turn("orders", number, champion=number, outcome=outcome, steps={"train": {"model": number + 1}, "compare": {"newest": {"challenger": 0.66, "rows": 258}}})
             for number, outcome in ((1, "promoted"), (2, "promoted"), (3, "refused"))]

    def test_what_turns_may_forget_is_measured_from_where_they_began(self, home, monkeypatch):
        monkeypatch.setattr(steps, "turns", lambda dataset: self.TURNS)
        assert [steps._began_with(Turn("orders", 4, champion=version)) for version in (3, 2, 1, 4)] == [1, 1, 1, 4]

    @pytest.mark.parametrize("accuracy, begins", [(0.655, False), (0.62, False), (0.4, True)])
    def test_a_champion_that_is_what_it_was_when_it_was_promoted_begins_no_turn(self, home, monkeypatch, accuracy, begins):
        from types import SimpleNamespace
        monkeypatch.setattr(reason, "turns", lambda dataset: self.TURNS)
        facts = {"measured.change": -0.155, "measured.accuracy": accuracy, "measured.rows": 300} # its reference is mostly of the world before
        monkeypatch.setattr("fashion_mlops.alerts.book.read_book", lambda dataset: SimpleNamespace(facts=facts, moment=None))
        monkeypatch.setattr("fashion_mlops.alerts.ringing.firing", lambda dataset: [SimpleNamespace(alert="proven-worse")])
        monkeypatch.setattr(reason, "_labels_at_hand", lambda dataset: (500, ""))
        found = reason.alarm(LOOP, Turn("orders", 4, champion=3))
        assert isinstance(found, Done) == begins
        if not begins: assert "chance explains that" in found.reasons[0]
        else: assert abs(found.facts["lost"] - 0.26) < 1e-9 and "66.0% when turn 2 promoted it" in found.words

    @pytest.mark.parametrize("fitted, found", [("new", 5), ("old", None), (None, None)])
    def test_a_candidate_of_old_rows_does_not_pass_for_one_of_the_version(self, home, monkeypatch, fitted, found):
        from types import SimpleNamespace
        said = {"decision.json": {"version": 5, "dataset_digest": "new"}, "candidates.json": {"dataset_digest": fitted}}
        monkeypatch.setattr("fashion_mlops.workflow.stage.artifact", lambda dataset, name: name)
        monkeypatch.setattr("fashion_mlops.samples.samples.load_samples", lambda place: SimpleNamespace(about={"version": 3}, digest="new"))
        monkeypatch.setattr(steps, "read_json", lambda name: said[name])
        assert steps._registered(LOOP, 3) == found


class TestReference:
    def test_a_champion_of_new_rows_is_watched_by_rows_of_their_world(self):
        import numpy as np
        from dataclasses import replace
        from fashion_mlops.datasets.catalogue import make_samples
        from fashion_mlops.service.held_out import LEAST_NEWEST, held_out_rows
        samples = make_samples("synthetic", 600, 0.2, seed=1)
        rows = samples.rows("valid")
        valid = {"id": rows, "label": np.asarray(samples.labels)[rows], "net": np.zeros((len(rows), 10))}
        def newest(count): return replace(samples, about=samples.about | {"added": count})
        many = next(count for count in range(len(samples)) if (rows >= len(samples) - count).sum() == LEAST_NEWEST)
        found = held_out_rows(newest(many), valid, ["net"])
        assert len(found) == len(found.members["net"]) == LEAST_NEWEST and found.rows.min() >= len(samples) - many
        assert [len(held_out_rows(newest(count), valid, [])) for count in (0, many - 60)] == [len(rows)]*2, "too few to tell"


def test_a_full_disk_is_a_sentence_before_the_store_is_open_too(home, monkeypatch):
    import sqlite3
    from fashion_mlops.workflow import store
    def full(database): raise sqlite3.OperationalError("database or disk is full")
    monkeypatch.setattr(store, "_repair_places", full)
    store._client.cache_clear()
    with pytest.raises(store.TrackingError, match="no room|full"): store.client()


class TestBenchmark:
    @pytest.fixture
    def bench(self, monkeypatch):
        monkeypatch.syspath_prepend(str(Path(project_root())/"benchmarks"))
        sys.modules.pop("loop", None)
        import loop
        yield loop
        sys.modules.pop("loop", None)

    def test_kills_are_spread_over_all_steps(self, bench):
        writes = [[step, f"before {number}"] for step in ("alarm", "data", "train", "compare", "promote", "end") for number in range(5)]
        writes[22][1], writes[23][1] = "before set_registered_model_alias", "after set_registered_model_alias"
        chosen = bench.spread(writes, 10)
        assert len(chosen) == 10 and {22, 23} <= set(chosen) and {writes[one][0] for one in chosen} == {step for step, _ in writes}

    def test_a_play_that_failed_is_no_success(self, bench):
        said = bench.table({"scenarios": [{"scenario": "sudden drift", "fault": "boom", "seconds": 1}]})
        assert "**no**" in said and "boom" in said

    def test_policies_are_compared_by_seeds_not_by_parts_of_a_week(self, bench):
        said = {"never": [[0.5]*40, [0.6]*40], "every week": [[0.7]*40, [0.7]*40], "the loop": [[0.7]*40, [0.72]*40]}
        found = [{"world": "gradual", "policy": policy, "right": right, "seconds": 1, "runs": 2} for policy, both in said.items() for right in both]
        table = bench.table({"policies": found})
        assert "the loop is +1.0 (-11.7 to +13.7) points better" in table
        assert bench.paired_words(*np.array([[0.7], [0.6]])) == "+10.0 (one seed)"

    def test_an_alarm_needs_more_than_three_standard_errors(self, bench):
        assert bench.rings([0.9, 0.85], 0.9, 160) == 0 and round(bench.rings([0.9, 0.5], 0.9, 160), 2) == 0.4
        assert bench.rings([0.9, 0.84, 0.82, 0.82], 0.9, 160) > 0 == bench.rings([0.9, 0.84, 0.82], 0.9, 160)
