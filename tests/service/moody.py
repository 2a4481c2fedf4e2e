"""Packs that behave until a white picture comes: then they raise, take for ever, or eat memory; or that are slow with every picture."""
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fashion_mlops.core import write_json
from fashion_mlops.service.deployment import serving_folder
from fashion_mlops.service.pack import sign_pack
from fashion_mlops.service.session import in_parts, open_session

WHITE, BLACK = b"\xff"*16, b"\0"*16


def number(name: str, value, kind=np.int64): return numpy_helper.from_array(np.array(value, kind), name)

def rounds(count: str) -> list:
    "A loop that does next to nothing, many times."
    value = [helper.make_tensor_value_info(name, kind, []) for name, kind in [("i", TensorProto.INT64), ("go", TensorProto.BOOL), ("x", TensorProto.FLOAT)]]
    out = [helper.make_tensor_value_info(name, kind, []) for name, kind in [("on", TensorProto.BOOL), ("y", TensorProto.FLOAT)]]
    body = helper.make_graph([helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Abs", ["x"], ["y"])], "body", value, out)
    return [helper.make_node("Loop", [count, "true", "nothing"], ["more"], body=body)]

MOODS = { # nodes from `white`, which is 1 for a picture with a white pixel and 0 for others, to `more`, which is 0
    "raises": [helper.make_node("Mul", ["white", "many"], ["place"]), helper.make_node("Gather", ["one", "place"], ["more"])],
    "hangs": [helper.make_node("Mul", ["white", "many"], ["count"]), *rounds("count")],
    "eats": [helper.make_node("Mul", ["white", "many"], ["size"]), helper.make_node("Reshape", ["size", "single"], ["shape"]),
             helper.make_node("ConstantOfShape", ["shape"], ["huge"]), helper.make_node("ReduceSum", ["huge"], ["more"], keepdims=0)],
    "slow": rounds("few")}


def graph_of(mood: str, share: float):
    "A graph that says `share` of every picture."
    nodes = [helper.make_node("Cast", ["inputs"], ["pixels"], to=TensorProto.INT64), helper.make_node("ReduceMax", ["pixels"], ["most"], keepdims=0),
             helper.make_node("Greater", ["most", "bright"], ["is_white"]), helper.make_node("Cast", ["is_white"], ["white"], to=TensorProto.INT64), *MOODS[mood],
             helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT), helper.make_node("ReduceMean", ["numbers"], ["means"], axes=[1, 2], keepdims=0),
             helper.make_node("Mul", ["means", "zero"], ["nought"]), helper.make_node("Mul", ["more", "zero"], ["nought_too"]), helper.make_node("Add", ["nought", "nought_too"], ["noughts"]),
             helper.make_node("Unsqueeze", ["noughts", "last"], ["column"]), helper.make_node("Add", ["column", "shares"], ["probabilities"])]
    known = [number("bright", 250), number("many", 10**9 if mood == "eats" else 10**12), number("few", 30_000), number("one", [0.0], np.float32), number("zero", 0.0, np.float32), number("nothing", 0.0, np.float32),
             number("single", [1]), number("last", [1]), number("true", True, bool), number("shares", [[share, 1 - share]], np.float32)]
    made = helper.make_graph(nodes, mood, [helper.make_tensor_value_info("inputs", TensorProto.UINT8, ["rows", 4, 4])], [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 2])], known)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def place_moody(dataset: str, version: int, mood: str, share: float = 0.35) -> Path:
    "A signed pack of pictures of 4 × 4 with a mood."
    folder = serving_folder(dataset)/f"v{version}"
    folder.mkdir(parents=True)
    onnx.save(graph_of(mood, share), folder/"model.onnx")
    inputs = np.random.default_rng(version).integers(0, 200, (8, 4, 4), np.uint8)
    np.savez(folder/"expected.npz", inputs=inputs, probabilities=in_parts(open_session(folder/"model.onnx"), inputs))
    write_json(folder/"serving.json", {"format": 1, "form": "graph", "dataset": dataset, "candidate": f"moody {version}", "kind": "image", "classes": ["dark", "bright"],
                                       "input": {"shape": [4, 4], "kind": "image", "preparation": {}}, "watched": [], "graph": {"inputs": [{"name": "inputs", "dtype": "uint8", "shape": [-1, 4, 4]}]}})
    sign_pack(folder)
    return folder
