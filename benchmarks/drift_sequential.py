"""A month of hourly looks: how often a rule rings when nothing has changed, and how late when something has.

python benchmarks/drift_sequential.py [clean|delay|compare] [--data fashion_mnist|earthquakes|synthetic_orders] [--months 200] [--hourly 42 1000] [--output FILE]

clean    share of quiet months in which a rule rings, and alarms a month; every month with a reference of its own
delay    hours from the change (hour 240) to the alarm, by kind, strength and share of the rows that are affected
compare  the comparison of `drift/distances` asked every hour, as nobody should
The world of pictures is a fixed pool of Fashion-MNIST training images that a small net did not learn from, as that net answers them;
references and hours are drawn from it with replacement, so that nothing at all differs between them. The test split is not read.

The world of a table are earthquakes outside the pipeline's test split, in random order (so that neither seasons nor aftershocks follow each
other), as boosted trees that learnt from a third of them answer the other two thirds; dates are left out, as a check leaves them out. Each
month draws its reference anew, and no row of it is asked about: hours are drawn from the rows that are left, without
repetition while these suffice for a month and else with it. Reference and hours are then two samples of the catalogue, and lie further apart
than a sample and the world that it is from, which is on the side of too many alarms. Months share the catalogue: the
intervals count them as independent and are about this catalogue, not about other ones. Drawn orders, of which there are as many as one likes,
are a second table: a pool of 40,000 is enough for a month at 42 an hour in which no row comes twice.

Rules: betting (`drift/betting`); a CUSUM of hourly means (strangeness and confidence as ranks in the reference, each class's share; two-sided,
allowance half a standard deviation, the largest of all charts) with its line from simulated months in which the reference is taken for the
truth; the same CUSUM with the line that other quiet months with references of their own demand, which nobody has who has one reference.
"""
import argparse
import json
import math
import os
import platform
import time
from importlib.metadata import version

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from fashion_mlops.datasets.catalogue import make_samples
from fashion_mlops.drift.betting import followed
from fashion_mlops.drift.distances import compare
from fashion_mlops.drift.events import added_up, bins_of, events_of
from fashion_mlops.drift.observed import Observed
from fashion_mlops.images.corruptions import corrupted
from fashion_mlops.images.fashion_mnist import load_fashion_mnist
from fashion_mlops.images.kind import watched_values
from fashion_mlops.tables import kind as table_kind

RATE, HOURS, CHANGE = 0.01, 720, 240
SHIFTS = [("noise", 1, .1), ("noise", 1, 1), ("noise", 3, .1), ("blur", 1, 1), ("blur", 3, .1), ("rotation", 1, 1), ("rotation", 3, .1),
          ("contrast", 1, 1), ("contrast", 3, .1), ("occlusion", 1, 1), ("occlusion", 3, .1), ("knock-out", 50, 1), ("knock-out", 100, 1)]
TABLE_SHIFTS = [("noise", 1, 1), ("noise", 3, .1), ("missing", 1, 1), ("missing", 3, .1), ("knock-out", 25, 1), ("knock-out", 50, 1)]
MOMENTS = np.datetime64("2026-11-01T00", "us") + np.arange(HOURS)*np.timedelta64(1, "h")


def interval(hits: int, of: int) -> str:
    "A share with its exact (Clopper–Pearson) 95 % interval."
    found = binomtest(hits, of).proportion_ci(method="exact")
    return f"{hits/of:.1%} ({found.low:.1%} to {found.high:.1%})"


class World:
    "Images, what a small net says of them, and what becomes of both when they are shifted."
    shifts, reference = SHIFTS, 5000

    def __init__(self, rows: int, seed: int):
        from sklearn.neural_network import MLPClassifier
        loaded = load_fashion_mnist()
        train = np.random.default_rng(seed).permutation(np.flatnonzero(~loaded.is_test))
        learned, self.rows = train[:8000], train[10_000:10_000 + rows]
        self.images, self.labels, self.classes = loaded.inputs, loaded.labels, list(loaded.classes)
        self.net = MLPClassifier((100,), max_iter=12, random_state=seed).fit(self._flat(self.images[learned]), self.labels[learned])
        self.clean = self.seen(self.images[self.rows])
        self.accuracy = float((self.clean.said == self.labels[self.rows]).mean())

    def _flat(self, images): return images.reshape(len(images), -1).astype(np.float32)/255

    def seen(self, images) -> Observed:
        table = pd.concat([pd.DataFrame(list(watched_values(images[start:start + 5000]))) for start in range(0, len(images), 5000)], ignore_index=True)
        return Observed(table, self.net.predict_proba(self._flat(images)).astype(np.float32), self.classes)

    def shifted(self, kind: str, severity: int) -> Observed:
        "The pool in another world; a knock-out takes rows of one class away."
        if kind != "knock-out": return self.seen(corrupted(self.images[self.rows[:10_000]], kind, severity))
        random = np.random.default_rng(severity)
        gone = (self.labels[self.rows] == 5) & (random.random(len(self.rows)) < severity/100)
        return self.clean.at(~gone)

    def month(self, random, reference: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        "Positions of a reference, and of the rows of a month: from one pool, with replacement."
        return random.integers(0, len(self.clean), reference), random.integers(0, len(self.clean), rows)

    def stand_ins(self, random, kind: str, severity: int, of: int, places: np.ndarray) -> np.ndarray:
        "Which of so many shifted rows come in the place of others."
        return random.integers(0, of, len(places))


class Table:
    "Rows of a table in random order, what trees say of them that learnt from a third, and what becomes of both when they are shifted."
    shifts, reference = TABLE_SHIFTS, 1430 # as many validation rows as the pipeline stores with a version

    def __init__(self, rows: int, seed: int, name: str = "earthquakes"):
        from sklearn.ensemble import HistGradientBoostingClassifier
        samples = make_samples(name, 2*rows, 0.1, seed)
        self.described, self.classes = table_kind.input_description(samples), list(samples.classes)
        self.columns = [column for column in samples.columns if column.type != "datetime"]
        order = np.random.default_rng(seed).permutation(np.r_[samples.rows("train"), samples.rows("valid")])
        learned, rest = order[:len(order)//3], order[len(order)//3:][:rows]
        self.inputs, self.labels = samples.at(rest).reset_index(drop=True), np.asarray(samples.labels)[rest]
        many = [name for name in self.inputs.select_dtypes("category") if self.inputs[name].nunique() > 250]
        self.taken = [column.name for column in self.columns if column.type != "text" and column.name not in many]
        self.trees = HistGradientBoostingClassifier(max_iter=80, categorical_features="from_dtype", random_state=seed)
        self.trees.fit(self._plain(samples.at(learned)), np.asarray(samples.labels)[learned])
        self.clean = self.seen(self.inputs)
        self.accuracy = float((self.clean.said == self.labels).mean())

    def _plain(self, inputs):
        "What the trees take: no texts, and no more levels than they can tell apart."
        return inputs[self.taken]

    def seen(self, inputs) -> Observed:
        watched = table_kind.watched_table(self.described, table_kind.watched_values(inputs, self.described))
        return Observed(watched[[column.name for column in self.columns]], self.trees.predict_proba(self._plain(inputs)).astype(np.float32), self.classes)

    def shifted(self, kind: str, severity: int) -> Observed:
        "The same rows, worse; a knock-out changes which rows come."
        if kind != "knock-out": return self.seen(table_kind.corrupted(self.inputs, kind, severity, 5, self.columns))
        return self.clean

    def month(self, random, reference: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        "Positions of a reference, and of the rows of a month: of other rows, none twice while they suffice."
        order = random.permutation(len(self.clean))
        others = order[reference:]
        return order[:reference], others[:rows] if rows <= len(others) else random.choice(others, rows)

    def stand_ins(self, random, kind: str, severity: int, of: int, places: np.ndarray) -> np.ndarray:
        "The same rows; in a knock-out others of the same month instead of a share of the second class."
        if kind != "knock-out": return places
        second = self.labels[places] == 1
        gone = second & (random.random(len(places)) < severity/100)
        return np.where(gone, random.choice(places[~second], len(places)), places)


class Cusum:
    "A chart of each number's hourly mean, both ways."

    def __init__(self, reference: Observed, events, hourly: int, seed: int):
        self.strangeness, self.hourly = events.strangeness, hourly
        self.sorted = [np.sort(self.strangeness(reference)), np.sort(reference.confidence)]
        values = self.values(reference)
        self.middle, self.covariance = values.mean(0), np.cov(values.T)
        self.unit = np.sqrt(np.diag(self.covariance).clip(1e-9)/hourly)
        random = np.random.default_rng(seed)
        quiet = random.multivariate_normal(np.zeros(len(self.unit)), self.covariance/hourly, size=(1000, HOURS), method="eigh")/self.unit
        self.line = float(np.quantile(self.chart(quiet).max(1), 1 - RATE))

    def values(self, seen: Observed) -> np.ndarray:
        ranks = [np.searchsorted(each, values)/len(each) for each, values in zip(self.sorted, (self.strangeness(seen), seen.confidence))]
        return np.column_stack([*ranks, np.eye(len(seen.classes))[seen.said]])

    def chart(self, standard: np.ndarray) -> np.ndarray: # (..., hours, numbers) → (..., hours)
        up = down = np.zeros(standard.shape[:-2] + standard.shape[-1:])
        highest = np.empty(standard.shape[:-1])
        for hour in range(standard.shape[-2]):
            now = standard[..., hour, :]
            up, down = np.maximum(0, up + now - 0.5), np.maximum(0, down - now - 0.5)
            highest[..., hour] = np.maximum(up, down).max(-1)
        return highest

    def __call__(self, values: np.ndarray) -> np.ndarray: # (HOURS*hourly, numbers) → (HOURS,)
        return self.chart((values.reshape(HOURS, self.hourly, -1).mean(1) - self.middle)/self.unit)


def month_of(world: World, number: int, hourly: int, options, shifts: dict) -> dict:
    "One reference, a quiet month, and a month of each shift, under every rule."
    random = np.random.default_rng([options.seed, hourly, number])
    known, calm = world.month(random, options.reference or world.reference, HOURS*hourly)
    reference = world.clean.at(known)
    events = events_of(reference, RATE/2)
    cusum, bins = Cusum(reference, events, hourly, number), bins_of(events, world.clean)
    values, hours = cusum.values(world.clean), np.repeat(np.arange(HOURS), hourly)
    found = {}
    for name, (other, share, kind, severity) in {"quiet": (None, 0.0, "", 0), **shifts}.items():
        own, numbers = bins[:, calm], values[calm]
        if other is not None:
            hit = np.flatnonzero((hours >= CHANGE) & (random.random(len(hours)) < share))
            drawn = world.stand_ins(random, kind, severity, len(other), calm[hit])
            own[:, hit], numbers[hit] = bins_of(events, other)[:, drawn], cusum.values(other)[drawn]
        told = followed(events, added_up(events, own, hours, HOURS), np.full(HOURS, hourly), MOMENTS, RATE)
        found[name] = {"betting": told.alarms, "since": told.since, "score": told.score, "chart": cusum(numbers), "line": cusum.line}
    return found


def first(chart: np.ndarray, line: float) -> int | None:
    return int(np.argmax(chart >= line)) if (chart >= line).any() else None


def clean(world, hourly: int, options) -> dict:
    "Quiet months; the first half draws the CUSUM's better line, the second half is counted."
    months = [month_of(world, number, hourly, options, {})["quiet"] for number in range(options.months)]
    ours = sum(bool(month["betting"]) for month in months)
    half = len(months)//2
    demanded = float(np.quantile([month["chart"].max() for month in months[:half]], 1 - RATE, method="higher"))
    rang = sum(first(month["chart"], month["line"]) is not None for month in months)
    better = sum(first(month["chart"], demanded) is not None for month in months[half:])
    found = {"hourly": hourly, "months": len(months), "betting rings": interval(ours, len(months)),
             "betting, alarms a month": sum(len(month["betting"]) for month in months)/len(months),
             "CUSUM, reference taken for the truth": interval(rang, len(months)),
             "CUSUM, line of other quiet months": interval(better, len(months) - half), "lines": [float(np.median([m["line"] for m in months])), demanded]}
    print(json.dumps(found, indent=1), flush=True)
    return found


def delay(world, hourly: int, demanded: float, options) -> pd.DataFrame:
    "Hours to the alarm."
    shifts = {f"{kind} {severity}, {share:.0%} of rows": (world.shifted(kind, severity), share, kind, severity) for kind, severity, share in world.shifts}
    months = [month_of(world, 100_000 + number, hourly, options, shifts) for number in range(options.repeats)]
    table = []
    for name in shifts:
        line = {"shift": name, "rows an hour": hourly}
        for rule in ("betting", "CUSUM"):
            alarms = [(month[name]["betting"] or [None])[0] if rule == "betting" else first(month[name]["chart"], demanded) for month in months]
            late = sorted(math.inf if alarm is None else alarm - CHANGE + 1 for alarm in alarms if alarm is None or alarm >= CHANGE)
            seen = sum(each < math.inf for each in late)
            line |= {f"{rule}: found": f"{seen}/{len(late)}", f"{rule}: half within": late[len(late)//2], f"{rule}: 9 of 10": late[min(len(late) - 1, int(0.9*len(late)))]}
        told = [month[name]["since"] for month in months if month[name]["since"] and month[name]["betting"][0] >= CHANGE]
        line["since holds"] = f"{sum(one[1] <= MOMENTS[CHANGE] <= one[2] for one in told)}/{len(told)}"
        scores = [month[name]["score"] for month in months]
        line["most bet on"] = max(set(scores), key=scores.count)
        table.append(line)
    table = pd.DataFrame(table)
    print(table.to_string(index=False), flush=True)
    return table


def hourly_compare(world, hourly: int, options, months: int = 2) -> dict:
    "A comparison at 1 % every hour."
    rang = []
    for number in range(months):
        random = np.random.default_rng([options.seed, 9, number])
        known, asked = world.month(random, options.reference or world.reference, HOURS*hourly)
        reference = world.clean.at(known)
        columns = reference.table.assign(confidence=reference.confidence, said=np.array(reference.classes, object)[reference.said])
        alarms = 0
        for hour in range(HOURS):
            now = world.clean.at(asked[hour*hourly:(hour + 1)*hourly])
            window = now.table.assign(confidence=now.confidence, said=np.array(now.classes, object)[now.said])
            alarms += compare(columns, window, RATE, 199, hour).drifted > 0
        rang.append(int(alarms))
    found = {"rows an hour": hourly, "alarms of each quiet month": rang}
    print(json.dumps(found), flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=["clean", "delay", "compare"], default=[], help="what to measure (default: all)")
    parser.add_argument("--data", choices=["fashion_mnist", "earthquakes", "synthetic_orders"], default="fashion_mnist")
    parser.add_argument("--months", type=int, default=200, help="quiet months (default 200)")
    parser.add_argument("--repeats", type=int, default=30, help="months of each shift (default 30)")
    parser.add_argument("--hourly", type=int, nargs="+", default=[42, 1000], help="rows an hour (default: 42 1000)")
    parser.add_argument("--reference", type=int, help="rows of the reference (default: 5000 pictures, 1430 rows of a table)")
    parser.add_argument("--pool", type=int, default=40_000, help="rows of the world at most (default 40,000)")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output", help="JSON file for the figures")
    options = parser.parse_args()
    wanted, began = options.what or ["clean", "delay", "compare"], time.perf_counter()
    world = World(options.pool, options.seed) if options.data == "fashion_mnist" else Table(options.pool, options.seed, options.data)
    held = options.reference or world.reference
    print(f"{options.data}: a model that is right on {world.accuracy:.1%} of {len(world.clean):,} rows; {len(world.clean.table.columns)} watched columns; "
          f"{len(events_of(world.clean.at(np.arange(held))).names)} events; reference of {held:,} rows; rate {RATE:.0%} a month", flush=True)
    record = {"options": vars(options), "accuracy": world.accuracy, "clean": [], "delay": []}
    for hourly in options.hourly:
        demanded = 10.0
        if "clean" in wanted or "delay" in wanted:
            record["clean"].append(clean(world, hourly, options))
            demanded = record["clean"][-1]["lines"][1]
        if "delay" in wanted: record["delay"] += delay(world, hourly, demanded, options).to_dict("records")
    if "compare" in wanted: record["compare"] = hourly_compare(world, options.hourly[0], options)
    record |= {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0], "numpy": version("numpy"),
               "seconds": time.perf_counter() - began}
    print({key: record[key] for key in ("machine", "cores", "load", "numpy", "seconds")}, flush=True)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file: json.dump(record, file, indent=1, default=str)


if __name__ == "__main__": main()
