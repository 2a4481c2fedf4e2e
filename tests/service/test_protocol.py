"""The Open Inference Protocol over a real socket: what the clients of KServe and Triton once sent is answered as it was then, and bad requests are sentences in the protocol's own form.

`exchanges_*.json` were recorded by `benchmarks/protocol_clients.py --record` from kserve 0.21 and tritonclient 2.73 against the stand-ins of this folder."""
import base64
import http.client
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fashion_mlops.core import project_root

HERE = Path(__file__).parent
PIXELS = {"name": "images", "datatype": "UINT8", "shape": [1, 28, 28], "data": [200]*784}


def sent(running, method: str, path: str, body: bytes | None = None, **headers):
    "Status, body and headers of one exchange."
    wire = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    try:
        wire.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        found = wire.getresponse()
        return found.status, found.read(), found.headers
    finally: wire.close()


@pytest.mark.parametrize("model", ["pictures", "rows"])
def test_what_the_clients_sent_is_answered_as_it_was(server, model):
    running, exchanges = server(model=model), json.loads((HERE/f"exchanges_{model}.json").read_text())
    assert {one["client"] for one in exchanges} == {"triton", "kserve"} and len(exchanges) > 20
    for one in exchanges:
        body = None if one["body"] is None else base64.b64decode(one["body"])
        status, content, headers = sent(running, one["method"], one["path"], body, **one["headers"])
        assert (status, content) == (one["status"], base64.b64decode(one["answer"])), one["path"]
        for name in ("content-type", "inference-header-content-length"): assert headers.get(name) == one["answered"].get(name), one["path"]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["pictures", "rows"])
def test_the_clients_themselves(server, model):
    "Where FASHION_MLOPS_KSERVE and FASHION_MLOPS_TRITON name a Python that has them."
    pythons = {name: os.environ.get(f"FASHION_MLOPS_{name.upper()}") for name in ("kserve", "triton")}
    if not any(pythons.values()): pytest.skip("no environment with the clients of KServe or Triton is named")
    asked = [word for name, python in pythons.items() if python for word in (f"--{name}", python)]
    found = subprocess.run([sys.executable, str(project_root()/"benchmarks"/"protocol_clients.py"), "--address", server(model=model).address, *asked],
                           capture_output=True, text=True, timeout=240)
    assert found.returncode == 0, found.stdout + found.stderr


def bad_requests():
    def changed(**more): return json.dumps({"inputs": [PIXELS | more]}).encode()
    good = changed()
    return [("empty", b"", {}, 422, "no JSON"), ("no JSON", b"{", {}, 422, "no JSON"), ("a list", b"[]", {}, 422, "no JSON object"), ("no inputs", b"{}", {}, 422, 'no "inputs"'), ("empty inputs", b'{"inputs": []}', {}, 422, 'no "inputs"'),
            ("datatype", changed(datatype="FLOAT"), {}, 422, "FLOAT"), ("shape", changed(shape=[1, 28, 27]), {}, 422, "784"), ("other shape", changed(shape=[784]), {}, 422, "shape"), ("negative", changed(shape=[-1, 28, 28]), {}, 422, "whole numbers"),
            ("huge shape", changed(shape=[2**31 - 1]*8), {}, 422, "784"), ("ragged", changed(data=[[1], [1, 2]]), {}, 422, "different lengths"), ("words", changed(data=["x"]*784), {}, 422, "numbers"), ("too bright", changed(data=[256]*784), {}, 422, "256"),
            ("halves", changed(datatype="FP32", data=[0.5]*784), {}, 422, "whole numbers"), ("NaN", changed(datatype="FP32", data=[None]*784), {}, 422, "whole numbers"), ("no rows", changed(shape=[0, 28, 28], data=[]), {}, 422, "no row"),
            ("another name", changed(name="image"), {}, 422, "Did you mean images"), ("twice", json.dumps({"inputs": [PIXELS, PIXELS]}).encode(), {}, 422, "twice"), ("many", changed(shape=[1001, 28, 28], parameters={"binary_data_size": 784*1001}, data=None) + b"", {}, 422, "follow"),
            ("output", good[:-1] + b', "outputs": [{"name": "logits"}]}', {}, 422, "logits"), ("length", good, {"inference_header_content_length": "x"}, 400, "number of bytes"), ("length beyond", good, {"inference_header_content_length": "99999"}, 422, "99,999"),
            ("bytes short", changed(parameters={"binary_data_size": 784}) + bytes(783), {}, 422, ""), ("pickle", b"\x80\x04.", {}, 422, "no JSON"), ("deep", b"["*100_000, {}, 422, "no JSON")]


def test_bad_requests_are_sentences_in_the_protocols_form(server):
    running = server(model="pictures")
    for name, body, headers, code, words in bad_requests():
        status, content, _ = sent(running, "POST", "/v2/models/shades/infer", body, **headers)
        said = json.loads(content)
        assert status == code and list(said) == ["error"] and words in said["error"], (name, status, said)
    head = json.dumps({"inputs": [{key: value for key, value in PIXELS.items() if key != "data"} | {"shape": [1001, 28, 28], "parameters": {"binary_data_size": 1001*784}}]}).encode()
    status, content, _ = sent(running, "POST", "/v2/models/shades/infer", head + bytes(1001*784), inference_header_content_length=str(len(head)))
    assert status == 413 and "1,001 images" in json.loads(content)["error"]
    for path in ("/v2/models/shade/infer", "/v2/models/shades/versions/8/infer", "/v2/models/shades/versions/0/infer", "/v2/models/..%2f..%2fkeys/infer", "/v2/models/shades/versions/..%2f7/infer", "/v2/models/%00/infer", "/v2/models//infer", "/v2/modls"):
        status, content, _ = sent(running, "POST", path, json.dumps({"inputs": [PIXELS]}).encode())
        assert status == 404 and list(json.loads(content)) == ["error"], path
    assert sent(running, "PUT", "/v2/models/shades/infer", b"")[0] == 405 and sent(running, "GET", "/v2/models/shades/versions/7/ready")[0] == 200
    assert "fault" not in (running.home/"stderr").read_text()


def test_a_word_that_training_did_not_know_is_refused_at_this_door_too(server):
    running = server(model="rows")
    def asked(price, colour): return json.dumps({"inputs": [{"name": "price", "datatype": "FP64", "shape": [1], "data": [price]}, {"name": "colour", "datatype": "BYTES", "shape": [1], "data": [colour]}]}).encode()
    status, content, _ = sent(running, "POST", "/v2/models/orders/infer", asked(45, "red"))
    assert status == 200 and json.loads(content)["outputs"][1]["data"] == ["returned"]
    status, content, _ = sent(running, "POST", "/v2/models/orders/infer", asked(45, "rad"))
    assert status == 422 and "Did you mean red" in json.loads(content)["error"]


def test_what_came_in_through_this_door_is_in_the_log(server):
    from fashion_mlops.service.prediction_log import log_folder, read_log
    running = server(model="pictures", log={})
    body = json.dumps({"inputs": [PIXELS | {"shape": [2, 28, 28], "data": [200]*1568}]}).encode()
    assert sent(running, "POST", "/v2/models/shades/infer", body, x_request_id="mine")[0] == 200 and running.end() == 0
    os.environ["FASHION_MLOPS_HOME"], before = str(running.home), os.environ.get("FASHION_MLOPS_HOME")
    try: kept = read_log(log_folder("shades"))
    finally: os.environ.pop("FASHION_MLOPS_HOME") if before is None else os.environ.update(FASHION_MLOPS_HOME=before)
    assert kept.id.nunique() == 1 and len(kept) == 2 and kept.row.tolist() == [0, 1] and np.allclose(kept.seconds, kept.seconds[0])
