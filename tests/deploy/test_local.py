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
            until(lambda: here.ask() == (200, version))
            until(lambda: any(said["model"]["version"] == version for *_, said in clients.said[-5:] if isinstance(said, dict))) # clients see it, too
            began = time.monotonic()
            assert here.deploy("rollback") == 0
            assert here.ask() == (200, 1)
            rolled.append(time.monotonic() - began)
        seconds = time.monotonic() - first
    assert clients.failed() == []
    assert len(clients.said) > 5*seconds # 50 a second, where the machine has them
    for _, _, _, said in clients.said:
        version = said["model"]["version"]
        versions.add(version)
        assert abs(said["predictions"][0]["probabilities"]["dark"] - share_of(version)) < 1e-6
    assert versions == {1, 2, 3}
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
    os.kill(here.process.pid, signal.SIGSTOP)
    for verb in ("show", "rollback"):
        began = time.monotonic()
        assert here.deploy(verb) == 2 and f"kill -CONT {here.process.pid}" in capsys.readouterr().err and time.monotonic() - began < 8
    os.kill(here.process.pid, signal.SIGCONT)
    assert here.ask() == (200, 2)
    here.end(signal.SIGKILL)
    until(lambda: not any(map(alive, pids)))
    assert here.deploy("show") == 2 and "has ended without a word" in capsys.readouterr().err
    again = place("--port", str(here.port)) # what somebody let answer, or went back to, is not undone by a crash
    assert again.ask() == (200, 2) and "the champion is v1. For that one: fashion-mlops deploy green --version 1" in (here.home/"stderr").read_text()
    assert again.end() == 0
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
    until(lambda: here.state(capsys)["blue"]["state"] == "leads")
    assert here.ask() == (200, 1)
    until(lambda: read_trail("shades")[-1]["by"] == "the keeper")
    with Clients(here) as clients:
        until(lambda: len(clients.said) > 25)
        assert here.end() == 0
    assert {kind for _, _, kind, _ in clients.failed()} <= {"ConnectionRefusedError"}, clients.failed()


def test_a_page_needs_no_disk_and_one_that_has_no_room_is_said(monkeypatch):
    from fashion_mlops.operations import slot_process
    monkeypatch.setattr(slot_process.tempfile, "TemporaryFile", lambda: open("/dev/full", "r+b"))
    if hasattr(os, "memfd_create"): slot_process.Slot("blue", 1, []).close()
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with pytest.raises(OSError, match="No space left"): slot_process.Slot("blue", 1, []) # and no signal that ends the keeper


def started_by_itself(story):
    "A keeper whose releases are processes of three lines."
    import asyncio
    import sys
    from fashion_mlops.operations.keeper import Keeper
    toy = [sys.executable, "-S", "-c", "import time; print('x answers at http://127.0.0.1:1', flush=True); time.sleep(30)"]
    async def told():
        with socket.create_server(("127.0.0.1", 0)) as sock: return await story(Keeper("shades", sock, lambda *slot: toy))
    return asyncio.run(told())


def test_a_process_that_cannot_be_begun_is_begun_later(monkeypatch):
    import asyncio
    from fashion_mlops.operations import slot_process
    async def story(keeper):
        keeper.placed(slot := await keeper.begun("blue", 1))
        keeper.lead(slot)
        real, tries = slot_process.subprocess.Popen, []
        def refused(*words, **more):
            tries.append(words)
            if len(tries) < 3: raise OSError(12, "Cannot allocate memory")
            return real(*words, **more)
        monkeypatch.setattr(slot_process.subprocess, "Popen", refused)
        monkeypatch.setattr(type(slot), "died", lambda slot: 0.0)
        slot.process.kill()
        while len(tries) < 3 or not slot.ready: await asyncio.sleep(0.01)
        monkeypatch.setattr(slot_process.subprocess, "Popen", lambda *words, **more: (_ for _ in ()).throw(OSError(12, "Cannot allocate memory")))
        with pytest.raises(WorkflowError, match=r"No process for green \(v2\) can be begun: Cannot allocate memory"): await keeper.begun("green", 2)
        await keeper.end()
        return len(tries)
    assert started_by_itself(story) == 3


def test_a_line_of_the_trail_that_cannot_be_finished_is_taken_out(home, monkeypatch):
    import errno
    from fashion_mlops.service import audit_trail
    audit_trail.note_change("shades", "promoted", 1, None, "first")
    for name, fails in [("write_json", OSError(errno.ENOSPC, "No space left on device")), ("os", None)]:
        with monkeypatch.context() as patched:
            if fails is None: patched.setattr(os, "write", lambda *_: 3) # as much as there was room for
            else: patched.setattr(audit_trail, name, lambda *_: (_ for _ in ()).throw(fails))
            with pytest.raises(WorkflowError, match="cannot be written to: .*o space left"): audit_trail.note_change("shades", "slot answers", 1, 1, "second")
        assert [change["reason"] for change in read_trail("shades")] == ["first"]
    audit_trail.note_change("shades", "slot answers", 1, 1, "third")
    assert [change["reason"] for change in read_trail("shades")] == ["first", "third"]


@pytest.mark.slow
def test_a_slot_that_is_frozen_answers_nobody_for_long(place, capsys):
    here = place()
    assert here.deploy("green", "--version", "2") == 0
    blue = here.state(capsys)["blue"]["pid"]
    os.kill(blue, signal.SIGSTOP) # back to one that stands by and does not answer
    assert here.deploy("rollback") == 0 and "blue (v1) answers everybody again" in capsys.readouterr().out
    assert here.ask() == (200, 1) and here.state(capsys)["blue"]["pid"] != blue
    assert here.deploy("canary", "--share", "0.5", "--version", "3") == 0
    os.kill(here.state(capsys)["green"]["pid"], signal.SIGSTOP)
    with Clients(here) as clients:
        until(lambda: here.state(capsys)["blue"]["share"] == 1, 60)
    assert len(clients.failed()) == 0, clients.failed() # who waited for it was passed on
    until(lambda: read_trail("shades")[-1]["what"] == "canary taken back")
    assert "does not answer" in read_trail("shades")[-1]["reason"]
    assert here.deploy("green", "--version", "2") == 0
    frozen = here.state(capsys)["green"]["pid"]
    os.kill(frozen, signal.SIGSTOP) # one that leads
    assert here.ask(30) == (200, 1) # the release before has taken its place
    until(lambda: "green (v2) did not answer" in read_trail("shades")[-1]["reason"]) # noted beside it
    until(lambda: not alive(frozen))
    assert here.end() == 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_who_ends_all_processes_at_once_breaks_no_request(place, workers):
    import psutil
    here = place("--drain", "1", "--workers", str(workers))
    with socket.create_connection(("127.0.0.1", here.port), timeout=20) as wire:
        wire.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nContent-Length: 16\r\n\r\n" + b"\0"*8)
        time.sleep(0.5)
        for each in [here.process, *psutil.Process(here.process.pid).children(recursive=True)]: each.send_signal(signal.SIGTERM)
        time.sleep(0.7)
        wire.sendall(b"\0"*8)
        assert wire.recv(100).startswith(b"HTTP/1.1 200")
    assert here.end() == 0


@pytest.mark.slow
def test_a_change_waits_for_the_trail_and_nobody_else_does(place, capsys):
    import fcntl
    import threading
    from fashion_mlops.service.audit_trail import trail_path
    here = place()
    assert here.deploy("green", "--version", "2") == 0
    with trail_path("shades").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX) # as a backup does
        back = threading.Thread(target=here.deploy, args=("rollback",))
        back.start()
        until(lambda: here.ask() == (200, 1), 4)
        with Clients(here) as clients: time.sleep(1)
        assert clients.failed() == [] and len(clients.said) > 20
    back.join(20)
    until(lambda: read_trail("shades")[-1]["what"] == "slot rolled back")
    assert here.end() == 0


def test_a_canary_of_a_version_that_nobody_registered_is_said_as_promote_says_it(home, monkeypatch):
    from fashion_mlops.operations import registry, slots
    place_version("shades", 1)
    monkeypatch.setattr(registry, "known_versions", lambda dataset: [{"version": 1}, {"version": 2}])
    with pytest.raises(WorkflowError, match="shades has no version 7; it has v1, v2. See: fashion-mlops models"): slots._pack("shades", 7)


@pytest.mark.slow
def test_one_of_two_workers_that_is_frozen_is_replaced(home):
    import subprocess
    import sys
    import psutil
    place_version("shades", 1)
    set_champion("shades", 1)
    code = ("import sys; from fashion_mlops.service import workers; workers.run_workers.__defaults__ = (0.5,)\n" # seconds between two looks
            "from fashion_mlops.cli import main; sys.exit(main(['serve', '--workers', '2', '--port', '0', '--drain', '0.2', '--quiet', '--no-log']))")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert "answers at" in process.stdout.readline()
        both = {one.pid for one in psutil.Process(process.pid).children()}
        time.sleep(4) # who answers is let be
        assert both == {one.pid for one in psutil.Process(process.pid).children()} and len(both) == 2
        os.kill(frozen := min(both), signal.SIGSTOP)
        until(lambda: not alive(frozen) and len(psutil.Process(process.pid).children()) == 2, 40)
        process.terminate()
        assert process.wait(20) == 0 and f"(process {frozen}) gives no sign of life" in process.stderr.read()
