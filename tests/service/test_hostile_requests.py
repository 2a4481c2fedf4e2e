"""One client that means ill, or has no luck, is answered or cut off; the others notice nothing."""
import gzip
import http.client
import io
import json
import select
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

GREY = np.full((28, 28), 200, np.uint8)
RAW = {"content_type": "application/octet-stream"}


def npy(array) -> bytes:
    held = io.BytesIO()
    np.save(held, array)
    return held.getvalue()


def longest_wait(running, stop: threading.Event) -> list[float]:
    "How long somebody who asks for nothing but a sign of life had to wait, each time."
    waited = []
    def look():
        while not stop.is_set():
            began = time.monotonic()
            assert running.ask("/health/live")[0] == 200
            waited.append(time.monotonic() - began)
    thread = threading.Thread(target=look)
    thread.start()
    waited.append(0.0)
    return waited


def test_an_array_without_images_is_refused_and_the_service_goes_on(server):
    running = server(model="pictures")
    for empty in (np.zeros((0, 28, 28), np.uint8), np.zeros((0,), np.uint8)):
        assert running.ask("/predict", npy(empty), content_type="application/x-npy")[0] == 422
    assert running.ask("/predict", GREY.tobytes(), **RAW)[0] == 200 and running.end() == 0


@pytest.mark.slow
def test_many_columns_and_many_pixels_hold_nobody_up(server):
    running, stop = server(model="rows"), threading.Event()
    waited = longest_wait(running, stop)
    names = ",".join(f"n{number}" for number in range(15_000)).encode() # 90 kB
    status, said, _ = running.ask("/predict", names + b"\n", content_type="text/csv")
    stop.set()
    assert status == 422 and len(json.dumps(said)) < 3000 and max(waited) < 1, max(waited)
    running.end()
    running, stop = server(model="prepared"), threading.Event()
    waited, held = longest_wait(running, stop), io.BytesIO()
    Image.new("1", (3900, 4000)).save(held, "PNG") # 15.6 million pixels in some 2 kB
    status, said, _ = running.ask("/predict", held.getvalue(), content_type="image/png")
    assert status == 200, said
    twice = b"".join(b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + held.getvalue() + b"\r\n" for _ in range(2)) + b"--x--\r\n"
    status, said, _ = running.ask("/predict", twice, content_type="multipart/form-data; boundary=x")
    stop.set()
    assert status == 413 and "with those before it" in said["error"]["message"], said
    assert max(waited) < 1, max(waited)


@pytest.mark.slow
def test_the_rows_of_all_files_of_a_form_count_together(server):
    running = server(model="rows")
    part = b'--x\r\nContent-Disposition: form-data; name="rows"; filename="%d.csv"\r\n\r\nprice,colour\n' + b"1,red\n"*600 + b"\r\n"
    assert running.ask("/predict", part % 1 + b"--x--\r\n", content_type="multipart/form-data; boundary=x")[0] == 200
    assert running.ask("/predict", part % 1 + part % 2 + b"--x--\r\n", content_type="multipart/form-data; boundary=x")[0] == 413


def test_members_of_a_gzip_are_all_read(server):
    running = server(model="rows")
    body = gzip.compress(b"price,colour\n1,red\n") + gzip.compress(b"2,blue\n")
    status, said, _ = running.ask("/predict", body, content_type="text/csv", content_encoding="x-gzip")
    assert status == 200 and len(said["predictions"]) == 2
    many = gzip.compress(b"")*5000
    assert running.ask("/predict", many, content_type="text/csv", content_encoding="gzip")[0] == 400


@pytest.mark.slow
def test_who_has_gone_is_not_answered(server):
    running = server(model="pictures", seconds=0.2)
    def leave(_):
        with socket.create_connection(("127.0.0.1", running.port), timeout=10) as wire:
            wire.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 15680\r\n\r\n" + GREY.tobytes()*20)
            time.sleep(0.1)
    with ThreadPoolExecutor(8) as pool: list(pool.map(leave, range(8))) # 32 s of work
    began = time.monotonic()
    assert running.ask("/predict", GREY.tobytes(), **RAW)[0] == 200
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_a_large_request_lets_others_in_between(server):
    running = server(model="pictures", seconds=0.004)
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(running.ask, "/predict", GREY.tobytes()*900, **RAW) # 3.6 s of sleep, however busy the machine is
        time.sleep(0.3)
        assert running.ask("/predict", GREY.tobytes(), **RAW)[0] == 200 and not large.done()
        status, said, _ = large.result()
    assert status == 200 and len(said["predictions"]) == 900
    shares = {one["probabilities"]["bright"] for one in said["predictions"]}
    assert len(shares) == 1 # each its own row's answer


def test_another_protocol_may_be_offered(server):
    running = server(model="pictures")
    status, said, _ = running.ask("/predict", GREY.tobytes(), connection="Upgrade, HTTP2-Settings", upgrade="h2c", http2_settings="AAMAAABkAAQCAAAAAAIAAAAA", **RAW)
    assert status == 200, said


def test_a_refusal_of_a_large_body_can_be_read(server):
    running = server(model="pictures")
    status, said, _ = running.ask("/predict", b"x"*30_000_000, **RAW)
    assert status == 413 and said["error"]["kind"] == "too_large"


@pytest.mark.slow
def test_bodies_that_never_end_fill_no_memory(server):
    "Four clients send 9 MB each of a body without end, where 20 MB may be held: two find no room, whichever they are."
    running = server(model="pictures", limits={"held": 20_000_000, "seconds": 60}) # nobody is sent away for being slow
    wires = [socket.create_connection(("127.0.0.1", running.port), timeout=30) for _ in range(4)]
    try:
        for wire in wires:
            with suppress(ConnectionError): # refused while it sends
                wire.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 15000000\r\n\r\n" + b"x"*9_000_000)
        answered, until = [], time.monotonic() + 30
        while len(answered) < 2 and time.monotonic() < until: answered = select.select(wires, [], [], 0.1)[0]
        assert 2 <= len(answered) < 4
        for wire in answered: assert b" 503 " in wire.recv(300).partition(b"\r\n")[0]
    finally:
        for wire in wires: wire.close()
    until = time.monotonic() + 30 # as soon as the service knows that they have gone
    while (status := running.ask("/predict", GREY.tobytes(), **RAW)[0]) == 503 and time.monotonic() < until: time.sleep(0.1)
    assert status == 200


def test_a_page_of_somebody_else_is_refused_where_no_key_is_asked_for(server):
    running = server(model="pictures", local=True)
    def ask(**headers): return running.ask("/predict", GREY.tobytes(), **RAW, **headers)[0]
    assert ask() == 200 and ask(host="localhost:80") == 200 and ask(origin=running.address) == 200
    assert ask(origin="https://evil.example") == 403 and ask(host="evil.example") == 403
    assert running.ask("/health/live", host="evil.example")[0] == 200


def test_a_lost_reader_of_the_log_stops_nobody(tmp_path):
    "Nobody reads what the service writes to stderr, and its pipe is full."
    import os, subprocess, sys
    from pathlib import Path
    process = subprocess.Popen([sys.executable, str(Path(__file__).parent/"stand_in.py"), json.dumps({"model": "pictures", "quiet": False})], env=os.environ | {"FASHION_MLOPS_HOME": str(tmp_path)},
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        port = int(process.stdout.readline().split("answers at ")[1].split()[0].rpartition(":")[2])
        wire = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for _ in range(1000):
            wire.request("GET", "/health/live")
            with wire.getresponse() as found: assert found.status == 200 and found.read()
        wire.close()
    finally:
        process.kill()
        process.communicate()
