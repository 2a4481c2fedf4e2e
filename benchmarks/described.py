"""Whether the service answers as its description says: schemathesis asks every route thousands of times, rightly and wrongly.

python benchmarks/described.py --schemathesis PROGRAM [--model pictures|rows] [--examples 300] [--seed 1]

PROGRAM is that of an environment of its own (schemathesis 4.32 or later). The models are those of tests/service/stand_in.py,
so the time goes into routes and not into answers. Left out is the check that whatever the description allows is answered: a
file or a text of CSV is described as bytes, and most bytes are none. Exit code 1 when an answer breaks the description.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from fashion_mlops.service.keys import make_key

STAND_IN = Path(__file__).parents[1]/"tests"/"service"/"stand_in.py"


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--schemathesis", required=True)
    asked.add_argument("--model", choices=("pictures", "rows"), default="pictures")
    asked.add_argument("--examples", type=int, default=300)
    asked.add_argument("--seed", type=int, default=1)
    args = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        key = make_key("admin", "admin", path=home/"data"/"keys"/"service.json")
        with (home/"lines").open("wb") as lines:
            server = subprocess.Popen([sys.executable, STAND_IN, json.dumps({"model": args.model, "log": {}, "quiet": False})],
                                      env=os.environ | {"FASHION_MLOPS_HOME": folder}, stdout=subprocess.PIPE, stderr=lines, text=True)
        try:
            address = server.stdout.readline().split("answers at ")[1].split()[0]
            found = subprocess.run([args.schemathesis, "run", f"{address}/openapi.json", "-H", f"Authorization: Bearer {key}", "--phases", "examples,coverage,fuzzing,stateful", "--checks", "all",
                                    "--exclude-checks", "positive_data_acceptance", "--max-examples", str(args.examples), "--seed", str(args.seed), "--continue-on-failure"], cwd=folder)
        finally:
            server.terminate()
            server.wait(40)
        lines = (home/"lines").read_text().splitlines()
        for line in lines:
            if not line.startswith("{"): print(line)
        said = [json.loads(line) for line in lines if line.startswith("{")]
        print("answers by status:", dict(sorted(Counter(line["status"] for line in said if "status" in line).items())))
        print("faults:", sum("fault" in line for line in said))
    return found.returncode


if __name__ == "__main__": sys.exit(main())
