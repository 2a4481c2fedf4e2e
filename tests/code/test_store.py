"""The MLflow store when things have happened to it: moved, emptied, of another version, behind a password."""
import os
import shutil
import sqlite3
import time

import pytest

from fashion_mlops.workflow import store as store_module
from fashion_mlops.workflow import tracking
from fashion_mlops.workflow.store import _repair_places
from fashion_mlops.workflow.secrets import shown_uri, without_passwords


@pytest.fixture
def store(home, empty_store):
    (home/"mlflow.db").write_bytes(empty_store.read_bytes())
    return home/"mlflow.db"


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_a_project_that_moves_takes_its_files_along(home, empty_store, monkeypatch, move):
    old, new = home/"old place", home/"new place"
    old.mkdir()
    (old/"mlflow.db").write_bytes(empty_store.read_bytes())
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(old))
    first = tracking.start_run("toy", "01_draw")
    tracking.client().log_text(first, "before", "note.txt")
    tracking.end_run(first)
    before = sorted(old.rglob("*"))
    move(old, new)
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(new))
    monkeypatch.delenv("MLFLOW_TRACKING_URI") # MLflow has set it: another process would not know it
    second = tracking.start_run("toy", "01_draw")
    tracking.client().log_text(second, "after", "note.txt")
    tracking.end_run(second)
    for run, said in ((first, "before"), (second, "after")):
        run = tracking.client().get_run(run)
        assert run.info.artifact_uri.startswith(new.as_uri())
        path = new/"mlruns"/"toy"/run.info.run_id/"artifacts"/"note.txt"
        assert path.read_text() == said
    assert not old.exists() if move is shutil.move else sorted(old.rglob("*")) == before


def test_an_experiment_that_was_put_elsewhere_stays_there(store, home):
    there = home/"big disk"/"mlruns"/"synthetic"
    there.mkdir(parents=True)
    with sqlite3.connect(store) as tables: tables.execute("insert into experiments (name, artifact_location, lifecycle_stage) values ('synthetic', ?, 'active')", (there.as_uri(),))
    (home/"mlruns"/"synthetic").mkdir(parents=True)
    _repair_places(store)
    assert tracking.client().get_experiment_by_name("synthetic").artifact_location == there.as_uri()
    shutil.rmtree(home/"big disk") # a disk that is not there now, and nothing at home in its place
    shutil.rmtree(home/"mlruns")
    _repair_places(store)
    assert tracking.client().get_experiment_by_name("synthetic").artifact_location == there.as_uri()


@pytest.mark.parametrize("version, said", [("ffffffffffff", "was written by a newer MLflow"), ("451aebb31d03", "mlflow db upgrade")])
def test_a_store_of_another_version(store, version, said):
    with sqlite3.connect(store) as tables: tables.execute("update alembic_version set version_num = ?", (version,))
    with pytest.raises(tracking.TrackingError, match=said) as error: tracking.client()
    assert len(str(error.value).splitlines()) == 1


def test_every_error_of_mlflow_is_one_sentence(store):
    for call in (lambda c: c.get_run("0" * 32), lambda c: c.get_experiment("77"), lambda c: c.search_runs(["0"], "no filter at all"),
                 lambda c: c.get_model_version("toy", "1")):
        with pytest.raises(tracking.TrackingError) as error: call(tracking.client())
        assert "\n" not in str(error.value) and "Artifacts on disk are kept" in str(error.value)


def test_a_run_that_is_gone_or_deleted_is_not_there(store):
    run = tracking.start_run("toy", "01_draw")
    tracking.end_run(run)
    assert tracking.is_there(run) and tracking.missing_runs([run]) == []
    tracking.client().delete_run(run)
    assert not tracking.is_there(run) and tracking.missing_runs([run]) == []
    store.unlink()
    assert tracking.missing_runs([run]) == [run]


PASSWORDS = ["https://me:hunter2@host:1/x", "postgresql://me:hun/ter2@host/db", "mysql+pymysql://me:hun@ter2@host/db", "https://host/x?password=hunter2",
             "https://host/x?api_key=hunter2&timeout=60", "https://hunter2hunter2@host/x", "https://me:hunter%2F2@host/x"]


@pytest.mark.parametrize("uri", PASSWORDS)
def test_passwords_of_a_store_are_not_shown(uri):
    assert not any(word in shown_uri(uri) for word in ("hunter", "hun", "ter2"))
    said = without_passwords(f"Connection to {uri} failed: GET {uri}/health", uri)
    assert not any(word in said for word in ("hunter", "hun/", "ter2")) and "host" in said


@pytest.mark.parametrize("uri", ["http://me:hunter2@127.0.0.1:9/x?token=opensesame", "http://me:hun/ter2@127.0.0.1:9"])
def test_a_server_that_does_not_answer_gives_no_password_away(home, monkeypatch, capsys, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(tracking.TrackingError) as error: tracking.wait_for_store(0.1)
    shown = str(error.value) + capsys.readouterr().out
    assert not any(word in shown for word in ("hunter", "ter2", "opensesame", "hun/")), shown


def test_a_sqlite_address_with_a_query_is_one_file(home, empty_store, monkeypatch):
    (home/"x.db").write_bytes(empty_store.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home}/x.db?timeout=60")
    tracking.wait_for_store(1)
    assert not list(home.glob("*timeout*"))
    hold = sqlite3.connect(home/"x.db")
    hold.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    with pytest.raises(tracking.TrackingError, match="did not answer"): tracking.wait_for_store(0.1)
    assert time.monotonic() - began < 30 # half of the minute that the address asks for
    hold.close()


@pytest.mark.parametrize("name", ["100%25", "what?"])
def test_a_folder_that_no_address_can_hold_is_named(home, monkeypatch, name):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(home/name))
    with pytest.raises(tracking.TrackingError, match="Rename the folder"): tracking.tracking_uri()


def test_a_store_that_may_not_be_written_to_is_said_at_once(home, monkeypatch):
    "Waiting gives no right."
    def refused(): raise sqlite3.OperationalError("attempt to write a readonly database")
    monkeypatch.setattr(store_module, "_probe", refused)
    with pytest.raises(store_module.TrackingError, match="as the user whose it is"): store_module.wait_for_store(20)
