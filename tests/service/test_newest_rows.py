"""What the service was asked is what monitoring watches: read as it was answered, and only by the version that serves."""
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import numpy as np
import pytest

from fashion_mlops.drift import watching
from fashion_mlops.drift.check import Asked
from fashion_mlops.drift.known_windows import HELD_OUT, check_or_stand_in, held_rows, known_check, shifted_window, witness_of
from fashion_mlops.drift.newest_rows import newest_rows
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
def shades(home, monkeypatch):
    "A service of pictures, and samples of which the last fifty are valid."
    place_version("shades", 3)
    set_champion("shades", 3)
    images = np.random.default_rng(0).integers(0, 200, (100, 4, 4), np.uint8)
    samples = Samples(images, np.arange(100) % 2, np.where(np.arange(100) < 50, 0, 1).astype(np.uint8), ["dark", "bright"], "shades", "image")
    monkeypatch.setattr(watching, "samples_of", lambda dataset: samples)
    return samples


def looked_at(samples):
    "A check of what was asked, as the stage makes it; the clean one, and why the pack does not answer."
    asked = Asked("shades", seed=1)
    witness, why = witness_of("shades", samples)
    held = held_rows(samples, witness, 1)
    clean = known_check(asked, witness, held.at(held.first), held.at(held.second), HELD_OUT)
    return check_or_stand_in(asked, clean), clean, why


def test_rows_that_were_asked_are_the_window(shades, home):
    served, note = open_pack(home/"data"/"serving"/"shades"/"v3"), newest_note(log_folder("shades"))
    check, clean, why = looked_at(shades)
    assert "no traffic" in check.first_lines[0] and check.found is clean.found and not why and file_stamp(note) == "gone"
    brighter = np.random.default_rng(1).integers(100, 256, (60, 4, 4), np.uint8)
    with on_trial("shades", log_folder("shades")) as trial: asked_and_told(trial.address, served, brighter, np.zeros(40, int))
    check, clean, _ = looked_at(shades)
    assert (len(check.current), len(check.current.told), check.asked.version) == (60, 40, 3) and not check.current.labels[check.current.told].any()
    assert list(check.current.table) == list(clean.current.table) # both through the same eyes
    np.testing.assert_allclose(sorted(check.current.table.brightness), sorted(brighter.reshape(60, -1).mean(1)))
    assert check.finding.changed is None and not clean.found["detection"].changed # two requests are too few to say
    assert "cannot be said" in check.first_lines[0] and "Do:" in check.first_lines[-1]


def test_a_trial_is_no_traffic(shades, home, tmp_path):
    served = open_pack(home/"data"/"serving"/"shades"/"v3")
    with on_trial("shades", tmp_path/"own") as trial: asked_and_told(trial.address, served, shades.inputs[:5], shades.labels[:5])
    assert looked_at(shades)[0].stand_in


@pytest.mark.parametrize("broken, words", [("slots.json", "There is no champion of 'shades' to serve"), ("v3/model.onnx", "v3")])
def test_without_a_pack_the_registered_champion_answers_and_the_rest_is_told(shades, home, monkeypatch, broken, words):
    from fashion_mlops.service import champion
    path, answered = home/"data"/"serving"/"shades"/broken, open_pack(home/"data"/"serving"/"shades"/"v3").predict_proba
    class Model:
        threshold = 0.5
        def __call__(self, inputs): return answered(inputs)
    monkeypatch.setattr(champion, "load_champion", lambda dataset: (Model(), {"version": 3}))
    path.unlink() if broken == "slots.json" else path.write_bytes(b"another model")
    check, clean, why = looked_at(shades)
    assert words in why and words in check.first_lines[0] and "cannot be looked at" in check.first_lines[0] and len(check.first_lines) == 2
    assert check.facts["rows"] == 0 and clean.found["detection"].changed is False and clean.what == HELD_OUT
    witness, _ = witness_of("shades", shades)
    moved, rows = shifted_window(held_rows(shades, witness, 1), 1.0)
    assert len(moved) == len(rows) and (moved.inputs != shades.inputs[rows]).any()


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
