"""A run whose data are not to be had goes on with others, and nobody can overlook that; whoever names a dataset gets that or none."""
import json
import subprocess

import pytest

from fashion_mlops.datasets.catalogue import FALLBACK, INSTEAD
from fashion_mlops.workflow.progress import loud

NOWHERE = {"FASHION_MLOPS_MIRROR": "", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": ""}


def call(project, *words):
    return subprocess.run(project.command("run", *words), cwd=project.root, env=project.env | NOWHERE, capture_output=True, text=True, timeout=100)


@pytest.mark.slow
def test_it_is_said_at_the_beginning_beside_the_time_at_the_end_and_in_the_report(project):
    answer = call(project, "01_draw")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    begin, end = (answer.stdout.index(loud(INSTEAD)), answer.stdout.rindex(loud(INSTEAD)))
    assert begin < answer.stdout.index(f"on {FALLBACK}, expected: ") < answer.stdout.index("01_draw") < end
    assert len(answer.stdout[end:].removeprefix(loud(INSTEAD)).strip().splitlines()) <= 2 # and hardly anything after it
    page = (project.root/"reports"/"index.html").read_text()
    section = page[page.index(f'<section id="{FALLBACK}">'):]
    assert section.index('<p class="caution">NOT Fashion-MNIST') < section.index('<p class="lead')
    record = json.loads(next((project.root/"data"/"runs"/FALLBACK).glob("*.json")).read_text())
    assert record["note"] == INSTEAD


def test_whoever_only_asks_hears_of_it_too(project):
    said = json.loads(call(project, "--dry-run", "--json").stdout)
    assert said["dataset"] == "fashion_mnist" and "not here yet" in said["note"]


def test_whoever_names_it_gets_that_or_none(project):
    answer = call(project, "--dataset", "fashion_mnist")
    assert answer.returncode == 2 and "FASHION_MLOPS_MIRROR" in answer.stderr and "!!!" not in answer.stdout
    assert not (project.root/"data"/"runs").exists()
