"""What one's own data cost: adding a table and a folder of pictures, and the first four stages on a long table.

python benchmarks/own_data.py [--rows 1000000] [--pictures 100000] [--output FILE]      # all data are drawn here, from a seed
"""
import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def write_table(path: Path, rows: int, seed: int = 7):
    "A table of 49 columns of every type, a fifth of them with gaps, and a target that a few of them decide."
    import numpy as np
    import pandas as pd
    draws = np.random.default_rng(seed)
    hidden = draws.normal(size=(rows, 4)).astype(np.float32)
    columns = {f"v{i:02d}": (hidden@draws.normal(size=4).astype(np.float32)/2 + draws.normal(size=rows)).astype(np.float32).round(4) for i in range(36)}
    for i in range(0, 36, 5): columns[f"v{i:02d}"][draws.random(rows) < .08] = np.nan
    shops = np.array([f"shop {i}" for i in range(5000)])
    columns |= {"city": draws.choice([f"c{i}" for i in range(300)], rows), "kind": draws.choice(list("abcdef"), rows), "shop": shops[draws.zipf(1.5, rows) % 5000], "size": draws.choice(["S", "M", "L"], rows),
                "member": draws.choice(["yes", "no"], rows), "at": np.datetime64("2024-01-01T00:00:00") + draws.integers(0, 365*86400, rows).astype("timedelta64[s]"), "lat": (50 + draws.normal(size=rows)).round(4),
                "lon": (8 + 2*draws.normal(size=rows)).round(4), "count": draws.poisson(4, rows), "place": draws.integers(0, 100, rows), "note": draws.choice(["", "late delivery", "gift", "call first"], rows), "flag": draws.integers(0, 2, rows)}
    table = pd.DataFrame(columns)
    score = hidden[:, 0]*1.2 - hidden[:, 1]*.8 + table.kind.isin(["a", "b"])*.7 + (table.lat > 50.5)*.6 + draws.logistic(size=rows)
    table.assign(bad=np.where(score > 2, "yes", "no")).to_csv(path, index=False)


def write_pictures(folder: Path, count: int, seed: int = 7):
    "Small pictures in ten folders, of three sizes, half of them JPEG, some in colour."
    import numpy as np
    from PIL import Image
    for label in range(10): (folder/f"class {label}").mkdir(parents=True)
    def part(start):
        draws = np.random.default_rng([seed, start])
        for i in range(start, min(start + 1000, count)):
            height, width = (32, 40, 48)[i % 3], (40, 32, 36)[i % 3]
            pixels = draws.integers(0, 120, (height, width, 3), dtype=np.uint8)
            pixels[i % 10*3:i % 10*3 + 6] += 120
            Image.fromarray(pixels).save(folder/f"class {i % 10}"/f"{i:06d}.{('png', 'jpg')[i % 2]}")
    with ThreadPoolExecutor() as pool: list(pool.map(part, range(0, count, 1000)))


def timed(words: list[str], environment: dict) -> dict:
    "Seconds and peak memory (GB, of the largest process) of one command."
    began = time.perf_counter()
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    if done.returncode: sys.exit(f"{' '.join(words)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return {"seconds": round(time.perf_counter() - began, 1), "peak_gb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss/2**20, 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the table; 0 for none")
    parser.add_argument("--pictures", type=int, default=100_000, help="in the folder; 0 for none")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    args = parser.parse_args()
    command, results = str(Path(sys.executable).parent/"fashion-mlops"), {}
    with tempfile.TemporaryDirectory() as folder:
        folder, environment = Path(folder), os.environ | {"FASHION_MLOPS_HOME": f"{folder}/home"}
        if args.pictures: # first: the peak of memory is that of all commands so far
            write_pictures(folder/"pictures", args.pictures)
            results[f"add {args.pictures:,} pictures"] = timed([command, "dataset", "add", f"{folder}/pictures"], environment)
            results[f"01_data of {args.pictures:,} pictures"] = timed([command, "run", "--dataset", "pictures", "01"], environment)
        if args.rows:
            write_table(folder/"long.csv", args.rows)
            results[f"add {args.rows:,} rows"] = timed([command, "dataset", "add", f"{folder}/long.csv", "--target", "bad"], environment)
            for stage in ("01", "02", "03", "04"): results[f"{stage} of {args.rows:,} rows"] = timed([command, "run", "--dataset", "long", "--profile", "default", stage], environment)
    for name, line in results.items(): print(f"{name:32} {line['seconds']:8.1f} s   peak so far {line['peak_gb']:.2f} GB")
    record = {"results": results, "machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg(), "seed": 7, "synthetic": True}
    if args.output: args.output.write_text(json.dumps(record, indent=1))


if __name__ == "__main__": main()
