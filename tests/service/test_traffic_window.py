"""What the service was asked is what monitoring watches: read as it was answered, and only by the version that serves."""
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import numpy as np
import pytest

from fashion_mlops.drift.distances import compare
from fashion_mlops.drift.traffic_window import newest_rows, read_traffic_window, lately_words
from fashion_mlops.samples.samples import Samples
from fashion_mlops.service.deployment import set_champion
from fashion_mlops.service.first_entries import asked_and_told
from fashion_mlops.service.log_files import log_folder, newest_note, tidy, write_rows
from fashion_mlops.service.prediction_log import log_rows
from fashion_mlops.service.session import open_pack
from fashion_mlops.service.trial import on_trial
from fashion_mlops.workflow.watched import file_stamp
from packs import place_version


def logged(folder, count: int, version: int = 3, day: int = 0):
    "Some rows that a version has answered, on a day before this one."
    served, moment = SimpleNamespace(dataset="shades", version=version), datetime.now(timezone.utc) + timedelta(days=day)
    said = [{"class": "dark", "probability": 0.75, "probabilities": {"dark": 0.75, "bright": 0.25}}]*count
    rows = log_rows(served, f"v{version}-{moment.timestamp()}", said, [{"brightness": 40.0}]*count, b"", 0.001)
    write_rows(folder, [("predictions", row | {"time": moment}) for row in rows])


@pytest.fixture
def shades(home):
    "A service of pictures, and samples of which the last fifty are valid."
    place_version("shades", 3)
    set_champion("shades", 3)
    images = np.random.default_rng(0).integers(0, 200, (100, 4, 4), np.uint8)
    return Samples(images, np.arange(100) % 2, np.where(np.arange(100) < 50, 0, 1).astype(np.uint8), ["dark", "bright"], "shades", "image")


def test_rows_that_were_asked_are_the_window(shades, home):
    served, note = open_pack(home/"data"/"serving"/"shades"/"v3"), newest_note(log_folder("shades"))
    assert not read_traffic_window("shades", shades, np.arange(50, 100)).rows and file_stamp(note) == "gone"
    brighter = np.random.default_rng(1).integers(100, 256, (60, 4, 4), np.uint8)
    with on_trial("shades", log_folder("shades")) as trial: asked_and_told(trial.address, served, brighter, np.zeros(40, int))
    traffic = read_traffic_window("shades", shades, np.arange(50, 100))
    assert (traffic.rows, len(traffic.told), traffic.version) == (60, 40, 3) and not traffic.labels[traffic.told].any()
    np.testing.assert_allclose(traffic.current.brightness, brighter.reshape(60, -1).mean(1))
    np.testing.assert_allclose(traffic.answers["traffic"], served.predict_proba(brighter), atol=1e-6)
    found = compare(traffic.reference, traffic.current)
    assert "brightness" in found.table[found.table.drifted].column.tolist()
    assert "**60 rows**" in lately_words(traffic, "shades") and "Of 40 of them" in lately_words(traffic, "shades")


def test_a_trial_is_no_traffic(shades, home, tmp_path):
    served = open_pack(home/"data"/"serving"/"shades"/"v3")
    with on_trial("shades", tmp_path/"own") as trial: asked_and_told(trial.address, served, shades.inputs[:5], shades.labels[:5])
    assert not read_traffic_window("shades", shades, np.arange(50, 100)).rows


def test_the_note_changes_with_rows_and_not_with_files(home):
    "What monitoring watches: it would run again for every file that is merged, or removed for its age."
    folder = log_folder("shades")
    logged(folder, 2, day=-40)
    logged(folder, 3)
    logged(folder, 4)
    before = file_stamp(newest_note(folder))
    tidy(folder)
    assert file_stamp(newest_note(folder)) == before and len(newest_rows(folder, 3)[0]) == 7
    logged(folder, 1)
    assert file_stamp(newest_note(folder)) != before


def test_other_versions_are_left_out_and_counted(home):
    folder = log_folder("shades")
    logged(folder, 5, version=2)
    logged(folder, 4, version=3)
    logged(folder, 6, version=3, day=-1)
    kept, others = newest_rows(folder, 3, 8)
    assert (len(kept), others) == (8, 5) and kept.time.is_monotonic_increasing and (kept.version == 3).all()
