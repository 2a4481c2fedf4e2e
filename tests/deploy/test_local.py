"""Slots on this machine: no request is lost while releases change, a release that is not as it should be changes nothing, and whatever is killed, what is left ends or goes on as it should."""
import json
import os
import signal
import socket
import time

import pytest

from fashion_mlops.core import WorkflowError
from fashion_mlops.operations.place import record_path
from fashion_mlops.operations.slots import check_answers
from fashion_mlops.service.audit_trail import read_trail
from fashion_mlops.service.deployment import open_version, serving_folder, set_champion
from fashion_mlops.service.log_files import log_folder, read_log
from fashion_mlops.service.session import open_pack

from packs import place_version, share_of
from place import Clients, Place
from ports import until
from running import Running


@pytest.fixture
def server(tmp_path):
    started = []
    def start(**asked):
        started.append(Running(tmp_path, **asked))
        return started[-1]
    yield start
    for one in started: one.end()


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    for version in (1, 2, 3): place_version("shades", version)
    set_champion("shades", 1)
    started = []
    def start(*words):
        started.append(Place(tmp_path, "--quiet", "--drain", "0.3", *words))
        return started[-1]
    yield start
    for one in started:
        if one.process.poll() is None: one.end(signal.SIGTERM)


@pytest.mark.slow
def test_who_answers_otherwise_than_its_pack_is_found_out(server, home):
    for version in (1, 2): place_version("shades", version)
    set_champion("shades", 1)
    address = server(dataset="shades").address
    check_answers(open_version("shades", 1), address)
    with pytest.raises(WorkflowError, match="answers with shades v1, expected shades v2"): check_answers(open_version("shades", 2), address)
    other = open_pack(serving_folder("shades")/"v2", version=1) # says that it is the first, and answers as the second
    with pytest.raises(WorkflowError, match="its probabilities lie 0.09 apart"): check_answers(other, address)


def alive(pid: int) -> bool:
    try: os.kill(pid, 0)
    except ProcessLookupError: return False
    return True


def test_a_place_that_is_not_there_or_has_ended_without_a_word_is_said(home, capsys):
    from fashion_mlops.cli import main
    place_version("shades", 1)
    set_champion("shades", 1)
    assert main(["deploy", "show"]) == 2 and "fashion-mlops deploy local --dataset shades" in capsys.readouterr().err
    record_path("shades").write_text(json.dumps({"pid": 1, "address": "x", "socket": "x", "since": "x"}))
    for verb in (["show"], ["rollback"], ["green"], ["canary", "--share", "0.1"]):
        assert main(["deploy", *verb]) == 2 and "is stale" in capsys.readouterr().err, verb
    assert main(["deploy", "local", "--version", "9"]) == 2 and "fashion-mlops traffic bring 9" in capsys.readouterr().err


@pytest.mark.slow
def test_ten_rounds_of_blue_green_and_back_lose_no_request(place, capsys):
    here, rolled, versions = place(), [], set()
    with Clients(here) as clients:
        first = time.monotonic()
        for number in range(10):
            version = 2 + number % 2 # a new release in the idle slot each time
            assert here.deploy("green", "--version", str(version), "--reason", f"round {number}") == 0, capsys.readouterr().err
            until(lambda: here.ask() == (200, version), 5)
            began = time.monotonic()
            assert here.deploy("rollback") == 0
            assert here.ask() == (200, 1)
            rolled.append(time.monotonic() - began)
        seconds = time.monotonic() - first
    assert clients.failed() == [] and len(clients.said) > 40*seconds
    for _, _, _, said in clients.said:
        version = said["model"]["version"]
        versions.add(version)
        assert abs(said["predictions"][0]["probabilities"]["dark"] - share_of(version)) < 1e-6
    assert versions == {1, 2, 3} and max(rolled) < 2
    print(f"{len(clients.said)} requests, none failed; rollbacks took {min(rolled):.3f} to {max(rolled):.3f} s")
    assert here.end() == 0 and not record_path("shades").exists()
    changes = [(change["what"], change["reason"]) for change in read_trail("shades")]
    assert changes[:2] == [("slot answers", "round 0"), ("slot rolled back", "")] and len(changes) == 20
    log = read_log(log_folder("shades"))
    assert set(log.slot) == {"blue", "green"} and len(log) >= len(clients.said) # nobody who looks is in the log, and every client is


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_slot_is_replaced_and_who_waits_is_answered(place, capsys, workers):
    here = place("--workers", str(workers))
    with Clients(here) as clients:
        for _ in range(2):
            pid, many = here.state(capsys)["blue"]["pid"], len(clients.said)
            os.kill(pid, signal.SIGKILL)
            killed = time.monotonic()
            assert here.ask() == (200, 1) # it waits in the queue, and is not refused
            until(lambda: len(clients.said) > many + 30)
            until(lambda: here.state(capsys)["blue"]["state"] == "leads")
            assert here.state(capsys)["blue"]["pid"] != pid
            time.sleep(0.5)
    lost = clients.failed() # what the killed process was answering, or a kept connection on which somebody asked just then
    assert len(lost) <= 8 and all(began < killed + 0.2 for began, *_ in lost), lost
    assert here.state(capsys)["blue"]["restarts"] == 2 and here.end() == 0


@pytest.mark.slow
def test_a_killed_keeper_takes_its_slots_along_and_the_next_place_starts(place, capsys):
    here = place()
    assert here.deploy("green", "--version", "2") == 0
    pids = [here.state(capsys)[name]["pid"] for name in ("blue", "green")]
    here.end(signal.SIGKILL)
    until(lambda: not any(map(alive, pids)), 10)
    assert here.deploy("show") == 2 and "has ended without a word" in capsys.readouterr().err
    again = place("--port", str(here.port))
    assert again.ask() == (200, 1) and again.end() == 0


@pytest.mark.slow
def test_what_is_not_as_it_should_be_changes_nothing(place, capsys, tmp_path):
    here = place()
    place_version("shades", 4, wrong=True)
    damaged = place_version("shades", 5)
    (damaged/"model.onnx").write_bytes((damaged/"model.onnx").read_bytes()[:-9] + b"\0"*9)
    for words, said in [(["green", "--version", "4"], "does not answer here as it did"), (["green", "--version", "5"], "fashion-mlops traffic bring 5"),
                        (["canary", "--share", "0.5", "--version", "4"], "does not answer here as it did"),
                        (["blue", "--version", "2"], "green is idle: fashion-mlops deploy green --version 2"), (["rollback"], "nothing to go back to"),
                        (["canary", "--share", "0.5"], "")]:
        before = here.state(capsys)["slots"]
        assert here.deploy(*words) == (0 if not said else 2), words
        if not said: continue
        assert said in capsys.readouterr().err, words
        assert here.state(capsys)["slots"] == before and here.ask() == (200, 1)
    second = here.deploy("local", "--port", "0")
    assert second == 2 and f"process {here.process.pid} at {here.address}" in capsys.readouterr().err
    with socket.socket(socket.AF_UNIX) as wire: # nonsense, and endless nonsense
        wire.connect(json.loads(record_path("shades").read_text())["socket"])
        for line, said in [(b"{\n", b"no line of JSON"), (b'{"do": "fill", "version": "x"}\n', b"cannot be"), (b'{"do": "take"}\n', b"Nothing was filled")]:
            wire.sendall(line)
            assert said in wire.recv(1000), line
        wire.sendall(b"x"*200_000)
        assert wire.recv(1000) == b""
    assert here.ask()[0] == 200 and here.end() == 0


@pytest.mark.slow
def test_a_canary_gets_its_share_and_is_taken_back_when_it_fails_or_dies(place, capsys):
    from moody import place_moody
    here = place()
    place_moody("shades", 6, "raises")
    assert here.deploy("canary", "--share", "0.25", "--version", "2", "--reason", "looks good") == 0
    found = [here.ask()[1] for _ in range(40)]
    assert found.count(2) == 10 and found.count(1) == 30
    os.kill(here.state(capsys)["green"]["pid"], signal.SIGKILL)
    until(lambda: here.state(capsys)["blue"]["share"] == 1)
    assert {here.ask() for _ in range(10)} == {(200, 1)}
    until(lambda: here.state(capsys)["green"]["state"] == "stands by")
    assert here.deploy("canary", "--share", "0.5", "--version", "6") == 0
    import http.client
    seen = []
    for _ in range(200): # white pictures, at which this release fails
        wire = http.client.HTTPConnection("127.0.0.1", here.port, timeout=20)
        wire.request("POST", "/predict", b"\xff"*16, {"content-type": "application/octet-stream"})
        seen.append(wire.getresponse().status)
        wire.close()
        time.sleep(0.02)
        if len(seen) > 60 and here.state(capsys)["blue"]["share"] == 1: break
    assert here.state(capsys)["blue"]["share"] == 1 and 500 in seen and len(seen) < 200
    assert here.end() == 0
    said = [change for change in read_trail("shades") if change["what"] == "canary taken back"]
    assert [change["by"] for change in said] == ["the keeper"]*2 and "its process has ended" in said[0]["reason"] and "requests failed" in said[1]["reason"]


@pytest.mark.slow
def test_a_release_that_keeps_dying_gives_way_and_a_place_that_ends_answers_who_has_connected(place, capsys):
    here, killed = place(), set()
    assert here.deploy("green", "--version", "2") == 0
    for _ in range(3):
        until(lambda: here.state(capsys)["green"]["pid"] not in killed and here.state(capsys)["green"]["state"] == "leads")
        killed.add(pid := here.state(capsys)["green"]["pid"])
        os.kill(pid, signal.SIGKILL)
    until(lambda: here.state(capsys)["blue"]["state"] == "leads", 5)
    assert here.ask() == (200, 1) and read_trail("shades")[-1]["by"] == "the keeper"
    with Clients(here) as clients:
        until(lambda: len(clients.said) > 25)
        assert here.end() == 0
    assert {kind for _, _, kind, _ in clients.failed()} <= {"ConnectionRefusedError"}, clients.failed()
