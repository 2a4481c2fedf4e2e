"""Another version takes over while requests are answered: none fails, each names one version and is its answer, and a version that is not as it should be changes nothing."""
import http.client
import json
import threading
import time

import pytest

from fashion_mlops.core import WorkflowError
from fashion_mlops.service.deployment import serving_folder, set_champion

from packs import place_version, share_of

BODY = {"content-type": "application/octet-stream"}


@pytest.fixture
def shades(tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    for version in (1, 2): place_version("shades", version)
    set_champion("shades", 1)
    return "shades"


def until(found, seconds: float = 40):
    "Wait until something is so."
    ends = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < ends, "it did not become so"
        time.sleep(0.02)


def asking(running, pause: float, stop: threading.Event):
    "Ask on a connection that stays open; statuses, versions and shares."
    said = []
    def ask():
        wire = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
        while not stop.is_set():
            wire.request("POST", "/predict", b"\0"*16, BODY)
            found = wire.getresponse()
            content = json.loads(found.read())
            said.append((found.status, content["model"]["version"], content["predictions"][0]["probabilities"]["dark"]))
            time.sleep(pause)
        wire.close()
    thread = threading.Thread(target=ask)
    thread.start()
    return thread, said


def swapped(running, swaps: int):
    def version(): return running.ask("/version")[1]["version"]
    for number in range(swaps):
        wanted = 2 - number % 2
        set_champion("shades", wanted)
        until(lambda: version() == wanted)


@pytest.mark.parametrize("swaps", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_no_request_fails_and_each_answer_is_its_versions(shades, server, swaps):
    running, stop = server(dataset=shades), threading.Event()
    asked = [asking(running, 0.03, stop) for _ in range(4)] # some 100 a second
    try: swapped(running, swaps)
    finally: stop.set()
    for thread, _ in asked: thread.join(20)
    said = [one for _, found in asked for one in found]
    assert len(said) > 2*swaps and {status for status, *_ in said} == {200}
    assert all(abs(share - share_of(version)) < 1e-6 for _, version, share in said)
    assert {version for _, version, _ in said} == {1, 2}
    assert f'swaps_total{{outcome="taken",slot="champion"}} {swaps}.0' in running.ask("/metrics")[1]


def test_a_version_that_is_not_as_it_should_be_changes_nothing(shades, server):
    running = server(dataset=shades)
    place_version("shades", 3, wrong=True)
    with pytest.raises(WorkflowError, match="does not answer here as it did"): set_champion("shades", 3)
    path = serving_folder("shades")/"slots.json"
    before = path.read_text()
    for slots, why in [(before.replace('"champion": 1', '"champion": 3'), "does not answer here"), (before.replace('"champion": 1', '"champion": 4'), "v4 is to serve"), ("{", "")]:
        path.write_text(slots)
        until(lambda: why in running.ask("/version")[1].get("not_taken", {"why": "?"})["why"])
        status, said, _ = running.ask("/predict", b"\0"*16, content_type=BODY["content-type"])
        assert (status, said["model"]["version"]) == (200, 1)
        assert running.ask("/health/ready")[0] == 200
    path.write_text(before)
    until(lambda: "not_taken" not in running.ask("/version")[1])
    set_champion("shades", 2)
    until(lambda: running.ask("/version")[1]["version"] == 2)
