"""Whatever is said to `fashion-mlops monitor`, what it cannot mean is one sentence before anything starts, and nothing of somebody's is touched."""
import os
from argparse import ArgumentParser
from pathlib import Path
from unittest import mock

import pytest

from fashion_mlops.core import WorkflowError
from fashion_mlops.drift import watching
from fashion_mlops.operations.monitor_commands import add_parser
from fashion_mlops.service import served_version

LONG = "x"*300


@pytest.fixture
def say(tmp_path, monkeypatch):
    "What the command answers; nothing behind its words may be reached."
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"home"))
    monkeypatch.setattr(served_version, "dataset_to_serve", lambda name: "toy")
    monkeypatch.setattr(watching, "opened", mock.Mock(side_effect=AssertionError("a check began")))
    parser = ArgumentParser()
    add_parser(parser.add_subparsers())
    def said(*words: str) -> str:
        args = parser.parse_args(["monitor", *words])
        with pytest.raises(WorkflowError) as refused: args.command(args)
        return str(refused.value)
    return said


@pytest.mark.parametrize("out", [f"{LONG}.html", "字"*80 + ".html", "a\nb.html", "a\x1b[2J.html", "..", "folder.html", "kept.txt", "kept.txt/a.html", "round/a.html",
                                 "x/"*2500 + "a.html", "noend", "gone.html/../kept.txt"])
def test_a_place_that_is_none_is_refused(out, say, tmp_path):
    (tmp_path/"folder.html").mkdir()
    (tmp_path/"kept.txt").write_text("mine")
    (tmp_path/"round").symlink_to("round")
    before = sorted(tmp_path.rglob("*"))
    text = say("--out", f"{tmp_path}/{out}")
    assert text.isprintable() and len(text) < 700 + len(str(tmp_path))*3, text
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path/"kept.txt").read_text() == "mine"


def test_a_folder_that_may_not_be_written_to_is_refused(say, tmp_path):
    with mock.patch("os.access", lambda path, mode: Path(path) != tmp_path): assert "may not be written to" in say("--out", f"{tmp_path}/new/a.html")
    assert not (tmp_path/"new").exists()


@pytest.mark.parametrize(("option", "value"), [(option, value) for option, values in {
    "--version": ["0", "-1", "1e9", "9"*6000, "a\nb", "..", "nan", ""], "--slot": [LONG, "a\nb", "\x1b[2J", "..", "/", "Canary", "canary\n"],
    "--snapshots": ["0", "-3", "x"], "--rows": ["0", "1e3", ""], "--rate": ["0", "nan", "inf"]}.items() for value in values])
def test_words_that_cannot_be_meant_are_refused(option, value, say, capsys):
    with pytest.raises(SystemExit) as ended: say(f"{option}={value}")
    line = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2 and "expected" in line and line.isprintable() and len(line) < 300


@pytest.mark.parametrize("window", [LONG*20, "a\nb", "2026-11-01\x1b[2J..", "..", "../..", "/", "-1d", "2026-13-01..", "99999999d", "2026-11-08..2026-11-01", "0000-01-01"])
def test_windows_that_are_none_are_refused(window, say, tmp_path, monkeypatch):
    served = mock.Mock(version=3, folder=tmp_path, dataset="toy")
    monkeypatch.setattr(watching, "opened", lambda asked: (served, []))
    monkeypatch.setattr(watching, "reference_asked", lambda served: (None, []))
    text = say(f"--window={window}")
    assert text.isprintable() and len(text) < 400 and "Write" in text
    assert not os.path.exists(tmp_path/"home"/"reports")
