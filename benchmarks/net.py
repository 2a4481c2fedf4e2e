"""The net's recipe on Fashion-MNIST: accuracy for epochs, time to an accuracy, what each part brings, transfer to few labels.

python benchmarks/net.py epochs|plain|ablation|transfer|accelerator [--seeds 5] [--epochs 5] [--recipe NAME=VALUE …] [--output FILE]

epochs       accuracy on validation rows after so many epochs, over seeds; with --test on test rows too, which is one more reading of them in development
plain        what --seconds of one processor bring, over seeds: our recipe, which keeps to them by itself, and an ordinary one
             (float32, DataLoader, AdamW, one cycle) on the same net, in turn, so that both meet the same machine; accuracy
             on validation rows after each epoch, and when it first was --target. Seconds are of processor, not of a clock on
             the wall, so that other work counts as little as can be. For a processor of a kind that this one is not:
             ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2; pin to a core with taskset
ablation     the recipe without each of its parts, over seeds, on validation rows
transfer     five classes learned from 100 to 10,000 labels, from nothing and from a net that knows the other five
accelerator  epochs on an accelerator: time of the training loop alone; says so where there is none

Long trainings: epochs --epochs 20 --recipe cutout=8, and the net of the full profile:
epochs --epochs 60 --width 48 --seeds 1 --recipe fine=True cutout=10 shift=2 --checkpoints FOLDER

Data are found as everywhere: data/raw, then FASHION_MLOPS_MIRROR, then downloaded. 54,000 training rows, 6,000 validation rows
of the official training set (seed 42), the official 10,000 test rows.
"""
import argparse
import json
import os
import platform
import time
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fashion_mlops.datasets.catalogue import make_samples
from fashion_mlops.nets.net import choose_device, choose_precision, net_for, probabilities
from fashion_mlops.nets.timetable import Deadline
from fashion_mlops.nets.trainer import Recipe, Trainer
from fashion_mlops.nets.transfer import gentle, start_from

DEVICE = choose_device()
RECIPE = Recipe(epochs=5, precision=choose_precision("auto", DEVICE))


def quiet(line: str): pass


def accuracy(net, images, labels, mirror_average: bool = True) -> float: return float((probabilities(net, images, mirror_average).argmax(1) == labels).mean())


def spread(values: list[float]) -> dict: return {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None, "values": values}


def trained(recipe: Recipe, images, labels, classes: int = 10, net=None, folder: Path | None = None) -> tuple:
    "A trained net and the seconds of its training loop; with a folder it tells of each epoch, and goes on after the last one that is kept there."
    trainer = Trainer(recipe, images, labels, classes, net=net)
    if DEVICE.type == "cuda": torch.cuda.synchronize()
    began = time.perf_counter()
    history = trainer.fit(folder, tell=partial(print, flush=True) if folder else quiet)
    if DEVICE.type == "cuda": torch.cuda.synchronize()
    return trainer.net, sum(entry["seconds"] for entry in history) if folder else time.perf_counter() - began


def epochs(data, options) -> dict:
    rows = []
    for seed in range(options.seeds):
        net, seconds = trained(replace(options.recipe, seed=seed), *data["train"], folder=options.checkpoints and options.checkpoints/f"seed_{seed}")
        rows.append({"valid": accuracy(net, *data["valid"])} | ({"test": accuracy(net, *data["test"]), "test_alone": accuracy(net, *data["test"], False)} if options.test else {}) | {"seconds": seconds})
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.4f}" for name, value in rows[-1].items()), flush=True)
    return {"epochs": options.epochs, "weights": sum(p.numel() for p in net.parameters()), **{name: spread([row[name] for row in rows]) for name in rows[0]}}


class ProcessorTime:
    "Seconds of processor that its owner used; what others do in between does not count."
    def __init__(self): self.spent, self.since = 0., None

    def __enter__(self): self.since = time.process_time()

    def __exit__(self, *error): self.spent, self.since = self(), None

    def __call__(self) -> float: return self.spent + (time.process_time() - self.since if self.since is not None else 0.)


class Ordinary:
    "What most people write: float32, a DataLoader with transforms of single pictures, AdamW, one cycle. The loader works in this process, which costs less than workers do."
    def __init__(self, recipe: Recipe, images, labels, seconds: float):
        from PIL import Image
        from torchvision import transforms
        turn = transforms.Compose([transforms.RandomHorizontalFlip(), transforms.RandomCrop(28, padding=1), transforms.PILToTensor()])
        class Pictures(torch.utils.data.Dataset):
            def __len__(self): return len(images)
            def __getitem__(self, row): return turn(Image.fromarray(images[row]))[0], int(labels[row])
        self.loader = torch.utils.data.DataLoader(Pictures(), batch_size=recipe.batch, shuffle=True, drop_last=True)
        self.used = ProcessorTime()
        def begin():
            torch.manual_seed(recipe.seed)
            self.net = net_for(images, 10, width=recipe.width, fine=recipe.fine, light=recipe.light)
            self.net.layout = torch.contiguous_format
            self.net.to(memory_format=torch.contiguous_format)
            self.optimizer, self.schedule = torch.optim.AdamW(self.net.parameters(), lr=2e-3, weight_decay=0.01), None
            self.step, self.epoch, self.steps = 0, 0, 10**9
        begin()
        self.take(8)
        a_step = self.take(24)/24 # how quick it is decides how long its one cycle is; that it is measured costs it nothing
        begin()
        self.steps = int(seconds/a_step)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, 6e-3, total_steps=self.steps)
        self.used = ProcessorTime()

    def take(self, most: int = -1) -> float:
        "Some steps, or an epoch; the seconds that they took."
        before = self.used()
        with self.used:
            self.net.train()
            for images, labels in self.loader:
                if most == 0 or self.over: break
                self.optimizer.zero_grad()
                nn.functional.cross_entropy(self.net(images), labels).backward()
                self.optimizer.step()
                if self.schedule: self.schedule.step()
                self.step, most = self.step + 1, most - 1
        return self.used() - before

    @property
    def over(self) -> bool: return self.step >= self.steps

    def run_epoch(self):
        self.take()
        self.epoch += 1


class Ours:
    "Our recipe, an epoch at a time; it keeps to the seconds by itself."
    def __init__(self, recipe: Recipe, images, labels, seconds: float):
        self.used, self.epoch = ProcessorTime(), 0
        self.trainer = Trainer(recipe, images, labels, 10, threads=1, deadline=Deadline(seconds, clock=self.used))

    @property
    def net(self): return self.trainer.net

    @property
    def over(self) -> bool: return self.trainer.over()

    def run_epoch(self):
        from fashion_mlops.nets.net import one_thread_each
        with self.used, one_thread_each(1) as pool: self.trainer.run_epoch(pool)
        self.epoch += 1


def plain(data, options) -> dict:
    torch.set_num_threads(1)
    rows, tale, kinds = [], [], {"ours": Ours, "ordinary": Ordinary}
    recipe = replace(options.recipe, epochs=1000)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        runners = {name: kinds[name](replace(recipe, seed=seed), *data["train"], options.seconds) for name in options.only or kinds}
        reached = {name: [] for name in runners}
        while going := [name for name, runner in runners.items() if not runner.over]:
            name = min(going, key=lambda name: runners[name].used()) # who has used less is next
            runner = runners[name]
            runner.run_epoch()
            tale.append({"seed": seed, "recipe": name, "epoch": runner.epoch, "seconds": runner.used(), "valid": accuracy(runner.net, *data["valid"], False)})
            if tale[-1]["valid"] >= options.target: reached[name].append(runner.used())
            print(f"seed {seed}: {name:9} epoch {runner.epoch}: {tale[-1]['valid']:.4f} after {runner.used():.0f} s", flush=True)
        rows.append({"seed": seed})
        for name, runner in runners.items():
            rows[-1][name] = {"seconds": runner.used(), "steps": runner.trainer.step if name == "ours" else runner.step, "seconds_to_target": min(reached[name], default=None)}
            for split in ("valid", *(["test"] if options.test else [])): rows[-1][name] |= {split: accuracy(runner.net, *data[split]), f"{split}_alone": accuracy(runner.net, *data[split], False)}
        print(json.dumps(rows[-1]), flush=True)
        if options.output: options.output.write_text(json.dumps({"rows": rows, "epochs": tale}) + "\n") # what there is, should it be broken off
    return {"seconds": options.seconds, "target": options.target, "rows": rows, "epochs": tale,
            **({"gain": spread([row["ours"]["valid"] - row["ordinary"]["valid"] for row in rows])} if not options.only else {})}


def ablation(data, options) -> dict:
    without = {"the recipe": {}, "plain steps only": {"orthogonal_rate": 0.}, "no mirror images": {"mirror": False}, "no shift": {"shift": 0}, "no cutout": {"cutout": 0}, "no smoothing": {"label_smoothing": 0.},
               "with mixup of 0.2": {"mixup": 0.2}, "with a mean of weights": {"average": 0.98}, "larger shift": {"shift": 2}, "larger cutout": {"cutout": 10}}
    scores = {name: [] for name in without}
    for seed in range(options.seeds): # seed by seed, so that a run that is broken off is a fair one of fewer seeds
        for name, changed in without.items():
            net, _ = trained(replace(options.recipe, seed=seed, **changed), *data["train"])
            answers = probabilities(net, data["valid"][0], changed.get("mirror", True))
            truth = answers[np.arange(len(answers)), data["valid"][1]]
            scores[name].append((float((answers.argmax(1) == data["valid"][1]).mean()), float(-np.log(truth + 1e-9).mean())))
            print(f"seed {seed}: {name:24} {scores[name][-1][0]:.4f}, log loss {scores[name][-1][1]:.4f}", flush=True)
    return {name: {"accuracy": spread([a for a, _ in pairs]), "log_loss": spread([loss for _, loss in pairs])} for name, pairs in scores.items()}


def transfer(data, options) -> dict:
    (images, labels), (valid, valid_labels) = data["train"], data["valid"]
    known, new, judged = labels < 5, labels >= 5, valid_labels >= 5
    source, _ = trained(options.recipe, images[known], labels[known], 5)
    result = {}
    for count in (100, 300, 1000, 3000, 10_000):
        scores = {"from nothing": [], "transfer": []}
        for seed in range(options.seeds):
            rows = np.random.default_rng(seed).choice(np.flatnonzero(new), count, replace=False)
            for kind in scores:
                torch.manual_seed(seed)
                net = net_for(images, 5, width=options.width, fine=options.recipe.fine)
                if kind == "transfer": start_from(net, source.state_dict())
                recipe = replace(options.recipe, epochs=max(6, min(40, 6000//count*4)), batch=min(256, max(20, count//20)), seed=seed, frozen_epochs=2*(kind == "transfer"))
                if kind == "transfer": recipe = gentle(recipe)
                net, _ = trained(recipe, images[rows], labels[rows] - 5, 5, net)
                scores[kind].append(accuracy(net, valid[judged], valid_labels[judged] - 5))
        result[count] = {kind: spread(values) for kind, values in scores.items()} | {"gain": spread([b - a for a, b in zip(*scores.values())])}
        print(f"{count:6} labels: " + ", ".join(f"{kind} {values['mean']:.4f}" for kind, values in result[count].items()), flush=True)
    return result


def accelerator(data, options) -> dict:
    if DEVICE.type != "cuda": raise SystemExit("There is no accelerator here. On a machine that has one: python benchmarks/net.py accelerator --epochs 12 --seeds 5")
    trained(replace(options.recipe, epochs=1), *data["train"]) # the first epoch pays for loading kernels
    return {"accelerator": torch.cuda.get_device_name(), **epochs(data, options)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("epochs", "plain", "ablation", "transfer", "accelerator"))
    parser.add_argument("--seeds", type=int, default=5, help="how many (default 5)")
    parser.add_argument("--epochs", type=int, default=5, help="of our recipe (default 5)")
    parser.add_argument("--width", type=int, default=64, help="of the net (default 64: 1.35 million weights)")
    parser.add_argument("--recipe", nargs="*", default=[], metavar="NAME=VALUE", help="what else is to be different, such as cutout=8 shift=2")
    parser.add_argument("--target", type=float, default=0.934, help="of plain: a validation accuracy to reach (default 0.934)")
    parser.add_argument("--seconds", type=float, default=480, help="of plain: processor seconds for each recipe (default 480: four minutes of two cores)")
    parser.add_argument("--first-seed", type=int, default=0, help="of plain (default 0)")
    parser.add_argument("--only", nargs="*", choices=("ours", "ordinary"), help="of plain: one of the two recipes")
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "bfloat16"), help="of our recipe (default: bfloat16 where the processor has units for it)")
    parser.add_argument("--checkpoints", type=Path, metavar="FOLDER", help="for epochs: keep each epoch here, and go on from there when the command is given again")
    parser.add_argument("--test", action="store_true", help="of epochs: read the test rows too; note it where the figures are used")
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    options = parser.parse_args()
    try: changes = {name: value == "True" if name in ("mirror", "fine", "light") else type(getattr(RECIPE, name))(value) for name, value in (change.split("=") for change in options.recipe)}
    except (AttributeError, ValueError) as error: parser.error(f"--recipe {' '.join(options.recipe)}: {error}; expected NAME=VALUE, the names {', '.join(asdict(RECIPE))}")
    options.recipe = replace(RECIPE, epochs=options.epochs, width=options.width, precision=choose_precision(options.precision, DEVICE), **changes)
    samples = make_samples("fashion_mnist", 70_000, 0.1, seed=42)
    data = {split: (np.asarray(samples.images[samples.rows(split)]), np.asarray(samples.labels)[samples.rows(split)].astype(np.int64)) for split in ("train", "valid", "test")}
    about = {"what": options.what, "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(), "machine": platform.machine(), "load_average": os.getloadavg(),
             "torch": version("torch"), "python": platform.python_version(), "data": samples.digest, "recipe": asdict(options.recipe), "seeds": options.seeds}
    result = about | {"result": globals()[options.what](data, options)}
    print(json.dumps(result["result"], indent=1))
    if options.output: options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__": main()
