"""A version exported for BentoML: what is in the folder, what its lock holds, and that it answers as our own service does."""
import json
import os
import re
import urllib.error
import urllib.request

import numpy as np
import pytest
from packs import place_version, share_of

from fashion_mlops.cli import main
from fashion_mlops.core import project_root
from fashion_mlops.operations.bento_export import bento_on_trial, bento_requirements
from fashion_mlops.service.deployment import open_version, set_champion
from fashion_mlops.service.parity import ask_over_http

ROOT = project_root()


def test_the_lock_of_a_bento_keeps_to_ours():
    lock = (ROOT/"deploy"/"bento.txt").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    wanted = dict(re.sub(r"\[\w+\]", "", line).split("==") for line in bento_requirements(ROOT))
    assert {name: locked.get(name) for name in wanted} == wanted, "run: make lock-bento"
    assert lock.count("--hash=sha256:") > len(locked) and "://" not in lock


def test_what_a_service_needs_is_all_in_it(tmp_path):
    "A new requirement of [serve] is in the lock, or the test above says so."
    (tmp_path/"settings.ini").write_text("[DEFAULT]\nrequirements = numpy>=2\nserve_requirements = pillow uvicorn[standard]\n")
    (tmp_path/"requirements.txt").write_text("numpy==2.1 \\\n  --hash=1\npillow==3.1\nuv==1.0\nuvicorn==0.5\n")
    assert bento_requirements(tmp_path)[1:] == ["numpy==2.1", "pillow==3.1", "uvicorn[standard]==0.5", "uv==1.0"]


@pytest.mark.slow
def test_a_bento_answers_as_our_own_service(home, tmp_path, capsys):
    if not (python := os.environ.get("FASHION_MLOPS_BENTO_PYTHON")):
        pytest.skip("FASHION_MLOPS_BENTO_PYTHON names no Python with deploy/bento.txt: uv venv ENV && uv pip sync --python ENV/bin/python deploy/bento.txt")
    place_version("shades", 4)
    set_champion("shades", 4)
    assert main(["export", "bento", "--to", str(tmp_path/"project")]) == 0
    assert "bentoml build" in capsys.readouterr().out
    served, pictures = open_version("shades", 4), np.random.default_rng(1).integers(0, 256, (40, 4, 4), np.uint8)
    with bento_on_trial(tmp_path/"project", python) as address:
        found, missing = ask_over_http(address, served, pictures)
        with urllib.request.urlopen(f"{address}/metrics") as text: assert b"fashion_mlops_batch_rows_sum" in text.read()
        with pytest.raises(urllib.error.HTTPError) as refused: urllib.request.urlopen(f"{address}/predict", b"{}")
        assert refused.value.code in (415, 422) and "message" in json.load(refused.value)["error"]
    assert len(found) == 3 and not missing
    for door, said in found.items(): assert np.abs(said.probabilities - served.predict_proba(pictures)).max() < 1e-6 and (said.said == (share_of(4) < 0.5)).all(), door


@pytest.mark.slow
def test_a_changed_pack_ends_a_bento(home, tmp_path):
    if not (python := os.environ.get("FASHION_MLOPS_BENTO_PYTHON")): pytest.skip("FASHION_MLOPS_BENTO_PYTHON names no Python with deploy/bento.txt")
    place_version("shades", 4)
    set_champion("shades", 4)
    main(["export", "bento", "--to", str(tmp_path/"project")])
    about = tmp_path/"project"/"v4"/"serving.json"
    about.write_text(about.read_text().replace('"bright"', '"light"'))
    with pytest.raises(Exception, match="serving.json"), bento_on_trial(tmp_path/"project", python, 8): pass
