"""Jobs over a real socket: sent, followed, fetched, ended; found by any worker, taken up when one is killed; and what is wrong with one is a sentence."""
import csv
import io
import os
import signal
import socket
import time
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from test_http import GREY, as_json, form, npy, picture

ROWS = b"price,colour\n" + b"".join(b"%d,red\n" % price for price in range(100))


def followed(running, job_id: str, until=("done", "failed", "cancelled"), seconds: float = 30) -> dict:
    "What is said of a job when it has ended."
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status, said, _ = running.ask(f"/jobs/{job_id}")
        assert status == 200, said
        if said["job"]["state"] in until: return said
        time.sleep(0.05)
    raise AssertionError(said)


def sent(running, body: bytes, **headers) -> str:
    status, said, found = running.ask("/predict/batch", body, **headers)
    assert status == 202 and found["location"] == f"/jobs/{said['job']['id']}", said
    return said["job"]["id"]


def content(running, path: str, accept: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(running.address + path, headers={"accept": accept}), timeout=30) as found: return found.read()


def test_rows_in_every_form(server):
    import pandas as pd
    running = server(model="rows", log={})
    frame, held = pd.read_csv(io.BytesIO(ROWS)), io.BytesIO()
    frame.to_parquet(held, index=False)
    body, kind = form(ROWS, field="rows")
    for number, (body, headers) in enumerate([(ROWS, {"content_type": "text/csv"}), (ROWS, {}), (held.getvalue(), {}), (body, {"content_type": kind})]):
        job = sent(running, body, **headers)
        said = followed(running, job)
        assert said["job"]["state"] == "done" and said["job"]["answered"] == 100 and said["job"]["model"]["version"] == 2
        assert [one["class"] for one in said["predictions"]] == ["kept"]*40 + ["returned"]*60
    found = list(csv.DictReader(io.StringIO(content(running, f"/jobs/{job}", "text/csv").decode())))
    assert found[99]["class"] == "returned" and float(found[99]["p:returned"]) == 0.99
    table = pd.read_parquet(io.BytesIO(content(running, f"/jobs/{job}?as=parquet", "*/*")))
    assert table["class"].tolist() == [one["class"] for one in said["predictions"]]
    assert running.ask("/feedback", as_json({"id": job, "row": 99, "label": "kept"}), content_type="application/json")[0] == 200
    assert running.end() == 0
    kept = pd.concat(pd.read_parquet(path) for path in (running.home/"data/serving/orders/log").rglob("predictions-*.parquet"))
    assert sorted(kept[kept.id == job].row) == list(range(100))


def test_pictures_in_a_zip_file_and_in_an_array(server):
    running, held = server(model="pictures"), io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        for number in range(20): file.writestr(f"../{number}.png", picture(GREY//(1 + number % 2)))
    said = followed(running, sent(running, held.getvalue()))
    assert [one["name"] for one in said["predictions"]] == [f"../{number}.png" for number in range(20)]
    again = followed(running, sent(running, npy(np.stack([GREY//(1 + number % 2) for number in range(20)]))))
    assert [one["class"] for one in again["predictions"]] == [one["class"] for one in said["predictions"]] and not list(running.home.rglob("*.png"))[1:]


def test_bad_jobs_are_sentences(server):
    running, held = server(model="pictures"), io.BytesIO()
    with zipfile.ZipFile(held, "w") as file: file.writestr("a.png", picture()); file.writestr("b.png", b"no picture")
    assert "'b.png' is no picture" in followed(running, sent(running, held.getvalue()))["job"]["message"]
    for body, code, words in [(b"", 415, "neither"), (b"hello", 415, "neither"), (held.getvalue()[:-30], 422, "damaged"), (npy(np.array([{}])), 422, "Python objects"), (npy(np.zeros((3, 4))), 422, "shape"),
                              (npy(np.zeros((0, 28, 28), np.uint8)), 422, "no picture"), (npy(np.zeros((3, 28, 28)))[:2000], 422, "no array")]:
        status, said, _ = running.ask("/predict/batch", body)
        assert status == code and words in said["error"]["message"], (words, status, said)
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as wire:
        wire.sendall(b"POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 64000001\r\n\r\n")
        assert wire.recv(1000).startswith(b"HTTP/1.1 413")
    for wrong in ("0"*32, "abc", "..%2f..%2fkeys", "%2e%2e", "A"*32, "job.json", "%00"):
        for method in ("GET", "DELETE"): assert running.ask(f"/jobs/{wrong}", method=method)[0] == 404, (method, wrong)
    assert running.ask("/jobs/../keys")[0] == 404 and running.ask("/predict/batch")[0] == 405
    assert not list((running.home/"data/serving/shades/jobs").glob("*/open")) # what was refused left nothing to do
    assert "fault" not in (running.home/"stderr").read_text()


def test_a_job_is_ended_by_whoever_sent_it_and_its_number_is_bounded(server):
    running = server(model="pictures", seconds=0.005)
    alone = running.waits("/predict", picture(), content_type="image/png")
    slow = npy(np.stack([GREY]*2000)) # 10 s
    jobs = [sent(running, slow) for _ in range(8)]
    status, said, headers = running.ask("/predict/batch", slow)
    assert status == 429 and headers["retry-after"] == "60"
    assert running.ask(f"/jobs/{jobs[0]}?as=csv")[0] == 409 and running.ask(f"/jobs/{jobs[0]}", accept="image/png")[0] == 406
    waited = running.waits("/predict", picture(), content_type="image/png")
    assert np.median(waited) < 0.1 + 3*np.median(alone), (waited, alone)
    for job in jobs: assert running.ask(f"/jobs/{job}", method="DELETE")[1]["job"]["state"] == "cancelled"
    for job in jobs: assert followed(running, job)["job"]["state"] == "cancelled"
    assert running.ask(f"/jobs/{jobs[0]}", method="DELETE")[1]["job"]["state"] == "removed" and running.ask(f"/jobs/{jobs[0]}")[0] == 404
    assert followed(running, sent(running, npy(GREY[None])))["job"]["state"] == "done"


def workers_of(running) -> list[int]:
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    return [int(child) for child in children]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are listed in /proc only")
def test_a_killed_worker_leaves_its_job_to_another_and_a_stopped_service_to_the_next(server):
    running = server(model="pictures", seconds=0.004, workers=2)
    job = sent(running, npy(np.stack([GREY]*500))) # 2 s
    followed(running, job, ("running",))
    for worker in workers_of(running): os.kill(worker, signal.SIGKILL)
    time.sleep(0.5)
    said = followed(running, job)
    assert said["job"]["state"] == "done" and said["job"]["tries"] == 2 and len(said["predictions"]) == 500
    later = sent(running, npy(np.stack([GREY]*1000)))
    followed(running, later, ("running",))
    assert running.end() == 0
    assert followed(server(model="pictures"), later)["job"]["tries"] == 1 # nobody had died of it
