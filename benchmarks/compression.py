"""What ONNX and eight bits cost and bring: the net on Fashion-MNIST in PyTorch, in ONNX, and in ONNX quantized to int8.

python benchmarks/compression.py [--epochs 3 | --candidate FOLDER] [--settings] [--output FILE]

Judged on validation rows that neither training nor calibration saw. Data are found as everywhere: data/raw, then
FASHION_MLOPS_MIRROR, then downloaded. `--settings` adds a table of other ways to quantize.
"""
import argparse
import json
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from fashion_mlops.nets.compression import LIMITS, REFERENCE, beyond_limits, compression_entries, compression_table, export_onnx, interleaved, onnx_probabilities, onnx_session, quantize, ratio_interval
from fashion_mlops.core import read_json
from fashion_mlops.datasets.catalogue import make_samples
from fashion_mlops.evaluation.metrics import mean_interval
from fashion_mlops.nets.net import CompactNet, choose_device, choose_precision
from fashion_mlops.nets.trainer import Recipe, Trainer

SETTINGS = {"chosen": {}, "eight-bit weights": {"seven_bits": False}, "eight-bit weights, Entropy": {"seven_bits": False, "ranges": "Entropy"},
            "eight-bit weights, Percentile": {"seven_bits": False, "ranges": "Percentile"}, "eight-bit weights, int8 values": {"seven_bits": False, "activations": "int8"}}


def cpu() -> tuple[str, list[str]]:
    "The processor's name and what of it matters here; empty where Linux does not say."
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    return fields.get("model name", platform.processor() or platform.machine()), [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16") if flag in fields.get("flags", "").split()]


def opened(folder: Path, digest: str):
    "The net of a candidate and whether it averages over mirror images; the candidate must come from the same split of the same data."
    from safetensors.torch import load_file
    about = read_json(folder/"model.json")
    if about.get("kind") != "net": sys.exit(f"{folder} holds a {about.get('kind')} candidate; expected a net.")
    if about.get("dataset_digest") != digest: sys.exit(f"{folder} was trained on other data or another split than this benchmark validates on; try another --seed or --valid-size.")
    net = CompactNet(len(about["classes"]), **about["architecture"])
    net.load_state_dict(load_file(folder/"weights.safetensors"))
    return net, about["mirror_average"]


def settings_table(float_file: Path, folder: Path, calibration, images, labels, mirror_average: bool, rounds: int) -> dict[str, dict]:
    "Ways to quantize: accuracy against the float file, and time."
    sessions = {REFERENCE: onnx_session(float_file)} | {name: onnx_session(quantize(float_file, folder/f"{n}.onnx", calibration, **chosen)) for n, (name, chosen) in enumerate(SETTINGS.items())}
    right = {name: (onnx_probabilities(session, images, mirror_average).argmax(1) == labels).astype(float) for name, session in sessions.items()}
    alone, batch = ({name: (lambda session=session: session.run(None, {"images": images[:count]})) for name, session in sessions.items()} for count in (1, 64))
    alone, batch = interleaved(alone, rounds, 10), interleaved(batch, rounds, 1)
    return {name: {"accuracy_difference": mean_interval(right[name] - right[REFERENCE]), "alone_ratio": ratio_interval(alone[name], alone[REFERENCE]),
                   "batch_ratio": ratio_interval(batch[name], batch[REFERENCE])} for name in SETTINGS}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3, help="of training (default 3)")
    parser.add_argument("--width", type=int, default=64, help="of the net (default 64)")
    parser.add_argument("--candidate", type=Path, help="folder of a net that 07_training wrote, instead of training one")
    parser.add_argument("--dataset", default="fashion_mnist", help="any with images (default fashion_mnist)")
    parser.add_argument("--seed", type=int, default=42, help="of the split (default 42, the pipeline's)")
    parser.add_argument("--valid-size", type=float, default=0.1, help="share of the rows outside test that validates (default 0.1, the pipeline's)")
    parser.add_argument("--calibration", type=int, default=500, help="training images to find ranges with (default 500)")
    parser.add_argument("--rounds", type=int, default=40, help="of timing (default 40)")
    parser.add_argument("--settings", action="store_true", help="compare ways to quantize")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    args = parser.parse_args()

    samples = make_samples(args.dataset, 2000, args.valid_size, args.seed)
    train, train_labels = samples.take("train")
    images, labels = samples.take("valid")
    if args.candidate: net, mirror_average = opened(args.candidate, samples.digest)
    else:
        allowed = samples.about.get("augmentation", {})
        recipe = Recipe(epochs=args.epochs, width=args.width, mirror=allowed.get("mirror", False), precision=choose_precision("auto", choose_device()))
        trainer = Trainer(recipe, train, train_labels, len(samples.classes))
        trainer.fit(tell=lambda line: print(line, flush=True))
        net, mirror_average = trainer.net, recipe.mirror
    with tempfile.TemporaryDirectory() as folder:
        folder, calibration = Path(folder), train[np.linspace(0, len(train) - 1, min(args.calibration, len(train))).astype(int)]
        difference = export_onnx(net, folder/"net.onnx", images[:500])
        quantize(folder/"net.onnx", folder/"net_int8.onnx", calibration)
        entries = compression_entries(net, folder/"net.onnx", folder/"net_int8.onnx", images, labels, mirror_average, args.rounds)
        settings = settings_table(folder/"net.onnx", folder, calibration, images, labels, mirror_average, args.rounds) if args.settings else None

    print(f"\n{samples.dataset}{' (synthetic)' if samples.synthetic else ''}: {len(images):,} validation rows; {sum(p.numel() for p in net.parameters()):,} weights; "
          f"ONNX differs from PyTorch by {difference:.1g} at most\n\n{compression_table(entries).to_string()}\n")
    for name, entry in (settings or {}).items():
        print(f"{name:32} accuracy {'{:+.4f} ({:+.4f} to {:+.4f})'.format(*entry['accuracy_difference'])}   1 image {entry['alone_ratio'][0]:.2f}   64 images {entry['batch_ratio'][0]:.2f}")
    if settings: print()
    beyond, (name, flags) = beyond_limits(entries["ONNX int8"]), cpu()
    print(f"limits {LIMITS}: {'not kept: ' + ', '.join(beyond) if beyond else 'all kept'}\n{name} ({', '.join(flags)}), {os.cpu_count()} cores, one thread used, load average {os.getloadavg()[0]:.1f}")
    record = {"entries": entries, "settings": settings, "limits": LIMITS, "beyond": beyond, "onnx_difference": difference, "dataset": samples.dataset, "dataset_digest": samples.digest, "synthetic": samples.synthetic,
              "valid_rows": len(images), "weights": sum(p.numel() for p in net.parameters()), "candidate": str(args.candidate) if args.candidate else None, "epochs": None if args.candidate else args.epochs,
              "seeds": {"split": args.seed, "net": None if args.candidate else recipe.seed, "intervals": 0}, "calibration_images": len(calibration), "rounds": args.rounds, "threads": 1, "cpu": name, "flags": flags,
              "cores": os.cpu_count(), "load_average": os.getloadavg(), "python": platform.python_version(), "versions": {package: version(package) for package in ("torch", "onnx", "onnxruntime", "numpy")}}
    if args.output: args.output.write_text(json.dumps(record, indent=1))


if __name__ == "__main__": main()
