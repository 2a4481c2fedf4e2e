"""The alert of a broken log rings when files or rows of it are lost, and never on a log that is whole, however odd its rows are."""
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from fashion_mlops.drift.check import Asked, Check, checked
from fashion_mlops.operations.monitor_commands import exit_code
from fashion_mlops.drift.observed import Observed
from fashion_mlops.alerts.ringing import ring
from fashion_mlops.drift.watching import stand_in_words
from test_slices import CLASSES, MONDAY, line, put, read, told

HUNDRED = [line(number, minutes=number, said=CLASSES[number % 2]) for number in range(100)]


def checked_log(found) -> Check:
    "What a check makes of a slice, without asking any part."
    reference = Observed(pd.DataFrame({"brightness": np.arange(50.0)}), np.full((50, 3), 1/3, np.float32), CLASSES)
    if not found.rows: return Check(Asked("toy"), reference, reference, stand_in=stand_in_words(found), set_aside=found.set_aside)
    return Check(Asked("toy"), reference, found.observed, faults=found.faults, set_aside=found.set_aside)


def rings(check: Check, monkeypatch, home) -> list[str]:
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(home))
    seen = type("Seen", (), {"id": check.id, "moment": check.moment, "facts": check.facts, "first_lines": check.first_lines,
                             "command": check.command, "stand_in": check.stand_in, "set_aside": check.set_aside})
    return [event.alert for event in ring("toy", seen, loud=False)]


def twice_told(folder):
    put(folder, [told(row, label, later) for row in HUNDRED[:20] for label, later in (("bag", 60), ("boot", 90))], "feedback")

def for_nobody(folder): put(folder, [told(line(900 + number, minutes=5), "bag") for number in range(5)], "feedback")
def no_class(folder): put(folder, [told(row, "hat") for row in HUNDRED[:5]], "feedback")
def same_ids(folder): put(folder, [row | {"time": row["time"] + timedelta(seconds=5)} for row in HUNDRED[:10]])
def silent_hours(folder): put(folder, [line(500 + number, minutes=60*20 + number) for number in range(60)])
def nothing_odd(folder): pass


@pytest.mark.parametrize("odd", [nothing_odd, twice_told, for_nobody, no_class, same_ids, silent_hours])
def test_a_whole_log_rings_nothing(odd, tmp_path, monkeypatch):
    put(tmp_path/"log", HUNDRED)
    odd(tmp_path/"log")
    found = read(tmp_path/"log")
    assert len(found.faults) == (odd is not nothing_odd) and found.set_aside == 0, found.faults
    assert "log-broken" not in rings(checked_log(found), monkeypatch, tmp_path/"home")


def cut(path): path.write_bytes(path.read_bytes()[:500])
def put_aside(path): path.rename(path.with_suffix(".damaged"))
def gone(path): path.unlink(); path.symlink_to("gone")
def a_folder(path): path.unlink(); path.mkdir()


@pytest.mark.parametrize("harm", [cut, put_aside, gone, a_folder])
@pytest.mark.parametrize("everything", [False, True])
def test_a_lost_file_rings_and_a_lost_log_is_no_quiet_night(everything, harm, tmp_path, monkeypatch):
    put(tmp_path/"log", HUNDRED)
    paths = list((tmp_path/"log").rglob("predictions-*"))
    if not everything: put(tmp_path/"log", [line(200, minutes=200)])
    for path in paths: harm(path)
    found = read(tmp_path/"log")
    assert (found.set_aside, found.nothing_read, found.rows) == (1, everything, 0 if everything else 1)
    assert "1 file of the prediction log could not be read" in found.faults[0] and "backup" in found.faults[0]
    check = checked_log(found)
    assert rings(check, monkeypatch, tmp_path/"home") == ["log-broken"]
    if everything:
        assert check.first_lines[0].startswith("**The prediction log cannot be read**") and "nobody has been answered" not in str(check.first_lines)
        assert exit_code(check.finding) == 3 and "Mend the prediction log first" in check.first_lines[-1]


def test_rows_of_a_clock_that_jumped_are_lost_too(tmp_path, monkeypatch):
    put(tmp_path/"log", [line(number, minutes=60*24*300 + number) for number in range(30)])
    found = read(tmp_path/"log")
    assert (found.rows, found.set_aside, found.nothing_read) == (0, 30, False)
    assert "set the clock of the service right" in found.faults[0] and "--window" not in str(found.faults)
    assert rings(checked_log(found), monkeypatch, tmp_path/"home") == ["log-broken"]


@pytest.mark.parametrize("place", ["log", "log/2026-11-02"])
def test_a_file_in_the_place_of_a_folder_is_no_empty_log(place, tmp_path):
    (tmp_path/"log").mkdir()
    if place == "log": (tmp_path/"log").rmdir()
    (tmp_path/place).write_text("no folder")
    found = read(tmp_path/"log")
    assert found.nothing_read and "1 place of the prediction log could not be read" in found.faults[0]


def test_an_empty_log_is_a_quiet_night(tmp_path, monkeypatch):
    found = read(tmp_path/"log")
    check = checked_log(found)
    assert (found.set_aside, found.nothing_read, exit_code(check.finding)) == (0, False, 4)
    assert rings(check, monkeypatch, tmp_path/"home") == [] and "fashion-mlops serve" in check.first_lines[-1]
