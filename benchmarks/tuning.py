"""How soon a study reaches the score that unpruned TPE ends with, and what four workers are worth.

python benchmarks/tuning.py [--seeds 3] [--rows 6000] [--output FILE]      # 60 principal components of Fashion-MNIST, made here
"""
import argparse
import json
import os
import platform
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

from fashion_mlops.search.contest import timed_fold
from fashion_mlops.models.families import families, quiet
from fashion_mlops.samples.folds import make_folds, stratified_rows
from fashion_mlops.evaluation.metrics import row_losses
from fashion_mlops.search.journal import trials_done
from fashion_mlops.search.study import open_study, run_batch
from fashion_mlops.search.workers import search_with_workers
from fashion_mlops.search.rungs import RACE, RUNGS, climber

SHARES = (1/9, 1/3, 1.0) # of the rows, for Hyperband


def feature_table(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, bool]:
    "Principal components of some images, scaled, their labels, and whether they are drawn."
    from sklearn.decomposition import PCA
    from fashion_mlops.datasets.catalogue import choose_dataset, make_samples
    samples = make_samples(choose_dataset(None)[0], 20_000, 0.1, seed)
    numbers = samples.rows("train")
    labels = np.asarray(samples.labels)[numbers].astype(int)
    chosen = stratified_rows(labels, [rows], seed)[0]
    points = PCA(60, random_state=seed).fit_transform(samples.at(numbers[chosen]).reshape(len(chosen), -1)/255)
    return (points/points.std()).astype(np.float32), labels[chosen], samples.synthetic


def course(study, ask, goal: float | None, most: int) -> tuple[float, float, int]:
    "Processor seconds (sampling included) until a whole trial reaches `goal`, or all of `most` trials; the best loss; the trials."
    began, trials = time.process_time(), 0
    with quiet():
        while trials < most:
            ask(study)
            trials += 1
            whole = [trial.value for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
            if goal is not None and whole and min(whole) <= goal: break
    return time.process_time() - began, min(whole), trials


def ways(space, climb, whole, shared, start: dict, seed: int) -> dict:
    "What is compared: name → a study and what one more trial of it is."
    import optuna
    def plain(pruner): return optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner)
    def unpruned(study):
        trial = study.ask()
        study.tell(trial, whole(space(trial)))
    def pruned(study):
        trial = study.ask()
        parameters = space(trial)
        for step, share in enumerate(SHARES):
            loss = shared(parameters, share)
            trial.report(loss, 3**step)
            if step < 2 and trial.should_prune(): return study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        study.tell(trial, loss)
    def ours(study): run_batch(study, space, climb, seed, len(RUNGS), RACE)
    folder = Path(tempfile.mkdtemp())
    return {"TPE, unpruned": (plain(optuna.pruners.NopPruner()), unpruned), "TPE, Hyperband": (plain(optuna.pruners.HyperbandPruner(1, 9, 3)), pruned),
            "TPE, halving": (plain(optuna.pruners.SuccessiveHalvingPruner(1, 3)), pruned), "this project": (open_study(folder/"study.log", space, [start]), ours)}


def time_to_score(points, labels, seeds: int) -> dict:
    "Each way with each seed in turn; the goal is what unpruned TPE ends with on average."
    family, folds = families(60)["svm"], make_folds(labels, 3, 0)
    fixed = {"landmarks": 500}
    climb = climber(family, family.defaults | fixed, points, labels, folds, 10)
    start = {"C": family.defaults["C"], "gamma": family.defaults["gamma"]}
    def shared(parameters, share): # all folds, each fitted on a share of its rows
        model = family.build(family.defaults | fixed | parameters, 0)
        losses = [row_losses(labels[judge], timed_fold(model, points, labels, fit[::round(1/share)], judge, 10)[0]) for fit, judge in folds]
        return float(np.concatenate(losses).mean())
    def whole(parameters): return shared(parameters, 1)
    base = [course(*ways(family.space, climb, whole, shared, start, seed)["TPE, unpruned"], None, 30) for seed in range(seeds)]
    goal, cost = float(np.mean([loss for _, loss, _ in base])), float(np.mean([seconds for seconds, _, _ in base]))
    print(f"TPE, unpruned, 30 trials: log loss {goal:.4f} (seeds: {', '.join(f'{loss:.4f}' for _, loss, _ in base)}) in {cost:.1f} processor seconds", flush=True)
    result = {name: [] for name in ("TPE, Hyperband", "TPE, halving", "this project")}
    for seed in range(seeds):
        for name, way in ways(family.space, climb, whole, shared, start, seed).items():
            if name not in result: continue
            result[name].append(dict(zip(("seconds", "loss", "trials"), course(*way, goal, 90))))
            print(f"seed {seed}, {name}: {result[name][-1]['seconds']:.1f} s, {result[name][-1]['trials']} trials, {result[name][-1]['loss']:.4f}", flush=True)
    return {"goal": goal, "unpruned_seconds": cost, "unpruned": base, "ways": result}


def worker_times(points, labels, trials: int) -> dict:
    "Seconds of the same number of whole trials with one worker and with four, start of the processes included."
    family, folds = families(60)["svm"], make_folds(labels, 3, 0)
    climb = climber(family, family.defaults, points, labels, folds, 10)
    def whole(parameters): yield list(climb(parameters))[-1]
    start, seconds = {"C": family.defaults["C"], "gamma": family.defaults["gamma"]}, {}
    for workers in (1, 4):
        path = Path(tempfile.mkdtemp())/"study.log"
        study = open_study(path, family.space, [start])
        began = time.perf_counter()
        search_with_workers(path, study, family.space, whole, trials, 0, 1, workers=workers)
        seconds[workers] = (time.perf_counter() - began)/len(trials_done(study))*trials
    return {"trials": trials, "seconds": seconds, "gain": seconds[1]/seconds[4]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="0 leaves the first part out")
    parser.add_argument("--rows", type=int, default=6000, help="of the feature table")
    parser.add_argument("--trials", type=int, default=100, help="of the comparison of one worker with four (default 100, as in the full profile; four processes take some seconds to start)")
    parser.add_argument("--no-workers", action="store_true", help="leave the second part out")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    import optuna
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    points, labels, synthetic = feature_table(args.rows)
    results = {"time_to_score": time_to_score(points, labels, args.seeds)} if args.seeds else {}
    score = results.get("time_to_score", {"ways": {}})
    for name, runs in score["ways"].items():
        seconds = np.array([run["seconds"] if run["loss"] <= score["goal"] else np.inf for run in runs])
        print(f"{name:16} {np.median(seconds):8.1f} s to that score (seeds: {', '.join(f'{s:.1f}' for s in seconds)}), {np.median([run['trials'] for run in runs]):.0f} trials, {score['unpruned_seconds']/np.median(seconds):.1f} × shorter")
    if not args.no_workers:
        results["workers"] = worker_times(points, labels, args.trials)
        print(f"{results['workers']['trials']} whole trials: one worker {results['workers']['seconds'][1]:.1f} s, four {results['workers']['seconds'][4]:.1f} s, {results['workers']['gain']:.1f} ×")
    record = {"results": results, "rows": args.rows, "seeds": list(range(args.seeds)), "synthetic": synthetic, "machine": platform.processor() or platform.machine(), "cores": os.cpu_count(),
              "load": os.getloadavg(), "python": platform.python_version(), **{name: version(name) for name in ("optuna", "scikit-learn", "numpy", "torch")}}
    print(f"{'drawn images; ' if synthetic else ''}load average {record['load'][0]:.1f} on {record['cores']} cores")
    if args.output: args.output.write_text(json.dumps(record, indent=1))


if __name__ == "__main__": main()
