"""New shares of the classes from answers alone: how far each way is from the truth, whether the intervals hold it, and how often the test rings for nothing.

python benchmarks/label_shift.py [--worlds 40] [--sizes 50 200 1000] [--reference 3000] [--seed 42] [--output FILE]

Fashion-MNIST training images that a small net did not learn from. In each world the shares of the ten classes are drawn anew (Dirichlet, 2 a
class), and reference and window are drawn from different images. The test split is not read.
"""
import argparse
import json
import os
import platform
import time
from importlib.metadata import version

import numpy as np
import pandas as pd

from drift_sequential import World, interval
from fashion_mlops.drift.label_shift import by_confusion, by_likelihood, calibrate, label_shift, shares_changed


def drawn(world: World, pool: np.ndarray, rows: int, shares: np.ndarray, random) -> np.ndarray:
    "Rows of a pool whose classes have these shares."
    labels = world.labels[world.rows][pool]
    wanted = random.multinomial(rows, shares)
    return np.concatenate([random.choice(pool[labels == label], count) for label, count in enumerate(wanted)])


def estimates(known, answers: np.ndarray, said: np.ndarray) -> dict[str, np.ndarray]:
    "Shares by every way."
    k, rows = answers.shape[1], len(answers)
    confusion = np.bincount(known.said*k + known.labels, minlength=k*k).reshape(k, k)/len(known)
    before, told = confusion.sum(0), said/rows
    solved = np.maximum(np.linalg.lstsq(confusion, told, rcond=None)[0]*before, 0)
    own = calibrate(known.probabilities, known.labels)
    return {"nothing changed": before, "answers as they are": told, "confusion matrix, solved": solved/solved.sum(),
            "confusion matrix, pulled": by_confusion(confusion, told, rows), "likelihood, answers as they are": by_likelihood(answers.astype(float), before),
            "likelihood, calibrated": by_likelihood(own(answers), before)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=40, help="of each size (default 40)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 200, 1000], metavar="N", help="rows of a window (default: 50 200 1000)")
    parser.add_argument("--reference", type=int, default=3000, help="rows of the reference (default 3000)")
    parser.add_argument("--tests", type=int, default=1000, help="quiet windows for the test (default 1000)")
    parser.add_argument("--draws", type=int, default=100, help="windows drawn again for an interval (default 100)")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output", help="JSON file for the figures")
    options = parser.parse_args()
    began, world = time.perf_counter(), World(40_000, options.seed)
    clean = world.clean
    object.__setattr__(clean, "labels", world.labels[world.rows].astype(np.int64))
    k, table = len(clean.classes), []
    for rows in options.sizes:
        far, held, rang = {}, 0, 0
        for number in range(options.worlds):
            random = np.random.default_rng([options.seed, rows, number])
            halves = np.split(random.permutation(len(clean)), 2)
            shares = random.dirichlet(np.full(k, 2.0))
            known, now = clean.at(random.choice(halves[0], options.reference)), clean.at(drawn(world, halves[1], rows, shares, random))
            for name, each in estimates(known, now.probabilities, np.bincount(now.said, minlength=k)).items():
                far.setdefault(name, []).append(50*np.abs(each - shares).sum())
            found = label_shift(known, now, draws=options.draws, seed=number).table
            held += int(((found.low <= shares) & (shares <= found.high)).sum())
        for number in range(options.tests):
            random = np.random.default_rng([options.seed, rows, number, 1])
            said = [np.bincount(clean.said[random.integers(0, len(clean), size)], minlength=k) for size in (options.reference, rows)]
            rang += shares_changed(*said, draws=399, seed=number) <= 0.05
        table.append({"rows": rows, **{name: f"{np.mean(each):.1f}" for name, each in far.items()},
                      "intervals that hold (95 %)": interval(held, options.worlds*k), "quiet windows that ring (5 %)": interval(rang, options.tests)})
        print(json.dumps(table[-1], indent=1), flush=True)
    print("points away from the truth on average (half of the sum over classes)\n", pd.DataFrame(table).set_index("rows").T.to_string())
    record = {"options": vars(options), "accuracy": world.accuracy, "table": table, "machine": platform.processor() or platform.machine(),
              "cores": os.cpu_count(), "load": os.getloadavg()[0], "numpy": version("numpy"), "seconds": time.perf_counter() - began}
    print({key: record[key] for key in ("accuracy", "machine", "cores", "load", "numpy", "seconds")})
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file: json.dump(record, file, indent=1)


if __name__ == "__main__": main()
