"""A new kind is a folder and an entry: sounds, which the project has never heard of, in a copy of it."""
import json
import os
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fashion_mlops.core import project_root, read_json

ENTRY = 'WINGS = {"sound": Door("fashion_mlops.sounds", lambda: import_module("fashion_mlops.sounds.kind")), '


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    "A copy of the project with one folder more, and with one entry more where the wings are listed."
    root, ours = tmp_path_factory.mktemp("project"), project_root()
    shutil.copytree(ours/"fashion_mlops", root/"fashion_mlops", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ours/"nbs", root/"nbs")
    for name in ("settings.ini", "params.yaml", "requirements.txt"): shutil.copy(ours/name, root/name)
    shutil.copytree(Path(__file__).parent/"third_wing", root/"fashion_mlops"/"sounds", ignore=shutil.ignore_patterns("__pycache__"))
    (root/"fashion_mlops"/"sounds"/"__init__.py").touch()
    # the chapter, and the module that is made of it
    for file, entry in ((root/"nbs"/"datasets"/"kinds.ipynb", json.dumps(ENTRY)[1:-1]), (root/"fashion_mlops"/"datasets"/"kinds.py", ENTRY)):
        text = file.read_text(encoding="utf-8")
        assert text.count("WINGS = {") == 1
        file.write_text(text.replace("WINGS = {", entry), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    "Sixty low and sixty high tones, each a little out of tune."
    folder, random = tmp_path_factory.mktemp("data")/"tones", np.random.default_rng(0)
    for name, pitch in (("high", 9), ("low", 3)):
        (folder/name).mkdir(parents=True)
        for number in range(60):
            tone = np.sin(np.arange(64)*2*np.pi*(pitch + random.normal(0, .8))/64) + random.normal(0, .3, 64)
            with wave.open(str(folder/name/f"{number}.wav"), "wb") as file:
                file.setnchannels(1); file.setsampwidth(2); file.setframerate(8000)
                file.writeframes((tone*8000).clip(-32000, 32000).astype(np.int16).tobytes())
    return folder


def asked(project, *words, timeout=240):
    "What the command line of the copy says."
    place = {"PYTHONPATH": str(project), "FASHION_MLOPS_ROOT": str(project), "FASHION_MLOPS_HOME": str(project/"home")}
    done = subprocess.run([sys.executable, "-m", "fashion_mlops.cli", *words], env={**os.environ, **place}, cwd=project,
                          capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_a_folder_of_sounds_is_added_and_read(project, sounds):
    told = asked(project, "dataset", "add", str(sounds))
    assert "tones: 120 sounds of 64 samples, 2 classes: high 50.0%, low 50.0%" in told
    assert "kind: sound" in asked(project, "dataset", "show", "tones")
    assert "can be read and split" in asked(project, "dataset", "check", "tones")


@pytest.mark.slow
def test_sounds_go_through_the_stages(project, sounds):
    "From files to a table of features and what was found on the way."
    asked(project, "dataset", "add", str(sounds), "--replace")
    told = asked(project, "run", "--profile", "smoke", "--dataset", "tones", "01_data", "02_quality", "04_features")
    assert "120 samples, 2 classes" in told
    made = project/"home"
    assert read_json(next(made.rglob("quality.json")))["kind"] == "sound"
    table = pd.read_parquet(next(made.rglob("features.parquet")))
    assert len(table) == 120 and any(name.startswith("pitch_") for name in table)
