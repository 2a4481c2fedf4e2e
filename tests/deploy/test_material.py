"""What the images are made of, as CycloneDX says it: each pin of a lock, once, with every hash."""
import json
import re
import shutil
import subprocess

import pytest

from fashion_mlops.core import project_root


@pytest.mark.slow
def test_each_pin_is_said_with_its_hashes(tmp_path):
    root = project_root()
    if not shutil.which("make"): pytest.skip("make writes it, and is not here")
    done = subprocess.run(["make", "--no-print-directory", "-o", "setup", "sbom", f"DIST={tmp_path}"], cwd=root, capture_output=True, text=True)
    if "The network is needed" in done.stderr: pytest.skip("the tools of the checks are not here, and the network neither")
    assert done.returncode == 0, done.stdout + done.stderr
    for target, lock in (("serve", "deploy/serve.txt"), ("work", "requirements.txt")):
        said = json.loads((tmp_path/f"fashion-mlops-{target}.cdx.json").read_text())
        text = (root/lock).read_text()
        assert said["bomFormat"] == "CycloneDX"
        assert sorted((one["name"], one["version"]) for one in said["components"]) == sorted(re.findall(r"^([\w.-]+)(?:\[.*\])?==(\S+)", text, re.M))
        assert all(one["purl"].startswith(f"pkg:pypi/{one['name']}@{one['version']}") for one in said["components"])
        hashes = {each["content"] for one in said["components"] for place in one["externalReferences"] for each in place["hashes"]}
        assert hashes == set(re.findall(r"sha256:(\w+)", text))
