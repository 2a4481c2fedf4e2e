"""What the gate of 08_registry does with challengers that are equal, better, and worse in one class.

python benchmarks/gate.py [--comparisons 1000] [--output FILE]

Two models answer the same validation rows of k classes. On a share of the rows both answer alike; on the others each is right with its own
recall. Reported: how often the rule of classes refuses, how often the whole gate promotes, and how often the rule that stood here before
would have refused (the largest loss of recall against a constant).
"""
import argparse
import json
import os
import platform

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from fashion_mlops.evaluation.metrics import difference_interval
from fashion_mlops.service.gate import gate, recall_losses

DROP, TOLERANCE = 0.1, 0.01 # what the stage tolerates by default
CASES = [ # classes, rows of each, recall, what the challenger gains everywhere, what it loses in one class
    ("equal", 17, 25, 0.8, 0.0, 0.0), ("equal", 10, 100, 0.9, 0.0, 0.0), ("equal", 10, 600, 0.9, 0.0, 0.0), ("equal", 100, 20, 0.7, 0.0, 0.0), ("equal", 3, 15, 0.8, 0.0, 0.0),
    ("better by 3 points", 17, 25, 0.8, 0.03, 0.0), ("better by 3 points", 10, 600, 0.9, 0.03, 0.0),
    ("30 points lost in one class", 17, 25, 0.8, 0.03, 0.3), ("60 points lost in one class", 17, 25, 0.8, 0.03, 0.6), ("30 points lost in one class", 10, 100, 0.9, 0.03, 0.3),
    ("20 points lost in one class", 10, 600, 0.9, 0.03, 0.2), ("12 points lost in one class", 10, 600, 0.9, 0.03, 0.12), ("8 points lost in one class", 10, 600, 0.9, 0.03, 0.08),
    ("better by 10 points", 3, 20, 0.8, 0.1, 0.0), ("better by 10 points", 3, 100, 0.8, 0.1, 0.0), ("worse by 10 points", 3, 20, 0.8, -0.1, 0.0), ("worse by 3 points", 10, 100, 0.8, -0.03, 0.0)]


def answers(random, classes: int, rows: int, recall: float, gain: float, lost: float, alike: float):
    "Labels, and what champion and challenger answer."
    labels = np.repeat(np.arange(classes), rows)
    shares = [np.full(len(labels), recall), np.clip(recall + gain, 0, 1) - lost*(labels == 0)]
    luck = random.random((2, len(labels)))
    luck[1] = np.where(random.random(len(labels)) < alike, luck[0], luck[1])
    return labels, *(np.where(drawn < share, labels, (labels + 1) % classes) for drawn, share in zip(luck, shares))


def interval(hits: int, of: int) -> str:
    "A share with its exact (Clopper–Pearson) 95 % interval."
    found = binomtest(hits, of).proportion_ci(method="exact")
    return f"{hits/of:.1%} ({found.low:.1%} to {found.high:.1%})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comparisons", type=int, default=1000, help="for each line (default 1000)")
    parser.add_argument("--alike", type=float, default=0.6, help="share of the rows on which both models fail or succeed together (default 0.6)")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output", help="JSON file for the figures")
    options, lines = parser.parse_args(), []
    for number, (name, classes, rows, recall, gain, lost) in enumerate(CASES):
        refused = promoted = before = 0
        for turn in range(options.comparisons):
            random = np.random.default_rng([options.seed, number, turn])
            labels, old, new = answers(random, classes, rows, recall, gain, lost, options.alike)
            losses = recall_losses(labels, old, new, [str(n) for n in range(classes)])
            change = difference_interval(new == labels, old == labels)
            asked = {"metric": "accuracy", "score": float((new == labels).mean()), "constant": 1/classes, "lead": difference_interval(new == labels, labels == 0), "accuracy": 1.0, "ms_alone": 1.0}
            decision = gate(asked, {"version": 1, "losses": losses}, change, tolerance=TOLERANCE, recall_drop=DROP)
            refused += any(reason.startswith("refused: largest") for reason in decision.reasons)
            promoted += decision.promote
            before += max(row["loss"] for row in losses) > DROP
        lines.append({"challenger": name, "classes × rows": f"{classes} × {rows}", "refused for a class": interval(refused, options.comparisons), "promoted": interval(promoted, options.comparisons),
                      "the old rule refused": interval(before, options.comparisons)})
        print(lines[-1], flush=True)
    print(pd.DataFrame(lines).to_string(index=False))
    record = {"lines": lines, "options": vars(options), "machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file: json.dump(record, file, indent=1)


if __name__ == "__main__": main()
