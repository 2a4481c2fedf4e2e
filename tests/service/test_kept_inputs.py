"""A body that the prediction log kept, of which nobody says any more what it was, becomes the inputs that the model took."""
import io
import random

import numpy as np
import pytest

from fashion_mlops.core import WorkflowError
from fashion_mlops.datasets.kinds import kind_of
from fashion_mlops.drift.kept_inputs import inputs_of_kept
from fashion_mlops.service.parity import form_of, tensor_request

IMAGE = {"kind": "image", "shape": [6, 5]}
TABLE = {"kind": "table", "columns": [{"name": "depth", "type": "numeric"}, {"name": "net", "type": "category"}]}


def npy(array) -> bytes:
    held = io.BytesIO()
    np.save(held, array)
    return held.getvalue()


def bodies(described: dict, inputs) -> dict[str, bytes]:
    "The same inputs in every form that a service reads."
    wing = kind_of(described["kind"])
    return {"json": wing.json_of_inputs(described, inputs), "form": form_of(wing.FILE_FIELD, wing.files_of_inputs(described, inputs))[0],
            "tensors": tensor_request(wing, described, inputs)[0]}


def test_pictures_in_every_form():
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 5), np.uint8)
    found = bodies(IMAGE, images) | {"npy": npy(images), "bytes": images.tobytes()}
    for form, body in found.items(): np.testing.assert_array_equal(inputs_of_kept(IMAGE, body), images, form)


def test_rows_in_every_form():
    rows = kind_of("table").inputs_of_json(TABLE, {"rows": [{"depth": 1.5, "net": "us"}, {"depth": None, "net": "ak"}]})
    found = bodies(TABLE, rows) | {"csv": b"depth,net\n1.5,us\n,ak\n"}
    for form, body in found.items():
        read = inputs_of_kept(TABLE, body)
        assert read["net"].tolist() == ["us", "ak"] and read["depth"].tolist()[0] == 1.5 and np.isnan(read["depth"][1]), form


@pytest.mark.parametrize("described", [IMAGE, TABLE], ids=["image", "table"])
def test_damaged_bodies_cost_a_sentence(described):
    draws = random.Random(0)
    junk = [b"", b"{", b"[]", b"--", b"--x\r\n\r\n", b"\x93NUMPY\x01", b'{"inputs": []}', *(draws.randbytes(size) for size in range(1, 29))]
    for body in junk:
        with pytest.raises(WorkflowError): inputs_of_kept(described, body)
