"""The ordinary HTTP clients of KServe and Triton against a running service: what they send is answered, as JSON and in binary.

    fashion-mlops serve --port 8931 &
    python benchmarks/protocol_clients.py --address http://127.0.0.1:8931 --kserve ENV/bin/python --triton ENV/bin/python

Each client lives in an environment of its own (`kserve==0.21.*`; `tritonclient[http]==2.73.*`); one that is not given is left out.
`--record FILE` keeps what went over the wire, for `tests/service/test_protocol.py`."""
import argparse
import base64
import http.client
import json
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

DATATYPES = {"UINT8": np.uint8, "FP64": np.float64, "BYTES": object}


def ask(address: str, path: str, body=None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(address + path, data, {"content-type": "application/json"}), timeout=30) as found: return json.load(found)


def asked(address: str) -> tuple[str, str, list, dict]:
    "Name of the model and its version, its example as tensors, and what `/predict` says to the same example."
    paths, version = ask(address, "/openapi.json")["paths"], ask(address, "/version")
    def example(path): return paths[path]["post"]["requestBody"]["content"]["application/json"]["example"]
    tensors = []
    for one in example("/v2/models/{name}/infer")["inputs"]:
        values = [("" if one["datatype"] == "BYTES" else np.nan) if value is None else value for value in one["data"]]
        tensors.append((one["name"], one["datatype"], np.array(values, DATATYPES[one["datatype"]]).reshape(one["shape"])))
    return version["dataset"], str(version["version"]), tensors, ask(address, "/predict", example("/predict"))["predictions"][0]


def same(probabilities, classes, said) -> float:
    "The largest difference from what `/predict` says; raises where the class is another."
    name = classes[0].decode() if isinstance(classes[0], bytes) else classes[0]
    assert name == said["class"], (name, said["class"])
    return float(np.abs(np.ravel(probabilities) - list(said["probabilities"].values())).max())


def triton(address: str):
    import tritonclient.http as client
    from tritonclient.utils import InferenceServerException
    name, version, tensors, said = asked(address)
    with client.InferenceServerClient(address.removeprefix("http://"), concurrency=8) as there:
        assert there.is_server_live() and there.is_server_ready() and there.is_model_ready(name) and there.is_model_ready(name, version)
        assert there.get_server_metadata()["name"] == "fashion_mlops" and there.get_model_metadata(name)["inputs"][0]["name"] == tensors[0][0]
        assert not there.is_model_ready("nobody")
        def inputs(binary):
            found = [client.InferInput(one, list(values.shape), datatype) for one, datatype, values in tensors]
            for tensor, (*_, values) in zip(found, tensors): tensor.set_data_from_numpy(values, binary_data=binary)
            return found
        def outputs(binary): return [client.InferRequestedOutput(one, binary_data=binary) for one in ("probabilities", "class")]
        for sent in (True, False):
            for wanted in (True, False, None):
                for more in ({}, {"request_compression_algorithm": "gzip"}, {"model_version": version, "request_id": "7"}):
                    found = there.infer(name, inputs(sent), outputs=None if wanted is None else outputs(wanted), **more)
                    apart = same(found.as_numpy("probabilities"), found.as_numpy("class"), said)
                    assert apart < 1e-5 and found.get_response().get("id", "") == more.get("request_id", "")
                    print(f"triton: sent {'binary' if sent else 'JSON'}, wanted {wanted}, {more}: difference {apart:.1e}")
        waiting = [there.async_infer(name, inputs(True)) for _ in range(8)]
        assert all(same(one.as_numpy("probabilities"), one.as_numpy("class"), said) < 1e-5 for one in [each.get_result() for each in waiting])
        wrong = client.InferInput("nobody", [1], "FP32")
        wrong.set_data_from_numpy(np.zeros(1, np.float32))
        for asks in (lambda: there.infer("nobody", inputs(True)), lambda: there.infer(name, inputs(True), model_version="99"), lambda: there.infer(name, [wrong]),
                     lambda: there.get_model_metadata("nobody"), lambda: there.infer(name, inputs(True), outputs=[client.InferRequestedOutput("nobody")])):
            try: asks()
            except InferenceServerException as error: print(f"triton: {error}")
            else: raise AssertionError("was answered")


async def kserve(address: str):
    import httpx
    from kserve import InferenceRESTClient, InferInput, InferOutput, InferRequest, RESTConfig
    from kserve.protocol.infer_type import RequestedOutput
    name, version, tensors, said = asked(address)
    there = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    assert await there.is_server_live(address) and await there.is_server_ready(address) and await there.is_model_ready(address, name)
    def request(binary, outputs, name=name):
        found = [InferInput(one, list(values.shape), datatype) for one, datatype, values in tensors]
        for tensor, (*_, values) in zip(found, tensors): tensor.set_data_from_numpy(values, binary_data=binary)
        wanted = None if outputs is None else [RequestedOutput(one, parameters={"binary_data": outputs}) for one in ("probabilities", "class")]
        return InferRequest(name, found, request_outputs=wanted)
    for sent in (True, False):
        for outputs in (True, False, None):
            found = await there.infer(address, request(sent, outputs), model_name=name)
            by_name = {one.name: one.as_numpy() for one in found.outputs}
            apart = same(by_name["probabilities"], by_name["class"], said)
            assert apart < 1e-5
            print(f"kserve: sent {'binary' if sent else 'JSON'}, wanted {outputs}: difference {apart:.1e}")
    for asks in (there.infer(address, request(True, None), model_name="nobody"), there.is_model_ready(address, "nobody")):
        try: assert not await asks
        except httpx.HTTPStatusError as error: print(f"kserve: {error}")


class Recorder(BaseHTTPRequestHandler):
    "Hands every request on, and keeps it with its answer."
    protocol_version, held, to = "HTTP/1.1", [], ""
    def log_message(self, *words): pass
    def do_POST(self): self.passed(self.rfile.read(int(self.headers.get("content-length", 0))))
    def do_GET(self): self.passed(None)
    def passed(self, body):
        wire = http.client.HTTPConnection(self.to, timeout=30)
        wire.request(self.command, self.path, body, dict(self.headers))
        found = wire.getresponse()
        content, kept = found.read(), ("content-type", "content-encoding", "inference-header-content-length")
        def some(headers): return {key.lower(): value for key, value in headers.items() if key.lower() in kept}
        if self.path.startswith("/v2"):
            self.held.append({"client": self.server.client, "method": self.command, "path": self.path, "headers": some(self.headers), "body": None if body is None else base64.b64encode(body).decode(),
                              "status": found.status, "answer": base64.b64encode(content).decode(), "answered": some(found.headers)})
        self.send_response(found.status)
        for key, value in some(found.headers).items(): self.send_header(key, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main(args) -> int:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    Recorder.to = args.address.removeprefix("http://")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address, codes = f"http://127.0.0.1:{server.server_port}", []
    for name in ("triton", "kserve"):
        if not (python := getattr(args, name)): continue
        server.client = name
        codes.append(subprocess.run([python, __file__, "--client", name, "--address", address], timeout=180).returncode)
        print(f"{name}: {'all as it should be' if not codes[-1] else 'failed'}")
    server.shutdown()
    if args.record:
        unlike = {json.dumps(one, sort_keys=True): one for one in Recorder.held}
        with open(args.record, "w") as file: json.dump(list(unlike.values()), file, indent=1)
    return max(codes, default=0)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--address", required=True)
    for name in ("kserve", "triton", "record"): p.add_argument(f"--{name}")
    p.add_argument("--client", choices=("kserve", "triton"), help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.client == "triton": triton(args.address)
    elif args.client == "kserve":
        import asyncio
        asyncio.run(kserve(args.address))
    else: sys.exit(main(args))
