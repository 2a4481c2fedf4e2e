"""What `drift/detect` finds, beside alibi-detect and Evidently, on the same windows at the same rate of false alarms.

python benchmarks/drift.py [grid|clean|speed|agree|table] --cache FOLDER [--quick] [--repeats 100] [--sizes N …] [--peers PYTHON] [--output FILE]

grid   power over nine kinds of shift, three strengths, shares of 10, 50 and 100 % of the rows, and sizes from 10 to 10,000; written line by
       line, so a run that was cut off goes on where it stopped
clean  windows that ring although nothing has changed: 1,000 of images and 1,000 of a table, 100 references each; the intervals know that
       windows of one reference are related
speed  10,000 rows against the stored reference, page included, beside Evidently: one report of all columns, and one for each column
agree  the peers' own classes on some windows: do they say what is worked out here for many at once? (--peers: an interpreter with alibi-detect)
table  the figures as Markdown

The world: Fashion-MNIST's training split; a small net learns nine classes from 30,000 rows (the tenth, bags, is the new class), 5,000
other rows are the reference and 20,000 the pool; the first 5,000 of the pool served to choose the tests (after a first look at
10,000; with the same reference and rows of the new class), final windows come from the others. The test split is not read. A knock-out removes 1, 2 or 4 of the classes from the affected rows; of them 25, 50 or 100 % are of
the new class; in a mixture half are turned and half pale.

Peers: alibi-detect's KSDrift on the probabilities (Bonferroni, its own p-values), its MMDDrift on probabilities and on the net's last hidden
layer (its kernel, width and statistic against all 5,000 reference rows; the line from 1,000 clean windows in place of permutations of
a 5,000 × 5,000 matrix for each window), Evidently with its defaults on probabilities, predicted class and watched numbers (at 5,000 reference
rows: Wasserstein and Jensen-Shannon distances, a line of 0.1, drift where half of the columns drift), as it is and with lines
from 1,000 clean windows: for its share of drifted columns, and for the largest distance of all columns, which it does not offer.
"""
import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import beta, binomtest, kstwo
from scipy.spatial.distance import jensenshannon

from fashion_mlops.datasets.description import dataset_files, read_dataset_file, source_paths
from fashion_mlops.drift.detect import detect, kept
from fashion_mlops.drift.distances import TIE
from fashion_mlops.drift.observed import Observed
from fashion_mlops.drift.window_tests import TESTS, Two, counted, statistics
from fashion_mlops.drift.yardstick import measured
from fashion_mlops.images.corruptions import corrupted
from fashion_mlops.images.fashion_mnist import load_fashion_mnist
from fashion_mlops.images.kind import watched_values

RATE, NEW, FIRST = 0.05, 8, 5000 # false alarms; the class that is left out; rows of the pool that served to choose the tests
SIZES, SEVERITIES, SHARES = (10, 20, 50, 100, 200, 500, 1000, 10_000), (1, 3, 5), (0.1, 0.5, 1.0)
CORRUPTED = ("noise", "blur", "shift", "rotation", "contrast", "occlusion")
KINDS = (*CORRUPTED, "knock-out", "new class", "mixture")
PEERS = ("alibi KS", "alibi MMD, outputs", "alibi MMD, embedding", "Evidently, share of columns at 5 %", "Evidently, largest distance at 5 %")
AS_IT_IS, NOT_OFFERED = "Evidently as it is", PEERS[-1] # the one rings too often, the other is no option of Evidently's


def network():
    "Two convolutions, a hidden layer of 64, nine answers."
    from torch import nn
    layers = [nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
              nn.Conv2d(48, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Dropout(.3), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 9)]
    return nn.Sequential(*layers)


def learnt(images, labels, path: Path, passes: int):
    "The net, from the cache or learnt now (six passes: three minutes on one core)."
    import torch
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = network()
    if path.is_file(): net.load_state_dict(torch.load(path))
    else:
        inputs, truth = torch.from_numpy(images.copy()).float()[:, None]/255, torch.from_numpy(labels)
        steps, order = len(inputs)//128, np.random.default_rng(0)
        best = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-3)
        plan = torch.optim.lr_scheduler.OneCycleLR(best, 6e-3, total_steps=passes*steps)
        for _ in range(passes):
            mixed = order.permutation(len(inputs))
            for rows in mixed[:steps*128].reshape(steps, 128):
                best.zero_grad()
                torch.nn.functional.cross_entropy(net(inputs[rows]), truth[rows]).backward()
                best.step()
                plan.step()
        torch.save(net.state_dict(), path)
    return net.eval()


def answered(net, images) -> tuple[np.ndarray, np.ndarray]:
    "Probabilities and the last hidden layer."
    import torch
    with torch.no_grad():
        hidden = torch.cat([net[:13](torch.from_numpy(part.copy()).float()[:, None]/255) for part in np.array_split(images, max(1, len(images)//1000))])
        return net[13:](hidden).softmax(1).numpy(), hidden.numpy()


def pools(options) -> dict:
    "The reference and every pool: probabilities, embedding, watched numbers, labels; worked out once."
    cache = options.cache/"quick" if options.quick else options.cache
    rows, passes = (11_000, 1) if options.quick else (25_000, 6)
    names = ["reference", "clean", "new", *(f"{kind}{severity}" for kind in CORRUPTED for severity in SEVERITIES)]
    if missing := [name for name in names if not (cache/f"pool_{name}.npz").is_file()]:
        cache.mkdir(parents=True, exist_ok=True)
        loaded = load_fashion_mnist()
        images, labels = np.asarray(loaded.inputs[:60_000]), np.asarray(loaded.labels[:60_000], np.int64)
        order, to = np.random.default_rng(14).permutation(60_000), np.cumsum(np.arange(10) != NEW) - 1
        first, held = (part[labels[part] != NEW] for part in (order[:30_000], order[30_000:]))
        if options.quick: first = first[:5000]
        net = learnt(images[first], to[labels[first]], cache/"net.pt", passes)
        parts = {"reference": held[:5000], "clean": held[5000:rows], "new": order[30_000:][labels[order[30_000:]] == NEW]}
        for name in missing:
            own = parts.get(name, parts["clean"])
            seen = images[own] if name in parts else corrupted(images[own], name[:-1], int(name[-1]), seed=5)
            probabilities, embedding = answered(net, seen)
            watched = pd.DataFrame(watched_values(seen))
            np.savez(cache/f"pool_{name}.npz", probabilities=probabilities, embedding=embedding, watched=watched.to_numpy(), names=list(watched), labels=to[labels[own]])
            print(f"pool {name}: {len(own):,} rows", flush=True)
    return {name: dict(np.load(cache/f"pool_{name}.npz")) for name in names}


def observed(pool: dict, rows=slice(None)) -> Observed:
    "Rows of a pool as monitoring sees them."
    return Observed(pd.DataFrame(pool["watched"][rows], columns=list(pool["names"])), pool["probabilities"][rows], [f"c{n}" for n in range(9)])


def window(kind: str, strength: int, share: float, size: int, truth: np.ndarray, fresh: int, random) -> list[tuple[str, np.ndarray]]:
    "The rows of a window: names of pools, and positions in them."
    rows = random.choice(np.arange(FIRST, len(truth)), size, replace=False)
    hit = 0 if kind == "clean" else max(1, round(size*share))
    others, hit = rows[hit:], rows[:hit]
    if kind == "clean": return [("clean", others)]
    if kind == "knock-out":
        gone = random.permutation(9)[:(1, 2, 4)[strength]]
        left = np.flatnonzero(~np.isin(truth, gone) & (np.arange(len(truth)) >= FIRST))
        return [("clean", others), ("clean", random.choice(left, len(hit), replace=len(hit) > len(left)))]
    if kind == "new class":
        count = max(1, round(len(hit)*(.25, .5, 1)[strength]))
        return [("clean", np.r_[others, hit[count:]]), ("new", random.choice(fresh, count, replace=count > fresh))]
    ways = ("rotation", "contrast") if kind == "mixture" else (kind,)
    return [("clean", others), *((f"{way}{SEVERITIES[strength]}", hit[place::len(ways)]) for place, way in enumerate(ways))]


class Ours:
    "The tests of `detect` for many small windows at once."
    def __init__(self, reference: Observed, given: dict):
        self.ready, self.rows = kept(reference), {}
        for name, pool in given.items():
            found = measured(observed(pool), self.ready.yardstick)
            self.rows[name] = counted(found, self.ready.layout).astype(np.int16), np.concatenate([found.white, found.waves], 1)
        self.total = self.ready.sums.sum(0, dtype=np.float64)

    def sums(self, parts) -> np.ndarray:
        places = np.concatenate([self.rows[name][0][rows] for name, rows in parts]).ravel()
        moved = sum(self.rows[name][1][rows].sum(0, dtype=np.float64) for name, rows in parts)
        return np.r_[np.bincount(places, minlength=self.ready.layout.counted), moved]

    def p(self, windows: list, size: int, draws: int = 999) -> tuple[np.ndarray, np.ndarray]:
        "p-value of each window, and of each test."
        sums, full = np.array([self.sums(parts) for parts in windows]), np.full((len(windows), 1), float(size))
        found = statistics(Two(sums, self.total + sums, full, 0*full + len(self.ready.sums)), self.ready.yardstick, self.ready.layout)
        null = self.ready.null(size, draws, 0)
        usual = np.quantile(null[1], 1 - RATE, axis=0)
        usual = np.where(usual > 0, usual, null[1].max(0)) + (null[1].max(0) == 0)
        drawn, own = (np.column_stack([five[:, :2], (columns/usual).max(1), five[:, 2:]]) for five, columns in (null, found))
        def beyond(values, test): return draws - np.searchsorted(np.sort(drawn[:, test]), values[:, test]*(1 - TIE))
        of_drawn, each = (np.stack([beyond(values, test) + more for test in range(6)], 1)/(draws + 1) for values, more in ((drawn, 0), (own, 1)))
        least = np.sort(of_drawn.min(1))
        return (1 + np.searchsorted(least, each.min(1), "right"))/(draws + 1), each


class Peers:
    "Statistics of the peers for index windows, each worked out as its own code does."
    def __init__(self, given: dict):
        self.reference, self.rows = given["reference"], {}
        outputs, self.count = self.reference["probabilities"], len(self.reference["labels"])
        self.sorted, self.gamma, self.within = np.sort(outputs, 0), {}, {}
        for what in ("probabilities", "embedding"):
            rows = self.reference[what].astype(np.float32)
            apart = self.squares(rows, rows)
            self.gamma[what] = 1/np.sort(apart[::5, ::5].ravel())[(apart[::5, ::5].size - len(apart[::5]))//2 - 1 + len(apart[::5])]
            kernel = np.exp(-apart*self.gamma[what])
            self.within[what] = (kernel.sum(dtype=np.float64) - np.trace(kernel))/(self.count*(self.count - 1))
        middle = np.nanmedian(self.reference["watched"], 0)
        def filled(pool): return np.column_stack([np.where(np.isnan(pool["watched"]), middle, pool["watched"]), pool["probabilities"]]).astype(np.float32)
        self.columns = np.sort(filled(self.reference), 0)
        self.scale = np.maximum(filled(self.reference).astype(np.float64).std(0), 0.001).astype(np.float32)
        self.said = np.bincount(outputs.argmax(1), minlength=9)/self.count
        for name, pool in given.items():
            left, right = (np.stack([np.searchsorted(self.sorted[:, j], pool["probabilities"][:, j], side) for j in range(9)], 1)/self.count for side in ("left", "right"))
            near = {what: self.near(pool[what].astype(np.float32), what) for what in self.gamma}
            self.rows[name] = {"left": left, "right": right, "columns": filled(pool), "said": pool["probabilities"].argmax(1), "probabilities": pool["probabilities"],
                               "embedding": pool["embedding"].astype(np.float32), **{f"near {what}": values for what, values in near.items()}}

    @staticmethod
    def squares(one, other): return ((one**2).sum(1)[:, None] + (other**2).sum(1) - 2*one @ other.T).clip(0)

    def near(self, rows, what):
        "Mean kernel of each row with the whole reference."
        reference = self.reference[what].astype(np.float32)
        return np.concatenate([np.exp(-self.squares(part, reference)*self.gamma[what]).mean(1) for part in np.array_split(rows, max(1, len(rows)//1000))])

    def of(self, parts, what): return np.concatenate([self.rows[name][what][rows] for name, rows in parts])

    def ks(self, parts) -> float:
        "Largest Kolmogorov–Smirnov distance over the outputs, ties as scipy has them."
        values, size = self.of(parts, "probabilities"), sum(len(rows) for _, rows in parts)
        order = np.argsort(values, 0)
        values, left, right = (np.take_along_axis(each, order, 0) for each in (values, self.of(parts, "left"), self.of(parts, "right")))
        new = np.vstack([np.ones((1, 9), bool), values[1:] != values[:-1]])
        steps = np.arange(size)[:, None]/size
        return float(max(np.where(new, np.abs(left - steps), 0).max(), np.where(np.vstack([new[1:], np.ones((1, 9), bool)]), np.abs(right - steps - 1/size), 0).max()))

    def mmd(self, parts, what) -> float:
        rows = self.of(parts, what)
        rows = rows[np.arange(min(2000, len(rows)))*len(rows)//min(2000, len(rows))] # from all parts of the window
        own = (np.exp(-self.squares(rows, rows)*self.gamma[what]).sum(dtype=np.float64) - len(rows))/(len(rows)*(len(rows) - 1))
        return self.within[what] + own - 2*self.of(parts, f"near {what}").mean(dtype=np.float64)

    def evidently(self, parts) -> np.ndarray:
        "Distance of every column, as Evidently has it; the answered class last."
        values = np.sort(self.of(parts, "columns"), 0)
        times = max(1, len(values)//self.count)
        lined = np.repeat(self.columns, times, 0).reshape(len(values), -1, values.shape[1])
        return np.r_[np.abs(values[:, None] - lined).mean((0, 1))/self.scale, jensenshannon(self.said, np.bincount(self.of(parts, "said"), minlength=9)/len(values))]

    def statistics(self, parts) -> list[float]:
        "As `PEERS`, and the share of columns beyond 0.1."
        columns = self.evidently(parts)
        share = (columns >= 0.1).mean()
        return [self.ks(parts), self.mmd(parts, "probabilities"), self.mmd(parts, "embedding"), share, columns.max()]

    def decided(self, found: np.ndarray, clean: np.ndarray, size: int) -> dict[str, np.ndarray]:
        "What each peer says of windows, given clean windows to draw lines from."
        own = np.array([ks_line(size, self.count)])
        lines = np.r_[own, [np.quantile(clean[:, n], 1 - RATE, method="higher") for n in range(1, 5)]]
        said = {name: found[:, n] > lines[n]*(1 + 1e-9) for n, name in enumerate(PEERS)}
        return said | {AS_IT_IS: found[:, 3] >= 0.5}


def ks_line(size: int, count: int) -> float:
    "Largest distance at which KSDrift does not ring yet: p above 0.05 / 9."
    low, high = 0.0, 1.0
    from scipy.stats._stats_py import _attempt_exact_2kssamp
    from math import gcd
    for _ in range(22):
        middle, common = (low + high)/2, gcd(size, count)
        steps = round(middle*size*count/common)
        _, _, p = _attempt_exact_2kssamp(size, count, common, steps*common/(size*count), "two-sided") if size <= 1000 else (0, 0, kstwo.sf(middle, round(size*count/(size + count))))
        low, high = (middle, high) if p > 0.05/9 else (low, middle)
    return high


def interval(hits: int, of: int) -> str:
    "A share with its exact (Clopper–Pearson) 95 % interval."
    found = binomtest(int(hits), int(of)).proportion_ci(method="exact")
    return f"{hits/of:.1%} ({found.low:.1%} to {found.high:.1%})"


def cells() -> list[tuple]:
    return [("clean", 0, 0.0), *((kind, strength, share) for kind in KINDS for strength in range(3) for share in SHARES)]


def grid(options):
    "Every cell at every size, line by line."
    done = {(line["size"], line["kind"], line["strength"], line["share"]) for line in read_lines(options.output, "grid")}
    given = pools(options)
    began = time.perf_counter()
    reference, truth, fresh = observed(given["reference"]), given["clean"]["labels"], len(given["new"]["labels"])
    ours, peers = Ours(reference, given), Peers(given)
    print(f"prepared in {time.perf_counter() - began:.0f} s", flush=True)
    for size in options.sizes:
        todo = [cell for cell in cells() if (size, *cell) not in done]
        if not todo: continue
        repeats = options.repeats if size < 10_000 else max(1, options.repeats//10)
        random = np.random.default_rng([options.seed, size, 99])
        count = 1000 if size < 10_000 else 100
        clean = np.array([peers.statistics(window("clean", 0, 0, size, truth, fresh, random)) for _ in range(count if not options.quick else 200)])
        for number, (kind, strength, share) in enumerate(cells()):
            if (kind, strength, share) not in todo: continue
            random = np.random.default_rng([options.seed, size, number])
            windows = [window(kind, strength, share, size, truth, fresh, random) for _ in range(repeats if kind != "clean" else min(1000, 10*repeats))]
            if size <= len(ours.ready.sums)//2: p, each = ours.p(windows, size)
            else:
                found = [detect(reference, joined_parts(given, parts), RATE) for parts in windows]
                p, each = np.array([one.p for one in found]), np.array([one.tests.set_index("test").p.reindex(list(TESTS)) for one in found])
            said = {"ours": p <= RATE} | peers.decided(np.array([peers.statistics(parts) for parts in windows]), clean, size)
            said |= {f"our {name} alone": each[:, n] <= RATE for n, name in enumerate(TESTS)}
            write_line(options.output, {"part": "grid", "size": size, "kind": kind, "strength": strength, "share": share, "repeats": len(windows), "seed": options.seed,
                                        "hits": {name: int(values.sum()) for name, values in said.items()}})
        print(f"n = {size:,} after {time.perf_counter() - began:.0f} s", flush=True)


def joined_parts(given: dict, parts: list) -> Observed:
    "A window, as monitoring sees it."
    some = [observed(given[name], rows) for name, rows in parts if len(rows)]
    return Observed(pd.concat([one.table for one in some], ignore_index=True), np.concatenate([one.probabilities for one in some]), some[0].classes)


def write_line(path, line: dict):
    with open(path, "a", encoding="utf-8") as file: file.write(json.dumps(line) + "\n")


def read_lines(path, part: str) -> list[dict]:
    if not path or not Path(path).is_file(): return []
    return [line for line in map(json.loads, Path(path).read_text(encoding="utf-8").splitlines()) if line["part"] == part]


def earthquakes() -> Observed:
    "Earthquakes in random order, so that nothing changes, as a model that learnt from a third of them answers; its other rows."
    from sklearn.ensemble import RandomForestClassifier
    table = pd.read_csv(source_paths(read_dataset_file(dataset_files()["earthquakes"]))[0]).sample(frac=1, random_state=0)
    kept_types = table.magType.isin(table.magType.value_counts().index[:4])
    numbers = ["latitude", "longitude", "depth", "mag", "nst", "gap", "dmin", "rms"]
    table = table[kept_types].reset_index(drop=True)
    inputs, third = table[numbers].astype(np.float64), len(table)//3
    model = RandomForestClassifier(60, min_samples_leaf=5, random_state=0).fit(inputs.fillna(-1)[:third], table.magType[:third])
    shares = model.predict_proba(inputs.fillna(-1)[third:]).astype(np.float32)
    watched = inputs.assign(net=table.net.astype(object))[third:].reset_index(drop=True)
    return Observed(watched, shares, list(model.classes_))


def by_reference(rang: np.ndarray) -> str:
    "Share of all windows (references, windows) with a 95 % interval: Clopper–Pearson on as many windows as the related ones are worth (Korn and Graubard 1998)."
    share, count = rang.mean(), rang.size
    spread = rang.mean(1).var(ddof=1)/len(rang)
    worth = min(count, share*(1 - share)/spread) if spread else count
    low = beta.ppf(0.025, share*worth, worth - share*worth + 1) if share else 0.0
    high = beta.ppf(0.975, share*worth + 1, worth - share*worth) if share < 1 else 1.0
    return f"{share:.1%} ({low:.1%} to {high:.1%})"


def tied(rows: Observed, size: int, seed: int) -> Observed:
    "The rows in groups of one size, those of a group answered alike, as those of one customer may be; as they are for a size of 1."
    if size == 1: return rows
    mixed = np.random.default_rng(seed).permutation(len(rows))
    order = mixed[np.argsort(rows.said[mixed], kind="stable")][:len(rows)//size*size]
    return replace(rows.at(order), together=np.arange(len(order))//size)


def in_wholes(rows: Observed, random) -> np.ndarray:
    "All rows in random order; those of a group one after the other."
    if rows.together is None: return random.permutation(len(rows))
    turn = random.permutation(rows.together.max() + 1)
    return np.argsort(turn[rows.together], kind="stable")


def drawn_wholes(rows: Observed, others: np.ndarray, size: int, random) -> np.ndarray:
    "Some of the other rows, or groups of them."
    if rows.together is None: return random.choice(others, size, replace=False)
    groups = np.unique(rows.together[others])
    each = len(others)//len(groups)
    return others[np.isin(rows.together[others], random.choice(groups, size//each, replace=False))]


def clean(options):
    "Windows in which nothing has changed, each of 100 references with windows of rows that it does not hold."
    given = pools(options)
    images = joined_parts(given, [("reference", np.arange(5000)), ("clean", np.arange(len(given["clean"]["labels"])))])
    references, each = min(100, options.windows//5), options.windows//min(100, options.windows//5)
    for what, rows in (("images", images), ("earthquakes", earthquakes())):
        rows, held = tied(rows, options.together, options.seed), min(options.held, len(rows)//2)
        for size in options.clean_sizes:
            p, random = np.empty((references, each)), np.random.default_rng([options.seed, size])
            for line in p:
                order = in_wholes(rows, random)
                reference, others = rows.at(order[:held]), order[held:]
                line[:] = [detect(reference, rows.at(drawn_wholes(rows, others, size, random)), RATE).p for _ in range(each)]
            for rate in (RATE, 0.01):
                rang = p <= rate
                line = {"part": "clean", "data": what, "size": size, "rate": rate, "reference": held, "together": options.together,
                        "references": references, "windows": rang.size,
                        "hits": int(rang.sum()), "share": by_reference(rang), "seed": options.seed}
                write_line(options.output, line)
                print(f"{what}, n = {size:,}, stated {rate:.0%}: {line['share']}", flush=True)


def speed(options):
    "10,000 rows: our answer with its page, and Evidently's reports with theirs, in turn; medians, in seconds."
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift
    from evidently.presets import DataDriftPreset
    given = pools(options)
    rows = min(10_000, len(given["noise1"]["labels"]))
    reference, current = observed(given["reference"]), observed(given["noise1"], np.arange(rows))
    frames = [each.table.assign(**{f"p{n}": each.probabilities[:, n] for n in range(9)}, predicted_class=[f"c{n}" for n in each.said]) for each in (reference, current)]
    shape = DataDefinition(numerical_columns=[*frames[0].columns[:-1]], categorical_columns=["predicted_class"])
    with tempfile.TemporaryDirectory() as folder:
        def ours(reference):
            found = detect(reference, current)
            Path(folder, "ours.html").write_text(f"<p>{found.words()}</p>{found.tests.to_html()}{found.columns.to_html()}", encoding="utf-8")
        def evidently(parts):
            sets = [Dataset.from_pandas(frame, shape) for frame in frames[::-1]]
            for number, part in enumerate(parts): Report([part]).run(*sets).save_html(str(Path(folder, f"theirs{number}.html")))
        ways = {"ours": lambda: ours(reference), "ours, the reference measured too": lambda: ours(reference.at(np.arange(len(reference)))),
                "Evidently, one report": lambda: evidently([DataDriftPreset()]),
                "Evidently, a report for each column": lambda: evidently([ValueDrift(column=name) for name in frames[0]])}
        spent = {name: [] for name in ways}
        for turn in range(2 if options.quick else 6): # the first one warms up
            for name, run in ways.items():
                began, work = time.perf_counter(), time.process_time()
                run()
                if turn: spent[name].append((time.perf_counter() - began, time.process_time() - work))
    line = {"part": "speed", "rows": rows, "reference": 5000, "columns": frames[0].shape[1], "turns": len(spent["ours"])}
    for name, pairs in spent.items():
        seconds, processor = np.median(pairs, axis=0)
        line[name] = {"seconds": round(float(seconds), 3), "processor": round(float(processor), 3)}
        print(name, line[name], flush=True)
    for name in list(ways)[2:]:
        line[f"{name}: times ours"] = {own: {unit: round(line[name][unit]/line[own][unit], 1) for unit in ("seconds", "processor")} for own in list(ways)[:2]}
        print(name, "is so many times ours:", line[f"{name}: times ours"], flush=True)
    write_line(options.output, line)


def agree(options):
    "The peers' own code, and our door, on some windows of the grid."
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset
    given = pools(options)
    reference, truth, fresh = observed(given["reference"]), given["clean"]["labels"], len(given["new"]["labels"])
    some = {name: pool for name, pool in given.items() if name in ("reference", "clean", "new", "blur1", "noise3")}
    ours, peers, random = Ours(reference, some), Peers(some), np.random.default_rng(options.seed)
    asked = [(size, window(kind, 1 if kind == "noise" else 0, 0.5, size, truth, fresh, random)) for size in (10, 50, 200) for kind in ("clean", "blur", "noise", "new class") for _ in range(2)]
    line = {"part": "agree", "windows": len(asked), "ours": max(abs(ours.p([parts], size)[0][0] - detect(reference, joined_parts(some, parts), RATE).p) for size, parts in asked)}
    def frame(rows): return rows.table.assign(**{f"p{n}": rows.probabilities[:, n] for n in range(9)}, predicted_class=[f"c{n}" for n in rows.said])
    shape, worst = DataDefinition(numerical_columns=[*frame(reference).columns[:-1]], categorical_columns=["predicted_class"]), 0.0
    for _, parts in asked[::6]:
        told = Report([DataDriftPreset()]).run(*(Dataset.from_pandas(frame(rows), shape) for rows in (joined_parts(some, parts), reference))).dict()["metrics"]
        theirs = {one["metric_name"].partition("column=")[2].partition(",")[0]: one["value"] for one in told[1:]}
        own = dict(zip(frame(reference).columns, peers.evidently(parts)))
        worst = max(worst, *(abs(float(theirs[name]) - own[name]) for name in own))
    line["Evidently"] = worst
    if options.peers:
        with tempfile.TemporaryDirectory() as folder:
            held = {f"{name}{n}": peers.of(parts, what) for n, (_, parts) in enumerate(asked) for name, what in (("outputs", "probabilities"), ("embedding", "embedding"))}
            np.savez(f"{folder}/windows.npz", reference_outputs=given["reference"]["probabilities"], reference_embedding=given["reference"]["embedding"].astype(np.float32), windows=len(asked), **held)
            subprocess.run([options.peers, str(Path(__file__).parent/"peers"/"alibi.py"), f"{folder}/windows.npz", f"{folder}/answers.npz"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            theirs = np.load(f"{folder}/answers.npz")
        rang = [peers.ks(parts) > ks_line(size, peers.count)*(1 + 1e-9) for size, parts in asked]
        line |= {"alibi-detect": str(theirs["version"]), "KS decisions alike": int((theirs["rang"] == rang).sum()),
                 "MMD": float(np.abs(theirs["apart"] - [[peers.mmd(parts, what) for what in ("probabilities", "embedding")] for _, parts in asked]).max())}
    print(line, flush=True)
    write_line(options.output, line)


def over_cells(ours, theirs, middle=np.mean, draws: int = 4000) -> str:
    "A ratio of means over the cells of the grid, with a 95 % bootstrap interval over cells, each taken with both sides."
    drawn = np.random.default_rng(0).integers(0, len(ours), (draws, len(ours)))
    low, high = np.quantile(middle(np.asarray(ours)[drawn], axis=1)/middle(np.asarray(theirs)[drawn], axis=1), [.025, .975])
    return f"{middle(ours)/middle(theirs):.2f} ({low:.2f} to {high:.2f})"


def geometric(values, axis=None): return np.exp(np.log(values).mean(axis))


def table(options) -> str:
    "The figures as Markdown."
    lines = read_lines(options.output, "grid")
    every = ["ours", *PEERS, AS_IT_IS]
    frame = pd.DataFrame([{**{key: line[key] for key in ("size", "kind", "strength", "share", "repeats")}, **line["hits"]} for line in lines])
    frame = frame.drop_duplicates(["size", "kind", "strength", "share"], keep="last")
    shifted, quiet, said = frame[frame.kind != "clean"], frame[frame.kind == "clean"], []
    sizes = sorted(frame["size"].unique())
    power = pd.DataFrame({name: (shifted[name]/shifted.repeats).groupby(shifted["size"]).mean() for name in every if name in frame})
    small = power[power.index <= 500].mean()
    said += ["| mean power | " + " | ".join(f"n = {size:,}" for size in sizes) + " | n ≤ 500 |", "|---"*(len(sizes) + 2) + "|"]
    said += [f"| {name} | " + " | ".join(f"{power[name][size]:.3f}" for size in sizes) + f" | {small[name]:.3f} |" for name in power]
    best = small[[name for name in PEERS if name in small and name != NOT_OFFERED]].idxmax()
    alone = "our answers alone"
    cells = shifted[shifted["size"] <= 500].groupby(["kind", "strength", "share"])[[*power, alone, "repeats"]].sum()
    said += ["", f"Best peer: {best}. Mean power over n ≤ 500, with a bootstrap interval over the {len(cells)} cells: ours is {over_cells(cells['ours'], cells[best])} × that of the best peer, "
             f"our test of the answers alone {over_cells(cells[alone], cells[best])} ×; ours is {over_cells(cells['ours'], cells[NOT_OFFERED])} × that of the largest of Evidently's "
             f"distances, with a line that Evidently does not offer.", ""]
    said += ["| clean windows that ring | " + " | ".join(f"n = {size:,}" for size in sizes) + " |", "|---"*(len(sizes) + 1) + "|"]
    said += [f"| {name} | " + " | ".join(interval(quiet[quiet["size"] == size][name].sum(), quiet[quiet["size"] == size].repeats.sum()) for size in sizes) + " |" for name in power]
    said += ["", "| power by kind, n ≤ 500 | " + " | ".join(KINDS) + " |", "|---"*(len(KINDS) + 1) + "|"]
    part = shifted[shifted["size"] <= 500]
    said += [f"| {name} | " + " | ".join(f"{(part[name]/part.repeats)[part.kind == kind].mean():.2f}" for kind in KINDS) + " |" for name in power]
    needed = {}
    for name in power:
        reached = shifted[shifted[name]/shifted.repeats >= 0.9].groupby(["kind", "strength", "share"])["size"].min()
        needed[name] = reached.reindex(pd.MultiIndex.from_frame(shifted[["kind", "strength", "share"]].drop_duplicates())).fillna(2*max(sizes))
    said += ["", f"Rows for 90 % power (smallest n of the grid; a cell that is never reached counts {2*max(sizes):,} on either side; geometric mean over the {len(needed['ours'])} cells):", ""]
    said += ["| | rows | cells reached | ours needs, of its rows |", "|---|---|---|---|"]
    for name in power:
        ratio = over_cells(needed["ours"].to_numpy(), needed[name].to_numpy(), geometric)
        said.append(f"| {name} | {geometric(needed[name]):.0f} | {(needed[name] <= max(sizes)).sum()} | {ratio} |")
    for line in read_lines(options.output, "clean"):
        said += ["", f"{line['data']}, {line['windows']:,} clean windows of {line['size']:,} rows, {line['references']} references, stated {line['rate']:.0%}: {line['share']} ring."]
    for name in ("speed", "agree"): said += ["", *map(json.dumps, read_lines(options.output, name)[-1:])]
    tests = {name: (part[f"our {name} alone"]/part.repeats).mean() for name in TESTS}
    said += ["", "Our tests alone at 5 %, n ≤ 500: " + ", ".join(f"{name} {value:.3f}" for name, value in tests.items()) + "."]
    repeats = ", ".join(f"{int(frame[frame['size'] == size].repeats.min())} at n = {size:,}" for size in sizes)
    said += ["", f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; seed {options.seed}; numpy {version('numpy')}, scipy {version('scipy')}, evidently {version('evidently')}; "
             f"repeats of a cell: {repeats}."]
    return "\n".join(said)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=["grid", "clean", "speed", "agree", "table"], default=[], help="what to measure (default: all)")
    parser.add_argument("--cache", type=Path, required=True, metavar="FOLDER", help="net and pools, worked out once")
    parser.add_argument("--output", default="drift.jsonl", metavar="FILE", help="JSON lines (default: drift.jsonl); a grid goes on where its lines end")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="N", help="rows of a window")
    parser.add_argument("--repeats", type=int, default=100, help="windows of each cell (default 100); a tenth at 10,000 rows, ten times as many clean ones")
    parser.add_argument("--clean-sizes", type=int, nargs="+", default=[500], metavar="N", help="rows of the clean windows (default: 500)")
    parser.add_argument("--held", type=int, default=5000, metavar="N", help="rows of the reference of clean windows (default: 5000; below 200 both windows are joined)")
    parser.add_argument("--together", type=int, default=1, metavar="N", help="rows that belong together, in clean windows (default: 1; more are dealt as wholes)")
    parser.add_argument("--windows", type=int, default=1000, help="clean windows of each kind of data (default 1000)")
    parser.add_argument("--quick", action="store_true", help="does everything work: a net that learns for seconds, 6 windows of each cell, up to 200 rows; a cache of its own")
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter with alibi-detect")
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_args()
    if options.quick: options.repeats, options.sizes, options.windows = 6, [n for n in options.sizes if n <= 200], 100
    for what in options.what or ["grid", "clean", "speed", "agree", "table"]:
        if what == "table": print(table(options))
        else: {"grid": grid, "clean": clean, "speed": speed, "agree": agree}[what](options)


if __name__ == "__main__": main()
