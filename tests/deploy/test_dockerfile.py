"""What the images are built of: pins that agree, lines that every builder understands, and no way in for what should stay out."""
import re
import subprocess

import pytest

from fashion_mlops.core import project_root
from fashion_mlops.operations.images import pins

ROOT = project_root()
TRAINING = r"torch|jupyter|ipykernel|mlflow|shap|tpot|scikit-learn|scipy|lightgbm|optuna|evidently|papermill|matplotlib|nvidia|triton|pip$|uv$|setuptools|wheel|locust"


def stages() -> dict[str, list[str]]:
    "Instructions of the Dockerfile by stage, each on one line."
    text = re.sub(r"^#.*\n", "", (ROOT/"deploy/Dockerfile").read_text(), flags=re.M).replace("\\\n", " ")
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("FROM "): found[line.split(" AS ")[1]] = []
        elif found: found[list(found)[-1]].append(re.sub(r"\s+", " ", line))
    return found


@pytest.mark.parametrize("lock", ["deploy/serve.txt", "deploy/build.txt"])
def test_an_image_holds_the_versions_that_were_tried(lock):
    everything, some = pins("requirements.txt"), pins(lock)
    assert some and {name: version for name, version in some.items() if everything.get(name) != version} == {}
    text = (ROOT/lock).read_text()
    assert text.count("--hash=sha256:") >= len(some) and "://" not in text


def test_what_serves_holds_nothing_that_trains():
    some = pins("deploy/serve.txt")
    assert [name for name in some if re.match(TRAINING, name)] == []
    asked = re.search(r"^serve_requirements = ((?:.*\n)(?:\s+.*\n)*)", (ROOT/"settings.ini").read_text(), re.M)[1]
    assert {re.split(r"[<>=\[]", word)[0] for word in asked.split()} <= set(some), "make lock-images"


def test_every_builder_understands_its_lines():
    text = (ROOT/"deploy/Dockerfile").read_text()
    assert not re.search(r"--mount|<<|--link|--chmod|--parents |^# *syntax", text.replace("cp -a --parents ", ""), re.M)
    assert set(stages()) == {"packages", "project", "serve", "clone", "work"}


@pytest.mark.parametrize("stage", ["serve", "work"])
def test_no_address_and_no_root_stay_in_a_final_stage(stage):
    lines = stages()[stage]
    assert not [line for line in lines if re.match(r"ARG (PIP|UV|SSL)_", line)] and "USER 10001:10001" in lines
    assert [line for line in lines if line.startswith("ARG")] == ["ARG VERSION=unknown", "ARG REVISION=unknown"]
    assert not re.search(r"://(?!127\.0\.0\.1:)", "\n".join(lines))


@pytest.mark.parametrize("words, said", [(["train"], "TARGET is 'train': expected serve or work."), (["serve"], "install one of them, then make image again")])
def test_what_cannot_be_built_is_said(words, said, tmp_path):
    (tmp_path/"dirname").symlink_to("/usr/bin/dirname")
    done = subprocess.run(["/bin/sh", str(ROOT/"deploy/image.sh"), *words], env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 2 and said in done.stderr


def test_the_builder_is_told_version_revision_and_indexes_by_name(tmp_path):
    tool = tmp_path/"podman"
    tool.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    tool.chmod(0o755)
    for name in ("dirname", "sed", "git"):
        if not (tmp_path/name).exists(): (tmp_path/name).symlink_to(f"/usr/bin/{name}")
    env = {"PATH": str(tmp_path), "PIP_INDEX_URL": "https://somebody:secret@packages.example/simple", "HOME": str(tmp_path)}
    said = subprocess.run(["/bin/sh", str(ROOT/"deploy/image.sh"), "work", "--build-arg", "TORCH=cpu"], env=env, capture_output=True, text=True).stdout
    words = said.splitlines()
    assert "PIP_INDEX_URL" in words and "secret" not in said and "TORCH=cpu" in words and words[-1] == "."
    assert words[words.index("--target") + 1] == "work" and "VERSION=0.1.0" in words and "docker" in words
    assert re.search(r"^REVISION=([0-9a-f]{40}(-changed)?|unknown)$", said, re.M)
