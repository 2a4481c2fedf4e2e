"""Seeded scenarios of the loop, a kill -9 at ten points of a turn, and three policies over simulated weeks.

python benchmarks/loop.py [scenarios|kills|policies|all] [--only NAME ...] [--seed 0] [--seeds 3] [--points 10] [--output FILE]

scenarios  what comes of an alarm in two dozen situations; what must hold: nothing is promoted that is worse, on rows of now and
           of before, beyond the margins of the policy
kills      four turns (promoted after a shadow and after a canary, refused by a canary, rolled back), killed before or after chosen
           writes and gone on with: the same end, nothing twice
policies   the loop, training every week, and never training, over weeks with drift: seconds of training, and accuracy

All that is measured here runs on chapters as they are: turn, steps, screening, versions, evidence, pairs, audit trail, an MLflow
store, files of the prediction log. Three things are not what a user has: the pipeline's stages are replaced by one small model (PCA and
hand-made features, logistic regression), which is registered as 08_registry does it; rows reach the log without HTTP; and the alert is
put into the book by hand. Garments are drawn, so no figure here says anything about real pictures; there is no end of new ones.
"""
import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
from scipy.stats import binomtest
from scipy.stats import t as student

from fashion_mlops.alerts.book import open_book
from fashion_mlops.alerts.state import AlertState
from fashion_mlops.core import WorkflowError, artifacts_folder, write_json
from fashion_mlops.datasets.catalogue import make_samples
from fashion_mlops.datasets.versions import adopted_version, in_version, is_proposed, version_folder, version_in_use, versions
from fashion_mlops.images.feature_pipeline import feature_pipeline
from fashion_mlops.images.shift import shift_inputs
from fashion_mlops.loop.policy import Policy
from fashion_mlops.loop.reason import Loop
from fashion_mlops.loop.steps import steps_of
from fashion_mlops.loop.turn import advance, turns
from fashion_mlops.models.model_file import save_model_file
from fashion_mlops.samples.garments import CLASSES, draw_garments
from fashion_mlops.samples.samples import load_samples, save_samples
from fashion_mlops.service.audit_trail import read_trail
from fashion_mlops.service.champion import champion_version, load_version, promote, register_candidate
from fashion_mlops.service.deployment import deploy, read_slots
from fashion_mlops.service.held_out import HeldOut
from fashion_mlops.service.log_files import log_folder, merge_day, new_id, write_rows
from fashion_mlops.service.predictor import load_predictor, save_candidate
from fashion_mlops.service.traffic import slot_of
from fashion_mlops.service.traffic_changes import read_traffic
from fashion_mlops.workflow.manifests import artifact_entry
from fashion_mlops.workflow.tracking import client, experiment_id

DATASET, SEED, WORN = "synthetic", 1, 1.5
SURE = {"alpha": 0.2, "margin": 0.03} # of those who have few labels, lose much while they wait, and watch what they promote
QUICK = {"when": {"labels": 200, "hours": 0}, "data": {"rows": 2000}, "train": {"warm_start": False},
         "challenger": {"rows": 800, **SURE}, "watch": {"rows": 300}}


def interval(hits: int, of: int) -> str:
    "A share with its exact (Clopper–Pearson) 95 % interval."
    found = binomtest(int(hits), int(of)).proportion_ci(method="exact")
    return f"{hits/of:.1%} ({found.low:.1%} to {found.high:.1%})"


# ---- a pipeline of seconds

def keep_artifact(stage: str, name: str, write):
    "An artifact with a manifest, as a stage leaves it."
    folder = artifacts_folder(DATASET)
    place = folder/stage/"quick"/name
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir(): shutil.rmtree(place)
    write(place)
    write_json(folder/f"{stage}.json", {"stage": stage, "dataset": DATASET, "writes": {name: artifact_entry(place, f"{stage}/quick/{name}")}})


def fitted_on(samples, labels=None):
    "A small honest model: features and logistic regression on the training rows, weighted."
    from sklearn.linear_model import LogisticRegression
    rows = samples.rows("train")
    images, labels = samples.at(rows), np.asarray(samples.labels)[rows] if labels is None else labels
    pipeline = feature_pipeline(20).fit(images)
    weights = None if samples.weights is None else np.asarray(samples.weights)[rows]
    return pipeline, LogisticRegression(C=0.1, max_iter=100).fit(pipeline.transform(images), labels, weights)


def saved(folder: Path, samples, pipeline, model) -> Path:
    "A fitted model as a candidate."
    save_model_file(pipeline, folder/"pipeline.skops")
    about = {"name": "small", "classes": samples.classes, "shape": [28, 28], "temperature": 1.0,
             "input": {"kind": "image", "shape": [28, 28], "preparation": {}}}
    return save_candidate(folder/"candidate", model, about, folder/"pipeline.skops")


def registered(samples, fitted=None) -> int:
    "Fit and register as 08_registry does; the version."
    with tempfile.TemporaryDirectory() as scratch:
        folder = saved(Path(scratch), samples, *(fitted or fitted_on(samples)))
        valid = samples.rows("valid")[:200]
        held = HeldOut(samples.at(valid), np.asarray(samples.labels)[valid], valid, digest=samples.digest)
        run = client().create_run(experiment_id(DATASET)).info.run_id
        noted = {"dataset_digest": samples.digest, "dataset_version": samples.about.get("version", 0), "synthetic": True}
        return register_candidate(DATASET, folder, run, samples.at(valid[:2]), noted, samples.at(valid[:100]), held)[0]


class Stages:
    "In place of the stages: samples of the version in use, one model, one decision."
    def __init__(self, source, spoiled: bool = False): self.source, self.spoiled, self.seconds, self.runs = source, spoiled, 0.0, 0

    def __call__(self, words=()) -> int:
        samples = in_version(self.source)
        keep_artifact("01_data", "samples", lambda place: save_samples(samples, place))
        rows = len(samples.rows("train"))
        labels = np.random.default_rng(0).integers(0, 10, rows) if self.spoiled else None
        decision = {"version": registered(samples, self.fitted(samples, labels)), "dataset_digest": samples.digest}
        keep_artifact("07_training", "candidates.json", lambda place: write_json(place, {"dataset_digest": samples.digest}))
        keep_artifact("08_registry", "decision.json", lambda place: write_json(place, decision))
        return 0

    def fitted(self, samples, labels=None):
        "A fitted model; what that takes of the processor is counted."
        began = time.process_time()
        found = fitted_on(samples, labels)
        self.seconds, self.runs = self.seconds + time.process_time() - began, self.runs + 1
        return found


# ---- requests

class World:
    "Garments that no split has, a service that answers for them, and people who say what was true."
    def __init__(self, pool, source, seed: int = 0, skip: int = 0):
        self.images, self.labels = pool
        self.source, self.draw, self.models = source, np.random.default_rng([seed, skip]), {}
        self.order = self.draw.permutation(len(self.images))
        self.next, self.strength, self.told, self.says, self.keeps, self.complains = 0, 0.0, 1.0, None, True, False

    def rows(self, count: int) -> np.ndarray:
        "So many new garments; from the beginning when all were drawn."
        found = np.take(self.order, np.arange(self.next, self.next + count), mode="wrap")
        self.next += count
        return found

    def model(self, version: int):
        if version not in self.models: self.models[version] = load_version(DATASET, version)[0]
        return self.models[version]

    def seen(self, images) -> np.ndarray: return shift_inputs(images, [], self.strength, int(self.draw.integers(2**31)))

    def ask(self, requests: int, each: int = 8, images=None, labels=None) -> float:
        "Requests with their answers, and what is said of them, in the log; the share of right answers."
        champion, traffic, count = read_slots(DATASET)["champion"], read_traffic(DATASET), requests*each
        rows = self.rows(count) if images is None else None
        images = self.seen(self.images[rows]) if images is None else images
        truth = np.array(CLASSES, object)[self.labels[rows] if labels is None else labels]
        slots = {"champion": champion} | ({traffic.mode: traffic.version} if traffic.mode in ("shadow", "canary") else {})
        answers = {slot: self.model(version).predict_proba(images) for slot, version in slots.items()}
        logged, ids = [], [new_id() for _ in range(requests)]
        for place in range(count):
            request, row = ids[place//each], place % each
            heard = slot_of(traffic, request)
            unit = f"{traffic.number}.{champion}:{request}" if traffic.mode == "canary" else None
            for slot in dict.fromkeys([heard, *({"shadow"} & slots.keys())]):
                logged.append(("predictions", self._row(request, row, images, place, each, slot, slots[slot], answers[slot][place], unit)))
            wrong = CLASSES[int(answers[heard][place].argmax())] != truth[place]
            if self.draw.random() < self.told and (wrong or not self.complains):
                said = truth[place] if self.says is None else self.says(truth[place], self.draw)
                logged.append(("feedback", {"id": request, "row": row, "time": datetime.now(UTC), "label": said}))
        assert write_rows(log_folder(DATASET), logged)[1] == 0
        return float((np.array(CLASSES, object)[answers["champion"].argmax(1)] == truth).mean())

    def _row(self, request, row, images, place, each, slot, version, answer, unit) -> dict:
        "A row of predictions."
        body = None
        if self.keeps and not row and slot != "shadow":
            file = BytesIO()
            np.save(file, images[place:place + each])
            body = file.getvalue()
        return {"id": request, "row": row, "time": datetime.now(UTC), "dataset": DATASET, "version": version, "slot": slot, "unit": unit,
                "digest": "", "watched": {}, "input": body, "said": CLASSES[int(answer.argmax())], "confidence": float(answer.max()),
                "probabilities": {}, "rejected": False, "seconds": 0.001}

    def worth(self, version: int, count: int = 2000) -> np.ndarray:
        "Which of so many new rows, as they are now, a version has right."
        drawn, labels = draw_garments(count, 77_000 + int(self.strength*100))
        return self.model(version).predict_proba(shift_inputs(drawn, [], self.strength, 5)).argmax(1) == labels


def alarmed(name: str = "proven-worse", lost: float = 0.2):
    "An alert rings."
    with open_book(DATASET) as book:
        moment = time.time()
        book.alerts[name] = AlertState("firing", moment, began=moment, severity="critical", number=1)
        book.moment, book.facts = moment, {"measured.change": -lost}


def quiet():
    with open_book(DATASET) as book: book.alerts = {}


def turned(loop: Loop, world: World, most: int = 40, requests: int = 12, until: str = ""):
    "Advance and go on asking, until nothing more happens, or until it waits at a step."
    for _ in range(most):
        turn = advance(DATASET, champion_version(DATASET), steps_of(loop))
        if not turn.waits or turn.waits["on"] == "approval" or turn.waits["step"] == until: return turn
        if turn.waits["step"] not in ("live", "watch"): return turn
        world.ask(requests)
    return turn


# ---- what must hold

def state() -> dict:
    "What a turn has left, for comparing."
    trail, last = read_trail(DATASET), turns(DATASET)
    lines = [(line["turn"], line["step"]) for line in trail if "step" in line]
    moves = [(line["what"], line["version"], line["before"]) for line in trail if line["what"] in ("promoted", "rolled back", "found")]
    return {"outcome": last[-1].outcome if last else "", "open": bool(last and last[-1].is_open), "champion": champion_version(DATASET),
            "serves": read_slots(DATASET)["champion"], "registered": len(client().search_model_versions(f"name = '{DATASET}'")),
            "versions": len(versions(DATASET)), "in use": version_in_use(DATASET), "adopted": adopted_version(DATASET),
            "proposed": is_proposed(DATASET), "traffic": read_traffic(DATASET).mode, "moves": moves, "steps": sorted(lines),
            "twice": len(lines) - len(set(lines)) + len(moves) - len(set(moves))}


def worse(world: World, policy: Policy) -> tuple[str, bool]: # words, and whether a margin is broken
    "What the champion of now is worth beside that of the beginning, on rows of now and of before."
    version, said, broken = champion_version(DATASET), [], False
    if version == 1: return "", False
    for name, strength, margin in (("now", world.strength, policy.challenger.margin), ("before", 0.0, policy.challenger.worse_on_old)):
        difference = (lambda one: world.worth(version).astype(float) - world.worth(1))(setattr(world, "strength", strength))
        error = 1.96*difference.std()/np.sqrt(len(difference))
        said.append(f"{name} {100*difference.mean():+.1f} ± {100*error:.1f}")
        broken |= difference.mean() + error < -margin
    return ", ".join(said), bool(broken)


# ---- scenarios

def _mixed(truth, draw): return {"Pullover": "Coat", "Coat": "Pullover", "Sneaker": "Ankle boot", "Ankle boot": "Sneaker"}.get(truth, truth)
def _noisy(share): return lambda truth, draw: CLASSES[int(draw.integers(10))] if draw.random() < share else truth


class Play:
    "One scenario: what happens, and what may come of it."
    def __init__(self, world: World, policy: dict | None = None, spoiled: bool = False):
        self.world, self.stages = world, Stages(world.source, spoiled)
        self.loop = Loop(DATASET, Policy(**(QUICK if policy is None else {**QUICK, **policy})), self.stages)

    def go(self, **how): return turned(self.loop, self.world, **how)

    def drift(self, strength: float = WORN, requests: int = 150):
        self.world.strength = strength
        self.world.ask(requests)
        alarmed()


def harmless(play):
    play.drift(0.25)
    return play.go()

def sudden(play):
    play.drift()
    return play.go()

def gradual(play):
    for strength in np.linspace(0, WORN, 6):
        play.world.strength = strength
        play.world.ask(40)
    alarmed()
    return play.go()

def recurring(play):
    for strength in (0, WORN, 0, WORN):
        play.world.strength = strength
        play.world.ask(50)
    alarmed()
    return play.go()

def noise(play):
    play.world.says = _noisy(0.1)
    return sudden(play)

def poison_random(play):
    play.world.says = _noisy(0.5)
    return sudden(play)

def poison_systematic(play):
    play.world.says = _mixed
    play.drift(0.0)
    return play.go()

def poison_drifted(play):
    play.world.says = _mixed
    return sudden(play)

def complaints(play):
    play.world.complains = True
    play.drift(0.0, 600)
    return play.go()

def few(play):
    play.drift(requests=15)
    return play.go()

def no_labels(play):
    play.world.told = 0
    return sudden(play)

def no_inputs(play):
    play.world.keeps = False
    return sudden(play)

def one_class(play):
    world = play.world
    rows = np.flatnonzero(world.labels == 3)[:320]
    world.strength = WORN
    world.ask(len(rows)//8, images=world.seen(world.images[rows]), labels=world.labels[rows])
    alarmed()
    return play.go()

def test_rows(play):
    from fashion_mlops.samples.samples import unsealed
    source = unsealed(play.world.source)
    rows = source.rows("test")[:320]
    play.world.ask(len(rows)//8, images=source.at(rows), labels=np.asarray(source.labels)[rows])
    alarmed()
    return play.go()

def new_class(play):
    play.world.says = lambda truth, draw: "Cape" if truth == "Dress" else truth
    return sudden(play)

def bad_challenger(play): return sudden(play)

def restarted(play):
    play.drift()
    play.go(until="live")
    for day in log_folder(DATASET).glob("????-??-??"):
        for kind in ("predictions", "feedback"): merge_day(day, kind)
    play.world.models, play.loop = {}, Loop(DATASET, play.loop.policy, play.stages)
    return play.go()

def false_alarm(play):
    play.drift(0.0)
    return play.go()

def twice(play):
    play.drift()
    first = play.go(until="live")
    alarmed("answers-worse")
    last = play.go()
    assert first.number == last.number == 1 and play.stages.runs == 1
    return last

def moved(play):
    play.drift()
    assert play.go(until="live").is_open
    other = registered(replace(play.world.source, split=np.where(np.arange(len(play.world.source)) % 9, play.world.source.split, 2).astype(np.uint8)))
    promote(DATASET, other, 1, "a person")
    deploy(DATASET)
    return play.go()

def vanished(play):
    play.drift()
    assert play.go(until="live").is_open
    shutil.rmtree(version_folder(DATASET, 1))
    return play.go()

def worse_canary(play):
    play.drift(2.5)
    play.go(until="live")
    play.world.strength = 0.0
    return play.go()

def gone_wrong(play):
    play.drift(2.5)
    play.go(until="watch")
    play.world.strength = 0.0
    return play.go()


SCENARIOS = {"harmless drift": (harmless, ("refused", "promoted")), "sudden drift": (sudden, ("promoted",)), "gradual drift": (gradual, ("promoted",)),
             "recurring drift": (recurring, ("promoted", "refused")), "label noise, 10 %": (noise, ("promoted", "approval")),
             "poisoned at random, 50 %": (poison_random, ("approval", "refused")), "poisoned systematically": (poison_systematic, ("approval", "refused")),
             "poisoned systematically, with drift": (poison_drifted, ("approval", "refused", "promoted")), "only mistakes are told": (complaints, ("refused", "rolled back", "labels", "approval", "promoted")), "few labels": (few, ("nothing",)),
             "no labels": (no_labels, ("nothing",)), "inputs not kept": (no_inputs, ("labels",)), "labels of one class": (one_class, ("labels",)),
             "labels for test rows": (test_rows, ("labels",)), "a class that nobody trained": (new_class, ("promoted", "refused")),
             "worse challenger": (bad_challenger, ("refused",)), "service restarted": (restarted, ("promoted",)),
             "false alarm": (false_alarm, ("refused", "promoted")), "alarm twice": (twice, ("promoted",)), "registry moved": (moved, ("abandoned",)),
             "dataset version vanished": (vanished, ("abandoned",)), "promotion gone wrong": (gone_wrong, ("rolled back",)),
             "a canary": (sudden, ("promoted",)), "a canary that is worse": (worse_canary, ("refused",))}
LOOSE = {"worse_on_old": 0.9, "recall_drop": 1} # whoever is promoted by it has forgotten the world of before
POLICIES = {"promotion gone wrong": {"challenger": SURE | LOOSE | {"live": "none"}, "watch": {"rows": 2000}},
            "a canary": {"challenger": {**SURE, "live": "canary", "share": 0.2, "rows": 2000, "worse_on_old": 0.2}},
            "a canary that is worse": {"challenger": SURE | LOOSE | {"live": "canary", "share": 0.4, "rows": 4000, "least": 4000}}}


# ---- homes and processes

def in_child(work, home: Path) -> tuple[object, int]: # what it returned, and the signal that ended it
    "Run something in a process of its own, in a home."
    sys.stdout.flush()
    answer = home.with_suffix(".answer")
    answer.unlink(missing_ok=True)
    if not (child := os.fork()):
        code = 1
        try:
            os.environ["FASHION_MLOPS_HOME"] = str(home)
            os.environ.pop("MLFLOW_TRACKING_URI", None)
            answer.write_text(json.dumps(work(), default=str))
            code = 0
        except BaseException as error:
            import traceback
            traceback.print_exc()
            answer.write_text(json.dumps({"fault": f"{type(error).__name__}: {error}"}))
        finally: os._exit(code)
    _, status = os.waitpid(child, 0)
    return (json.loads(answer.read_text()) if answer.is_file() else None), os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def begun(source):
    "A home with a champion that learnt from the source."
    keep_artifact("01_data", "samples", lambda place: save_samples(source, place))
    promote(DATASET, version := registered(source), None, "the first one")
    deploy(DATASET)
    return version


class Bench:
    "A home as it begins, brought back before each play: an MLflow store does not like to be moved."
    def __init__(self, folder: Path, garments: int):
        self.home, self.saved = folder/"home", folder/"saved"
        self.source = make_samples(DATASET, 1500, 0.2, seed=SEED)
        self.pool = draw_garments(garments, 1_000_003)
        said, _ = in_child(lambda: begun(self.source), self.home)
        assert said == 1, said
        shutil.copytree(self.home, self.saved, symlinks=True)

    def fresh(self):
        shutil.rmtree(self.home)
        shutil.copytree(self.saved, self.home, symlinks=True)

    def play(self, name: str, seed: int) -> dict:
        "A scenario, and what it left."
        does, allowed = SCENARIOS[name]
        def work():
            play = Play(World(self.pool, self.source, seed), POLICIES.get(name), does is bad_challenger)
            turn = does(play)
            came = turn.outcome or turn.waits["on"]
            why = " ".join(turn.reasons) or turn.waits["words"]
            words, broken = worse(play.world, play.loop.policy) if name != "registry moved" else ("", False)
            return {"scenario": name, "came": came, "expected": came in allowed, "why": why, "worth": words, "broken": broken, **state()}
        self.fresh()
        began = time.monotonic()
        said, _ = in_child(work, self.home)
        return {**said, "seconds": time.monotonic() - began}


# ---- kills

class Writes:
    "Counts what is written while a turn advances, and ends the process at one of these moments."
    def __init__(self, kill: int | None = None):
        self.kill, self.seen, self.on = kill, [], False
        sys.addaudithook(self._hook)
        from mlflow.tracking import MlflowClient
        for name in ("create_model_version", "set_registered_model_alias"): setattr(MlflowClient, name, self._around(getattr(MlflowClient, name), name))

    def _hook(self, event, args):
        if self.on and event == "os.rename" and ".answer" not in str(args[1]): self.met(f"before {Path(str(args[1])).name}")

    def _around(self, does, name):
        def watched(*args, **named):
            self.met(f"before {name}")
            found = does(*args, **named)
            self.met(f"after {name}")
            return found
        return watched

    def met(self, what: str):
        if not self.on: return
        self.seen.append([self.step, what])
        if len(self.seen) - 1 == self.kill: os.kill(os.getpid(), signal.SIGKILL)

    def watching(self, steps: dict) -> dict:
        "Steps that say which of them is at work."
        def named(name, step):
            def does(turn):
                self.step = name
                return step(turn)
            return does
        return {name: named(name, step) for name, step in steps.items()}


TURNS = {"sudden drift": (WORN, ""), "a canary": (WORN, ""), "a canary that is worse": (2.5, "live"),
         "promotion gone wrong": (2.5, "watch")} # how far the world has moved, and the step at which it is as it was
STEADY = {"worse_on_old": 0.2} # so that no turn ends otherwise by the chance of other ids, which say what is held back


def one_turn(bench: Bench, seed: int, kill: int | None, skip: int, name: str, fresh: bool):
    "A whole turn, until it is over or killed."
    strength, until = TURNS[name]
    policy = {**QUICK, **POLICIES.get(name, {})}
    policy["challenger"] = STEADY | policy["challenger"]
    play, writes = Play(World(bench.pool, bench.source, seed, skip), policy), Writes(kill)
    writes.step = "alarm"
    play.world.strength = strength
    if fresh: play.drift(play.world.strength, 150)
    for _ in range(60):
        writes.on = True
        turn = advance(DATASET, champion_version(DATASET), writes.watching(steps_of(play.loop)), begin=not turns(DATASET) or turns(DATASET)[-1].is_open)
        writes.on = False
        if turn is None or not turn.waits: break
        if turn.waits["step"] == until: play.world.strength = 0.0
        play.world.ask(12)
    return {"writes": writes.seen, "why": turns(DATASET)[-1].reasons if turns(DATASET) else "", **state()}


def spread(writes: list, points: int) -> list[int]:
    "Moments to be killed at: those around alias and registration, and the others in equal parts over all steps."
    must = [number for number, (_, what) in enumerate(writes) if "alias" in what or what == "after create_model_version"]
    steps = list(dict.fromkeys(step for step, _ in writes))
    for step in steps:
        mine = [number for number, (one, _) in enumerate(writes) if one == step]
        must.append(mine[len(mine)//2])
    rest = [int(one) for one in np.linspace(0, len(writes) - 1, max(points, 2))]
    return sorted(list(dict.fromkeys([*must, *rest]))[:max(points, 0)])


def kills(bench: Bench, seed: int, points: int, name: str = "sudden drift", steps: list[str] | None = None) -> list[dict]:
    "The turn without a kill, and killed at chosen moments."
    bench.fresh()
    whole, _ = in_child(lambda: one_turn(bench, seed, None, 0, name, True), bench.home)
    if "fault" in whole: raise SystemExit(whole["fault"])
    found, alike = [], lambda said: {key: value for key, value in said.items() if key not in ("writes", "why")}
    print(whole["outcome"], whole["why"], len(whole["writes"]), "writes", file=sys.stderr, flush=True)
    for number in spread(whole["writes"], points):
        if steps and whole["writes"][number][0] not in steps: continue
        bench.fresh()
        _, by = in_child(lambda: one_turn(bench, seed, number, 0, name, True), bench.home)
        said, _ = in_child(lambda: one_turn(bench, seed, None, number + 1, name, False), bench.home)
        same = alike(said) == alike(whole)
        differs = {key: (said.get(key), value) for key, value in alike(whole).items() if said.get(key) != value}
        found.append({"turn": name, "step": whole["writes"][number][0], "at": whole["writes"][number][1], "killed": by == signal.SIGKILL, "same": same,
                      "outcome": said.get("outcome"), "why": said.get("why"), "differs": differs, "fault": said.get("fault", "")})
        print(found[-1], file=sys.stderr, flush=True)
    return found


# ---- policies

WORLDS = {"sudden, midway": lambda week, weeks: WORN*(week >= weeks//2), "gradual": lambda week, weeks: WORN*week/(weeks - 1),
          "recurring": lambda week, weeks: WORN*(week//3 % 2)}


def trained_anew(world: World, play: Play, week: int):
    "What training every week does: the same rows and weights, nothing held back to compare by, and no question asked."
    from fashion_mlops.datasets.versions import new_version, with_additions
    from fashion_mlops.drift.reference import described_of
    from fashion_mlops.loop.labelled import labelled_rows
    from fashion_mlops.loop.new_rows import new_rows
    from fashion_mlops.service.deployment import open_version
    labelled, _ = labelled_rows(DATASET, described_of(open_version(DATASET, 1).about), most=play.loop.policy.data.rows)
    numbers = np.array([CLASSES.index(one) for one in labelled.labels])
    added = new_rows(labelled, numbers, world.source, None, play.loop.policy.data, week)
    added = replace(added, split=np.where(added.split == 3, 0, added.split).astype(np.uint8), weights=np.where(added.split == 3, added.weights.max(), added.weights))
    samples = with_additions(world.source, new_version(world.source, 0, added, f"Week {week}."))
    with tempfile.TemporaryDirectory() as scratch: world.models[1] = load_predictor(saved(Path(scratch), samples, *play.stages.fitted(samples)))


def rings(right: list[float], usual: float, rows: int) -> float:
    "What the last quarter of a week has lost, or the last four, where that is more than three standard errors; half of the rows are told."
    lost = {count: usual - float(np.mean(right[-count:])) for count in (1, 4) if len(right) >= count}
    return max((one for count, one in lost.items() if one > 3*np.sqrt(usual*(1 - usual)/(rows*count/2))), default=0.0)


WEEKLY = {"when": {"labels": 150, "hours": 0}, "data": {"rows": 600}, "challenger": {"rows": 400, **SURE}, "watch": {"rows": 80}}


def weeks_of(bench: Bench, policy: str, strengths: list[float], seed: int, requests: int = 80) -> dict:
    "Weeks of requests under a policy: right answers, rows, and seconds of training."
    world = World(bench.pool, bench.source, seed)
    play, valid = Play(world, WEEKLY), world.source.rows("valid")
    usual = float((world.model(1).predict_proba(world.source.at(valid)).argmax(1) == np.asarray(world.source.labels)[valid]).mean())
    world.told, right = 0.5, []
    for week, strength in enumerate(strengths):
        world.strength = strength
        for _ in range(4): # what is asked in a week comes in four parts; a check is made and the loop is looked after in between
            right.append(world.ask(requests//4))
            if policy == "the loop":
                lost = rings(right, usual, requests//4*8)
                alarmed(lost=lost) if lost else quiet()
                advanced(play.loop)
        if policy == "every week": trained_anew(world, play, week)
    return {"right": [float(one) for one in right], "seconds": play.stages.seconds, "runs": play.stages.runs, "champion": champion_version(DATASET),
            "turns": [turn.outcome or f"waits at {turn.next}" for turn in turns(DATASET)]}


def advanced(loop: Loop):
    "As far as the loop goes with what there is; a turn that is over is no reason not to begin the next."
    for _ in range(3):
        turn = advance(DATASET, champion_version(DATASET), steps_of(loop))
        if not turn.number or turn.waits: return


def policies(bench: Bench, seeds: range, weeks: int = 10) -> list[dict]:
    found = []
    for name, strength in WORLDS.items():
        for seed in seeds:
            for policy in ("never", "every week", "the loop"):
                bench.fresh()
                said, _ = in_child(lambda: weeks_of(bench, policy, [strength(week, weeks) for week in range(weeks)], seed), bench.home)
                found.append({"world": name, "seed": seed, "policy": policy, **said})
                print({key: value for key, value in found[-1].items() if key != "right"}, file=sys.stderr, flush=True)
    return found


# ---- the table

def paired_words(mine: np.ndarray, other: np.ndarray) -> str: # (seeds,)
    "The mean difference in points, with its 95 % interval; weeks of one world depend on each other, so the seeds are what is counted (Student's t)."
    difference = 100*(mine - other)
    if len(difference) < 2: return f"{difference.mean():+.1f} (one seed)"
    half = student.ppf(0.975, len(difference) - 1)*difference.std(ddof=1)/np.sqrt(len(difference))
    return f"{difference.mean():+.1f} ({difference.mean() - half:+.1f} to {difference.mean() + half:+.1f})"


def table(found: dict) -> str:
    "All of it, in Markdown."
    lines = ["| what | came to | as wanted | on fresh rows, points beside the first champion | seconds |", "| :-- | :-- | :-- | :-- | --: |"]
    for one in found.get("scenarios", []):
        if "fault" in one: lines.append(f"| {one['scenario']} | fault: {one['fault'][:100]} | **no** | | {one['seconds']:.0f} |")
        else: lines.append(f"| {one['scenario']} | {one['came']} | {'yes' if one['expected'] and not one['broken'] and not one['twice'] else '**no**'} | {one['worth'] or 'the same'} | {one['seconds']:.0f} |")
    for one in found.get("kills", []):
        lines.append(f"| kill -9 at {one['step']}, {one['at']}: {one['turn']} | {one['outcome']} | {'yes' if one['same'] and one['killed'] else '**no**'} | | |")
    for name in WORLDS:
        mine = {policy: [one for one in found.get("policies", []) if (one["world"], one["policy"]) == (name, policy) and "right" in one] for policy in ("never", "every week", "the loop")}
        if not all(mine.values()): continue
        right = {policy: np.array([np.mean(one["right"]) for one in group]) for policy, group in mine.items()}
        for policy, group in mine.items():
            seconds, runs = sum(one["seconds"] for one in group), sum(one["runs"] for one in group)
            beside = "" if policy == "the loop" else f"the loop is {paired_words(right['the loop'], right[policy])} points better"
            lines.append(f"| {name}: {policy} | {right[policy].mean():.1%} right, {runs} trainings | | {beside} | {seconds:.0f} of training |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="all", choices=["scenarios", "kills", "policies", "all"])
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=6, help="of the policies, from --seed on")
    parser.add_argument("--weeks", type=int, default=10)
    parser.add_argument("--points", type=int, default=10)
    parser.add_argument("--steps", nargs="*", help="to be killed in; all when not said")
    parser.add_argument("--garments", type=int, default=6000)
    parser.add_argument("--output")
    asked, found = parser.parse_args(), {}
    warnings.simplefilter("ignore")
    import mlflow, pandas, pyarrow.parquet, sklearn.linear_model, torch # noqa: F401, before processes are forked
    import logging
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), asked.garments)
        if asked.what in ("scenarios", "all"):
            found["scenarios"] = []
            for name in asked.only or SCENARIOS:
                found["scenarios"].append({"scenario": name, **bench.play(name, asked.seed)})
                print({key: value for key, value in found["scenarios"][-1].items() if key not in ("steps", "moves")}, file=sys.stderr, flush=True)
        if asked.what in ("kills", "all"):
            found["kills"] = []
            for name in [one for one in asked.only or TURNS if one in TURNS]:
                found["kills"] += kills(bench, asked.seed, asked.points if name == "sudden drift" else asked.points//2, name, asked.steps)
        if asked.what in ("policies", "all"): found["policies"] = policies(bench, range(asked.seed, asked.seed + asked.seeds), asked.weeks)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; seed {asked.seed}; {datetime.now(UTC):%Y-%m-%d}\n")
    print(table(found))
    if asked.output: Path(asked.output).write_text(json.dumps(found, indent=1, default=str))


if __name__ == "__main__": main()
