"""The verbs of `deploy` where a slot is a container or a set of pods, against stand-ins that remember what they were told."""
import json
import sys

import pytest

from fashion_mlops.cli import main
from fashion_mlops.operations import compose_slots
from fashion_mlops.service.audit_trail import read_trail
from fashion_mlops.service.deployment import set_champion

from packs import place_version

DOCKER = '''#!{python} -IS
import json, os, sys
from pathlib import Path
place, words = Path(__file__).parent, sys.argv[1:]
state = json.loads((place/"docker.json").read_text())
state["asked"].append(words)
env = dict(line.split("=", 1) for line in (place/".env").read_text().splitlines()) if (place/".env").exists() else {{}}
env |= {{name: os.environ[name] for name in os.environ if name.endswith(("_VERSION", "_IMAGE"))}} # compose believes the terminal first
if words[0] == "inspect":
    slot = words[1]
    print(json.dumps([{{"Config": state["slots"][slot], "State": {{"StartedAt": "2026-11-27T20:00:00.1Z"}}}}]))
    words = []
else: words = words[3:] # compose -f FILE
slot = next((word.removeprefix("serve-") for word in words if word.startswith("serve-")), "")
if words[:1] == ["ps"] and slot in state["slots"]: print(slot)
elif words[:1] == ["up"]:
    version, image = env.get(slot.upper() + "_VERSION"), env.get(slot.upper() + "_IMAGE") or "serve:1"
    if version == "9": sys.exit("container serve-green is unhealthy")
    state["slots"][slot] = {{"Cmd": ["--slot", slot, *(["--version", version] if version else [])], "Image": image}}
elif words[:1] == ["stop"]: state["slots"].pop(slot, None)
elif words[:1] == ["exec"] and "python" in words: print(json.dumps({{"ready": True, "version": state.get("says") or int([1, *state["slots"][slot]["Cmd"]][-1] if "--version" in state["slots"][slot]["Cmd"] else 1)}}))
elif words[:3] == ["exec", "-T", "door"]:
    for command in sys.stdin.readline().strip().split(";"):
        if command.strip().startswith("show stat"):
            print("# pxname,svname,scur,stot,status,weight,check_status,check_code,")
            for name, weight in state["weights"].items(): print(f"slots,{{name}},0,1,{{'UP' if name in state['slots'] else 'DOWN'}},{{weight}},L7OK,200,")
        else:
            *_, which, weight = command.split()
            state["weights"][which.removeprefix("slots/")] = int(weight)
(place/"docker.json").write_text(json.dumps(state))
'''


class Docker:
    "The stand-in: blue runs version 1 and answers everybody."
    def __init__(self, folder, monkeypatch):
        self.file = folder/"docker.json"
        self.file.write_text(json.dumps({"asked": [], "weights": {"blue": 100, "green": 0}, "slots": {"blue": {"Cmd": ["--slot", "blue", "--version", "1"], "Image": "serve:1"}}}))
        (folder/"docker").write_text(DOCKER.format(python=sys.executable))
        (folder/"docker").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        monkeypatch.setattr(compose_slots, "env_file", lambda: folder/".env")

    def change(self, **values): self.file.write_text(json.dumps(self.state() | values))
    def weights(self): return tuple(self.state()["weights"].values()) # of blue, of green
    def state(self): return json.loads(self.file.read_text())
    def asked(self): return [" ".join(words[3:]) for words in self.state()["asked"] if words[0] == "compose" and words[3] in ("run", "up", "stop", "exec") and "door" not in words]


@pytest.fixture
def docker(tmp_path, monkeypatch): return Docker(tmp_path, monkeypatch)


def test_a_release_in_compose_and_back(docker, capsys):
    "The pack, the slot, and only then the weights; a canary becomes a release without being begun again; what is not healthy changes nothing."
    assert main("deploy green --version 4 --image serve:2 --on compose --reason better".split()) == 0
    run, up, ask, note = docker.asked()
    assert run.endswith("pipeline traffic bring 4 --dataset synthetic") and "health/ready" in ask and up == "up --detach --no-deps --wait serve-green"
    assert note.startswith("exec -T serve-green fashion-mlops deploy note slot answers --slot=green --share=1 --reason=better") and note.endswith("--dataset=synthetic")
    assert docker.state()["weights"] == {"blue": 0, "green": 100} and docker.state()["slots"]["green"]["Image"] == "serve:2"
    assert compose_slots.remembered()["GREEN_VERSION"] == "4" and "deploy rollback --on compose" in capsys.readouterr().out
    assert main("deploy green --version 5 --on compose".split()) == 2 and "fashion-mlops deploy blue --on compose" in capsys.readouterr().err
    assert main("deploy rollback --on compose".split()) == 0 and docker.state()["weights"] == {"blue": 100, "green": 0}
    assert main("deploy canary --share 0.1 --version 6 --on compose".split()) == 0 and docker.state()["weights"] == {"blue": 90, "green": 10}
    many = len(docker.asked())
    assert main("deploy canary --share 0.1 --version 6 --on compose".split()) == 2 and "none is idle" in capsys.readouterr().err
    assert main("deploy green --version 6 --on compose".split()) == 0 and docker.state()["weights"] == {"blue": 0, "green": 100}
    assert len(docker.asked()) == many + 2 # is it that, and the note
    assert main("deploy blue --version 9 --on compose".split()) == 2 and "blue was stopped; what answered goes on" in capsys.readouterr().err
    assert docker.state()["weights"] == {"blue": 0, "green": 100} and compose_slots.remembered()["BLUE_VERSION"] == "1" # as it ran
    assert main("deploy rollback --on compose".split()) == 0 and docker.state()["weights"] == {"blue": 100, "green": 0} # started again first
    assert main("deploy show --on compose --json".split()) == 0
    blue, green = json.loads(capsys.readouterr().out.rpartition("\n{")[2].join(["{", ""]))["slots"]
    assert (blue["answers"], green["answers"], blue["version"], green["version"]) == (True, False, 1, 6)


def test_back_is_to_the_release_before_and_never_forward(docker, capsys):
    "Once; not to a slot that holds something else by now; not to one that has not answered."
    def refused(): return main("deploy rollback --on compose".split()) == 2 and "nothing to come back to" in capsys.readouterr().err
    docker.change(slots={slot: {"Cmd": ["--slot", slot], "Image": "serve:1"} for slot in ("blue", "green")})
    compose_slots.let_answer("blue") # it does already
    assert refused()
    compose_slots.let_share("green", 0.1)
    assert compose_slots.roll_back() == "blue" and refused() and docker.weights() == (100, 0)
    compose_slots.let_answer("green")
    compose_slots.fill("blue", 7)
    assert refused() and docker.weights() == (0, 100)


def test_what_answers_is_what_was_asked_for(docker, monkeypatch, capsys):
    "Whatever the terminal exports, and whoever filled the slot meanwhile; and two do not change slots at once."
    monkeypatch.setenv("GREEN_VERSION", "3")
    monkeypatch.setenv("GREEN_IMAGE", "serve:old")
    assert main("deploy canary --share 0.1 --version 5 --on compose".split()) == 0
    assert docker.state()["slots"]["green"] == {"Cmd": ["--slot", "green", "--version", "5"], "Image": "serve:1"}
    assert main("deploy rollback --on compose".split()) == 0
    docker.change(says=3)
    assert main("deploy green --version 5 --on compose".split()) == 2 and "green has v3 of serve:1, expected v5" in capsys.readouterr().err
    assert docker.weights() == (100, 0)
    with compose_slots.alone():
        for words in ("deploy green --version 5", "deploy canary --share 0.1 --version 5", "deploy rollback"):
            assert main([*words.split(), "--on", "compose"]) == 2 and "at this moment" in capsys.readouterr().err


def test_green_is_one_of_all_once_it_was_filled(docker):
    "`up`, `stop` and `down` leave out what has a profile, unless deploy/.env names it."
    compose_slots.remember(COMPOSE_PROFILES="mine")
    assert main("deploy canary --share 0.1 --version 6 --on compose".split()) == 0
    assert compose_slots.remembered()["COMPOSE_PROFILES"] == "green,mine"


def test_a_slot_that_stands_in_is_not_filled_under_its_clients(docker, capsys):
    "Green is to answer and is down, so blue does; what green is filled with gets nothing before it is let in."
    docker.change(weights={"blue": 0, "green": 100})
    assert [one["answers"] for one in compose_slots.slots_seen()] == [True, False]
    assert main("deploy blue --version 5 --on compose".split()) == 2 and "blue answers clients" in capsys.readouterr().err
    docker.change(says=3)
    assert main("deploy green --version 5 --on compose".split()) == 2 and docker.weights() == (100, 0)


def test_an_image_is_not_for_this_machine(home, capsys):
    place_version("shades", 1)
    set_champion("shades", 1)
    assert main("deploy green --image serve:2 --dataset shades".split()) == 2 and "--on compose" in capsys.readouterr().err
    assert main(["deploy", "note", "slot answers", "--slot=green", "--share=1", "--reason=better", "--by=somebody"]) == 0 # as a container is told
    change, = read_trail("shades")
    assert (change["what"], change["by"], change["slots"], change["version"]) == ("slot answers", "somebody", {"slot": "green", "share": 1.0}, 1)


def test_a_release_on_a_cluster_and_back(tmp_path, monkeypatch, capsys):
    from test_kubernetes import Cluster, needs_kubectl
    if needs_kubectl.args[0]: pytest.skip(needs_kubectl.kwargs["reason"])
    cluster = Cluster(tmp_path, monkeypatch)
    assert main("deploy green --version 7 --on kubernetes --reason better".split()) == 0
    assert cluster.state()["service/serve"]["spec"]["selector"]["slot"] == "green"
    ask, note = [words for words in cluster.asked() if words[0] == "exec"]
    assert "health/ready" in ask[-1] and note[1:] == ["deploy/serve-green", "--namespace", "fashion-mlops", "--", "fashion-mlops", "deploy", "note", "slot answers", "--slot=green", "--share=1", "--reason=better", note[-2], "--dataset=fashion_mnist"]
    assert main("deploy green --version 8 --on kubernetes".split()) == 2 and "fashion-mlops deploy blue --on kubernetes" in capsys.readouterr().err
    assert main("deploy rollback --on kubernetes".split()) == 0 and cluster.state()["service/serve"]["spec"]["selector"]["slot"] == "blue"
    assert main("deploy show --on kubernetes".split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("blue   answers") and lines[-1].startswith("green  waits    v7")
    assert main("deploy rollback --on kubernetes".split()) == 2 and "nothing to come back to" in capsys.readouterr().err
    cluster.change(says=6) # somebody else has filled it
    assert main("deploy green --version 8 --on kubernetes".split()) == 2 and "green has v6" in capsys.readouterr().err
    assert cluster.state()["service/serve"]["spec"]["selector"]["slot"] == "blue"
