"""The AutoML stage beside stock TPOT, AutoGluon and plain forests: real Fashion-MNIST, official split, the same minutes and cores for each.

python benchmarks/automl.py [--minutes 1.25] [--rows 54000] [--cores 4] [--autogluon PYTHON] [--output FILE]

Everybody learns from the training rows; what is chosen is chosen on training and validation rows; the test rows are read once, at the end.
AutoGluon gets an environment of its own in a temporary folder (by uv), or runs under the interpreter that `--autogluon` names.
"""
import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np

AUTOGLUON = """
import json, sys, time
import numpy as np, pandas as pd
import autogluon.tabular
from autogluon.tabular import TabularPredictor
folder, seconds, cores = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
data = np.load(folder + '/pixels.npz')
table = lambda name: pd.DataFrame(data[name]).assign(label=data[name + '_labels'])
train, valid, began = table('train'), table('valid'), time.time()
model = TabularPredictor('label', eval_metric='log_loss', path=folder + '/autogluon', verbosity=0).fit(train, tuning_data=valid, time_limit=seconds, num_cpus=cores, num_gpus=0)
fit = time.time() - began
np.save(folder + '/autogluon.npy', model.predict_proba(pd.DataFrame(data['test']))[list(range(10))].to_numpy())
json.dump({'fit': fit, 'about': f'{autogluon.tabular.__version__}, {model.model_best}'}, open(folder + '/autogluon.json', 'w'))
"""

STOCK = """
import json, sys, time, warnings
warnings.simplefilter('ignore')
import numpy as np
from sklearn.decomposition import PCA
from tpot import TPOTClassifier
if __name__ == '__main__':
    folder, seconds, cores, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    data, began = np.load(folder + '/pixels.npz'), time.time()
    few = np.random.default_rng(seed).permutation(len(data['train']))[:2000]
    pca = PCA(50, random_state=seed).fit(data['train'][few]) # on 784 pixels it scores hardly anything in minutes
    train, test, labels = pca.transform(data['train']), pca.transform(data['test']), data['train_labels']
    model = TPOTClassifier(max_time_mins=0.7*seconds/60, max_eval_time_mins=0.2*seconds/60, n_jobs=cores, random_state=seed, verbose=0).fit(train[few], labels[few])
    def keep(rows):
        np.save(folder + '/stock.npy', model.fitted_pipeline_.predict_proba(test))
        json.dump({'fit': time.time() - began, 'about': f'{len(model.evaluated_individuals)} pipelines on 50 components of 2,000 rows; fitted on {rows:,}: ' + type(model.fitted_pipeline_[-1]).__name__}, open(folder + '/stock.json', 'w'))
    keep(len(few))
    model.fitted_pipeline_.fit(train, labels) # in the time that is left, else the first fit stands
    keep(len(train))
"""


def our_stage(samples, minutes: float, cores: int, seed: int) -> dict:
    "Features, families and TPOT, the best of them fitted on all training rows, one chosen on the validation rows; within the minutes."
    from fashion_mlops.search.choice import choose
    from fashion_mlops.search.contest import contest
    from fashion_mlops.samples.folds import make_folds, stratified_rows
    from fashion_mlops.models.families import families, fitted, predicted
    from fashion_mlops.datasets.kinds import kind_of
    from fashion_mlops.search.leaderboard import leaderboard, row_gains, scored
    from fashion_mlops.search.front import fitted_bytes
    from fashion_mlops.search.tpot import search_pipelines
    began, pipeline = time.time(), kind_of(samples).pipeline_for(samples)
    left = lambda: 60*minutes - (time.time() - began)
    kind_of(samples).fit_features(pipeline, samples)
    def described(split):
        with ThreadPoolExecutor(cores) as pool: return np.concatenate(list(pool.map(pipeline.transform, np.array_split(samples.take(split)[0], 4*cores)))).astype(np.float32)
    train, valid, labels, valid_labels = described("train"), described("valid"), *(samples.take(split)[1].astype(int) for split in ("train", "valid"))
    print(f"  {train.shape[1]} features of {len(train):,} rows after {time.time() - began:.0f} s", flush=True)
    judged, searched = stratified_rows(labels, [2000, 2000], seed)
    models = {family.title: family.build(seed=seed) for family in families(train.shape[1]).values()}
    folds = make_folds(labels[judged], 3, seed)
    results, _ = contest(models, train[judged], labels[judged], folds, cores, 10)
    search = search_pipelines(train[searched], labels[searched], max(0.4*left() - 10, 3)/60, cores, seed)
    bred = {f"TPOT: {line['title']}": line["model"] for line in search.candidates}
    results |= contest(bred, train[judged], labels[judged], folds, cores, 10)[0]
    board = leaderboard([scored(name, name, result, labels[judged], len(labels), seed) for name, result in results.items()])
    print(board[["title", "accuracy", "log_loss", "full_fit_seconds"]].round(3).to_string(index=False), f"\n  {0 if search.history is None else len(search.history)} pipelines; {left():.0f} s left", flush=True)
    able = board[board.full_fit_seconds < max(0.5*left(), 6*minutes)] # a tenth of the time at least: on a busy machine it may be over by now, and is then overrun by that
    finalists = {name: (models | bred)[name] for name in able.title.head(cores)}
    def final(name):
        started = time.time()
        model = fitted(finalists[name], train, labels)
        return {"model": model, "probabilities": predicted(model, valid, 10), "sizes": (1, len(train)), "seconds": (1e-4, time.time() - started), "predict_seconds": 0, "bytes": fitted_bytes(model)}
    with ThreadPoolExecutor(cores) as pool: fits = dict(zip(finalists, pool.map(final, finalists)))
    lines = leaderboard([scored(name, name, result, valid_labels, len(train), seed) for name, result in fits.items()])
    choice = choose(lines, {name: row_gains("accuracy", valid_labels, result["probabilities"]) for name, result in fits.items()}, 1e9, seed)
    print(f"  on the validation rows: {', '.join(f'{line.title} {line.accuracy:.4f} ({line.log_loss:.4f})' for line in lines.itertuples())}", flush=True)
    seconds = time.time() - began
    test = described("test")
    return {"probabilities": predicted(fits[choice["family"]]["model"], test, 10), "fit": seconds, "about": choice["family"], "features": (train, labels, test)}


def forest(train, labels, test, cores: int, seed: int) -> dict:
    "A plain random forest."
    from sklearn.ensemble import RandomForestClassifier
    began = time.time()
    model = RandomForestClassifier(n_jobs=cores, random_state=seed).fit(train, labels)
    return {"fit": time.time() - began, "about": "scikit-learn's defaults, 100 trees", "probabilities": model.predict_proba(test)}


def elsewhere(name: str, python: str, code: str, folder: Path, minutes: float, cores: int, seed: int) -> dict:
    "A contestant in a process of its own, ended a little after its time: what it had kept by then counts."
    (folder/f"run_{name}.py").write_text(code)
    words, environment = [python, f"{folder}/run_{name}.py", str(folder), str(60*minutes), str(cores), str(seed)], {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"} | {"PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder)
    longest = 60*minutes*(1 if name == "stock" else 3) + 60 # a minute to start and to predict; AutoGluon overruns its limit on a busy machine, and its time is shown
    try: complaint = process.communicate(timeout=longest)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        complaint = f"it had no model when it was ended after {longest:.0f} s"
    if (folder/f"{name}.json").exists(): return {"probabilities": np.load(folder/f"{name}.npy"), **json.loads((folder/f"{name}.json").read_text())}
    return {"missing": next((line for line in complaint.splitlines()[::-1] if line.strip()), "it wrote nothing")[:200]}


def autogluon_python(named: str | None, folder: Path) -> tuple[str | None, str]:
    "An interpreter that has AutoGluon, or why there is none."
    if named: return named, ""
    if not shutil.which("uv"): return None, "uv is not installed, so no environment could be made for it; name one with --autogluon"
    python = folder/"environment"/"bin"/"python"
    try:
        for words in (["uv", "venv", "-q", "--python", platform.python_version(), str(folder/"environment")], ["uv", "pip", "install", "-q", "--python", str(python), "autogluon.tabular[lightgbm,xgboost,catboost]"]):
            subprocess.run(words, check=True, capture_output=True, text=True, timeout=300)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error: return None, f"it could not be installed: {str(getattr(error, 'stderr', None) or error).strip().splitlines()[-1][:200]}"
    return str(python), ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.25, help="for each contestant (default 1.25; about six minutes in all)")
    parser.add_argument("--rows", type=int, default=0, help="training rows, stratified; 0 for all 54,000")
    parser.add_argument("--cores", type=int, default=min(4, os.cpu_count()))
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--autogluon", help="interpreter of an environment that has AutoGluon")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    args = parser.parse_args()
    import warnings
    from dataclasses import replace
    from fashion_mlops.datasets.catalogue import make_samples
    from fashion_mlops.evaluation.metrics import mean_interval, row_losses
    from fashion_mlops.samples.samples import stratified
    warnings.filterwarnings("ignore", "`sklearn.utils.parallel.delayed`") # a hundred times: forests inside a thread pool
    samples, load = make_samples("fashion_mnist", 0, 0.1, args.seed), os.getloadavg()
    if args.rows: # what is left out of training belongs to no split
        split, rows = samples.split.copy(), samples.rows("train")
        split[np.setdiff1d(rows, rows[stratified(samples.labels[rows], args.rows, args.seed)])] = 255
        samples = replace(samples, split=split)
    pixels = {split: samples.take(split)[0].reshape(-1, 784).astype(np.float32)/255 for split in ("train", "valid", "test")}
    labels = {split: samples.take(split)[1].astype(int) for split in pixels}
    found, setting = {}, (args.cores, args.seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        np.savez(folder/"pixels.npz", **pixels, **{f"{split}_labels": values for split, values in labels.items()})
        print(f"AutoML stage, {args.minutes:g} minutes", flush=True)
        found["AutoML stage"] = our_stage(samples, args.minutes, *setting)
        features = found["AutoML stage"].pop("features")
        print("forests", flush=True)
        found["random forest, same features"] = forest(*features, *setting)
        found["random forest, pixels"] = forest(pixels["train"], labels["train"], pixels["test"], *setting)
        print("stock TPOT", flush=True)
        found["stock TPOT, pixels"] = elsewhere("stock", sys.executable, STOCK, folder, args.minutes, *setting)
        print("AutoGluon", flush=True)
        python, reason = autogluon_python(args.autogluon, folder)
        found["AutoGluon, pixels"] = elsewhere("autogluon", python, AUTOGLUON, folder, args.minutes, *setting) if python else {"missing": reason}
    ours, figures = row_losses(labels["test"], found["AutoML stage"]["probabilities"]), {}
    print(f"\n{'':30} {'accuracy':>26} {'log loss':>26} {'log loss of ours':>17} {'trained in':>11}")
    for name, line in found.items():
        if "missing" in line: print(f"{name:30} is missing: {line['missing']}"); figures[name] = line; continue
        losses = row_losses(labels["test"], line["probabilities"])
        accuracy, loss = mean_interval(line["probabilities"].argmax(1) == labels["test"]), mean_interval(losses)
        figures[name] = {"accuracy": accuracy, "log_loss": loss, "ratio": float(ours.mean()/losses.mean()), "gain_over_it": mean_interval(losses - ours), "seconds": line["fit"], "about": line["about"]}
        shown = [f"{mean:.4f} ({low:.4f} to {high:.4f})" for mean, low, high in (accuracy, loss)]
        print(f"{name:30} {shown[0]:>26} {shown[1]:>26} {figures[name]['ratio']:15.2f} × {line['fit']:9.0f} s   {line['about']}")
    record = {"results": figures, "minutes": args.minutes, "train_rows": len(labels["train"]), "test_rows": len(labels["test"]), "seed": args.seed, "cores": args.cores, "machine_cores": os.cpu_count(),
              "machine": platform.processor() or platform.machine(), "python": platform.python_version(), "load_average": [load, os.getloadavg()], "synthetic": False,
              "versions": {name: version(name) for name in ("scikit-learn", "tpot", "lightgbm", "numpy")}}
    print(f"{len(labels['train']):,} training rows, {len(labels['test']):,} test rows, {args.cores} cores; load average {load[0]:.1f} before, {os.getloadavg()[0]:.1f} after")
    if args.output: args.output.write_text(json.dumps(record, indent=1))


if __name__ == "__main__": main()
