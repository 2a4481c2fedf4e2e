"""What the runner adds to one notebook beyond plain papermill, interleaved: `python benchmarks/runner.py [--rounds 5]`.

Both run the same stage notebook, in a fresh process each time, into the same kind of home with an MLflow store that
has its tables. A = plain papermill, B = `fashion-mlops run`. Prints every pair, then medians, and writes JSON.
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fashion_mlops.pipeline import write_stage_notebook


def timed(words: list[str], root: Path) -> float:
    "Seconds of wall time of a command that has to succeed."
    env = os.environ | {"FASHION_MLOPS_ROOT": str(root), "FASHION_MLOPS_HOME": str(root)}
    began = time.perf_counter()
    answer = subprocess.run(words, cwd=root, env=env, capture_output=True, text=True)
    if answer.returncode: sys.exit(f"{' '.join(words)} failed:\n{answer.stdout}{answer.stderr}")
    return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="pairs that count, after one that does not (default 5)")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    args = parser.parse_args()
    root = Path(tempfile.mkdtemp())
    (root/"nbs").mkdir()
    (root/"settings.ini").write_text("lib_name = fashion_mlops\n")
    code = ["import numpy as np, matplotlib.pyplot as plt", "stage.facts = {'dataset_digest': 'abc', 'synthetic': True}",
            "figure, axis = plt.subplots(); axis.plot(np.random.rand(50)); stage.picture(figure, 'Fifty random numbers.')", "stage.write('a.txt').write_text('a')"]
    write_stage_notebook(root/"nbs"/"01_draw.ipynb", code, writes=["a.txt"])
    plain = [sys.executable, "-m", "papermill", "nbs/01_draw.ipynb", "out.ipynb", "--no-progress-bar"]
    ours = [sys.executable, "-m", "fashion_mlops.cli", "run", "--profile", "smoke", "--force"]
    timed(plain, root), timed(ours, root)
    pairs = []
    for n in range(args.rounds): # turn about, so that drift of the machine falls on both
        a, b = (timed(plain, root), timed(ours, root)) if n % 2 == 0 else reversed((timed(ours, root), timed(plain, root)))
        pairs.append((a, b))
        print(f"papermill {a:6.2f} s   fashion-mlops run {b:6.2f} s   difference {b - a:+.2f} s", flush=True)
    shutil.rmtree(root)
    figures = {"papermill_seconds": statistics.median(a for a, _ in pairs), "runner_seconds": statistics.median(b for _, b in pairs),
               "added_seconds": statistics.median(b - a for a, b in pairs), "ratio": statistics.median(b / a for a, b in pairs), "pairs": pairs,
               "cores": os.cpu_count(), "load_average": os.getloadavg(), "python": platform.python_version()}
    print(f"median: papermill {figures['papermill_seconds']:.2f} s, runner {figures['runner_seconds']:.2f} s, added {figures['added_seconds']:+.2f} s, "
          f"ratio {figures['ratio']:.2f}; {figures['cores']} cores, load average {figures['load_average'][0]:.1f}")
    if args.output: args.output.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
