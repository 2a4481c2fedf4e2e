"""A real HAProxy with `deploy/compose/haproxy.cfg` in front of two real services: weights go back and forth under load, slots end and come back, the door starts again."""
import http.client
import json
import os
import re
import shutil
import signal
import socketserver
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter

import pytest
import yaml

from fashion_mlops.core import WorkflowError, project_root
from fashion_mlops.operations.door import door_slots, door_weights, set_weights, tell_door, wait_for_slot
from fashion_mlops.service.deployment import set_champion

from packs import place_version
from ports import free_ports, until
from running import Running

CONFIG = project_root()/"deploy"/"compose"/"haproxy.cfg"
SCRIPT = CONFIG.with_name("door.sh")
BODY = {"content-type": "application/octet-stream"}
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("haproxy"), reason="needs haproxy")]


class Door:
    "HAProxy as compose runs it, but for its addresses."
    def __init__(self, folder, blue: int, green: int, names: str = "127.0.0.1:53", hosts=("127.0.0.1", "127.0.0.1")):
        self.port, admin, health = free_ports(3)
        self.health_port = health
        self.admin, self.state = f"127.0.0.1:{admin}", folder/"servers"
        said = {"BIND": f"127.0.0.1:{self.port}", "ADMIN": self.admin, "HEALTH": f"127.0.0.1:{health}", "STATE": self.state,
                "BLUE": f"{hosts[0]}:{blue}", "GREEN": f"{hosts[1]}:{green}", "NAMES": names}
        self.env = os.environ | {f"DOOR_{name}": str(value) for name, value in said.items()}
        self.words = ["env", *(f"DOOR_{name}={value}" for name, value in said.items()), "bash", str(SCRIPT), "tell"]
        self.log = (folder/"door.log").open("ab")

    def start(self):
        self.process = subprocess.Popen(["haproxy", "-db", "-f", str(CONFIG)], env=self.env, stdout=self.log, stderr=self.log)
        until(lambda: self.process.poll() is not None or self.health() == 0)
        assert self.process.poll() is None, "it ended: see its log"
        return self

    def health(self) -> int: return subprocess.run(["bash", str(SCRIPT), "health"], env=self.env, capture_output=True).returncode

    def end(self):
        self.process.terminate()
        assert self.process.wait(20) is not None


@pytest.fixture(scope="module")
def slots(tmp_path_factory):
    "Two services, one for each version; each of them knows its own home."
    started = []
    with pytest.MonkeyPatch.context() as patched:
        for version in (1, 2):
            home = tmp_path_factory.mktemp(f"home{version}")
            patched.setenv("FASHION_MLOPS_HOME", str(home))
            place_version("shades", version)
            set_champion("shades", version)
            started.append(Running(home, dataset="shades", words=["--drain", "2"]))
    yield started
    for one in started:
        if one.process.poll() is None: one.end(signal.SIGKILL)


@pytest.fixture
def door(slots, tmp_path):
    found = Door(tmp_path, *(one.port for one in slots)).start()
    yield found
    if found.process.poll() is None: found.end()


class Load:
    "Some clients at a steady rate on connections that stay open; what each was told."
    def __init__(self, port: int, clients: int = 5, pause: float = 0.09):
        self.said, self.stop = [], threading.Event()
        def ask():
            wire = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            while not self.stop.is_set():
                began = time.monotonic()
                try:
                    wire.request("POST", "/predict", b"\0"*16, BODY)
                    found = wire.getresponse()
                    content = found.read()
                    said = json.loads(content)["model"]["version"] if found.status == 200 else content
                    self.said.append(((began, time.monotonic()), found.status, said))
                except OSError as error:
                    self.said.append(((began, time.monotonic()), 0, repr(error)))
                    wire.close()
                self.stop.wait(pause)
            wire.close()
        self.threads = [threading.Thread(target=ask) for _ in range(clients)]
        for one in self.threads: one.start()

    def end(self):
        self.stop.set()
        for one in self.threads: one.join(30)
        return self.said

    def who(self, since: float, till: float) -> Counter:
        "Who answered the requests that began and ended in between."
        return Counter(version for (began, ended), _, version in self.said if since <= began and ended <= till)


def test_blue_green_rollback_ten_times_under_load_and_no_request_fails(door):
    for name in ("blue", "green"): wait_for_slot(door.admin, name, 20)
    assert door_weights(door.admin) == {"blue": 100, "green": 0}
    load, turns = Load(door.port), []
    try:
        for number in range(20): # there and back, ten times
            to, other = ("green", "blue") if number % 2 == 0 else ("blue", "green")
            assert set_weights(door.admin, **{to: 100, other: 0}) == {to: 100, other: 0}
            since = time.monotonic()
            time.sleep(0.4)
            turns.append((to, since, time.monotonic()))
    finally: said = load.end()
    assert Counter(status for _, status, _ in said) == {200: len(said)}, [one for one in said if one[1] != 200][:3]
    assert len(said) > 20*10, len(said)
    for to, since, till in turns: # from the next request on, by the other one alone
        assert set(load.who(since, till)) == {2 if to == "green" else 1}, (to, load.who(since, till))


def test_a_tenth_goes_to_the_canary(door):
    for name in ("blue", "green"): wait_for_slot(door.admin, name, 20)
    set_weights(door.admin, blue=90, green=10)
    load = Load(door.port, clients=8, pause=0.01)
    until(lambda: len(load.said) >= 200)
    said = load.end()
    share = sum(version == 2 for *_, version in said)/len(said)
    assert 0.07 < share < 0.13 and {status for _, status, _ in said} == {200}, share


class Names(socketserver.BaseRequestHandler):
    "What a network's own name server does: a name is known while its container runs."
    known: set = set()
    def handle(self):
        asked, wire = self.request
        labels, at = [], 12
        while size := asked[at]:
            labels.append(asked[at + 1:at + 1 + size].decode())
            at += size + 1
        found, question = ".".join(labels) in self.known, asked[12:at + 5]
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1" # a pointer to the question: A, for a second, 127.0.0.1
        head = asked[:2] + (b"\x81\x80\0\1\0\1" if found else b"\x81\x83\0\1\0\0") + b"\0\0\0\0"
        wire.sendto(head + question + answer*found, self.client_address)


def test_a_slot_that_starts_after_the_door_is_found_by_its_name(slots, tmp_path, monkeypatch):
    "Green of compose has no name in the network before it is started."
    monkeypatch.setattr(Names, "known", {"serve-blue"})
    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), Names) as names:
        threading.Thread(target=names.serve_forever, args=(0.02,), daemon=True).start()
        door = Door(tmp_path, slots[0].port, slots[1].port, f"127.0.0.1:{names.server_address[1]}", ("serve-blue", "serve-green")).start()
        try:
            wait_for_slot(door.admin, "blue", 20)
            with pytest.raises(WorkflowError, match="green was not ready within 1 s"): wait_for_slot(door.admin, "green", 1)
            with pytest.raises(WorkflowError, match="green is not ready"): set_weights(door.admin, green=10)
            Names.known.add("serve-green")
            wait_for_slot(door.admin, "green", 20)
            assert set_weights(door.admin, blue=0, green=100) == {"blue": 0, "green": 100}
            Names.known.discard("serve-green")
            until(lambda: not door_slots(door.admin)["green"]["up"], 30)
        finally:
            door.end()
            names.shutdown()


def test_weights_outlive_the_door_and_the_program_of_the_container_talks_to_it(door):
    "As `docker compose exec door bash door.sh tell` does it."
    wait_for_slot(door.words, "blue", 20)
    tell_door(door.words, "set weight slots/blue 7; set weight slots/green 3")
    door.end()
    assert door.health() != 0
    with pytest.raises(WorkflowError, match="Is it up"): door_weights(door.words)
    assert door_weights(door.start().words) == {"blue": 7, "green": 3}
    assert "No such server" in tell_door(door.words, "set weight slots/pink 1")


def test_a_slot_that_is_told_to_end_takes_no_request_with_it(door, slots):
    for name in ("blue", "green"): wait_for_slot(door.admin, name, 20)
    set_weights(door.admin, blue=50, green=50)
    load = Load(door.port)
    try:
        time.sleep(0.5)
        slots[1].process.send_signal(signal.SIGTERM) # it still has half of the weight
        assert slots[1].process.wait(30) == 0
        until(lambda: not door_slots(door.admin)["green"]["up"])
        with pytest.raises(WorkflowError, match="green is not ready"): set_weights(door.admin, green=100)
        with pytest.raises(WorkflowError, match="nobody would answer"): set_weights(door.admin, blue=0)
        time.sleep(0.3)
    finally: said = load.end()
    assert {status for _, status, _ in said} == {200}, [one for one in said if one[1] != 200][:3]


def counted(door) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{door.health_port}/metrics", timeout=10) as found: return found.read().decode()


def test_somebody_answers_as_long_as_a_slot_is_up(slots, tmp_path):
    "The slot with all of the weight is not there, as after an `up` without green; then nobody is; and Prometheus can know both."
    [nowhere] = free_ports(1)
    door = Door(tmp_path, slots[0].port, nowhere).start()
    def ask():
        try:
            with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{door.port}/predict", b"\0"*16, BODY), timeout=10) as found: return json.load(found)["model"]["version"]
        except urllib.error.HTTPError as error: return error.code
    def up(name): return int(re.search(rf'^haproxy_backend_active_servers{{proxy="{name}"}} (\d+)', counted(door), re.MULTILINE)[1])
    try:
        wait_for_slot(door.admin, "blue", 20)
        tell_door(door.admin, "set weight slots/green 100; set weight slots/blue 0")
        until(lambda: ask() == 1)
        assert (up("slots"), up("whoever")) == (0, 1)
        for alert in yaml.safe_load((CONFIG.parents[1]/"prometheus"/"alerts.yaml").read_text())["groups"][0]["rules"]:
            for name, proxy in re.findall(r'(haproxy_\w+)\{job="door", proxy="(\w+)"', alert["expr"]): assert f'{name}{{proxy="{proxy}"' in counted(door)
        tell_door(door.admin, "set weight slots/blue 100")
        until(lambda: up("slots") == 1)
        tell_door(door.admin, "disable server slots/blue")
        until(lambda: ask() == 503)
        assert (up("slots"), up("whoever")) == (0, 0)
    finally: door.end()
    lines = [line for line in (tmp_path/"door.log").read_text().splitlines() if "/predict" in line]
    assert lines and all("127.0.0.1:" in line and " 503 " in line for line in lines) # only what was refused
