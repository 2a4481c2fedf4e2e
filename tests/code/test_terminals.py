"""What a run says, on terminals and to whoever reads on."""
import io
import os
import pty
import sys
import time
from types import SimpleNamespace

import pytest

from fashion_mlops.workflow.engine import Watch
from fashion_mlops.workflow.runner import Display


class Terminal(io.StringIO):
    def isatty(self): return True


def watch(line=""): return SimpleNamespace(cell=1, cells=3, label="draw", seconds=12.0, peak=10**6, line=line)


@pytest.mark.parametrize("env, live", [({"TERM": "xterm", "COLUMNS": "80"}, True), ({"TERM": "dumb"}, False), ({"TERM": ""}, False), ({"TERM": "xterm", "COLUMNS": "1"}, False)])
def test_only_a_terminal_that_can_is_written_over(monkeypatch, env, live):
    for name, value in env.items(): monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    display = Display(every=0)
    display.progress({"01_draw": watch("half way")})
    display.line("01_draw done")
    said = terminal.getvalue()
    assert ("\x1b" in said) == live and "half way" in said and "\n\n" not in said


def test_a_terminal_that_is_closed_stops_nothing(monkeypatch):
    inside, outside = pty.openpty()
    os.close(inside)
    monkeypatch.setattr(sys, "stdout", os.fdopen(outside, "w"))
    display = Display(every=0)
    for _ in range(3): display.line("is anybody there?")


@pytest.mark.parametrize("pieces", [["the key is hunter2\n"], ["the key is hun", "ter2"], ["h", "u", "nter", "2"], ["\x1b[1mhunter2\x1b[0m"], ["GET /?k=hunter%2F2"], ["k = 'hunter/2'\r"]])
def test_no_secret_reaches_the_progress_line(pieces):
    seen = Watch(secrets=["hunter2", "hunter/2"])
    for piece in pieces:
        seen.write(piece)
    assert "hunter" not in seen.line and "•••" in seen.line


@pytest.mark.parametrize("behind", range(3994, 4001))
def test_a_long_line_is_not_cut_within_a_secret(behind):
    seen = Watch(secrets=["hunter2"])
    seen.write("the key is hunter2" + "."*behind)
    assert "2" not in seen.line


@pytest.mark.parametrize("printed", ["\x1b[2J\x1b]0;title\x07text", "text\x07\x08", "\x9b31mtext"])
def test_what_a_notebook_prints_does_not_act_on_the_terminal(printed):
    seen = Watch()
    seen.write(printed)
    assert seen.line.isprintable() and "text" in seen.line


@pytest.mark.slow
def test_no_secret_is_said_while_a_stage_runs(project):
    "Long enough for several progress lines, and in all its forms."
    project.stage("01_draw", ["import time; print('key', api_key, flush=True); time.sleep(3)",
                              "from urllib.parse import quote; raise ValueError('GET /?k=' + quote(api_key, safe=''))"],
                  parameters='dataset: str = "toy"  # dataset name\napi_key: "secret" = ""  # key of the service')
    (project.nbs/"02_add.ipynb").unlink()
    project.env["FASHION_MLOPS_PROGRESS"] = "0.3"
    answer = project.run("-p", "draw.api_key=hunter2/&hunter2")
    assert answer.returncode == 1 and "key •••" in answer.stdout and "ValueError: GET /?k=•••" in answer.stdout
    assert "hunter2" not in answer.stdout + answer.stderr
    for path in project.root.rglob("*"):
        if path.is_file(): assert b"hunter2" not in path.read_bytes(), path
