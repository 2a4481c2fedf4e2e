"""The runner's promises, each kept through the real command line, real kernels and a real MLflow store."""
import json
import os
import re
import signal
import sqlite3
import time

import pytest


def wait_for(condition, seconds=90):
    "Wait for something to become true; say so when it does not."
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return found


def test_only_what_changed_runs_and_says_why(project):
    first = project.run()
    assert first.returncode == 0, first.stdout + first.stderr
    assert json.loads(project.artifact("sum.json").read_text()) == 3
    assert {s["state"] for s in project.status().values()} == {"fresh"}
    assert "<title>" in (project.root/"reports"/"index.html").read_text()

    project.edit("01_draw", "What this stage is for", "Prose that says more")
    project.edit("01_draw", "how many", "how many numbers")
    assert {s["state"] for s in project.status().values()} == {"fresh"}

    project.edit("02_add", "sum(read_json", "2 * sum(read_json")
    assert project.status()["02_add"]["reasons"] == ["cell `write_json(stage.write('sum.json'), 2 *` edited"]
    dry = project.run("--dry-run")
    assert "01_draw         up to date" in dry.stdout and "02_add          would run: cell" in dry.stdout

    second = project.run("-p", "draw.n=5")
    assert "n 3 → 5" in second.stdout and "numbers.json changed" in second.stdout
    assert json.loads(project.artifact("sum.json").read_text()) == 20
    compared = project.call("diff", "previous", "latest").stdout
    assert re.search(r"01_draw\.n +3 → 5", compared) and re.search(r"valid_accuracy.*0\.03.*0\.05", compared)


@pytest.mark.slow
def test_a_raising_cell_is_named_and_resumed(project):
    project.edit("02_add", "write_json(stage.write('sum.json')", "1 / 0; write_json(stage.write('sum.json')")
    answer = project.run()
    assert answer.returncode == 1
    assert "ZeroDivisionError: division by zero" in answer.stdout and "1 / 0" in answer.stdout
    kept = (project.root/"reports"/"synthetic"/"notebooks"/"02_add.failed.ipynb").read_text()
    assert "02_add failed" in json.loads(kept)["cells"][0]["source"][0]
    assert project.status()["02_add"]["state"] == "failed"
    assert not list((project.root/"data"/"artifacts"/"synthetic"/"02_add").glob(".*"))

    project.edit("02_add", "1 / 0; ", "")
    again = project.run()
    assert again.returncode == 0 and "01_draw         up to date" in again.stdout
    assert not (project.root/"reports"/"synthetic"/"notebooks"/"02_add.failed.ipynb").exists()


@pytest.mark.slow
def test_a_killed_kernel_is_said_and_leaves_nothing(finished):
    before = finished.artifact("sum.json").read_bytes()
    finished.edit("02_add", "write_json(stage.write('sum.json')", "import os; (stage.folder/'sum.json').write_text('half'); os.kill(os.getpid(), 9); write_json(stage.write('sum.json')")
    answer = finished.run()
    assert answer.returncode == 1 and "killed by SIGKILL" in answer.stdout
    assert finished.artifact("sum.json").read_bytes() == before


@pytest.mark.slow
def test_a_stage_that_does_not_finish_has_failed(project):
    project.edit("02_add", "stage.finish('02_add done')", "pass")
    answer = project.run()
    assert answer.returncode == 1 and "ended without stage.finish" in answer.stdout


@pytest.mark.slow
def test_one_run_at_a_time_and_a_dead_lock_is_taken_over(project):
    project.edit("02_add", "write_json(stage.write('sum.json')", "import time; time.sleep(60); write_json(stage.write('sum.json')")
    running = project.start()
    lock = project.root/"data"/".run.lock"
    wait_for(lambda: lock.is_file() and lock.read_text())
    refused = project.run()
    assert refused.returncode == 2 and f"process {running.pid} since" in refused.stderr
    wait_for(lambda: (project.root/"data"/"artifacts"/"synthetic"/"01_draw.json").is_file())
    running.kill()
    running.wait(30)
    project.edit("02_add", "import time; time.sleep(60); ", "")
    after = project.run()
    assert after.returncode == 0, after.stdout + after.stderr
    assert "Taking over" in after.stdout


def test_ctrl_c_stops_the_kernel_and_resumes(project):
    project.edit("02_add", "write_json(stage.write('sum.json')", f"import os; open('{project.root}/pid', 'w').write(str(os.getpid())); import time; time.sleep(60); write_json(stage.write('sum.json')")
    running = project.start()
    pid = int(wait_for(lambda: (project.root/"pid").is_file() and (project.root/"pid").read_text()))
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 130 and "interrupted" in out
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), 10)
    assert {n: s["state"] for n, s in project.status().items()} == {"01_draw": "fresh", "02_add": "never"}


@pytest.mark.slow
def test_secrets_reach_no_file(project):
    project.stage("03_call", ["print('key', api_key, len(api_key))"], parameters='dataset: str = "toy"  # dataset name\napi_key: "secret" = ""  # key of the service')
    answer = project.run("-p", "call.api_key=hunter2hunter2")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "hunter2" not in answer.stdout
    for path in project.root.rglob("*"):
        if path.is_file(): assert b"hunter2hunter2" not in path.read_bytes(), path
    assert "key ••• 14" in (project.root/"reports"/"synthetic"/"notebooks"/"03_call.ipynb").read_text()
    project.edit("03_call", "print('key', api_key", "raise ValueError(api_key); print('key', api_key")
    failed = project.run("-p", "call.api_key=hunter2hunter2")
    assert failed.returncode == 1 and "hunter2" not in failed.stdout and "ValueError: •••" in failed.stdout
    for path in project.root.rglob("*"):
        if path.is_file() and path.suffix != ".pyc": assert b"hunter2hunter2" not in path.read_bytes(), path


def test_the_lock_shows_no_values(home, monkeypatch, capsys):
    from fashion_mlops.workflow.lock import LockedError, run_lock
    monkeypatch.setattr("sys.argv", ["fashion-mlops", "run", "-p", "call.api_key=hunter2"])
    with run_lock():
        assert "hunter2" not in (home/"data"/".run.lock").read_text()
        with pytest.raises(LockedError, match="call.api_key=…"):
            with run_lock(): pass


@pytest.mark.slow
def test_a_locked_store_fails_clearly_and_is_caught_up(project):
    hold = f"import sqlite3; hold = sqlite3.connect('{project.root}/mlflow.db'); hold.execute('BEGIN EXCLUSIVE')"
    project.edit("02_add", "write_json(stage.write('sum.json')", f"{hold}; write_json(stage.write('sum.json')")
    answer = project.run()
    assert answer.returncode == 1 and "did not answer within 3 s" in answer.stdout
    assert json.loads(project.artifact("sum.json").read_text()) == 3      # the artifact is kept
    again = project.run()
    assert "logging to MLflow, which an earlier run could not" in again.stdout
    runs = sqlite3.connect(project.root/"mlflow.db").execute("select count(*) from runs where name = '02_add' and status = 'FINISHED'").fetchone()
    assert runs[0] >= 1


@pytest.mark.slow
def test_an_altered_artifact_is_written_again(finished):
    finished.artifact("numbers.json").write_text("[100]")
    assert finished.status()["01_draw"]["reasons"] == ["numbers.json is missing or was altered"]
    assert finished.run().returncode == 0
    assert json.loads(finished.artifact("sum.json").read_text()) == 3


@pytest.mark.slow
def test_a_full_disk_is_one_error_and_earlier_artifacts_stay(finished):
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); stage.write('sum.json').write_bytes(bytes(10**6)); write_json(stage.write('sum.json')"
    finished.edit("02_add", "write_json(stage.write('sum.json')", full)
    answer = finished.run()
    assert answer.returncode == 1 and "a file could not grow in" in answer.stdout and "Make room there" in answer.stdout
    assert json.loads(finished.artifact("sum.json").read_text()) == 3


def test_a_home_that_cannot_be_written_is_one_sentence(project):
    (project.root/"data").write_text("a file where a folder should be")
    answer = project.run()
    assert answer.returncode == 2 and "Traceback" not in answer.stderr and str(project.root/"data") in answer.stderr


@pytest.mark.slow
def test_mlflow_holds_one_parent_with_a_child_for_each_stage(finished):
    store = sqlite3.connect(finished.root/"mlflow.db")
    names = dict(store.execute("select run_uuid, name from runs"))
    parents = store.execute("select run_uuid, value from tags where key = 'mlflow.parentRunId'").fetchall()
    assert {names[child] for child, _ in parents} == {"01_draw", "02_add"}
    assert len({parent for _, parent in parents}) == 1
    tags = dict(store.execute("select key, value from tags where run_uuid = ?", (parents[0][0],)))
    metrics = {key for key, in store.execute("select key from metrics where run_uuid = ?", (parents[0][1],))}
    assert {"valid_accuracy", "seconds_01_draw", "seconds_02_add"} <= metrics
    finished.run("add", "--force") # a run carries the numbers of the stages that ran in it, and no others
    newest, = store.execute("select run_uuid from runs where name like 'pipeline%' order by start_time desc limit 1").fetchone()
    assert {key for key, in store.execute("select key from metrics where run_uuid = ?", (newest,))} == {"seconds_02_add"}
    assert {"mlflow.source.git.commit", "git_dirty", "fingerprint", "dataset", "dataset_digest", "seed", "profile", "lock_digest", "cores"} <= set(tags)


@pytest.mark.slow
def test_plain_papermill_runs_any_stage(project):
    import subprocess, sys
    out = project.root/"out.ipynb"
    words = [sys.executable, "-m", "papermill", "nbs/02_add.ipynb", str(out), "-p", "dataset", "synthetic", "-p", "n", "7"]
    answer = subprocess.run(words, cwd=project.root, env=project.env, capture_output=True, text=True, timeout=150)
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert "running the stages before 02_add" in out.read_text()
    wrong = subprocess.run([*words[:-1], "many"], cwd=project.root, env=project.env, capture_output=True, text=True, timeout=150)
    assert wrong.returncode != 0 and "expected a whole number" in wrong.stderr
