"""How often the drift alarm rings when nothing has changed, and when something has.

python benchmarks/alarm.py [quiet|power|row] [--windows 1000] [--reference 1000] [--columns 4] [--kinds KIND …] [--output FILE]

quiet  false alarms by kind of column and size of the window: every window with a reference of its own, so that they are independent
power  the same windows with one of their columns shifted
row    twelve windows one after the other against the same reference: how often none of them rings, and how the rate differs between references

The kinds: normal numbers; Student's t with 3 degrees of freedom; flags of 10 % and of 2 % of the rows; a constant that one row in a
thousand does not keep; one column of each of them; and features as a model has them (correlated, mostly zero, a predicted class).
"""
import argparse
import json
import os
import platform
import time
from importlib.metadata import version

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from fashion_mlops.drift.distances import compare

RATE, SIZES = 0.01, (100, 300, 1000)
ONE = {"normal": lambda random, rows: random.normal(size=rows), "t(3)": lambda random, rows: random.standard_t(3, rows),
       "flag 10 %": lambda random, rows: (random.random(rows) < 0.10).astype(float), "flag 2 %": lambda random, rows: (random.random(rows) < 0.02).astype(float),
       "constant": lambda random, rows: (random.random(rows) < 0.001).astype(float)}
SHIFTS = {"normal": 0.5, "t(3)": 0.5, "flag 10 %": 0.15, "flag 2 %": 0.10, "constant": 0.05, "one of each": 0.5, "features": 0.5}


def features(random, rows: int) -> pd.DataFrame:
    "Columns that share a cause, some of them mostly zero, and what a model answers."
    shared = random.normal(size=(rows, 2))
    values = 0.6*shared[:, np.arange(6) % 2] + 0.8*random.normal(size=(rows, 6))
    values[:, 4:] = np.where(values[:, 4:] > 1.0, values[:, 4:], 0)
    classes = np.array(["shirt", "bag", "coat", "boot"])[(2*(shared[:, 0] > 0) + (shared[:, 1] > 0.5)).astype(int)]
    return pd.DataFrame(values, columns=[f"f{i}" for i in range(6)]).assign(predicted_class=classes, confidence=1 - 0.4*random.beta(1, 6, rows))


def window(kind: str, random, rows: int, columns: int) -> pd.DataFrame:
    "A window without drift."
    if kind == "features": return features(random, rows)
    drawn = list(ONE.values()) if kind == "one of each" else [ONE[kind]]*columns
    return pd.DataFrame({f"c{i}": draw(random, rows) for i, draw in enumerate(drawn)})


def shifted(kind: str, table: pd.DataFrame, random) -> pd.DataFrame:
    "The window with its first column shifted: numbers moved by half a standard deviation of a normal one, flags raised in more rows."
    first, much = table.columns[0], SHIFTS[kind]
    raised = kind.startswith("flag") or kind == "constant"
    return table.assign(**{first: np.maximum(table[first], random.random(len(table)) < much) if raised else table[first] + much})


def interval(hits: int, of: int) -> str:
    "A share with its exact (Clopper–Pearson) 95 % interval."
    found = binomtest(hits, of).proportion_ci(method="exact")
    return f"{hits/of:.2%} ({found.low:.2%} to {found.high:.2%})"


def alarm(reference: pd.DataFrame, current: pd.DataFrame, draws: int, seed: int) -> bool:
    "Whether the alarm rings. Where a tenth of 199 divisions are as extreme as the windows, one in a hundred of all is out of the question (less than one in a million), and the rest is not drawn."
    return compare(reference, current, RATE, 199, seed).p <= 0.1 and compare(reference, current, RATE, draws, seed).drifted > 0


def rings(kind: str, size: int, options, change=None) -> int:
    "How many of the windows ring, each against a reference of its own."
    hits = 0
    for number in range(options.windows):
        random = np.random.default_rng([options.seed, size, number])
        reference, current = window(kind, random, options.reference, options.columns), window(kind, random, size, options.columns)
        if change: current = change(kind, current, random)
        hits += alarm(reference, current, options.draws, number)
    return hits


def by_kind(options, change=None) -> list[dict]:
    "Every kind at every size."
    found = []
    for kind in options.kinds:
        line = {"kind": kind}
        for size in options.sizes:
            began = time.perf_counter()
            hits = rings(kind, size, options, change)
            line[f"n = {size:,}"] = interval(hits, options.windows)
            print(f"{kind:<12} n = {size:>5,}: {hits} of {options.windows} ring, {line[f'n = {size:,}']}; {1000*(time.perf_counter() - began)/options.windows:.0f} ms a window", flush=True)
        found.append(line)
    return found


def in_a_row(options, length: int = 12) -> list[dict]:
    "Windows one after the other against one reference."
    found = []
    for size in options.sizes[:2]:
        rang = []
        for number in range(max(1, options.windows//length)):
            random = np.random.default_rng([options.seed, size, number, 7])
            reference = window("features", random, options.reference, options.columns)
            rang.append([alarm(reference, window("features", random, size, options.columns), options.draws, n) for n in range(length)])
        rang = np.array(rang)
        found.append({"size": size, "references": len(rang), "windows each": length, "all windows": interval(int(rang.sum()), rang.size), "at least one rings": interval(int(rang.any(1).sum()), len(rang)),
                      "most for one reference": int(rang.sum(1).max())})
        print(found[-1], flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=["quiet", "power", "row"], default=[], help="what to measure (default: all three)")
    parser.add_argument("--windows", type=int, default=1000, help="windows for each figure of quiet and row (default 1000); a fifth of them for power")
    parser.add_argument("--reference", type=int, default=1000, help="rows of the reference (default 1000)")
    parser.add_argument("--columns", type=int, default=4, help="columns of one kind (default 4)")
    parser.add_argument("--kinds", nargs="+", default=list(SHIFTS), choices=list(SHIFTS), metavar="KIND", help=f"of column (default: {', '.join(SHIFTS).replace('%', '%%')})")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="N", help="rows of a window (default: 100 300 1000)")
    parser.add_argument("--draws", type=int, default=999, help="random divisions, as in the stage (default 999)")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output", help="JSON file for the figures")
    options = parser.parse_args()
    wanted, record = options.what or ["quiet", "power", "row"], {"options": vars(options), "rate": RATE}
    print(f"stated: {RATE:.0%}; {options.draws} divisions, reference of {options.reference:,} rows, {options.columns} columns", flush=True)
    if "quiet" in wanted: record["quiet"] = by_kind(options)
    if "row" in wanted: record["row"] = in_a_row(options)
    if "power" in wanted: record["power"] = by_kind(argparse.Namespace(**vars(options) | {"windows": max(1, options.windows//5)}), shifted)
    for name in ("quiet", "power"):
        if name in record: print(f"\n{name}\n{pd.DataFrame(record[name]).set_index('kind').to_string()}")
    record |= {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0], "numpy": version("numpy")}
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file: json.dump(record, file, indent=1)


if __name__ == "__main__": main()
