"""A slice of the prediction log is asked about in one command: what changed and whether it hurts, in a few lines; what is wrong with the log is a sentence, and the report is there all the same."""
import contextlib
import io
import json
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import numpy as np
import pytest

from fashion_mlops.alerts.rules import FACTS
from fashion_mlops.cli import main
from fashion_mlops.core import project_root
from fashion_mlops.drift import watching
from fashion_mlops.drift.observed import Observed
from fashion_mlops.service.deployment import set_champion
from fashion_mlops.service.log_files import log_folder, write_rows
from fashion_mlops.service.prediction_log import log_rows
from packs import place_version, share_of

BEGIN = datetime(2026, 11, 2, tzinfo=timezone.utc)


def logged(count: int, brightness: float = 40.0, version: int = 3, hours: float = 0, told: str = ""):
    "Some rows that a version has answered, one each ten minutes."
    share, random = share_of(3), np.random.default_rng(int(10*brightness))
    served, rows = SimpleNamespace(dataset="shades", version=version), []
    for number in range(count):
        moment = BEGIN + timedelta(hours=hours, minutes=10*number)
        said = [{"class": "bright", "probability": 1 - share, "probabilities": {"dark": share, "bright": 1 - share}}]
        row, = log_rows(served, f"{int(1000*moment.timestamp()):012x}{number:020x}", said, [{"brightness": brightness + random.normal()}], b"", 0.001)
        rows.append(("predictions", row | {"time": moment}))
        if told: rows.append(("feedback", {"id": row["id"], "row": 0, "time": moment + timedelta(minutes=1), "label": told}))
    write_rows(log_folder("shades"), rows)


@pytest.fixture
def shades(home, monkeypatch):
    "A service of pictures whose held-out rows are known."
    import pandas as pd
    place_version("shades", 3)
    set_champion("shades", 3)
    share, random = share_of(3), np.random.default_rng(7)
    table = pd.DataFrame({"brightness": 40 + random.normal(size=400)})
    shares = np.tile(np.array([share, 1 - share], np.float32), (400, 1))
    known = Observed(table, shares, ["dark", "bright"], labels=(random.uniform(size=400) > share).astype(np.int64))
    monkeypatch.setattr(watching, "reference_asked", lambda served: (known, []))
    monkeypatch.delenv("FASHION_MLOPS_STRICT", raising=False)
    return home


def say(*words: str) -> tuple[int, str]:
    "Exit code, and what a person reads."
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out): code = main(["monitor", "--untracked", "--dataset", "shades", *words])
    return code, out.getvalue()


def test_an_empty_log_is_said_and_held_out_rows_stand_in(shades):
    code, text = say()
    assert code == 4 and "There is no traffic to look at" in text and "Held-out rows stand in" in text and "fashion-mlops serve" in text
    page = shades/"reports"/"shades"/"monitor"/"newest_rows_v3.html"
    assert page.is_file() and "Held-out rows stand in" in page.read_text(encoding="utf-8")


def test_quiet_and_changed_weeks_end_otherwise(shades):
    logged(200)
    code, text = say("--window", "2026-11-02..2026-11-04")
    assert code == 0 and "Nothing changed" in text and text.rstrip().endswith("2026-11-02..2026-11-04_v3.html")
    logged(200, brightness=90.0, hours=48)
    code, text = say("--window", "2026-11-04..2026-11-09")
    assert code == 3 and text.startswith("Something changed (p ") and "brightness" in text
    code, text = say("--json")
    told = json.loads(text)
    assert {name.removesuffix(".low").removesuffix(".high") for name in told["facts"]} <= FACTS.keys() # else no rule and no dashboard can have it
    assert code == 3 and told["facts"]["drift.changed"] == 1 and told["since"][0].startswith("2026-11-04")
    assert told["command"] == "fashion-mlops monitor --dataset shades --version 3"


@pytest.mark.parametrize("window, sentence", [("soon", "'soon' is no window of time"), ("2026-11-08..2026-11-01", "which is not after its beginning")])
def test_a_window_that_is_none_is_one_sentence(shades, window, sentence):
    code, text = say("--window", window)
    assert code == 2 and sentence in text and len(text.strip().splitlines()) == 1


def test_a_folder_is_never_replaced_by_a_report(shades, tmp_path):
    mine = tmp_path/"mine"
    mine.mkdir()
    for name in ("kept.txt", "settings.ini"): (mine/name).write_text("mine")
    for out in (mine, mine/"kept.txt"):
        code, text = say("--out", str(out))
        assert code == 2 and len(text.strip().splitlines()) == 1 and ".html" in text
    assert sorted((path.name, path.read_text()) for path in mine.iterdir()) == [("kept.txt", "mine"), ("settings.ini", "mine")]


def test_what_is_wrong_with_the_log_is_said_and_the_rest_is_told(shades):
    logged(120, told="dark")
    logged(1, hours=-1, told="purple") # no class of the model
    damaged = log_folder("shades")/"2026-11-02"/"predictions-1-1.parquet"
    damaged.write_bytes(b"PAR1 cut off")
    code, text = say()
    assert "could not be read, and the rest was" in text and "no class of the model" in text, text
    assert "measured on" in text and code == 3 # of 120 answers none is right


def test_one_row_and_a_version_that_is_gone(shades):
    logged(1)
    code, text = say()
    assert code in (0, 4) and "holds one row, of which nothing can be told" in text
    logged(150, version=9, hours=5)
    code, text = say("--version", "9")
    assert "Version 9 cannot be opened" in text and "v3 says of held-out rows" in text and code in (0, 3)
    code, text = say("--slot", "canary")
    assert code == 4 and "Ask for one of them, such as with --version 9 --slot champion" in text


def test_a_part_that_fails_costs_a_sentence(shades, monkeypatch):
    from fashion_mlops.drift import check
    def broken(check): raise RuntimeError("no such luck")
    monkeypatch.setitem(check.PARTS, "accuracy without labels", broken)
    logged(120)
    code, text = say()
    assert code == 0 and "Nothing changed" in text
    assert "no such luck" in (shades/"reports"/"shades"/"monitor"/"newest_rows_v3.html").read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_costs_a_sentence(shades):
    logged(120)
    (shades/"reports"/"shades").mkdir(parents=True, exist_ok=True)
    (shades/"reports"/"shades"/"monitor").write_text("no folder")
    code, text = say()
    assert code == 0 and "Nothing changed" in text and "The report could not be written" in text
    code, text = say("--json")
    assert json.loads(text)["page"] is None


def test_newest_rows_are_the_newest(shades):
    logged(300)
    logged(30, brightness=90.0, hours=60)
    code, text = say("--rows", "30")
    assert code == 3 and "Something changed" in text and "30 rows answered by version 3 from 2026-11-04 12:00" in text, text
    code, text = say("--rows", "30", "--window", "all")
    assert "330 rows answered" in text


def test_a_run_that_cannot_be_filled_is_closed(shades, monkeypatch):
    from fashion_mlops.drift import check_runs
    from fashion_mlops.drift.check import Asked
    from fashion_mlops.workflow import tracking
    logged(30)
    check, ended = watching.check_slice(Asked("shades")), []
    monkeypatch.setattr(tracking, "start_run", lambda *words: "a run")
    monkeypatch.setattr(tracking, "client", lambda: None) # which has no `log_batch`
    monkeypatch.setattr(tracking, "end_run", lambda run, status="FINISHED": ended.append((run, status)))
    with pytest.raises(AttributeError): check_runs.log_check(check)
    assert ended == [("a run", "FAILED")]


def test_whatever_decides_an_answer_is_watched(shades):
    from fashion_mlops.drift.check import Asked
    from fashion_mlops.service.deployment import serving_folder
    from fashion_mlops.workflow.watched import file_stamp
    def stamps(): return {path: file_stamp(path) for path in watching.watched_files(Asked("shades"))}
    folder = serving_folder("shades")
    for path in (folder/"traffic.json", folder/"v3"/"reference.parquet", folder/"slots.json"):
        before = stamps()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"another")
        assert stamps() != before, path
    assert stamps() == stamps() # and what nobody changes does not change
    assert "*watched_files(asked), rules_path(dataset))" in (project_root()/"nbs"/"10_monitoring.ipynb").read_text(encoding="utf-8") # what rings, too


def test_a_window_that_moves_makes_an_answer_old(home, monkeypatch):
    from fashion_mlops.workflow import fingerprint, watched
    watches = watched.Watches()
    watches.watch_clock(*watching.clocks_that_decide("24h"))
    manifest = {"clocks": watches.clocks}
    hour = watches.clocks["hour"]
    for later, words in ((f"{hour}:59:59+00:00", []), ("2031-01-01T00:00:00+00:00", [f"it is another hour than {hour} (UTC)"])):
        monkeypatch.setattr(watched, "now", lambda: later)
        assert fingerprint._moved_clocks(manifest) == words
    assert not watching.clocks_that_decide("") and not watching.clocks_that_decide("2026-11-01..2026-11-08")


def test_refused_requests_are_seen_said_and_ring(shades):
    from fashion_mlops.alerts.book import book_folder
    from fashion_mlops.alerts.ringing import firing
    from fashion_mlops.service.refusals import Reason, Refusals
    logged(200)
    assert say()[0] == 0
    def refuse(rows: int):
        counts = Refusals()
        counts.count(Reason("shades", 3, "champion", "/predict", "category", "town"), rows)
        write_rows(log_folder("shades"), [("refusals", one | {"time": BEGIN + timedelta(hours=30)}) for one in counts.take()])
    refuse(5)
    code, text = say()
    assert code == 0 and "5 rows in 1 request were refused, 2.4 %" in text and not firing("shades")
    refuse(600)
    code, text = say()
    assert code == 3 and "605 rows in 2 requests were refused, 75 %" in text and "in town" in text and "Mend what callers send" in text
    assert [one.alert for one in firing("shades")] == ["much-refused"] and firing("shades")[0].severity == "critical"
    told = (book_folder("shades")/"alerts.log").read_text(encoding="utf-8")
    assert "Report: " in told and told.count("Look") == 1 and "605 rows in 2 requests" in told
    assert say("--window", "2026-11-02..2026-11-03")[0] == 0 # another time: they came after it


def test_a_service_that_refuses_everybody_is_no_quiet_night(shades):
    from fashion_mlops.alerts.ringing import firing
    from fashion_mlops.service.refusals import Reason, Refusals
    counts = Refusals()
    counts.count(Reason("shades", 3, "champion", "/predict", "picture"), 40)
    write_rows(log_folder("shades"), [("refusals", one) for one in counts.take()])
    code, text = say()
    assert code == 3 and "40 rows in 1 request were refused, 1e+02 %" not in text and "100 %" in text
    assert [one.alert for one in firing("shades")] == ["much-refused"]
