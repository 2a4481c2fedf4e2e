"""The service over a real socket: bad input is a sentence and disturbs nobody, load is bounded, an end loses nothing, keys open what they should, a log survives kill -9."""
import base64
import gzip
import http.client
import io
import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

JSON = "application/json"
GREY = np.full((28, 28), 200, np.uint8)


def picture(pixels=GREY, format="PNG", **more) -> bytes:
    held = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(held, format, **more)
    return held.getvalue()


def form(*files, field="image") -> tuple[bytes, str]:
    parts = [f'--edge\r\nContent-Disposition: form-data; name="{field}"; filename="a"\r\n\r\n'.encode() + file + b"\r\n" for file in files]
    return b"".join(parts) + b"--edge--\r\n", "multipart/form-data; boundary=edge"


def npy(array) -> bytes:
    held = io.BytesIO()
    np.save(held, array, allow_pickle=True)
    return held.getvalue()


def as_json(data) -> bytes: return json.dumps(data).encode()


def test_every_form_of_a_picture_gets_the_same_answer(server):
    running = server(model="pictures")
    body, kind = form(picture(), picture())
    turned = Image.fromarray(GREY)
    exif = turned.getexif()
    exif[0x0112] = 6
    forms = [(body, kind), (picture(), "image/png"), (GREY.tobytes(), "application/octet-stream"), (npy(GREY), "application/x-npy"), (npy(GREY[None].astype(float)), "application/x-npy"),
             (as_json({"image": GREY.tolist()}), JSON), (as_json({"image": GREY.ravel().tolist()}), JSON), (as_json({"images": [base64.b64encode(picture()).decode()]}), JSON),
             (picture(format="WEBP", lossless=True), "image/webp"), (picture(Image.fromarray(GREY).convert("RGBA")), "image/png"), (picture(Image.fromarray(GREY).convert("P")), "image/png"),
             (picture(Image.fromarray(GREY).convert("CMYK"), "JPEG", quality=100), "image/jpeg"), (picture(turned, exif=exif), "image/png")]
    for body, kind in forms:
        status, said, _ = running.ask("/predict", body, content_type=kind)
        assert status == 200, (kind, said)
        assert abs(said["predictions"][0]["probabilities"]["bright"] - 200/255/1.5) < 0.01, kind
    status, said, headers = running.ask("/predict", gzip.compress(as_json({"image": GREY.tolist()})), content_type=JSON, content_encoding="gzip", x_request_id="mine", traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    assert (status, headers["x-request-id"]) == (200, "mine") and said["id"] != "mine"
    _, trace, span, flags = headers["traceresponse"].split("-")
    assert (trace, flags) == ("4bf92f3577b34da6a3ce929d0e0e4736", "01") and span != "00f067aa0ba902b7"
    bad = running.ask("/version", traceparent="00-ab-cd-01", tracestate="a=1")[2]
    assert "traceresponse" not in bad and "00-ab-cd-01" not in str(bad)
    assert said["model"] == {"dataset": "shades", "version": 7, "name": "by hand"} and said["synthetic"] is True and said["predictions"][0]["set"]
    assert running.end() == 0


def bad_pictures():
    bomb = picture(Image.new("L", (7000, 7000)))
    moving = picture(GREY, "GIF", save_all=True, append_images=[Image.fromarray(GREY//2)])
    cut, kind = form(picture())
    return [("not an image", b"hello", "image/png", 422, "no picture"), ("truncated", picture(np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8))[:300], "image/png", 422, "cannot be decoded"), ("bomb", bomb, "image/png", 413, "pixels"),
            ("animated", moving, "image/gif", 422, "moves"), ("other size", picture(np.zeros((40, 30), np.uint8)), "image/png", 422, "30 × 40 pixels, expected 28 × 28"),
            ("empty file", b"", "image/png", 422, "empty"), ("ragged", as_json({"image": [[1], [1, 2]]}), JSON, 422, "a list of 2; expected 28 rows"), ("empty list", as_json({"images": []}), JSON, 422, "no picture"),
            ("NaN", b'{"image": [NaN]}', JSON, 400, "not JSON"), ("deep", b"["*100_000, JSON, 400, "not JSON"), ("halves", as_json({"image": [0.5]*784}), JSON, 422, "whole numbers"),
            ("too bright", as_json({"image": [256]*784}), JSON, 422, "whole numbers"), ("huge number", as_json({"image": [10**40]*784}), JSON, 422, "number"),
            ("words", as_json({"image": ["7"]*784}), JSON, 422, "no number"), ("pickle", npy(np.array([{}])), "application/x-npy", 422, "Python objects"),
            ("wrong shape", npy(np.zeros((3, 3))), "application/x-npy", 422, "shape"), ("bytes short", b"x"*783, "application/octet-stream", 422, "783 bytes"),
            ("many", b"x"*784*1001, "application/octet-stream", 413, "1,001 images"), ("type", b"x", "text/html", 415, "'text/html'"), ("no field", form(picture(), field="file")[0], kind, 422, "field 'image'"),
            ("form cut", cut[:-9], kind, 400, "ends too early"), ("no boundary", cut, "multipart/form-data", 400, "boundary"), ("not base64", as_json({"image": "@@"}), JSON, 422, "base64")]


def test_bad_pictures_are_sentences_and_disturb_nobody(server):
    running = server(model="pictures")
    for name, body, kind, code, words in bad_pictures():
        status, said, _ = running.ask("/predict", body, content_type=kind)
        assert status == code and words in said["error"]["message"] and said["id"], (name, status, said)
        assert "Traceback" not in json.dumps(said)
    zeros = gzip.compress(bytes(50_000_000))
    for body, encoding, code in [(zeros, "gzip", 413), (b"no gzip", "gzip", 400), (gzip.compress(b"{}")[:-4], "gzip", 400), (b"{}", "br", 415)]:
        assert running.ask("/predict", body, content_type=JSON, content_encoding=encoding)[0] == code, encoding
    assert running.ask("/predict", picture(), content_type="image/png")[0] == 200
    assert "fault" not in (running.home/"stderr").read_text()


def test_bad_rows_name_row_and_column(server):
    running = server(model="rows")
    good = {"price": 45, "colour": "red"}
    status, said, _ = running.rows(good, {"price": None, "colour": "blue"} | {"price": 3})
    assert status == 200 and [one["class"] for one in said["predictions"]] == ["returned", "kept"]
    for row, words in [({"prise": 1, "colour": "red"}, "'price' is missing (null stands for a missing value). Did you mean prise?"), (good | {"size": 1}, "no column 'size'"),
                       (good | {"price": "12,5"}, "Row 2, column 'price' is '12,5'"), (good | {"price": "dear"}, "dear"), (good | {"colour": "rad"}, "Did you mean red?"), (good | {"price": [1]}, "holds a list")]:
        status, said, _ = running.rows(good, row)
        assert status == 422 and words in said["error"]["message"], (row, said)
    assert running.ask("/predict", b'{"rows": [{"price": 1e999, "colour": "red"}]}', content_type=JSON)[0] in (400, 422)
    assert running.rows(*[good]*1001)[0] == 413 and running.rows()[0] == 422 and running.rows(7)[0] == 422
    status, said, _ = running.ask("/predict", b"colour,price\nred,45\nblue,\n", content_type="text/csv")
    assert status == 200 and len(said["predictions"]) == 2
    body, kind = form(b"price,colour\n1,red\n", field="rows")
    assert running.ask("/predict", body, content_type=kind)[0] == 200
    assert running.ask("/predict", b"price,colour\n1\n", content_type="text/csv")[0] == 422


def test_routes_methods_and_lengths(server):
    running = server(model="pictures")
    described = running.ask("/openapi.json")[1]
    for path, methods in described["paths"].items():
        for method, status in [("GET", 200), ("POST", 200), ("PUT", 405), ("DELETE", 405), ("PATCH", 405)]:
            found = running.ask(path, b"" if method != "GET" else None, method)
            assert (found[0] == 405) == (method.lower() not in methods), (path, method)
            if method.lower() in methods: assert str(found[0]) in methods[method.lower()]["responses"], (path, method, found[0])
    for path in ("/predict/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/predikt", "/static/..%2f..%2fkeys", "//etc/passwd", "/predict/"):
        status, said, _ = running.ask(path)
        assert status == 404 and said["error"]["kind"] == "route", path
    for headers, code in [({}, 411), ({"content-length": str(10**12)}, 413)]:
        with socket.create_connection(("127.0.0.1", running.port), timeout=10) as wire:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            wire.sendall(f"POST /predict HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
            assert wire.recv(1000).startswith(b"HTTP/1.1 %d" % code)
    assert "<h1>shades</h1>" in running.ask("/")[1] and 'id="json"' in running.ask("/docs")[1]


def test_a_slow_body_is_given_up(server):
    running = server(model="pictures", limits={"seconds": 0.5})
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as wire:
        wire.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\nabc")
        assert running.ask("/predict", picture(), content_type="image/png")[0] == 200 # nobody waits for it
        assert wire.recv(1000).startswith(b"HTTP/1.1 408")


def test_overload_is_said_at_once(server):
    running = server(model="pictures", seconds=0.02, limits={"waiting": 10})
    def ask(_): return running.ask("/predict", picture(), content_type="image/png")
    with ThreadPoolExecutor(40) as pool: found = list(pool.map(ask, range(120)))
    statuses = {status for status, *_ in found}
    assert statuses == {200, 429}, statuses
    assert all(headers["retry-after"] and said["error"]["kind"] == "overload" for status, said, headers in found if status == 429)
    assert ask(0)[0] == 200
    status, said, headers = running.ask("/predict", as_json({"images": [GREY.tolist()]*30}), content_type=JSON)
    assert status == 200 # one request may be larger than the queue while nothing waits


def test_what_is_counted_and_written_down(server):
    running = server(model="pictures", workers=2, quiet=False)
    for _ in range(20): assert running.ask("/predict", picture(), content_type="image/png", traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", tracestate="congo=1")[0] == 200
    running.ask("/predict", b"secret words", content_type="image/png")
    text = running.ask("/metrics")[1]
    assert 'fashion_mlops_requests_total{method="POST",route="/predict",status="200"} 20.0' in text
    assert 'fashion_mlops_predictions_total{dataset="shades",predicted="bright",version="7"} 20.0' in text
    assert 'fashion_mlops_errors_total{kind="picture"} 1.0' in text and "fashion_mlops_memory_bytes" in text
    assert running.end() == 0
    lines = [json.loads(line) for line in (running.home/"stderr").read_text().splitlines()]
    assert len([line for line in lines if line["route"] == "/predict"]) == 21 and (lines[0]["trace_id"], lines[0]["tracestate"]) == ("4bf92f3577b34da6a3ce929d0e0e4736", "congo=1")
    assert "secret" not in (running.home/"stderr").read_text()


def test_every_route_with_every_key(server, tmp_path):
    from fashion_mlops.service.keys import ROLES, make_key, remove_key
    file = tmp_path/"data"/"keys"/"service.json"
    keys = {role: make_key(role, role, path=file) for role in ROLES} | {"ended": make_key("ended", "admin", days=0, path=file)}
    running = server(model="pictures", keys_wanted=True)
    described = running.ask("/openapi.json", authorization=f"Bearer {keys['admin']}")[1]["paths"]
    told = [(method.upper(), path, said["x-role"]) for path, methods in described.items() for method, said in methods.items()]
    from fashion_mlops.service.application import ROUTES
    assert sorted(told) == sorted((route.method, route.path, route.role or "none") for route in ROUTES) and len({role for *_, role in told}) >= 3
    for method, path, need in told:
        for name, key in {"none": "", "bad": "admin.guess", **keys}.items():
            status, said, headers = running.ask(path.replace("{", "").replace("}", ""), GREY.tobytes() if method == "POST" else None, method, content_type="application/octet-stream", **({"authorization": f"Bearer {key}"} if key else {}))
            wanted = 401 if name in ("none", "bad", "ended") else 403 if need not in ("none", *ROLES[name]) else None
            if need == "none" or wanted is None: assert status not in (401, 403), (path, name)
            else: assert status == wanted, (path, name, status)
            if key: assert key not in json.dumps(said)
    def becomes(status: int, key: str): # keys are read once a second
        ends = time.monotonic() + 20
        while running.ask("/predict", GREY.tobytes(), content_type="application/octet-stream", x_api_key=key)[0] != status:
            assert time.monotonic() < ends
            time.sleep(0.05)
    remove_key("predict", file)
    becomes(401, keys["predict"])
    becomes(200, make_key("predict", path=file))


def clients(running, count, until: threading.Event, turned_away: list):
    "Ask over and over on connections that stay open; the ids that were answered, and what went wrong."
    answered, lost = [], []
    def ask():
        wire = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
        while not until.is_set():
            try:
                wire.request("POST", "/predict", GREY.tobytes(), {"content-type": "application/octet-stream"})
                found = wire.getresponse()
                said = json.loads(found.read())
            except ConnectionRefusedError: return turned_away.append(1)
            except (OSError, http.client.HTTPException) as error: return lost.append(repr(error))
            answered.append((time.time(), said["id"])) if found.status == 200 else lost.append(found.status)
    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads: thread.start()
    return threads, answered, lost


def writers(running) -> list[int]:
    "The processes that write the log of a service."
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str(running.home).encode() in (path/"cmdline").read_bytes() and b"log_writer" in (path/"cmdline").read_bytes(): found.append(int(path.name))
        except OSError: continue
    return found


def wait_for(what, seconds: float = 15):
    "Whether something becomes true in time."
    until = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < until: time.sleep(0.05)
    return found


@pytest.mark.slow
def test_an_end_under_load_loses_no_request(server):
    for _ in range(3):
        running, stop, refused = server(model="pictures", seconds=0.002, log={}), threading.Event(), []
        threads, answered, lost = clients(running, 8, stop, refused)
        time.sleep(1)
        assert running.end() == 0
        stop.set()
        for thread in threads: thread.join(30)
        assert lost == [] and len(answered) > 100
        from fashion_mlops.service.log_files import read_log
        assert {one for _, one in answered} <= set(read_log(running.home/"data"/"serving"/"shades"/"log").id)


@pytest.mark.slow
def test_a_killed_service_leaves_a_log_that_can_be_read(server):
    from fashion_mlops.service.log_files import read_log
    for _ in range(3):
        running, stop = server(model="pictures", log={}), threading.Event()
        threads, answered, _ = clients(running, 4, stop, [])
        time.sleep(1.7)
        killed = time.time()
        running.end(signal.SIGKILL)
        stop.set()
        for thread in threads: thread.join(30)
        read_log(running.home/"data"/"serving"/"shades"/"log") # readable at any moment
        assert wait_for(lambda: not writers(running)) # they write what they have, and end
        there = set(read_log(running.home/"data"/"serving"/"shades"/"log").id)
        old = {one for moment, one in answered if moment < killed - 1}
        assert old and old <= there


def test_feedback_joins_by_id(server):
    from fashion_mlops.service.log_files import read_log
    running = server(model="pictures", log={"keep_inputs": True})
    said = running.ask("/predict", picture(), content_type="image/png")[1]
    def tell(**facts): return running.ask("/feedback", as_json(facts), content_type=JSON)
    assert tell(id=said["id"], label="dark")[0] == 200
    assert [tell(id="nobody", label="dark")[0], tell(id=said["id"], label="drak")[0], tell(id=3)[0], tell(id=said["id"], label="dark", row=-1)[0]] == [404, 422, 422, 422]
    assert running.end() == 0
    row, = read_log(running.home/"data"/"serving"/"shades"/"log").to_dict("records")
    assert (row["label"], row["said"], row["version"], row["slot"], row["input"]) == ("dark", "bright", 7, "champion", picture())
    assert abs(dict(row["watched"])["brightness"] - 200) < 1 and abs(row["confidence"] - 200/255/1.5) < 1e-3


def test_feedback_to_another_worker_is_kept_at_once(server):
    from fashion_mlops.service.log_files import read_log
    running = server(model="pictures", workers=2, log={})
    said = [running.ask("/predict", picture(), content_type="image/png")[1]["id"] for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: running.ask("/feedback", as_json({"id": one, "label": "dark"}), content_type=JSON)[0], said))
    assert found == [200]*4
    assert running.end() == 0
    assert set(read_log(running.home/"data"/"serving"/"shades"/"log").label) == {"dark"}


@pytest.mark.parametrize("age, shared, status", [(20, True, 409), (100, True, None), (20, False, None)])
def test_a_prediction_that_may_still_be_written_is_not_called_unknown(age, shared, status):
    "Whoever is told 404 throws the label away; on a busy machine what another worker answered is written late."
    import asyncio
    from types import SimpleNamespace
    from fashion_mlops.samples.asked import Refused
    from fashion_mlops.service.answering import _known
    async def nothing(*told): return False
    service = SimpleNamespace(log=SimpleNamespace(knows=None, shared=shared), read_aside=nothing)
    asked = f"{int((time.time() - age)*1000):012x}{'0'*20}"
    try: assert asyncio.run(_known(service, asked, 0)) is False and status is None
    except Refused as error: assert error.status == status


def test_a_killed_writer_loses_nothing_and_a_dead_service_leaves_none(server):
    from fashion_mlops.service.log_files import read_log
    running = server(model="pictures", log={})
    def ask(): return running.ask("/predict", GREY.tobytes(), content_type="application/octet-stream")[1]["id"]
    asked = [ask()]
    for _ in range(2):
        found = wait_for(lambda: writers(running))
        asked += [ask() for _ in range(20)]
        os.kill(found[0], signal.SIGKILL)
        asked += [ask() for _ in range(20)]
    assert wait_for(lambda: f'log_rows_total{{outcome="written"}} {len(asked)}.0' in running.ask("/metrics")[1])
    assert "another one starts" in (running.home/"stderr").read_text()
    running.end(signal.SIGKILL)
    assert wait_for(lambda: not writers(running))
    assert sorted(read_log(running.home/"data"/"serving"/"shades"/"log").id) == sorted(asked)


@pytest.mark.slow
def test_counts_are_right_when_a_worker_is_killed(server):
    running = server(model="pictures", workers=2, log={})
    def ask(_):
        try: return running.ask("/predict", GREY.tobytes(), content_type="application/octet-stream")[0]
        except OSError: return 0
    with ThreadPoolExecutor(4) as pool: first = list(pool.map(ask, range(200)))
    children = [int(pid) for pid in open(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read().split()]
    os.kill(children[0], signal.SIGKILL)
    time.sleep(2)
    with ThreadPoolExecutor(4) as pool: second = list(pool.map(ask, range(200)))
    assert f'route="/predict",status="200"}} {(first + second).count(200)}.0' in running.ask("/metrics")[1]
    assert running.end() == 0


def test_without_a_champion_a_sentence_says_what_to_do(home, capsys):
    from fashion_mlops.cli import main
    assert main(["serve"]) == 2 and "This makes one: fashion-mlops run" in capsys.readouterr().err
    assert main(["keys", "add", "shop"]) == 0 and capsys.readouterr().out.startswith("shop.")
    assert main(["keys", "list"]) == 0 and "predict" in capsys.readouterr().out


def test_a_rate_is_that_of_the_whole_service(server, tmp_path):
    from fashion_mlops.service.keys import make_key
    key = make_key("slow", per_second=20, path=tmp_path/"data"/"keys"/"service.json")
    running = server(model="pictures", workers=3, keys_wanted=True)
    def ask(_): return running.ask("/predict", GREY.tobytes(), content_type="application/octet-stream", x_api_key=key)[0]
    began = time.monotonic()
    with ThreadPoolExecutor(6) as pool: found = list(pool.map(ask, range(90)))
    taken = time.monotonic() - began
    assert set(found) == {200, 429} and 20 <= found.count(200) <= 21 + 20*taken


def test_spans_are_sent_where_the_environment_says(server, monkeypatch):
    pytest.importorskip("opentelemetry.sdk.trace")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    running = server(model="pictures")
    running.ask("/version", traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    running.process.send_signal(signal.SIGTERM)
    said = running.process.stdout.read()
    assert running.process.wait(20) == 0 and '"GET /version"' in said and "0x4bf92f3577b34da6a3ce929d0e0e4736" in said


def test_what_is_refused_is_counted_in_the_log_and_a_flood_fills_no_disk(server):
    from fashion_mlops.service.refusals import read_refusals
    running = server(model="rows", log={})
    good, new = {"price": 45, "colour": "red"}, {"price": 45, "colour": "Basel"}
    for _ in range(3): assert running.rows(good)[0] == 200
    for _ in range(300): assert running.rows(*[new]*20)[0] == 422
    assert running.ask("/predict", b"{", content_type=JSON)[0] == 400
    assert running.ask("/nowhere", b"{", content_type=JSON)[0] == 404 and running.ask("/feedback", b"{", content_type=JSON)[0] == 400
    running.end()
    folder = next((running.home/"data"/"serving").glob("*"))/"log"
    found, faults = read_refusals(folder)
    assert (found.requests, found.rows, found.reasons[0], len(found.reasons)) == (301, 6001, ("category", "colour", 6000), 2), found
    files = list(folder.rglob("refusals-*.parquet"))
    assert not faults and len(files) < 20 and sum(path.stat().st_size for path in files) < 100_000
    assert not any(b"Basel" in path.read_bytes() for path in files)
