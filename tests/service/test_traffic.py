"""Who answers: sticky, after a restart too, in one order whoever changes it; a canary that fails or is slow is taken back; a shadow can do no harm."""
import contextlib
import http.client
import json
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from fashion_mlops.core import WorkflowError
from fashion_mlops.service.audit_trail import read_trail
from fashion_mlops.service.deployment import serving_folder, set_champion
from fashion_mlops.service.keys import make_key
from fashion_mlops.service.log_files import log_folder, read_day, read_log
from fashion_mlops.service.log_reading import log_days
from fashion_mlops.service.traffic import Traffic, is_other
from fashion_mlops.service.traffic_changes import change_traffic, check_versions, read_traffic

from moody import BLACK, WHITE, place_moody
from packs import place_version

BODY = {"content-type": "application/octet-stream"}
OTHERS = {3: "raises", 4: "slow", 5: "hangs", 6: "eats"}


@pytest.fixture
def shades(tmp_path, monkeypatch):
    "Version 1 serves; 2 is as good, the others have moods."
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    place_version("shades", 1)
    set_champion("shades", 1)
    return "shades"


def until(found, seconds: float = 40):
    ends = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < ends, "it did not become so"
        time.sleep(0.02)

def asked(running, body=BLACK, **headers):
    "Status and version of an answer."
    wire = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    wire.request("POST", "/predict", body, BODY | {name.replace("_", "-"): value for name, value in headers.items()})
    found = wire.getresponse()
    content = json.loads(found.read())
    wire.close()
    return found.status, content.get("model", {}).get("version")

def follows(running, number: int):
    "Wait until a worker does what was written."
    until(lambda: running.ask("/admin/traffic")[1]["followed"]["number"] == number)


def test_keys_stay_with_a_version_after_a_restart_too_and_the_log_says_who_answered(shades, server):
    place_version(shades, 2)
    traffic = change_traffic(shades, {"mode": "ab", "version": 2, "share": 0.4, "header": "x-user"}, "which is better?")
    users = [f"user {number}" for number in range(30)]
    wanted = {user: 2 if is_other(traffic, user) else 1 for user in users}
    assert set(wanted.values()) == {1, 2}
    running = server(dataset=shades)
    assert {user: asked(running, x_user=user)[1] for user in users} == wanted # from the first request on
    first = running.ask("/predict", BLACK, content_type="application/octet-stream", x_user="user 0")[1]["id"]
    assert running.ask("/feedback", json.dumps({"id": first, "label": "bright"}).encode())[0] == 200
    assert running.end() == 0
    again = server(dataset=shades)
    assert {user: asked(again, x_user=user)[1] for user in users} == wanted
    counted = again.ask("/metrics")[1]
    assert f'fashion_mlops_slot_requests_total{{slot="challenger",status="200",version="2"}} {sum(one == 2 for one in wanted.values())}' in counted
    again.end()
    log = read_log(log_folder(shades))
    assert set(zip(log.slot, log.version)) == {("champion", 1), ("challenger", 2)} and len(log) == 61
    assert log.unit.nunique() == 30 and log.unit.str.startswith("1.1:").all() and not log.unit.str.contains("user").any()
    from fashion_mlops.service.side_by_side import read_side_by_side
    assert sum(read_side_by_side(shades, traffic).rows) == 1


@pytest.mark.parametrize("version, words, workers", [(3, "requests failed", "2"), pytest.param(4, "times the champion's", "1", marks=pytest.mark.slow)])
def test_a_canary_that_fails_or_is_slow_is_taken_back(shades, server, version, words, workers):
    place_moody(shades, version, OTHERS[version])
    running = server(dataset=shades, words=["--workers", workers])
    number = change_traffic(shades, {"mode": "canary", "version": version, "share": 0.3}, "try it").number
    ends = time.monotonic() + 40
    body, said = WHITE if version == 3 else BLACK, []
    while read_traffic(shades).number == number and time.monotonic() < ends: said.append(asked(running, body))
    assert read_traffic(shades).mode == "champion" and words in read_traffic(shades).reason
    assert {status for status, one in said if one == 1} == {200} # nobody else was hurt
    until(lambda: read_trail(shades)[-1]["by"] == "the service") # the trail is written after the file
    assert len([one for one in read_trail(shades) if "traffic" in one]) == 2
    until(lambda: {asked(running, body) for _ in range(20)} == {(200, 1)}, 20)


@pytest.mark.slow
def test_a_good_canary_stays_and_one_that_is_promoted_is_over(shades, server):
    place_version(shades, 2)
    running = server(dataset=shades)
    change_traffic(shades, {"mode": "canary", "version": 2, "share": 0.5, "slower": 20}, "try it")
    follows(running, 1)
    assert {asked(running) for _ in range(300)} == {(200, 1), (200, 2)}
    assert read_traffic(shades).mode == "canary"
    set_champion(shades, 2)
    until(lambda: read_traffic(shades).mode == "champion")
    assert "has become champion" in read_traffic(shades).reason
    until(lambda: asked(running) == (200, 2))


@pytest.mark.slow
def test_two_slots_and_one_switch(shades, server):
    place_version(shades, 2)
    running = server(dataset=shades)
    for number, (active, version) in enumerate([("blue", 1), ("green", 2), ("blue", 1)], 1):
        change_traffic(shades, {"mode": "blue-green", "blue": 1, "green": 2, "active": active}, "switch")
        follows(running, number)
        assert {asked(running) for _ in range(5)} == {(200, version)} and running.ask("/version")[1]["version"] == version


def test_the_route_wants_an_admin_a_version_that_can_answer_and_nobody_else_meanwhile(shades, server):
    place_version(shades, 2)
    place_version(shades, 7, wrong=True)
    admin, reader = (f"Bearer {make_key(name, name)}" for name in ("admin", "read"))
    running = server(dataset=shades, words=["--ask-for-keys"])
    def change(key, **said):
        return running.ask("/admin/traffic", json.dumps({"mode": "canary", "reason": "try it", **said}).encode(), content_type="application/json", authorization=key)[:2]
    assert running.ask("/admin/traffic")[0] == 401 and change(reader, version=2)[0] == 403
    for said, code, words in [({"version": 2, "share": 2}, 422, "share"), ({"version": 7}, 422, "does not answer"), ({"version": 8}, 422, "traffic bring 8"), ({"version": 1}, 422, "the champion"),
                              ({"version": 2, "reason": " "}, 422, "reason"), ({"version": 2, "seen": 5}, 409, "meanwhile"), ({"version": 2, "by": "me"}, 422, "not for a client")]:
        status, content = change(admin, **said)
        assert (status, words in content["error"]["message"]) == (code, True), (said, status, content)
    assert not [one for one in read_trail(shades) if "traffic" in one]
    assert running.ask("/admin/traffic", b"{}", content_type="text/plain", authorization=admin)[0] == 415
    status, content = change(admin, version=2, seen=0)
    assert status == 200 and content["written"]["by"] == "key admin"
    until(lambda: running.ask("/admin/traffic", authorization=admin)[1]["versions"] == {"champion": 1, "canary": 2})


@pytest.mark.slow
def test_sixteen_changers_have_one_order_and_a_file_that_means_nothing_changes_nothing(shades, server):
    place_version(shades, 2)
    admin = f"Bearer {make_key('admin', 'admin')}"
    running = server(dataset=shades)
    assert running.ask("/admin/traffic", b"{}", content_type="application/json")[0] == 401 # on this machine, too
    def change(number):
        said = {"mode": "canary", "version": 2, "share": round(0.01*(number + 1), 2), "reason": f"{number}"}
        if number % 2: return change_traffic(shades, {k: v for k, v in said.items() if k != "reason"}, said["reason"]).number
        return running.ask("/admin/traffic", json.dumps(said).encode(), content_type="application/json", authorization=admin)[1]["written"]["number"]
    with ThreadPoolExecutor(16) as pool: numbers = list(pool.map(change, range(16)))
    trail = [one["traffic"] for one in read_trail(shades) if "traffic" in one]
    assert sorted(numbers) == [one["number"] for one in trail] == list(range(1, 17))
    assert {one["reason"] for one in trail} == {str(number) for number in range(16)} and trail[-1] == read_traffic(shades).as_json()
    follows(running, 16)
    path = serving_folder(shades)/"traffic.json"
    path.write_text('{"mode": "canary", "version": 9, "reason": "by hand"}')
    until(lambda: "v9" in running.ask("/admin/traffic")[1]["refused"])
    assert asked(running)[0] == 200 and running.ask("/admin/traffic")[1]["followed"]["version"] == 2
    path.write_text('{"mode": "champion", "reason": "by hand"}')
    until(lambda: running.ask("/admin/traffic")[1]["followed"]["mode"] == "champion")
    assert read_trail(shades)[-1]["what"] == "traffic found" and read_trail(shades)[-1]["reason"] == "by hand"


@contextmanager
def given_time(running):
    "Every shadow of a server gets an ordinary rank: with all cores taken, the lowest may wait for minutes. Yields the ranks that they had."
    import psutil
    met, over = set(), threading.Event()
    def look():
        while not over.wait(0.05):
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                for one in psutil.Process(running.process.pid).children():
                    if "service.shadow" not in " ".join(one.cmdline()): continue
                    met.add(os.sched_getscheduler(one.pid))
                    with contextlib.suppress(PermissionError): # then it has to wait
                        if os.sched_getscheduler(one.pid) == os.SCHED_IDLE: os.sched_setscheduler(one.pid, os.SCHED_OTHER, os.sched_param(0))
                        if one.nice() == 19: one.nice(0)
    thread = threading.Thread(target=look)
    thread.start()
    try: yield met
    finally: over.set(), thread.join()


SHADOWS = {2: "", 3: "shadow failed", 5: f'"event":"shadow ended","code":{-signal.SIGALRM}', 6: "shadow (failed|ended)"} # what is said of it

@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", [2, *(pytest.param(version, marks=pytest.mark.slow) for version in (3, 5, 6))])
def test_a_shadow_is_heard_by_nobody_whatever_it_does(shades, server, version):
    if version == 2: place_version(shades, 2)
    else: place_moody(shades, version, OTHERS[version])
    change_traffic(shades, {"mode": "shadow", "version": version, "seconds": 1, "memory": 1500}, "listen")
    running, said, ends = server(dataset=shades), [], time.monotonic() + 1
    def done():
        said.extend([asked(running, WHITE), asked(running, BLACK)])
        if version == 2: return "shadow" in set(read_log(log_folder(shades)).slot)
        return re.search(SHADOWS[version], (running.home/"stderr").read_text())
    with given_time(running) as ranks:
        until(lambda: 'shadow_copies_total{outcome="sent"}' in running.ask("/metrics")[1] or not asked(running), 200)
        until(lambda: done() and time.monotonic() > ends, 200)
        if version in (3, 5): until(lambda: noted(shades), 200) # what it could not answer is known, for it would win by what it leaves out
    assert os.SCHED_IDLE in ranks, "a shadow takes the processor only where nobody else wants it"
    assert set(said) == {(200, 1)}
    process = running.process.pid
    assert running.end() == 0
    log = read_log(log_folder(shades))
    assert set(log[log.slot == "champion"].version) == {1} and set(log[log.slot == "shadow"].version) <= {version}
    assert not _children_of(process)
    if version in (3, 5): assert noted(shades) == [("failed" if version == 3 else "ended", 0)]

def noted(dataset: str) -> list:
    "What a shadow has said that it could not answer: kind, and rows that it is counted with."
    found = [one for day in log_days(log_folder(dataset)) if (one := read_day(day, "refusals")) is not None]
    return sorted({(kind, rows) for one in found for kind, rows in zip(one["kind"].to_pylist(), one["rows"].to_pylist())})

def _children_of(process: int) -> list:
    import psutil
    return [one.pid for one in psutil.process_iter() if one.ppid() == process]
