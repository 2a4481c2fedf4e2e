"""The real Dockerfile's `serve`, built and run: as an ordinary user, on a root that nobody can write to, with nothing in it that trains.

What this holds, and what not: the lines of the Dockerfile run one by one under buildah, on a base of this machine's own files (or FASHION_MLOPS_BASE). The run is
that of a runtime in what the image can notice of it: user, environment, words, mounts, no privileges, first process of its own. Network and limits are the machine's."""
import os
import shutil
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fashion_mlops.service.deployment import open_champion, serving_folder, set_champion
from fashion_mlops.samples.samples import load_samples
from fashion_mlops.service.parity import NEAR, answerable, ask_over_http, held_out_rows
from fashion_mlops.service.predictor import decided
from fashion_mlops.service.served_version import served_datasets
from fashion_mlops.workflow.manifests import artifact

import containers
from containers import USER, Container, build, missing, opened
from test_parity import orders, pictures, trained

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("image")]
if why := missing(): pytestmark.append(pytest.mark.skip(reason=f"no image can be built here: {why}"))
TRAINING = {"torch", "torchvision", "jupyter", "jupyterlab", "jupyter_client", "ipykernel", "notebook", "mlflow", "sklearn", "scipy", "shap", "tpot", "optuna", "lightgbm", "matplotlib",
            "evidently", "papermill", "nbdev", "great_expectations", "pip", "setuptools", "wheel", "uv"}


@pytest.fixture(scope="session")
def image():
    "Folder and words of the built image."
    with opened(build("serve", VERSION="1.2.3", REVISION="0123abc")) as found: yield found


@pytest.fixture
def container(image, home):
    "The image, with an empty home."
    return Container(*image, home)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def files(root: Path) -> dict[str, os.stat_result]:
    return {path.relative_to(root).as_posix(): path.lstat() for path in root.rglob("*") if path.is_file() and not path.is_symlink()}


def test_it_is_small_and_holds_nothing_that_trains(image):
    root, said = image
    with opened(containers.base()) as (below, _): under = files(below)
    inside = files(root)
    own = {name: stat for name, stat in inside.items() if name not in under or under[name].st_size != stat.st_size}
    layers = sum(stat.st_size for stat in [*under.values(), *own.values()])
    print(f"image {layers / 1e6:.0f} MB, of it our layers {sum(stat.st_size for stat in own.values()) / 1e6:.0f} MB")
    assert layers < 600e6 and sum(stat.st_size for stat in own.values()) < 400e6, "the base of the official image weighs about 130 MB"
    parts = {part for name in inside for part in Path(name).parts}
    assert not parts & TRAINING and not [part for part in parts if part.startswith(("torch-", "pip-", "setuptools-"))]
    assert not [name for name in own if name.startswith(("root/", "var/cache", "build/", "tmp/")) or "/.cache/" in name]
    assert not parts & {".git", "pip.conf", "uv.toml", ".netrc"}
    programs = {Path(name).name for name in inside if Path(name).parent.name in ("bin", "sbin")}
    assert not programs & {"gcc", "cc", "make", "ld", "as", "pip", "pip3", "uv", "git", "curl", "wget", "jupyter"}, programs


def test_what_is_in_it_was_meant_to_be(image):
    "Nothing of a checkout but the library, and no word of where packages came from."
    root, said = image
    own = [path for path in (root/"opt/fashion_mlops").rglob("*") if path.is_file() and not path.is_symlink()]
    library = [path for path in own if "fashion_mlops" in path.parent.relative_to(root/"opt/fashion_mlops").parts]
    assert library and {path.suffix for path in library} == {".py", ".pyc"}
    assert not [path.name for path in own if path.suffix in (".pem", ".key", ".npz", ".db", ".ipynb")]
    words = [containers.CANARY, *(os.environ[name] for name in containers.INDEXES if os.environ.get(name) and name != "PIP_CERT")]
    held = [path for path in own if any(word.encode() in path.read_bytes() for word in words)]
    assert not held and not any(word in str(said) for word in words)
    compiled = [path for path in own if path.suffix == ".pyc"]
    assert all(path.read_bytes()[4] & 1 for path in compiled), "bytecode that is looked after by its time would be written anew"
    assert len(compiled) >= sum(path.suffix == ".py" for path in own) * 0.95


def test_it_says_what_it_is(image):
    _, said = image
    labels, config = said["config"]["Labels"], said["config"]
    assert labels["org.opencontainers.image.version"] == "1.2.3" and labels["org.opencontainers.image.revision"] == "0123abc"
    assert config["User"] == f"{USER}:{USER}" and config["Entrypoint"][:2] == ["fashion-mlops", "serve"] and not config["Cmd"]
    assert "FASHION_MLOPS_HOME=/srv/fashion_mlops" in config["Env"] and list(config["ExposedPorts"]) == ["8000/tcp"]


def test_its_user_can_write_to_home_and_tmp_only(container):
    told = container.call("sh", "-c", "id -u; touch here /tmp/there; touch /new /opt/fashion_mlops/new /var/new; cat /proc/self/status")
    assert told.stdout.startswith(f"{USER}\n") and told.stderr.count("Read-only file system") == 3, told
    assert "CapEff:\t0000000000000000" in told.stdout and "NoNewPrivs:\t1" in told.stdout
    assert (container.home/"here").exists()


def test_without_keys_it_does_not_answer_everybody(container):
    "As it starts of itself: on every interface."
    folder = serving_folder("drawn")/"v1"
    folder.mkdir(parents=True)
    (folder.parent/"slots.json").write_text('{"champion": 1, "facts": {}, "packs": {}}')
    told = subprocess.run(container.command(), capture_output=True, text=True, env={"PATH": containers.PATH}, timeout=60)
    assert told.returncode == 2 and "there is no key yet. Make one: fashion-mlops keys add NAME" in told.stderr, told


def answers_as_here(container, dataset: str, samples):
    "The service of a container says of held-out rows what the pack says in this process, through every door."
    served, _ = open_champion(dataset) # which answers as it did when it was packed, or is refused
    inputs, port = samples.at(answerable(served, samples, held_out_rows(samples, 200))), free_port()
    with container.serving(port, "--dataset", dataset, "--anybody-may-ask") as first:
        found, missed = ask_over_http(f"http://127.0.0.1:{port}", served, served.in_form(inputs))
        test = [word.replace("8000", str(port)) for word in container.said["Healthcheck"]["Test"]]
        assert test[0] == "CMD" and container.call(*test[1:]).returncode == 0
        assert container.call(*(word.replace(str(port), str(free_port())) for word in test[1:])).returncode != 0, "it can say that nobody answers"
        assert f"Uid:\t{USER}\t{USER}" in Path(f"/proc/{first}/status").read_text()
    wanted = served.predict_proba(inputs)
    assert len(found) == 3 and not missed and len(wanted) > 50
    for door, told in found.items():
        np.testing.assert_allclose(told.probabilities, wanted, atol=NEAR, err_msg=door)
        assert (told.said == decided(wanted, served.threshold)).all()
    assert list((container.home/"data/serving"/dataset/"log").rglob("*.parquet")), "the prediction log is written by a process of its own"


@pytest.mark.parametrize("drawn", [orders, pictures])
def test_a_champion_answers_as_it_was_packed(container, drawn):
    from fashion_mlops.service.pack import write_pack
    samples = drawn()
    candidate = trained(samples, container.home)
    write_pack(serving_folder("drawn")/"v1", candidate, "drawn", samples.at(samples.rows("valid")))
    set_champion("drawn", 1)
    answers_as_here(container, "drawn", samples)


@pytest.mark.parametrize("place", os.environ.get("FASHION_MLOPS_IMAGE_HOMES", "").split(":"))
def test_the_champion_of_a_run_answers_as_it_was_packed(container, monkeypatch, place):
    if not place: pytest.skip("no home of a run is named in FASHION_MLOPS_IMAGE_HOMES")
    for name in ("serving", "keys"): shutil.copytree(Path(place)/"data"/name, container.home/"data"/name)
    for dataset in served_datasets():
        with monkeypatch.context() as there:
            there.setenv("FASHION_MLOPS_HOME", place)
            samples = load_samples(artifact(dataset, "samples"))
        answers_as_here(container, dataset, samples)
