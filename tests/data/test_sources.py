"""Damaged or missing source files: refused by name, with both checksums and the way out, before anything runs."""
import gzip
import hashlib
import json
import shutil

import numpy as np
import pytest

from fashion_mlops.core import WorkflowError
from fashion_mlops.datasets.catalogue import choose_dataset, make_samples
from fashion_mlops.images import fashion_mnist
from fashion_mlops.samples.samples import load_samples, save_samples
from fashion_mlops.samples.sources import ChecksumError, Source, UnreachableError, fetch


def idx(array: np.ndarray) -> bytes:
    "A gzip file in the IDX format of MNIST."
    header = bytes([0, 0, 8, array.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


@pytest.fixture
def small_source(home, monkeypatch):
    "A Fashion-MNIST of a hundred images in `data/raw`, with checksums of its own."
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(10, dtype=np.uint8), 10)
    names = list(fashion_mnist.FASHION_MNIST.files)
    contents = [idx(draw.integers(0, 256, (100, 28, 28), dtype=np.uint8)), idx(labels)] * 2
    folder = home/"data"/"raw"/fashion_mnist.FASHION_MNIST.folders[0]
    folder.mkdir(parents=True)
    for name, content in zip(names, contents): (folder/name).write_bytes(content)
    source = Source("Fashion-MNIST", {n: hashlib.md5(c).hexdigest() for n, c in zip(names, contents)}, ("http://127.0.0.1:9/nobody",), fashion_mnist.FASHION_MNIST.folders)
    monkeypatch.setattr(fashion_mnist, "FASHION_MNIST", source)
    monkeypatch.setenv("FASHION_MLOPS_ROOT", str(home))
    monkeypatch.setenv("FASHION_MLOPS_MIRROR", "")
    return folder


def test_real_files_become_samples(small_source):
    samples = make_samples("fashion_mnist", 0, 0.2, seed=1)
    assert samples.images.shape == (200, 28, 28) and not samples.synthetic
    assert np.bincount(samples.split).tolist() == [80, 20, 100]
    assert (np.bincount(samples.labels[samples.rows("valid")]) == 2).all()
    assert samples.digest == make_samples("fashion_mnist", 0, 0.2, seed=1).digest


@pytest.mark.parametrize("damage", [lambda b: b[:-7], lambda b: b[:30] + bytes([b[30] ^ 1]) + b[31:], lambda b: b""], ids=["truncated", "bit flipped", "empty"])
def test_damaged_files_are_refused(small_source, damage):
    path = small_source/"train-labels-idx1-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ChecksumError) as refused: choose_dataset(None)
    message = str(refused.value)
    assert str(path) in message and "expected MD5" in message and "found" in message and "Remove the file" in message


def test_without_files_and_network_the_default_falls_back_and_the_name_does_not(small_source):
    shutil.rmtree(small_source)
    assert choose_dataset(None)[0] == "synthetic"
    with pytest.raises(UnreachableError, match="FASHION_MLOPS_MIRROR"): choose_dataset("fashion_mnist")


def test_incomplete_samples_are_named(home):
    samples = make_samples("synthetic", 140, 0.2, seed=3)
    folder = save_samples(samples, home/"samples")
    about = json.loads((folder/"dataset.json").read_text())
    (folder/"dataset.json").write_text(json.dumps(about | {"shape": [139, 28, 28]}))
    with pytest.raises(WorkflowError, match="expected"): load_samples(folder)


@pytest.mark.slow
def test_the_official_files_where_they_are_at_hand():
    try: files = fetch(fashion_mnist.FASHION_MNIST)
    except UnreachableError: pytest.skip("Fashion-MNIST is not at hand and there is no network")
    samples = make_samples("fashion_mnist", 0, 0.1, seed=42)
    assert len(files) == 4 and np.bincount(samples.split).tolist() == [54_000, 6_000, 10_000]
    assert (np.bincount(samples.labels[samples.rows("test")]) == 1_000).all()
