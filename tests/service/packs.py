"""Packs that are signed, open in milliseconds and can be told apart by what they answer."""
import warnings
from pathlib import Path

import numpy as np

from fashion_mlops.core import write_json
from fashion_mlops.service.deployment import serving_folder
from fashion_mlops.service.pack import sign_pack
from fashion_mlops.service.session import in_parts, open_session


def share_of(version: int) -> float: return round(0.05 + 0.9*(version % 10)/10, 6)


def place_version(dataset: str, version: int, wrong: bool = False) -> Path:
    "A pack of pictures of 4 × 4 that answers every picture with `share_of(version)`; one that does not answer as expected when `wrong`."
    import torch
    class Same(torch.nn.Module):
        def forward(self, inputs):
            mean = inputs.float().mean((1, 2))*0
            return torch.stack([mean + share_of(version), mean + 1 - share_of(version)], 1)
    folder = serving_folder(dataset)/f"v{version}"
    folder.mkdir(parents=True)
    inputs = np.random.default_rng(version).integers(0, 256, (8, 4, 4), np.uint8)
    with warnings.catch_warnings(action="ignore"): # about the exporter that is to come
        torch.onnx.export(Same(), torch.from_numpy(inputs), str(folder/"model.onnx"), dynamo=False, opset_version=17,
                          input_names=["inputs"], output_names=["probabilities"], dynamic_axes={"inputs": {0: "rows"}, "probabilities": {0: "rows"}})
    np.savez(folder/"expected.npz", inputs=inputs, probabilities=in_parts(open_session(folder/"model.onnx"), inputs) + 0.1*wrong)
    write_json(folder/"serving.json", {"format": 1, "form": "graph", "dataset": dataset, "candidate": f"same {version}", "kind": "image", "classes": ["dark", "bright"],
                                       "input": {"shape": [4, 4], "kind": "image", "preparation": {}}, "watched": [], "graph": {"inputs": [{"name": "inputs", "dtype": "uint8", "shape": [-1, 4, 4]}]}})
    sign_pack(folder)
    return folder
