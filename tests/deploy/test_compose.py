"""What compose is told to start: nothing open but on loopback, nothing that may do more than it has to, each after what it needs; and its small scripts, run."""
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import dropwhile, takewhile

import pytest
import yaml

from fashion_mlops.core import project_root
from fashion_mlops.operations.deploy_checks import Check, check_deploy, run_check
from fashion_mlops.operations.door import compose_door

DEPLOY = project_root()/"deploy"
COMPOSE = yaml.safe_load((DEPLOY/"compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = ("mlflow", "pipeline", "keys", "serve-blue", "serve-green")


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_may_do_no_more_than_it_has_to(name):
    said = SERVICES[name]
    assert said["read_only"] and said["cap_drop"] == ["ALL"] and "no-new-privileges:true" in said["security_opt"]
    assert all(said.get(limit) for limit in ("cpus", "mem_limit", "pids_limit")) and said["tmpfs"]
    assert said["networks"] == ["inside"] and said["logging"]["options"]["max-size"] and said["restart"] in ("unless-stopped", "no")
    assert not {"privileged", "network_mode", "pid", "cap_add", "devices", "env_file"} & set(said)
    assert all(port.startswith("127.0.0.1:") for port in said.get("ports", []))
    assert not any("docker.sock" in str(volume) for volume in said.get("volumes", []))
    assert ("healthcheck" in said) == (said["restart"] != "no"), "what stays up says whether it is well"
    assert (said.get("user") == "10001:10001") == (name in OURS)


def test_images_are_pinned_and_ours_are_built():
    for name, said in SERVICES.items():
        image = said["image"]
        while "${" in image: image = re.sub(r"\$\{\w+:-(.+)\}", r"\1", image)
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*", image), f"{name}: {image}"
        assert ("build" in said) == (name in OURS)
        if "build" not in said: continue
        assert said["build"]["target"] == image.removeprefix("fashion-mlops-").partition(":")[0]
        told = said["build"]["args"]
        assert set(told) <= set(re.findall(r"ARG (\w+)", (DEPLOY/"Dockerfile").read_text())) and told["VERSION"] == f"${{VERSION:-{image.rpartition(':')[2]}}}"


def test_a_port_of_mlflow_is_one_that_it_answers_at():
    "MLflow refuses every host that it was not told of."
    [port], command = SERVICES["mlflow"]["ports"], SERVICES["mlflow"]["command"]
    at = port.rpartition(":")[0].removeprefix("127.0.0.1:")
    hosts = command.split("--allowed-hosts ")[1].split()[0].split(",")
    assert {"mlflow:5000", "127.0.0.1:5000", f"127.0.0.1:{at}", f"localhost:{at}"} <= set(hosts)


def test_every_lock_is_audited():
    told = subprocess.run(["make", "-n", "audit"], cwd=project_root(), capture_output=True, text=True, check=True).stdout
    assert "deploy/*.txt" in told
    for path in DEPLOY.glob("*.txt"): assert "--hash=sha256:" in path.read_text(), path.name


def test_the_door_asks_for_addresses_anew_and_tells_prometheus():
    "Remembered ones may be another container's after a `down`; and its counts are where Prometheus looks."
    config = (DEPLOY/"compose"/"haproxy.cfg").read_text()
    assert set(re.findall(r"init-addr (\S+)", config)) == {"libc,none"}
    jobs = {one["job_name"]: one for one in yaml.safe_load((DEPLOY/"prometheus"/"prometheus.yml").read_text())["scrape_configs"]}
    [target] = jobs["door"]["static_configs"][0]["targets"]
    assert target.partition(":")[0] in SERVICES and f'"${{DOOR_HEALTH-:{target.partition(":")[2]}}}"' in config
    assert not any(target.partition(":")[2] in port for said in SERVICES.values() for port in said.get("ports", []))


def test_the_order_of_the_start_is_that_of_need():
    needs = {name: {other: how["condition"] for other, how in said.get("depends_on", {}).items()} for name, said in SERVICES.items()}
    for name, others in needs.items():
        for other, condition in others.items():
            ends = SERVICES[other]["restart"] == "no"
            assert condition == ("service_completed_successfully" if ends else "service_healthy"), (name, other)
    assert needs["pipeline"] == {"mlflow": "service_healthy"} and set(needs["serve-blue"]) == {"pipeline", "keys"}
    assert set(needs["door"]) == {"serve-blue"} and set(needs["grafana"]) == {"prometheus"} and "alertmanager" in needs["prometheus"]
    assert SERVICES["serve-green"]["profiles"] == ["green"]


def test_what_the_services_are_told_is_what_the_command_line_takes():
    from fashion_mlops.service import server
    from fashion_mlops.workflow.command_words import CommandParser
    parser = CommandParser()
    server.add_parser(parser.add_subparsers())
    for name in ("serve-blue", "serve-green"):
        words = re.sub(r"\$\{(\w+):\+(--version)\} \$\{\1:-\}", r"\2 3", SERVICES[name]["command"]).split() # nothing nested: podman-compose
        asked = parser.parse_args(["serve", "--host", "0.0.0.0", *words])
        assert (f"serve-{asked.slot}", asked.version, asked.port) == (name, 3, 8000)
        assert asked.drain + 25 + 15 + 5 < int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert SERVICES["keys"]["entrypoint"][0] == "fashion-mlops" and parser.parse_args(SERVICES["keys"]["entrypoint"][1:]).role == "read"
    assert compose_door()[-2:] == [SERVICES["door"]["volumes"][1].split(":")[1], "tell"]


def test_every_file_that_is_mounted_is_there_and_every_volume_is_named():
    named = set()
    for said in SERVICES.values():
        for volume in said.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."): assert (DEPLOY/source).exists(), source
            else: named.add(source)
    assert named == set(COMPOSE["volumes"])
    assert {name for said in SERVICES.values() for name in said.get("secrets", [])} == set(COMPOSE["secrets"])


def test_no_secret_lies_in_a_file_of_ours():
    for path in DEPLOY.rglob("*"):
        if path.is_file() and DEPLOY/"secrets" not in path.parents:
            assert not re.search(r"(?i)(password|token|secret_key|api_key)\"?\s*[:=]\s*[\"']?[A-Za-z0-9_\-]{6,}", path.read_text(errors="replace")), path
    ignored = subprocess.run(["git", "check-ignore", "deploy/secrets/metrics_key", ".venv-checks/bin"], cwd=project_root(), capture_output=True, text=True)
    if ignored.returncode != 128: assert len(ignored.stdout.split()) == 2 # 128: no clone


def test_secrets_are_drawn_once_and_let_prometheus_in(tmp_path, monkeypatch):
    from fashion_mlops.cli import main
    from fashion_mlops.service.keys import Keys
    script, folder = DEPLOY/"compose"/"secrets.sh", tmp_path/"secrets"
    def drawn(): return subprocess.run(["sh", script, folder], capture_output=True, text=True, check=True).stdout
    assert drawn().count("is drawn") == 2
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(before) == set(COMPOSE["secrets"]) and len(set(before.values())) == 2 and min(map(len, before.values())) >= 43
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and all(stat.S_IMODE(path.stat().st_mode) == 0o444 for path in folder.iterdir())
    assert drawn().count("is there already") == 2 and before == {path.name: path.read_text() for path in folder.iterdir()}
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"home"))
    words = [word.replace("/run/secrets", str(folder)) for word in SERVICES["keys"]["entrypoint"][1:]]
    for _ in range(2): assert main(words) == 0 # each start says it again
    keys = Keys(path=tmp_path/"home"/"data"/"keys"/"service.json")
    keys.refresh()
    assert keys.check(before["metrics_key"], "read") == "prometheus"


def test_a_champion_is_made_where_there_is_none(tmp_path):
    (tmp_path/"bin").mkdir()
    (stand_in := tmp_path/"bin"/"fashion-mlops").write_text('#!/bin/sh\necho "asked: $*"\n')
    stand_in.chmod(0o755)
    def made(): return subprocess.run(["sh", DEPLOY/"compose"/"pipeline.sh"], capture_output=True, text=True, check=True,
                                      env={"PATH": f"{tmp_path/'bin'}:{os.environ['PATH']}", "FASHION_MLOPS_HOME": str(tmp_path), "DATASET": "shoes"}).stdout
    for name, said in [("gloves", "asked: run --profile smoke --dataset shoes\n"), ("shoes", "shoes has a champion already.\n")]:
        (tmp_path/"data"/"serving"/name).mkdir(parents=True) # another's champion is none of shoes
        (tmp_path/"data"/"serving"/name/"slots.json").write_text("{}")
        assert made() == said


class Says(BaseHTTPRequestHandler):
    status = 200
    def do_GET(self):
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"{}")
    def log_message(self, *_): pass


@pytest.mark.parametrize("name", ["serve-blue", "mlflow", "prefect"])
def test_a_health_check_of_python_tells_well_from_not_well(name, monkeypatch):
    "The command itself, at another port."
    server = HTTPServer(("127.0.0.1", 0), Says)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    kind, python, option, code = SERVICES[name]["healthcheck"]["test"]
    assert (kind, python, option) == ("CMD", "python", "-c") and re.search(r"127\.0\.0\.1:(\d+)", code)
    code = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{server.server_port}", code)
    def health(): return subprocess.run(["python3", "-S", "-c", code], capture_output=True).returncode
    assert health() == 0
    monkeypatch.setattr(Says, "status", 503)
    assert health() != 0
    server.shutdown()
    server.server_close()
    assert health() != 0


def page_commands() -> list[list[str]]:
    "Words of each command of the page, without variables and pipes; one that is piped counts for itself."
    cells = json.loads((project_root()/"nbs"/"operations"/"compose.ipynb").read_text())["cells"]
    blocks = re.findall(r"```sh[^\n]*\n(.*?)```", "\n".join("".join(cell["source"]) for cell in cells), re.DOTALL)
    lines = [shlex.split(part) for block in blocks for line in block.splitlines() for part in line.split(" | ")]
    return [list(dropwhile(lambda word: re.fullmatch(r"[A-Z_]+=\S+", word), words)) for words in lines]


def test_commands_of_the_page_are_real():
    "Compose's are held against its help where it is here and against the services; the others are run by tests."
    tools, said = project_root()/".venv-checks"/"bin"/"docker-compose", page_commands()
    assert len(said) > 12 and ["sh", "deploy/compose/secrets.sh"] in said
    for words in said:
        if words[0] in ("sh", "curl", "echo", "fashion-mlops"): continue
        assert words[:4] == ["docker", "compose", "-f", "deploy/compose.yaml"]
        verb, rest = words[4], words[5:]
        if tools.exists():
            known = subprocess.run([tools, verb, "--help"], capture_output=True, text=True, check=True).stdout
            for word in takewhile(lambda word: word not in SERVICES, rest):
                assert not word.startswith("-") or re.search(rf"(^|[ ,]){word}[ ,]", known, re.MULTILINE), (verb, word)
        if verb in ("exec", "run", "stop", "logs"): assert [word for word in rest if word in SERVICES], words
    assert compose_door("deploy/compose.yaml") in said


def test_checks_can_fail(tmp_path, monkeypatch, capsys):
    "A broken file of each kind, where its tool is here; then the whole command."
    from fashion_mlops.operations import deploy_checks
    assert run_check(Check("bash", ("bash", "-n", "x.sh")), tmp_path).state == "fails"
    (tmp_path/"deploy").mkdir()
    (tmp_path/"deploy"/"broken.sh").write_text("if true; then\n")
    monkeypatch.setattr(deploy_checks, "checks_environment", lambda root: root)
    assert check_deploy(tmp_path) == 1 and "1 fail" in capsys.readouterr().out
    (tmp_path/"deploy"/"broken.sh").write_text("true\n")
    assert check_deploy(tmp_path) == 0
    for name, text in [("haproxy.cfg", "frontend x\n  no_such_word\n"), ("alerts.yaml", "groups: [{name: a, rules: [{alert: A, expr: 'up =='}]}]"),
                       ("alertmanager.yaml", "route: {receiver: nobody}\nreceivers: []\n")]:
        (broken := tmp_path/"deploy"/name).write_text(text)
        fails = [line.partition(" s  ")[2] for line in (check_deploy(tmp_path), capsys.readouterr().out)[1].splitlines() if line.startswith("fails")]
        tool = {"haproxy.cfg": "haproxy", "alerts.yaml": "promtool", "alertmanager.yaml": "amtool"}[name]
        assert bool(fails) == bool(shutil.which(tool)), name
        broken.unlink()
