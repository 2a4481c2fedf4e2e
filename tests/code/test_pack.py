"""A pack that is not what a trusted key has signed is refused in one sentence, and nothing of it is opened."""
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from fashion_mlops.core import WorkflowError, read_json, write_json
from fashion_mlops.service.pack import sign_pack
from fashion_mlops.service.session import open_pack, verified_pack

HEAVY = ["torch", "sklearn", "scipy", "mlflow", "matplotlib", "lightgbm", "papermill", "skops", "IPython", "pandas"]
NAMES = ["serving.json", "encoder.json", "model.onnx", "expected.npz"]


@pytest.fixture
def pack(tmp_path, monkeypatch):
    "A signed folder with the files of a pack; what is in them is never opened here."
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"home"))
    folder, draws = tmp_path/"v3", np.random.default_rng(3)
    folder.mkdir()
    write_json(folder/"serving.json", {"format": 1, "form": "graph", "dataset": "garments", "candidate": "net",
                                       "kind": "image", "classes": ["coat", "dress"]})
    for name in NAMES[1:]: (folder/name).write_bytes(draws.bytes(5000))
    sign_pack(folder)
    return folder


def refused(folder, **more):
    "Refused in one line, without ONNX Runtime having seen it."
    with pytest.raises(WorkflowError) as caught: open_pack(folder, **more)
    assert "\n" not in str(caught.value) and "graph that ONNX Runtime opens" not in str(caught.value)
    return str(caught.value)


def test_what_was_signed_is_verified(pack): assert verified_pack(pack) == pack


@pytest.mark.parametrize("seed", range(25))
def test_truncated(pack, seed):
    draws = np.random.default_rng(seed)
    path = pack/draws.choice([*NAMES, "files.json", "signature.json"])
    path.write_bytes(path.read_bytes()[:draws.integers(path.stat().st_size)])
    refused(pack)


@pytest.mark.parametrize("seed", range(25))
def test_flipped(pack, seed):
    draws = np.random.default_rng(100 + seed)
    path = pack/draws.choice([*NAMES, "files.json"])
    content = bytearray(path.read_bytes())
    content[draws.integers(len(content))] ^= 1 << draws.integers(8)
    path.write_bytes(content)
    refused(pack)


@pytest.mark.parametrize("seed", range(25))
def test_swapped(pack, tmp_path, seed):
    draws = np.random.default_rng(200 + seed)
    other = tmp_path/"other"
    shutil.copytree(pack, other)
    for name in NAMES[1:]: (other/name).write_bytes(draws.bytes(5000))
    sign_pack(other)
    taken = draws.choice([*NAMES[1:], "files.json", "signature.json"])
    shutil.copy(other/taken, pack/taken)
    refused(pack)


@pytest.mark.parametrize("seed", range(25))
def test_unsigned(pack, seed):
    said = read_json(pack/"signature.json")
    forms = [None, {}, [], "x", 3, {"key": said["key"]}, said | {"signature": ""}, said | {"signature": None},
             said | {"signature": "%"}, said | {"signature": "AAAA"*22}, said | {"key": []}, said | {"key": {}},
             said | {"key": "0"*16}, said | {"key": None}, said | {"signature": said["signature"][:-4]}]
    if seed < len(forms): (pack/"signature.json").write_text(json.dumps(forms[seed]))
    elif seed == 15: (pack/"signature.json").unlink()
    elif seed == 16: (pack/"files.json").unlink()
    elif seed == 17: (pack/"signature.json").write_text("["*100_000)
    elif seed == 18: (pack/"signature.json").write_bytes(b"\xff\xfe")
    elif seed == 19: (pack/"signature.json").write_bytes(b" "*2_000_000)
    else: (pack/"signature.json").write_bytes(np.random.default_rng(seed).bytes(200))
    refused(pack)


def test_a_foreign_key(pack, tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"elsewhere"))
    assert "not trusted here" in refused(pack)
    trusted = tmp_path/"elsewhere"/"data"/"keys"/"trusted"
    trusted.mkdir(parents=True)
    shutil.copy(tmp_path/"home"/"data"/"keys"/"signing.pub", trusted/"friend.pub")
    assert verified_pack(pack) == pack


@pytest.mark.parametrize("name", ["extra.py", "sub/extra.py", "..hidden", "model.onnx.data", "candidate/estimator.pkl"])
def test_one_file_more(pack, name):
    (pack/name).parent.mkdir(exist_ok=True)
    (pack/name).write_text("raise SystemExit(3)")
    assert "does not belong to it" in refused(pack)


@pytest.mark.parametrize("name", NAMES + ["files.json", "signature.json", "another"])
def test_a_link(pack, tmp_path, name):
    elsewhere = tmp_path/"elsewhere"
    if (pack/name).exists(): os.rename(pack/name, elsewhere)
    else: elsewhere.write_text("")
    (pack/name).symlink_to(elsewhere)
    refused(pack)


def test_a_linked_folder(pack, tmp_path):
    (tmp_path/"v4").symlink_to(pack)
    refused(tmp_path/"v4")


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../outside", "..", ""])
def test_names_that_lead_out(pack, name):
    "Even a list that a trusted key has signed is read by what lies in the folder only."
    from fashion_mlops.service.signing import signature_of
    (pack.parent/"outside").write_text("x")
    listed = json.dumps(read_json(pack/"files.json") | {name: ["0"*64, 1]}).encode()
    (pack/"files.json").write_bytes(listed)
    write_json(pack/"signature.json", signature_of(listed))
    assert "is missing" in refused(pack)


@pytest.mark.parametrize("changed", [{"format": 2}, {"form": "pickle"}, {"form": None}, {"format": None}, {"form": []}])
def test_an_unknown_format(pack, changed):
    write_json(pack/"serving.json", read_json(pack/"serving.json") | changed)
    sign_pack(pack)
    assert "expected 1 and graph, int8, library" in refused(pack)


@pytest.mark.parametrize("module", ["session", "signing"])
def test_opening_a_pack_imports_no_library_that_trains(module):
    script = f"import sys, fashion_mlops.service.{module}; print([name for name in {HEAVY} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert said.stdout.strip() == "[]", said.stdout + said.stderr
