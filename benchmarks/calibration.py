"""Does the interval of the calibration error hold the true error as often as it says? Invented models whose true probabilities are known."""
import argparse
import json
import sys
from pathlib import Path

import numpy as np

from fashion_mlops.evaluation.calibration import at_temperature
from fashion_mlops.evaluation.calibration_error import _calibration_bins, calibration_estimate, said_and_happened


def true_error(true, said, bins=15):
    "The expected calibration error, with the true probability in place of what happened."
    happens = true[:, 1] if said.shape[1] == 2 else true[np.arange(len(said)), said.argmax(1)]
    rows, means, came, _ = _calibration_bins(said_and_happened(np.zeros(len(said), int), said)[0], happens, bins)
    return float((np.abs(means - came)*rows).sum()/len(said))


def drawn(true, draws):
    "A class for each row, by its true probabilities."
    return (true.cumsum(1) < draws.random(len(true))[:, None]).sum(1).clip(0, true.shape[1] - 1)


def bootstrap(labels, said, draws, resamples=100):
    "What was reported before: the error as it is seen, with the percentiles of its bootstrap."
    def seen(rows):
        count, means, came, _ = _calibration_bins(*said_and_happened(labels[rows], said[rows]))
        return (np.abs(means - came)*count).sum()/count.sum()
    found = [seen(draws.integers(0, len(labels), len(labels))) for _ in range(resamples)]
    return seen(np.arange(len(labels))), *np.quantile(found, [0.025, 0.975])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=400, help="sets of rows for each line")
    parser.add_argument("--old", action="store_true", help="also the plain error with its bootstrap interval")
    parser.add_argument("--json", help="where to write the figures")
    options, lines, draws = parser.parse_args(), [], np.random.default_rng(1)
    for classes, evenness in ((10, 0.05), (10, 0.5), (2, 0.5), (2, 2.0)):
        for temperature in (1.0, 0.8, 0.6, 1.5):
            true = draws.dirichlet(np.full(classes, evenness), 300_000)
            said = at_temperature(true, temperature)
            truth = true_error(true, said)
            for rows in (200, 2000, 6000):
                found = {"new": []} | ({"old": []} if options.old else {})
                for _ in range(options.times):
                    some = draws.integers(0, len(true), rows)
                    labels = drawn(true[some], draws)
                    found["new"].append(calibration_estimate(labels, said[some]))
                    if options.old: found["old"].append(bootstrap(labels, said[some], draws))
                line = {"classes": classes, "evenness": evenness, "temperature": temperature, "rows": rows, "truth": round(truth, 4)}
                for name, values in found.items():
                    point, low, high = np.array(values).T
                    line |= {f"{name}_point": round(float(point.mean()), 4), f"{name}_holds": round(float(((low <= truth + 1e-9) & (truth <= high + 1e-9)).mean()), 3),
                             f"{name}_width": round(float((high - low).mean()), 4), f"{name}_inside": round(float(((low <= point) & (point <= high)).mean()), 3)}
                lines.append(line)
                print(line, flush=True)
    holds = np.array([line["new_holds"] for line in lines])
    print(f"95 % intervals: over {len(lines)} settings of {options.times} sets each they hold the true error in {holds.mean():.1%}, in the worst setting in {holds.min():.1%}")
    if options.json: Path(options.json).write_text(json.dumps(lines, indent=1))


if __name__ == "__main__": sys.exit(main())
