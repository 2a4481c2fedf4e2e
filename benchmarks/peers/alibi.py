"""alibi-detect on windows that a file holds, in an environment of its own: python alibi.py WINDOWS.npz ANSWERS.npz

Its own classes decide; `benchmarks/drift.py` asks whether they say what it works out itself for many windows at once."""
import sys

import numpy as np
from alibi_detect import __version__
from alibi_detect.cd import KSDrift, MMDDrift

given = np.load(sys.argv[1])
outputs, embedding = given["reference_outputs"], given["reference_embedding"]
by_columns = KSDrift(outputs, p_val=0.05) # Bonferroni by default
kernels = {"outputs": MMDDrift(outputs, backend="pytorch", n_permutations=2), "embedding": MMDDrift(embedding, backend="pytorch", n_permutations=2)}
rang, apart = [], []
for number in range(int(given["windows"])):
    window = {name: given[f"{name}{number}"] for name in kernels}
    rang.append(by_columns.predict(window["outputs"])["data"]["is_drift"])
    apart.append([kernels[name].predict(window[name])["data"]["distance"] for name in kernels])
np.savez(sys.argv[2], rang=rang, apart=apart, version=__version__)
