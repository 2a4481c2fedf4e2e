"""The commands on the pages about operations: each can be parsed, those of the runbook are run, each alarm has a section.

A fenced block is `sh`. What can only be done where there is more than this project says so behind it: `sh needs docker`,
`sh needs cluster`, `sh needs account`, `sh needs network`, or several; those blocks are parsed. `sh stays` goes on until it
is ended, as a service does. Unmarked blocks are for the runbook: they are run in their order, in one home."""
import contextlib
import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path

import pytest
import yaml

from fashion_mlops.cli import parser
from fashion_mlops.core import project_root

ROOT = project_root()
PAGES = sorted((ROOT/"nbs"/"operations").glob("*.ipynb"))
RUNBOOK = ROOT/"nbs"/"operations"/"runbook.ipynb"
NEEDS = {"docker", "cluster", "account", "network"}
WANTED_BY = {"docker": "docker", "kubectl": "cluster", "aws": "account", "gcloud": "account", "az": "account"}
TOOLS = {*WANTED_BY, *"""amtool bash bentoml buildah cat cd chmod cp crontab curl cut date df du echo export fashion-mlops
    find git grep head install jq kill ls make mkdir mlflow mv printf promtool python rm sh sleep sort systemctl tail tar
    test true uv wc""".split()}
COMPOSE = ("up", "run", "restart", "stop", "start", "logs", "exec", "ps", "rm", "build", "pull", "down", "config")
LEADING = ("sudo", "do", "then", "else", "if", "while", "until", "!", "time", "exec")


def prose(page: Path) -> str:
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def blocks(page: Path) -> list[tuple[str, str]]:
    "What stands behind `sh`, and the commands, of each fenced block."
    fences = re.finditer(r"^```sh([^\n]*)\n(.*?)^```$", prose(page), re.MULTILINE | re.DOTALL)
    return [(found[1].strip(), found[2]) for found in fences]


def parted(line: str) -> list[list[str]]:
    "The commands of a line, without where they write to and read from."
    line = re.sub(r"(?<!\S)\d?(?:>>?|<)(?:&\d| ?[^\s;|&]+)", "", line)
    words = shlex.shlex(line, posix=True, punctuation_chars=";|&")
    words.whitespace_split, words.commenters = True, "#"
    found, command = [], []
    for word in [*words, ";"]:
        if set(word) <= set(";|&"):
            found.append(command)
            command = []
        elif command or not (word in LEADING or re.match(r"\w+=", word)): command.append(word)
    return [command for command in found if command and command[0] not in ("for", "done", "fi")]


def commands(text: str) -> list[list[str]]:
    "The commands of a block, those in `$(…)` first."
    text, found = text.replace("\\\n", " "), []
    while inner := re.search(r"\$\(([^()]*)\)", text):
        found += commands(inner[1])
        text = text[:inner.start()] + "X" + text[inner.end():]
    return found + [command for line in text.splitlines() for command in parted(line)]


@cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT/"Makefile").read_text(), re.MULTILINE))

@cache
def compose_services() -> set[str]: return set(yaml.safe_load((ROOT/"deploy"/"compose.yaml").read_text())["services"])

@cache
def our_parser(): return parser()


def wrong_words(words: list[str]) -> str:
    "Why our command line refuses these; empty when it does not."
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said): our_parser().parse_args(words)
    except SystemExit: return said.getvalue().strip().splitlines()[-1]
    return ""


def wrong_services(words: list[str]) -> str:
    "Why compose cannot do this; empty when it can."
    at = next((number for number, word in enumerate(words) if word in COMPOSE), None)
    if at is None: return f"docker compose without one of {', '.join(COMPOSE)}"
    plain = [word for word in words[at + 1:] if re.fullmatch(r"[a-z][a-z-]*", word) and word != "fashion-mlops"]
    strange = set(plain[:1] if words[at] in ("run", "exec") else plain) - compose_services()
    return f"compose has no service {', '.join(strange)}" if strange else ""


def missing_file(words: list[str]) -> str:
    "Which file of the project is named and not there; empty for none."
    named = [word for word in words if re.match(r"(deploy|nbs|tests|benchmarks)/[\w./-]+$", word)]
    drawn = "deploy/secrets" # by a script
    return next((f"there is no {word}" for word in named if not word.startswith(drawn) and not (ROOT/word).exists()), "")


def wrong_with(command: list[str]) -> str:
    "Why a command cannot be right; empty when it can."
    program, words = Path(command[0]).name, command[1:]
    if program not in TOOLS: return f"{program} is no program that the pages use"
    if program == "fashion-mlops": return wrong_words(words) or missing_file(words)
    for before, skipped in (("--", 0), ("--entrypoint", 1)): # in a container; here the service's name comes first
        at = words.index(before) if before in words else len(words)
        if words[at + 1:at + 2] == ["fashion-mlops"] and (why := wrong_words(words[at + 2 + skipped:])): return why
    if program == "make":
        unknown = [word for word in words if not re.match(r"-|\w+=", word) and word not in targets()]
        if unknown: return f"make {unknown[0]} is no target"
    if program == "kubectl" and not {"-n", "--namespace", "-k", "-f", "kustomize", "config"} & set(words):
        return "kubectl without a namespace"
    return (wrong_services(words) if program == "docker" and words[0] == "compose" else "") or missing_file(words)


def needed(command: list[str]) -> set[str]:
    "What a command needs that is not in this project."
    own = command[:2] == ["kubectl", "kustomize"]
    found = {WANTED_BY[command[0]]} if command[0] in WANTED_BY and not own else set()
    for one, other in zip(command, command[1:]):
        if one == "--on": found |= {"compose": {"docker"}, "kubernetes": {"cluster"}}.get(other, set())
    return found


def wrong_in(page: Path) -> list[str]:
    "All that is wrong with the commands of a page."
    found = []
    for mark, text in blocks(page):
        kind, *marks = mark.split() or [""]
        if mark not in ("", "stays") and (kind != "needs" or not marks or set(marks) - NEEDS):
            found.append(f"sh {mark}: expected needs {', '.join(sorted(NEEDS))}, stays, or nothing")
        if kind != "needs" and page != RUNBOOK:
            found.append(f"{text.strip()[:60]}: no test runs this, so say what it needs")
        for command in commands(text):
            if why := wrong_with(command): found.append(f"{shlex.join(command)}: {why}")
            if lacks := needed(command) - set(marks):
                found.append(f"{shlex.join(command)}: the block has to say that it needs {', '.join(sorted(lacks))}")
    known = our_parser()._subparsers._group_actions[0].choices
    named = re.findall(r"`fashion-mlops ([a-z]\w*)[ `]", prose(page))
    return found + [f"fashion-mlops has no command {name}" for name in named if name not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_can_be_right(page): assert wrong_in(page) == []


WRONG = [("fashion-mlops rolback", "rolback"), ("fashion-mlops rollback --why x", "--why"), ("make sevre", "no target"),
         ("kubctl get pods", "no program"), ("kubectl get pods", "without a namespace"),
         ("docker compose -f deploy/compose.yml up", "there is no deploy/compose.yml"),
         ("docker compose -f deploy/compose.yaml restart serve-purple", "no service"),
         ("docker compose -f deploy/compose.yaml up", "has to say that it needs docker"),
         ("docker compose -f deploy/compose.yaml run --entrypoint fashion-mlops pipeline stauts", "stauts"),
         ("kubectl -n fashion-mlops exec deploy/serve-blue -- fashion-mlops kys list", "kys"),
         ('echo "$(fashion-mlops kys list)"', "kys"), ("A=1 fashion-mlops keys ad ops && true", "ad"),
         ("df -h | fashion-mlops tarffic show", "tarffic"), ("fashion-mlops \\\n  status --jsn", "--jsn")]

@pytest.mark.parametrize("text, why", WRONG)
def test_what_is_wrong_is_seen(tmp_path, text, why):
    page = tmp_path/"page.ipynb"
    page.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": f"# P\n\n```sh\n{text}\n```\n"}]}))
    assert any(why in said for said in wrong_in(page)), wrong_in(page)


def test_comments_and_redirections_are_no_words():
    text = "# all\nfashion-mlops status --json >state.json 2>&1 # now\nA=1 make all; ls"
    assert commands(text) == [["fashion-mlops", "status", "--json"], ["make", "all"], ["ls"]]


def sections(page: Path) -> dict[str, str]:
    "The text below each heading, by title."
    bare = re.sub(r"^```.*?^```$", lambda found: found[0].replace("\n#", "\n "), prose(page), flags=re.M | re.S)
    parts = re.split(r"^#{2,4} (.+)$", bare, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def test_every_alarm_has_its_section_and_every_section_its_alarm():
    groups = yaml.safe_load((ROOT/"deploy"/"prometheus"/"alerts.yaml").read_text())["groups"]
    rules, found = [rule for group in groups for rule in group["rules"] if "alert" in rule], sections(RUNBOOK)
    assert {title for title in found if re.fullmatch(r"(?:[A-Z][a-z]+){2,}", title)} == {rule["alert"] for rule in rules}
    for rule in rules:
        assert rule["annotations"]["runbook"] == f"operations/runbook.html#{rule['alert']}" # so headings are called
        assert "**First:**" in found[rule["alert"]], rule["alert"]


def test_links_within_the_runbook_lead_somewhere():
    there = {title.replace(" ", "-") for title in sections(RUNBOOK)}
    assert set(re.findall(r"\]\(#([^)]+)\)", prose(RUNBOOK))) <= there


@pytest.fixture
def page_home(tmp_path) -> Path:
    "A home with two versions of a model, which is the folder that commands are given in."
    here = tmp_path/"home"
    here.mkdir()
    fill = [sys.executable, str(Path(__file__).parent/"homes.py")]
    subprocess.run(fill, env=os.environ | {"FASHION_MLOPS_HOME": str(here)}, check=True, capture_output=True, timeout=200)
    for name in ("deploy", "nbs", "Makefile"): (here/name).symlink_to(ROOT/name)
    return here


class Terminal:
    "Blocks, one after the other, in a folder; what stays is ended with it."
    def __init__(self, folder: Path):
        own = folder.parent/"bin"
        own.mkdir()
        (own/"fashion-mlops").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fashion_mlops.cli "$@"\n')
        (own/"fashion-mlops").chmod(0o755)
        with contextlib.ExitStack() as held: # both at once, so that they differ
            socks = [held.enter_context(socket.socket()) for _ in range(2)]
            for sock in socks: sock.bind(("127.0.0.1", 0))
            self.ports = {str(8000 + number): str(sock.getsockname()[1]) for number, sock in enumerate(socks)}
        places = {"FASHION_MLOPS_HOME": str(folder), "FASHION_MLOPS_ROOT": str(ROOT), "PYTHONPATH": str(ROOT),
                  "PATH": f"{own}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
        self.how = {"cwd": folder, "env": os.environ | places, "stdin": subprocess.DEVNULL, "text": True}
        self.staying = []

    def words(self, text: str) -> list[str]:
        "The block for a shell, with ports of this test in the place of the usual ones."
        text = re.sub(r"^(fashion-mlops (?:serve|deploy local)\b(?:(?!--port).)*)$", r"\1 --port 8000", text, flags=re.M)
        text = re.sub(r"(127\.0\.0\.1:|--port )(800[01])\b", lambda found: found[1] + self.ports[found[2]], text)
        return ["bash", "-euo", "pipefail", "-c", text]

    def run(self, text: str):
        done = subprocess.run(self.words(text), **self.how, capture_output=True, timeout=120)
        assert done.returncode == 0, f"{text}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"

    def start(self, text: str):
        process = subprocess.Popen(self.words(text), **self.how, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        self.staying.append(process)
        said = []
        for line in process.stdout:
            said.append(line)
            if "answers at" in line: break
        else: raise AssertionError(f"{text}\n{''.join(said)}")
        threading.Thread(target=lambda: [None for _ in process.stdout], daemon=True).start()

    def end(self):
        for process in self.staying:
            for sig in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError): os.killpg(process.pid, sig)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                    break


@pytest.mark.slow
def test_the_runbook_can_be_followed(page_home):
    "Word by word, in order: what is not marked is run."
    terminal, took = Terminal(page_home), {}
    try:
        for mark, text in blocks(RUNBOOK):
            began = time.monotonic()
            if mark == "stays": terminal.start(text)
            elif not mark: terminal.run(text)
            took[text] = time.monotonic() - began
    finally: terminal.end()
    assert len(took) > 20
    print(*(f"{seconds:5.1f} s  {text.strip()[:90]!r}" for text, seconds in took.items() if seconds > 0.05), sep="\n")
