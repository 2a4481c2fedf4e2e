"""An exported Bento beside our own service: the same held-out rows through each door of both, and the same mistakes.

    uv venv ENV && uv pip sync --python ENV/bin/python deploy/bento.txt
    python benchmarks/bento_parity.py --python ENV/bin/python --dataset fashion_mnist

The champion of the home is exported, built by `bentoml build` into a store of its own, and served from there."""
import argparse
import json
import os
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fashion_mlops.datasets.kinds import kind_of
from fashion_mlops.operations.bento_export import bento_command, bento_on_trial, export_bento
from fashion_mlops.samples.samples import load_samples
from fashion_mlops.service.deployment import open_champion
from fashion_mlops.service.parity import answerable, apart, ask_over_http, held_out_rows
from fashion_mlops.service.trial import on_trial
from fashion_mlops.workflow.manifests import artifact

WRONG = [(b"", "application/json"), (b"{", "application/json"), (b"{}", "application/json"), (b'{"rows": [{"nobody": 1}]}', "application/json"),
         (b'{"image": [[1, 2], [3]]}', "application/json"), (b"hello", "image/png"), (b"hello", "text/plain"), (b"a,b\n1", "text/csv")]


def post(address: str, body: bytes, kind: str) -> tuple[int, dict]:
    request = urllib.request.Request(f"{address}/predict", body, {"content-type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as found: return found.status, json.load(found)
    except urllib.error.HTTPError as error: return error.code, json.load(error)


def batches(address: str) -> tuple[float, float]:
    "Batches and rows that a service has counted."
    with urllib.request.urlopen(f"{address}/metrics", timeout=30) as found: text = found.read().decode()
    return tuple(float(re.search(rf"^fashion_mlops_batch_rows_{what}(?:{{[^}}]*}})? (\S+)", text, re.MULTILINE)[1]) for what in ("count", "sum"))


def burst(address: str, body: bytes, count: int = 400, at_once: int = 16) -> str:
    "Single rows, many at once, in words."
    before, began = batches(address), time.perf_counter()
    with ThreadPoolExecutor(at_once) as clients: codes = list(clients.map(lambda _: post(address, body, "application/json")[0], range(count)))
    seconds, after = time.perf_counter() - began, batches(address)
    return f"{codes.count(200)}/{count} answered in {seconds:.1f} s, {(after[1] - before[1])/(after[0] - before[0]):.1f} rows a batch"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="of an environment with deploy/bento.txt")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--rows", type=int, default=500)
    args = parser.parse_args()
    served, _ = open_champion(args.dataset)
    samples = load_samples(artifact(args.dataset, "samples"))
    inputs = served.in_form(samples.at(answerable(served, samples, held_out_rows(samples, args.rows))))
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["BENTOML_HOME"] = f"{scratch}/store"
        folder = export_bento(args.dataset, target=Path(scratch, "project"))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())/1e6
        built = subprocess.run(**bento_command(args.python, "build", "-o", "tag", folder=folder), capture_output=True, text=True, check=True).stdout
        tag = re.search(r"__tag__:(\S+)", built)[1]
        print(f"{served.dataset} v{served.version}, {len(inputs):,} rows; the project has {size:.1f} MB; built as {tag}")
        with on_trial(args.dataset) as ours, bento_on_trial(tag, args.python) as bento:
            one, two = (ask_over_http(address, served, inputs)[0] for address in (ours.address, bento))
            for door in one:
                pair, = apart({"ours": one[door], "the Bento's": two[door]})
                print(f"  {door:<16} largest difference {pair['largest_difference']:.1e}, {pair['classes_changed']} classes changed")
            said = [[(code, found.get("error")) for code, found in (post(address, *wrong) for wrong in WRONG)] for address in (ours.address, bento)]
            print(f"  {sum(a == b for a, b in zip(*said))} of {len(WRONG)} mistakes get the same status and the same words")
            body = kind_of(served.kind).json_of_inputs(served.about["input"], inputs[:1])
            for name, address in (("ours", ours.address), ("the Bento", bento)): print(f"  {name:<10} {burst(address, body)}")


if __name__ == "__main__": main()
