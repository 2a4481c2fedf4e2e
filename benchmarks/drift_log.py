"""What it costs to read a slice of a large prediction log.

python benchmarks/drift_log.py [--rows 1000000] [--days 8] [--most 10000] [--output FILE]

A log is made in a folder for the time being, through the service's own schema and writer: ten classes, eighteen watched numbers, files of about two
megabytes as merging leaves them, feedback for a tenth of the rows that comes a day later, one job of a fiftieth of all rows, a canary that
answers a twentieth. Then a fresh process reads it: seconds from its start, imports included, and its largest memory.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

SINCE = datetime(2026, 11, 1, tzinfo=timezone.utc)
CLASSES = [f"class {number}" for number in range(10)]
WATCHED = [f"watched number {number}" for number in range(18)]
ROWS_OF_A_FILE = 8_000 # about two megabytes


def maps(names: list[str], values: np.ndarray, kind):
    "A column of maps with the same names in each row."
    import pyarrow as pa
    keys = pa.DictionaryArray.from_arrays(np.tile(np.arange(len(names), dtype=np.int32), len(values)), names).dictionary_decode()
    return pa.MapArray.from_arrays(np.arange(len(values) + 1, dtype=np.int32)*len(names), keys, pa.array(values.ravel(), kind))


def predictions(random, first: int, times: np.ndarray, ids: list[str], numbers: np.ndarray):
    "Rows as the service writes them."
    import pyarrow as pa
    from fashion_mlops.service.log_files import log_schema
    rows = len(times)
    shares = random.dirichlet(np.full(10, 0.2), rows).astype(np.float32)
    said = shares.argmax(1)
    canary = random.random(rows) < 0.05
    return pa.table({
        "id": ids, "row": numbers, "time": times, "dataset": ["benchmark"]*rows, "version": np.where(canary, 4, 3).astype(np.int32),
        "slot": np.where(canary, "canary", "champion"), "unit": pa.nulls(rows, pa.string()), "digest": [f"{n:016x}" for n in random.integers(0, 2**62, rows)],
        "watched": maps(WATCHED, random.normal(size=(rows, len(WATCHED))), pa.float64()), "input": pa.nulls(rows, pa.binary()),
        "said": np.array(CLASSES)[said], "confidence": shares.max(1), "probabilities": maps(CLASSES, shares, pa.float32()),
        "rejected": random.random(rows) < 0.01, "seconds": random.exponential(0.004, rows).astype(np.float32)}).cast(log_schema("predictions"))


def make(folder: Path, rows: int, days: int):
    "A log of this many rows."
    import pyarrow as pa
    from fashion_mlops.service.log_files import _written, log_schema
    random, job = np.random.default_rng(0), rows//50
    moments = np.sort(random.integers(0, days*86_400_000_000, rows))
    for start in range(0, rows, ROWS_OF_A_FILE):
        here = moments[start:start + ROWS_OF_A_FILE]
        numbers = np.arange(start, start + len(here))
        ids = [f"{int(SINCE.timestamp()*1000) + moment//1000:012x}{number:020x}" for number, moment in zip(numbers, here)]
        ids = ["f"*20 + "0"*12 if number < job else name for number, name in zip(numbers, ids)]
        times = np.datetime64(SINCE.replace(tzinfo=None), "us") + here.astype("timedelta64[us]")
        table = predictions(random, start, times, ids, np.where(numbers < job, numbers, 0).astype(np.int32))
        told = random.random(len(here)) < 0.1
        labels = pa.table({"id": np.array(ids, object)[told], "row": table["row"].to_numpy()[told], "time": times[told] + np.timedelta64(1, "D"),
                           "label": random.choice(CLASSES, told.sum())}).cast(log_schema("feedback"))
        for kind, part in (("predictions", table), ("feedback", labels)):
            dates = part["time"].to_numpy().astype("datetime64[D]")
            for day in np.unique(dates): _written(folder/str(day), kind, part.filter(dates == day))


def read(folder: Path, window: str, most: int) -> dict:
    "What a process that reads a slice sees; called in a fresh one."
    import resource
    from types import SimpleNamespace
    from fashion_mlops.drift.slices import read_slice, slice_of
    from fashion_mlops.service.log_reading import map_table
    began = time.perf_counter()
    now = SINCE + timedelta(days=40)
    pack = SimpleNamespace(version=3, classes=CLASSES, about={"input": {}}, wing=SimpleNamespace(watched_table=lambda _, maps: map_table(maps)))
    found = read_slice(folder, slice_of(window, now=now), pack, most, now=now)
    return {"window": window, "rows": int(found.hours.rows.sum()), "own": found.rows, "sample": len(found.observed), "hours": len(found.hours),
            "told": int(found.hours.told.sum()), "reading": time.perf_counter() - began, "processor": time.process_time(), "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024, "faults": found.faults}


def asked(folder: Path, window: str, most: int) -> dict:
    "A fresh process that reads."
    began = time.perf_counter()
    said = subprocess.run([sys.executable, __file__, "--read", str(folder), "--window", window, "--most", str(most)],
                          capture_output=True, text=True, check=True).stdout
    return json.loads(said) | {"seconds": time.perf_counter() - began}


def machine() -> str:
    import pandas, pyarrow
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), platform.machine())
    return (f"{len(os.sched_getaffinity(0))} cores of {model}, Python {platform.python_version()}, "
            f"pyarrow {pyarrow.__version__}, pandas {pandas.__version__}, NumPy {np.__version__}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=8)
    parser.add_argument("--most", type=int, default=10_000)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--window", default="all")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        print(json.dumps(read(args.read, args.window, args.most)))
        sys.exit()
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        make(Path(name), args.rows, args.days)
        files = list(Path(name).glob("*/predictions-*"))
        size = sum(path.stat().st_size for path in files)
        print(f"{machine()}\n{args.rows:,} rows in {len(files):,} files of {size/len(files)/1e6:.1f} MB, made in {time.perf_counter() - began:.0f} s\n")
        found = [asked(Path(name), window, args.most) for window in ("all", "2026-11-02..2026-11-05", "2026-11-03T10:00..2026-11-03T11:00")]
        for one in found: assert one["faults"] is not None
        assert found[0]["rows"] == args.rows and len({path.name for path in files}) == len(files)
    print("| window | rows | sample | told | seconds, process included | of which reading | processor seconds | memory (MB) |\n|---|---|---|---|---|---|---|---|")
    for one in found:
        print(f"| {one['window']} | {one['rows']:,} | {one['sample']:,} | {one['told']:,} | {one['seconds']:.1f} | {one['reading']:.1f} | {one['processor']:.1f} | {one['memory']:.0f} |")
    for sentence in found[0]["faults"]: print(f"- {sentence}")
    if args.output: args.output.write_text(json.dumps({"machine": machine(), "files": len(files), "bytes": size, "windows": found}, indent=1))
