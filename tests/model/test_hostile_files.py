"""A version whose files somebody has put others in the place of: nothing in them is executed, and the refusal is a sentence."""
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fashion_mlops.core import WorkflowError
from fashion_mlops.datasets.catalogue import make_samples


class Touch:
    "Leaves a trace when it is unpickled."
    def __init__(self, path): self.path = path
    def __reduce__(self): return (open, (str(self.path), "w"))


def touching(path) -> dict[str, bytes]:
    "The same mischief in each format."
    import io
    import skops.io
    import torch
    held = io.BytesIO()
    torch.save({"weight": Touch(path)}, held)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as inside: inside.writestr("schema.json", '{"__class__": "system", "__module__": "posix", "__loader__": "FunctionNode", "content": "touch ' + str(path) + '", "protocol": 0, "_skops_version": "0.13"}')
    return {"pickle": pickle.dumps(Touch(path)), "torch": held.getvalue(), "skops of a function": packed.getvalue(), "skops of a type": skops.io.dumps(os.path.basename), "nothing": b""}


@pytest.fixture(scope="module")
def candidates(tmp_path_factory):
    "A classical candidate and a net."
    from sklearn.linear_model import LogisticRegression
    from fashion_mlops.images.feature_pipeline import feature_pipeline
    from fashion_mlops.models.model_file import save_model_file
    from fashion_mlops.nets.trainer import Recipe, Trainer
    from fashion_mlops.service.predictor import save_candidate
    samples, folder = make_samples("synthetic", 300, 0.2, seed=3), tmp_path_factory.mktemp("hostile")
    images, labels = samples.take("train")
    pipeline = feature_pipeline(n_components=5).fit(images)
    save_model_file(pipeline, folder/"pipeline.skops")
    about = {"classes": samples.classes, "shape": [28, 28]}
    model = LogisticRegression(max_iter=50).fit(pipeline.transform(images), labels)
    trainer = Trainer(Recipe(epochs=1, width=8, batch=32, seed=1), images, labels, classes=10, threads=1)
    trainer.fit(tell=lambda line: None)
    return {"classical": save_candidate(folder/"classical", model, about | {"name": "classical"}, folder/"pipeline.skops"),
            "net": save_candidate(folder/"net", trainer.net, about | {"name": "net", "architecture": {"width": 8}})}


@pytest.mark.parametrize("kind", ["classical", "net"])
@pytest.mark.parametrize("mischief", ["pickle", "torch", "skops of a function", "skops of a type", "nothing"])
def test_nothing_is_executed(candidates, tmp_path, kind, mischief):
    import shutil
    from fashion_mlops.service.champion import verified_candidate
    from fashion_mlops.service.champion import verified_candidate
    from fashion_mlops.service.predictor import load_predictor
    from fashion_mlops.core import digest_path
    models = [path.relative_to(candidates[kind]) for path in sorted(candidates[kind].rglob("*")) if path.suffix in (".skops", ".safetensors", ".pt", ".onnx")]
    assert models
    for name in models:
        folder, trace = tmp_path/f"{name}".replace("/", "-"), tmp_path/"trace"
        shutil.copytree(candidates[kind], folder)
        (folder/name).write_bytes(touching(trace)[mischief])
        with pytest.raises(WorkflowError, match="not what was registered"): verified_candidate(folder, digest_path(candidates[kind]))
        with pytest.raises(WorkflowError) as caught: load_predictor(folder).predict_proba(np.zeros((1, 28, 28), np.uint8))
        assert "\n" not in str(caught.value) and not trace.exists(), (name, caught.value)
