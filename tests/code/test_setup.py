"""`make setup` before anything is installed: every way in which it can end is a sentence, and the next one goes on from there."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fashion_mlops.core import project_root

UV = """#!/bin/sh
echo "$@" >>calls
case "$*" in
    *"$FAILS"*) echo "error: Failed to fetch" >&2; exit 2;;
    *--dry-run*sync*|*sync*--dry-run*) echo "$PLAN" >&2;;
    *" sync "*) printf 'Downloading small (1.2MiB)\\nDownloading torch (501.2MiB)\\nInstalled 3 packages in 1s\\n + torch==2.15.0\\n' >&2; cat .venv/.lock.txt >synced;;
esac
"""


@pytest.fixture
def clone(tmp_path) -> Path:
    "What `make setup` reads, with an environment that has a Python, and an installer that only writes down what it is asked."
    root = project_root()
    for name in ("Makefile", "setup.py", "settings.ini"): shutil.copy(root/name, tmp_path)
    (tmp_path/"fashion_mlops"/"workflow").mkdir(parents=True)
    for name in ("__init__.py", "workflow/__init__.py", "workflow/environment.py"): shutil.copy(root/"fashion_mlops"/name, tmp_path/"fashion_mlops"/name)
    (tmp_path/"requirements.txt").write_text("numpy==2.3.5 \\\n    --hash=sha256:aa\nnvidia-cublas==13.4 \\\n    --hash=sha256:bb\ntorch==2.15.0 \\\n    --hash=sha256:cc\ntorchvision==0.29.2\nuv==0.13.8\n")
    tools = tmp_path/".venv"/"bin"
    tools.mkdir(parents=True)
    (tools/"python").symlink_to(sys.executable)
    (tools/"uv").write_text(UV)
    (tools/"uv").chmod(0o755)
    return tmp_path


def setup(clone, *words, **env):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("FASHION", "MAKE"))} | {"FAILS": "nothing fails", "PLAN": "Would download 3 packages"} | env
    return subprocess.run(["make", "setup", *words], cwd=clone, env=env, capture_output=True, text=True, timeout=60)


def calls(clone): return (clone/"calls").read_text().splitlines() if (clone/"calls").exists() else []


def test_costs_are_said_before_and_nothing_is_done_twice(clone):
    first = setup(clone)
    assert first.returncode == 0, first.stderr
    said = first.stdout.splitlines()
    assert "GB to download" in said[0] and "GB on disk" in said[0] and said[-1].startswith("The environment is ready")
    assert "  Downloading torch (501.2MiB)" in said and "  Installed 3 packages in 1s" in said and not [line for line in said if "small" in line or "+ torch" in line]
    assert "torch==2.15.0" in (clone/"synced").read_text() and [word for word in calls(clone) if "--require-hashes" in word]
    done = len(calls(clone))
    assert setup(clone).stdout + setup(clone).stderr in ("make: Nothing to be done for 'setup'.\n" * 1, "") or len(calls(clone)) == done
    os.utime(clone/"settings.ini") # a checkout writes files anew, and changes nothing
    assert setup(clone).returncode == 0 and len(calls(clone)) == done
    (clone/"settings.ini").write_text((clone/"settings.ini").read_text() + "\n")
    assert setup(clone).returncode == 0 and len(calls(clone)) > done


def test_the_builds_without_accelerator_are_kept_until_others_are_wanted(clone):
    assert setup(clone, "TORCH=cpu").returncode == 0
    assert (clone/"synced").read_text().split("\n")[0] == "numpy==2.3.5 \\" and "torch" not in (clone/"synced").read_text() and "nvidia" not in (clone/"synced").read_text()
    builds = [words for words in calls(clone) if "--torch-backend cpu" in words]
    assert "--dry-run" in builds[0] and "sync" not in calls(clone)[calls(clone).index(builds[0]) - 1], "asked for before anything is changed"
    assert builds[-1].count("==") == 2 and "torch==2.15.0 torchvision==0.29.2" in builds[-1] and "--dry-run" not in builds[-1]
    with (clone/"requirements.txt").open("a") as lock: lock.write("six==1.17\n")
    assert setup(clone).returncode == 0 and "six" in (clone/"synced").read_text() and "nvidia" not in (clone/"synced").read_text()
    assert setup(clone, "TORCH=default").returncode == 0 and "nvidia" in (clone/"synced").read_text()


def test_an_index_that_cannot_be_reached_changes_nothing(clone):
    assert setup(clone).returncode == 0
    before = (clone/".venv"/".ready").read_text()
    answer = setup(clone, "TORCH=cpu", FAILS="--torch-backend")
    assert answer.returncode and "cannot be had" in answer.stderr and "make setup TORCH=default" in answer.stderr and "Traceback" not in answer.stderr
    assert (clone/".venv"/".ready").read_text() == before and len([words for words in calls(clone) if " sync " in words]) == 1


@pytest.mark.parametrize("fails", [" sync ", "--editable"])
def test_an_installation_that_fails_is_gone_on_with(clone, fails):
    half = clone/".venv"/"lib"/"python3.11"/"site-packages"/"numpy-2.3.5.dist-info"
    answer = setup(clone, FAILS=fails)
    assert answer.returncode and "The environment is not complete" in answer.stderr and "`make setup` goes on from here" in answer.stderr and "Traceback" not in answer.stderr
    half.mkdir(parents=True) # what a killed installer leaves
    again = setup(clone)
    assert again.returncode == 0 and "left numpy incomplete" in again.stdout and not half.exists()


def test_a_full_disk_is_said_before(clone):
    full = "import shutil\nfrom types import SimpleNamespace\nshutil.disk_usage = lambda place: SimpleNamespace(free=5e9)\n"
    path = clone/"fashion_mlops"/"__init__.py"
    path.write_text(full + path.read_text())
    answer = setup(clone)
    assert answer.returncode and "has 5.0 GB left" in answer.stderr and "make setup TORCH=cpu" in answer.stderr and not [words for words in calls(clone) if "--require-hashes" in words]
    assert setup(clone, PLAN="Would install 3 packages").returncode == 0, "all of it is in uv's cache"
    (clone/".venv"/".ready").unlink()
    assert setup(clone, "DISK=unchecked").returncode == 0


def test_a_python_that_does_not_fit_and_words_that_are_none(clone):
    assert "TORCH is 'gpu': expected cpu" in setup(clone, "TORCH=gpu").stderr
    tools = clone/"tools"
    tools.mkdir()
    for name in ("python3", "python3.13", "python3.12", "python3.11"):
        (tools/name).write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.2 && exit 0\nexit 1\n')
        (tools/name).chmod(0o755)
    answer = setup(clone, PATH=f"{tools}:{os.environ['PATH']}")
    assert answer.returncode and "needs Python 3.11, 3.12 or 3.13; python3 here is Python 3.9.2." in answer.stderr and not calls(clone)


def test_no_installer_and_no_network(clone):
    (clone/".venv"/"bin"/"uv").unlink()
    (clone/".venv"/"bin"/"python").unlink()
    (clone/".venv"/"bin"/"python").write_text(f'#!/bin/sh\ncase "$*" in *install*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    (clone/".venv"/"bin"/"python").chmod(0o755)
    tools = clone/"tools"
    tools.mkdir()
    for name in ("make", "sh", "python3", "env"): (tools/name).symlink_to(shutil.which(name) if name != "python3" else sys.executable)
    answer = setup(clone, PATH=str(tools))
    assert answer.returncode and "uv, which installs the packages, cannot be fetched" in answer.stderr and "Traceback" not in answer.stderr, answer.stderr
