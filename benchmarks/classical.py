"""The classical pipeline on Fashion-MNIST: named features, then the family that AutoML chooses, at its defaults.

python benchmarks/classical.py [--seeds 5] [--kept features.parquet] [--output FILE]
python benchmarks/classical.py --fits --kept features.parquet [--seeds 1] [--rows 54000] [--output FILE]

Each seed is another split of the official 60,000 into 54,000 training and 6,000 validation rows; the test rows are the official
10,000. Beside it, on the same features, a plain random forest. `--kept` takes only the features of a feature table that
04_features wrote. Data are found as everywhere: data/raw, then FASHION_MLOPS_MIRROR, then downloaded.

`--fits` compares two ways to the exact machine on the training and validation rows of a feature table, one after the other for
each seed: fitted on the rows that decide, as in the library, and on all rows at once, as libsvm does it.
"""
import argparse
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from fashion_mlops.datasets.catalogue import make_samples
from fashion_mlops.core import all_cores
from fashion_mlops.models.families import families, fitted, predicted
from fashion_mlops.images.feature_pipeline import feature_pipeline
from fashion_mlops.samples.folds import NOT_FEATURES
from fashion_mlops.evaluation.metrics import classification_metrics


def measured(seed: int, kept: list[str] | None, splits: tuple) -> dict:
    "Metrics on validation rows, or on test rows as well, of both models, and seconds."
    samples = make_samples("fashion_mnist", 70_000, 0.1, seed)
    labels, rows = np.asarray(samples.labels).astype(np.int64), {split: samples.rows(split) for split in ("train", *splits)}
    began = time.perf_counter()
    pipeline = feature_pipeline(n_components=40).fit(samples.images[rows["train"]])
    values = {split: np.asarray(pipeline.transform(samples.images[part]), np.float32) for split, part in rows.items()}
    names = pipeline.get_feature_names_out().tolist()
    if kept: values = {split: part[:, [names.index(name) for name in kept]] for split, part in values.items()}
    described, result, known = time.perf_counter() - began, {}, families(values["train"].shape[1])
    for name in ("svm", "random_forest"):
        began = time.perf_counter()
        model = fitted(known[name].build(None, seed, all_cores()), values["train"], labels[rows["train"]])
        seconds = time.perf_counter() - began
        scores = {split: classification_metrics(labels[rows[split]], predicted(model, values[split], 10)) for split in splits}
        result[name] = {f"{split}_{metric}": scores[split][metric] for split in scores for metric in ("accuracy", "log_loss")} | {"fit_seconds": seconds, "features_seconds": described}
    return result


def compared(features: Path, rows: int, seed: int) -> dict:
    "Both ways to the exact machine, in an order that changes with the seed: metrics on validation rows, wall and processor seconds."
    from fashion_mlops.models import kernel_machine
    from fashion_mlops.models.feature_table import read_split
    (_, points, labels, names), (_, asked, truth, _) = read_split(features), read_split(features, "valid")
    chosen, result, whole = np.random.default_rng(seed).permutation(len(labels))[:rows], {}, kernel_machine.pair_machine
    ways = {"rows that decide": whole, "all rows at once": lambda *words: whole(*words, at_once=len(labels))}
    for name in list(ways)[::1 if seed % 2 else -1]:
        kernel_machine.pair_machine = ways[name]
        began, worked = time.perf_counter(), time.process_time()
        model = fitted(families(len(names))["svm"].build(None, seed, all_cores()), points[chosen], labels[chosen])
        result[name] = {"wall_seconds": time.perf_counter() - began, "processor_seconds": time.process_time() - worked, "support_vectors": len(model.parts_["support"])}
        scores = classification_metrics(truth, predicted(model, asked, 10))
        result[name] |= {f"valid_{metric}": scores[metric] for metric in ("accuracy", "log_loss", "calibration_error")}
    kernel_machine.pair_machine = whole
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many (default 5)")
    parser.add_argument("--kept", type=Path, help="feature table whose columns to use")
    parser.add_argument("--test", action="store_true", help="measure on the official test rows too, which is one more reading of them in development")
    parser.add_argument("--fits", action="store_true", help="compare two ways to the exact machine instead")
    parser.add_argument("--rows", type=int, default=54_000, help="training rows of --fits (default all)")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    options, runs = parser.parse_args(), []
    kept = None
    if options.fits and not options.kept: parser.error("--fits needs --kept features.parquet")
    if options.kept:
        import pyarrow.parquet
        kept = [name for name in pyarrow.parquet.read_schema(options.kept).names if name not in NOT_FEATURES]
    for seed in range(options.seeds):
        runs.append(compared(options.kept, options.rows, seed) if options.fits else measured(seed, kept, ("valid", "test") if options.test else ("valid",)))
        print(f"seed {seed}: " + "; ".join(f"{name} " + ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in r.items()) for name, r in runs[-1].items()), flush=True)
    means = {name: {key: {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None} for key in runs[0][name] for values in [[run[name][key] for run in runs]]} for name in runs[0]}
    for name, line in means.items(): print(f"{name:17}" + ", ".join(f"{key} {value['mean']:.4f}" + (f" ± {value['deviation']:.4f}" if value["deviation"] is not None else "") for key, value in line.items()))
    about = {"cores": all_cores(), "machine": platform.machine(), "load_average": os.getloadavg(), "scikit-learn": version("scikit-learn"), "python": platform.python_version(), "seeds": options.seeds, "features": len(kept) if kept else "all"}
    if options.output: options.output.write_text(json.dumps(about | {"means": means, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__": main()
