"""One seed a stage, whatever is imported when."""
import os
import subprocess
import sys

SAY = """
import sys
from importlib.util import find_spec
from fashion_mlops.workflow.randomness import seed_everything
if early: import torch
seed_everything(7)
seed_everything(8)
if twice: sys.meta_path.insert(0, type("Another", (type(sys.meta_path[0]),), {})(8)) # as where a notebook defined it once more
found = find_spec("torch") # as libraries ask that can do without
import torch
import torch.nn
print(torch.seeds, found.name, torch.nn.__name__)
"""


def test_torch_is_seeded_whenever_it_is_imported(tmp_path):
    "By itself it begins with another number in every process; a small one stands for it here, since it takes seconds to import."
    (tmp_path/"torch").mkdir()
    (tmp_path/"torch"/"__init__.py").write_text("seeds = []\nmanual_seed = seeds.append")
    (tmp_path/"torch"/"nn.py").write_text("")
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])}
    for early, twice, seeds in ((False, False, [8]), (True, False, [7, 8]), (False, True, [8, 8])):
        answer = subprocess.run([sys.executable, "-c", f"early, twice = {early}, {twice}\n{SAY}"], env=env, capture_output=True, text=True)
        assert answer.stdout.strip() == f"{seeds} torch torch.nn", answer.stderr
