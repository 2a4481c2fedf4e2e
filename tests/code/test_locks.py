"""Locks hold on a network disk, too, where only files can be locked and only such as are open for writing; and one that cannot be had is said."""
import errno
import fcntl
import os
import stat
import time

import pytest

from fashion_mlops import core
from fashion_mlops.core import WorkflowError, atomic_path, hold, is_held, release, remove_unheld, sweep_unfinished
from fashion_mlops.operations.one_moment import waited_lock
from fashion_mlops.service.deployment import serving_folder
from fashion_mlops.service.job_files import let_go, take_up
from fashion_mlops.service.traffic_changes import _alone, change_traffic


@pytest.fixture
def network_disk(monkeypatch, tmp_path):
    "As NFS has it: a lock for oneself wants a file that can be written to."
    real = fcntl.flock
    def flock(file, how):
        number = file if isinstance(file, int) else file.fileno()
        is_read_only = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        if stat.S_ISDIR(os.fstat(number).st_mode) or how & fcntl.LOCK_EX and is_read_only: raise OSError(errno.EBADF, "Bad file descriptor")
        return real(file, how)
    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("what", ["a file", "a folder"])
def test_what_is_held_is_held_on_a_network_disk(what, network_disk):
    place = network_disk/"place"
    place.mkdir() if what == "a folder" else place.touch()
    held = hold(place)
    assert held is not None and is_held(place) and hold(place, wait=False) is None
    release(held)
    assert not is_held(place)


def test_what_dead_processes_left_goes_and_what_lives_stays(network_disk):
    (network_disk/"left").mkdir()
    held = hold(network_disk/"left")
    assert not remove_unheld(network_disk/"left")
    release(held)
    assert remove_unheld(network_disk/"left")
    with atomic_path(network_disk/"file") as new:
        new.write_text("x")
        sweep_unfinished(network_disk) # by another one, at this moment
    killed = network_disk/".file.abcdefgh.unfinished"
    killed.mkdir()
    release(hold(killed))
    sweep_unfinished(network_disk)
    assert [path.name for path in network_disk.iterdir()] == ["file"]


def test_one_changes_traffic_and_a_backup_waits(network_disk):
    with _alone("shop"):
        assert hold(serving_folder("shop")/"traffic.lock", wait=False) is None
        with pytest.raises(WorkflowError, match="A change of traffic holds"):
            with waited_lock(serving_folder("shop")/"traffic.lock", time.monotonic(), "A change of traffic"): pass


def test_a_job_is_taken_up_by_one(network_disk):
    job = network_disk/"job"
    job.mkdir()
    (job/"open").touch()
    mine = take_up(job)
    assert mine is not None and take_up(job) is None and is_held(job)
    let_go(mine)
    assert not is_held(job)


def test_a_lock_that_cannot_be_had_is_never_silently_none(tmp_path, monkeypatch):
    def flock(file, how): raise OSError(errno.ENOLCK, "No locks available")
    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    with pytest.raises(WorkflowError, match="cannot be locked .No locks available"): hold(tmp_path)
    with pytest.raises(WorkflowError, match="cannot be locked"): change_traffic("shop", {"mode": "champion"}, "a test")
    core.write_json(tmp_path/"a.json", {}) # beside, under a name of its own: nobody sweeps it
    assert not remove_unheld(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "data", ".held"}


def test_a_log_writer_whose_worker_was_refused_ends_without_a_word():
    import socket
    import subprocess
    import sys
    mine, its = socket.socketpair()
    mine.close()
    words = [sys.executable, "-m", "fashion_mlops.service.log_writer", str(its.fileno()), "/nowhere", "30", "0.5", "0"]
    ended = subprocess.run(words, pass_fds=[its.fileno()], capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stderr) == (0, "")
