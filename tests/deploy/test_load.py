"""Load tests: what breaks a threshold, what a closed client would hide, that nothing of the home is touched; and real loads of a service of pictures and of a table."""
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from packs import place_version

from fashion_mlops.cli import main
from fashion_mlops.core import WorkflowError, write_json
from fashion_mlops.operations import loading
from fashion_mlops.operations.load_running import Load, Target, copied_home, figures_of, own_service, run_load
from fashion_mlops.operations.load_scenarios import SCENARIOS, judged, wanted_scenarios
from fashion_mlops.service.deployment import serving_folder, set_champion


def made_up(scenario, stall: float = 0, failed: int = 0, growth: float = 0) -> Load:
    "A hundred requests a second, each answered within 10 ms; a stall in the middle, failures at the end, memory that grows."
    due = 1000 + np.arange(0, scenario.seconds, 0.01)
    middle = 1000 + scenario.seconds/2
    done = np.where((due > middle) & (due < middle + stall), middle + stall, due) + 0.01
    faults = np.where(np.arange(len(due)) >= len(due) - failed, "status 503, expected 200", "")
    table = pd.DataFrame({"due": due, "sent": done - 0.01, "done": done, "kind": "json", "version": 1, "fault": faults})
    clock = 1000 + np.arange(0, scenario.seconds, 0.25)
    samples = pd.DataFrame({"time": clock, "cpu": 0.5*clock, "memory": 2e8*(1 + growth*(clock - 1000)/scenario.seconds), "locust": 0.1*clock, "machine": 0.7*clock})
    level = np.mean([level for _, level in scenario.line])
    return Load(scenario, 50, 100/level, table, samples, 1000.0)


def broken(load: Load) -> set[str]: return {one["figure"] for one in judged(load.scenario, figures_of(load)) if not one["holds"]}


@pytest.mark.parametrize("name, how, wanted", [
    ("steady", {}, set()), ("steady", {"stall": 1}, {"p99_over_p50"}), ("steady", {"failed": 1}, {"errors"}), ("steady", {"failed": 1, "stall": 2}, {"errors", "p99_over_p50"}),
    ("soak", {}, set()), ("soak", {"growth": 0.1}, {"memory_growth"}), ("soak", {"growth": 0.05}, set()), ("swap", {}, {"swaps_taken"}), ("slow", {}, {"slow_served"})])
def test_what_breaks_and_what_holds(name, how, wanted):
    assert broken(made_up(wanted_scenarios([name], 300 if name == "soak" else 60)[0], **how)) == wanted


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_scenario_holds_while_nothing_comes(name):
    "Not even where nobody noted what was due."
    load = made_up(SCENARIOS[name] if name != "soak" else wanted_scenarios(["soak"], 300)[0])
    load.per_second *= figures_of(load)["kept"] # so that all that was asked for is there
    load.requests = load.requests[load.requests.done < 1000 + load.scenario.seconds/2]
    assert "kept" in broken(load)


@pytest.mark.parametrize("at, to, wanted", [(200, 190e6, {"memory_growth"}), (170, 158e6, {"memory_growth"}), (200, 155e6, set()), (50, 190e6, set())])
def test_memory_that_grows_in_steps(at, to, wanted):
    "As allocators take it; what comes while caches fill is no growth."
    load = made_up(wanted_scenarios(["soak"], 300)[0])
    load.samples["memory"] = np.where(load.samples.time < 1000 + at, 150e6, to)
    assert broken(load) == wanted
    assert not any(name.endswith(("_low", "_high")) for name in figures_of(load)), "no interval is told: samples of one process hang together"


def test_a_soak_of_seconds_does_not_judge_memory():
    load = made_up(wanted_scenarios(["soak"], 60)[0], growth=0.5)
    assert broken(load) == set() and "not judged" in judged(load.scenario, figures_of(load))[1]["words"]


@pytest.mark.parametrize("serves, taken", [((2, 1), 2), ((1, 1), 1), ((2, 2), 1), ((1, 2), 0), ((3, 1), 1)])
def test_a_swap_counts_where_the_version_that_was_put_answers(serves, taken):
    load = made_up(SCENARIOS["swap"])
    load.swaps, load.put = [1004.0, 1008.0], [2, 1]
    for moment, version in zip(load.swaps, serves): load.requests.loc[load.requests.sent > moment + 0.3, "version"] = version
    assert figures_of(load)["swaps_taken"] == taken
    assert broken(load) == (set() if taken == 2 else {"swaps_taken"})


@pytest.mark.parametrize("fault, said", [("status 500, expected 200", "1 of 800 requests failed"), ("another class than in quiet", "1 of 800 requests failed"), ("status 429, expected 200", "")])
def test_capacity_is_of_what_is_answered(monkeypatch, fault, said):
    "A failure is quick, and would count as much that the service can."
    climbed = made_up(replace(loading.CLIMB, seconds=8))
    climbed.requests.loc[600:600, "fault"] = fault
    climbed.per_second = 0
    monkeypatch.setattr(loading, "run_load", lambda *told: climbed)
    if said:
        with pytest.raises(WorkflowError, match=said): loading.measured(Target("http://127.0.0.1:9"), [], print)
        return
    climbed.requests["fault"] = np.where(np.arange(800) % 2, fault, "")
    assert loading._without_failures(climbed) is climbed and loading.capacity_of(climbed) == pytest.approx(50)


def test_capacity_is_of_a_schedule(monkeypatch, capsys):
    "Who waits for answers is answered in batches, at half the cost; 60 % of that may be more than a schedule is borne at."
    def run(scenario, target, requests, users, per_second=0):
        load = made_up(scenario)
        load.per_second = per_second
        if per_second: load.requests["done"] += np.clip(load.requests.due - 1004, 0, None) # from the middle on they queue
        return load
    monkeypatch.setattr(loading, "run_load", run)
    assert 45 < loading.measured(Target("http://127.0.0.1:9"), [], print) < 60
    assert "100 where sixteen wait" in capsys.readouterr().out


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends a process with its parent")
def test_what_a_load_starts_does_not_outlive_it():
    "However it ends: nobody can clean up after SIGKILL."
    code = ("import os; from fashion_mlops.operations.load_running import begun; print(begun(['sleep', '60']).pid, flush=True); os.kill(os.getpid(), 9)")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.returncode == -9
    state = Path(f"/proc/{int(said.stdout)}/stat")
    for _ in range(100):
        try: ended = state.read_text().rpartition(")")[2].split()[0] in "ZX" # nobody may have fetched it yet
        except (FileNotFoundError, ProcessLookupError): ended = True
        if ended: break
        time.sleep(0.02)
    assert ended


def test_a_stall_that_a_closed_client_would_hide():
    found = figures_of(made_up(SCENARIOS["steady"], stall=1))
    assert found["p99_sent_ms"] == pytest.approx(10) and found["p99_due_ms"] > 800


def test_memory_that_nobody_tells_is_not_healthy():
    load = made_up(wanted_scenarios(["soak"], 300)[0])
    load.samples["memory"] = float("nan")
    assert broken(load) == {"memory_growth"}


@pytest.mark.parametrize("words, said", [
    ("load stedy", "Did you mean steady?"), ("load swap --url http://127.0.0.1:9", "leave --url out"), ("load steady --limit kept=many", "expected a figure and a number"),
    ("load steady --limit memory_growth=1", "expected one of"), ("load steady --url http://127.0.0.1:9", "does not answer as it should"),
    ("load steady --url http://127.0.0.1:9 --key-file /nowhere", "cannot be read"),
    ("load steady --key-file /nowhere", "--key-file is for a service under an address"), ("load", "This makes one: fashion-mlops run")])
def test_wrong_words_are_refused(home, capsys, words, said):
    assert main(words.split()) == 2 and said in capsys.readouterr().err


def test_no_error_shows_what_a_key_file_holds(home, capsys):
    "A file as `keys add NAME > FILE` may leave it, and one that holds something else."
    key, path = "ada." + "s3cr3t-"*6, home/"key"
    for content, said in ((f"{key}\nThis is shown once.\n", "does not answer as it should"), (f"\n {key}\n", "does not answer"),
                          (f"Bearer {key}", "does not begin with a key"), (f"{key[4:]}\nx", "does not begin with a key"), ("", "does not begin with a key")):
        path.write_text(content)
        assert main(["load", "steady", "--url", "http://127.0.0.1:9", "--key-file", str(path)]) == 2
        told = capsys.readouterr()
        assert said in told.err and "s3cr3t" not in told.out + told.err
    for content, code in ((f"{key}\nmore\n", 0), (f"bob{key[3:]}", 2), (f"key: {key}", 2)):
        path.write_text(content)
        assert main(["keys", "add", "ada", "--key-file", str(path)]) == code
        told = capsys.readouterr()
        assert "s3cr3t" not in told.out + told.err


def test_nobody_gets_other_sockets():
    "Locust replaces sockets and threads by its own where it is imported."
    code = "import sys, fashion_mlops.operations.loading, fashion_mlops.operations.load_report; sys.exit(bool({'locust', 'gevent'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.fixture
def without_a_service(home, monkeypatch):
    "The command, with loads that are made up."
    how, recorded = {}, []
    @contextmanager
    def target(*told): yield Target("http://127.0.0.1:9", versions=[1]), "garments"
    monkeypatch.setattr(loading, "target_of", target)
    monkeypatch.setattr(loading, "requests_for", lambda *told: [])
    monkeypatch.setattr(loading, "record", lambda dataset, loads, told: recorded.append(told) or "0123456789")
    monkeypatch.setattr("fashion_mlops.operations.load_running.run_load", lambda scenario, *told: made_up(scenario, **how))
    return how, recorded, home


def test_a_broken_threshold_is_an_exit_code_and_is_named(without_a_service, capsys):
    how, recorded, home = without_a_service
    assert main(["load", "steady", "--capacity", "150"]) == 0 and "none broken" in capsys.readouterr().out
    how |= {"stall": 1}
    assert main(["load", "steady", "--capacity", "150"]) == 1
    said = capsys.readouterr().out
    assert "BROKEN" in said and "p99_over_p50 is" in said and "expected at most 3. Look first at: processor" in said
    assert main(["load", "steady", "--capacity", "150", "--limit", "p99_over_p50=1000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loads"][0]["holds"]
    pages = home/"reports"/"garments"
    assert "Look first at" not in (pages/"load"/"steady.html").read_text() and "holds" in (pages/"load.html").read_text()
    assert "garments/load.html" in (home/"reports"/"index.html").read_text() and len(recorded) == 3
    again = "fashion-mlops load steady --dataset garments --capacity 150.0 --limit p99_over_p50=1000"
    assert f"Again: <code>{again}</code>" in (pages/"load.html").read_text() # as it was asked for


def test_the_page_of_all_says_what_may_be_why_a_threshold_is_broken():
    from fashion_mlops.operations.load_report import overview_page, told
    load = made_up(SCENARIOS["steady"], stall=1)
    about = {"dataset": "garments", "version": 1, "machine": {"processor": "a processor", "cores": "2"}}
    said = told(load, figures_of(load) | {"others_cores": 1.95}, judged(load.scenario, figures_of(load)), about)
    assert "others took 1.95 cores" in overview_page([said]) and "fashion-mlops load --dataset garments" in overview_page([said])
    assert "others took" not in overview_page([said | {"thresholds": []}]) # what holds needs no excuse


def place_table(dataset: str, version: int):
    "A pack of a table of two numbers, which says how dear a row is."
    import torch
    from fashion_mlops.service.pack import sign_pack
    from fashion_mlops.service.session import in_parts, open_session
    class Dear(torch.nn.Module):
        def forward(self, inputs):
            share = torch.sigmoid(inputs[:, 0] - 0.1*inputs[:, 1])
            return torch.stack([1 - share, share], 1)
    folder, inputs = serving_folder(dataset)/f"v{version}", np.array([[1, 0], [-1, 2]], np.float32)
    folder.mkdir(parents=True)
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(Dear(), torch.from_numpy(inputs), str(folder/"model.onnx"), dynamo=False, opset_version=17, input_names=["inputs"],
                          output_names=["probabilities"], dynamic_axes={"inputs": {0: "rows"}, "probabilities": {0: "rows"}})
    np.savez(folder/"expected.npz", inputs=inputs, probabilities=in_parts(open_session(folder/"model.onnx"), inputs))
    write_json(folder/"encoder.json", {"number": {"facts": {"price": [10.0, 2.0, False], "weight": [0.0, 1.0, False]}, "features": 2}})
    columns = [{"name": name, "type": "numeric", "share_missing": 0.0, "low": 0.0, "high": 50.0, "median": 10.0, "example": 14.5} for name in ("price", "weight")]
    write_json(folder/"serving.json", {"format": 1, "form": "graph", "dataset": dataset, "candidate": "dear", "kind": "table", "classes": ["kept", "returned"],
                                       "input": {"shape": [], "kind": "table", "columns": columns}, "watched": [], "graph": {"inputs": [{"name": "inputs", "dtype": "float32", "shape": [-1, 2]}]}})
    sign_pack(folder)
    set_champion(dataset, version)


@pytest.fixture
def shades(home):
    for version in (1, 2): place_version("shades", version)
    for version in (1, 2): set_champion("shades", version) # one before the other
    return home


@pytest.mark.slow
def test_pictures_and_a_swap_under_load(shades, empty_store, capsys):
    (shades/"mlflow.db").write_bytes(empty_store.read_bytes())
    def lying(): return {path: path.read_bytes() for path in (shades/"data").rglob("*") if path.is_file() and ".open" not in path.parts and path.name != ".mlflow.lock"}
    before = lying()
    code = main("load steady swap --seconds 5 --capacity 100 --users 10 --limit p99_over_p50=1000 --limit kept=0.5 --json".split())
    told = json.loads(capsys.readouterr().out)
    steady, swap = told["loads"]
    assert code == 0, [rule["words"] for one in told["loads"] for rule in one["thresholds"]]
    assert steady["figures"]["errors"] == swap["figures"]["errors"] == 0
    assert 100 < steady["figures"]["requests"] < 330, "300 are asked for; a machine that is busy sends fewer"
    assert steady["figures"]["memory_mb"] > 20 and 0 < steady["figures"]["service_cores"] < 3
    assert swap["figures"]["swaps"] == swap["figures"]["swaps_taken"] == 2
    assert lying() == before, "the home is as it was"
    theirs = re.findall(r'"num_requests": ?(\d+)', (shades/"reports"/"shades"/"load"/"steady_locust.html").read_text())
    assert int(theirs[-1]) == steady["figures"]["requests"], "Locust has counted as many"
    assert {"steady.html", "steady_locust.html", "swap.html"} <= {path.name for path in (shades/"reports"/"shades"/"load").iterdir()}
    from fashion_mlops.workflow.tracking import client
    run = client().get_run(told["run"])
    assert run.info.run_name == "load" and run.info.status == "FINISHED" and run.data.tags["version"] == "2" and "cores" in run.data.tags
    assert run.data.metrics["steady/requests"] == steady["figures"]["requests"]
    assert len(client().get_metric_history(told["run"], "swap/over_time/per_second")) >= 5
    assert {path.path for path in client().list_artifacts(told["run"], "load")} >= {"load/steady.html", "load/swap.json"}


@pytest.mark.slow
def test_a_table_and_a_threshold_that_is_broken_on_purpose(home, monkeypatch, capsys):
    place_table("dear", 3)
    monkeypatch.setattr(loading, "record", lambda *told: "not recorded")
    assert main("load mixed --seconds 5 --capacity 300 --users 20 --limit p99_ms=0.001".split()) == 1
    said = capsys.readouterr().out
    assert "0 errors" in said and "expected at most 0.001. Look first at: which kind of request is slow" in said
    rows = json.loads((home/"reports"/"dear"/"load"/"mixed.json").read_text())
    assert rows["figures"]["requests"] > 80 and [one["holds"] for one in rows["thresholds"]][:2] == [True, False]
    page = (home/"reports"/"dear"/"load"/"mixed.html").read_text()
    assert all(f"<td>{kind}</td>" in page for kind in ("json", "file", "batch", "bad"))


@pytest.mark.slow
def test_wrong_answers_and_slow_clients_are_seen(shades):
    "Answers that are not what a version says in quiet are errors, whatever their status."
    with own_service("shades") as target:
        requests = loading.requests_for(target, "shades")
        for one in requests:
            if one["kind"] == "file": one["answers"] = {version: [("bright" if said == "dark" else "dark", share) for said, share in rows] for version, rows in one["answers"].items()}
        (slow,) = wanted_scenarios(["slow"], 6)
        found = run_load(slow, target, requests, 10, 60)
    faults = found.requests.groupby("kind").fault.unique()
    assert list(faults["file"]) == ["another class than in quiet"] and list(faults["json"]) == [""]
    assert list(faults["drip"]) == list(faults["unread"]) == [""]
    assert {"errors", "slow_served"} - broken(found) == {"slow_served"}


@pytest.mark.slow
def test_a_service_that_freezes_is_not_whole(shades):
    "What was sent has no answer, and what was due behind it was never sent: both are errors."
    mixed = replace(wanted_scenarios(["mixed"], 6)[0], swaps=1)
    with own_service("shades") as target:
        def freeze():
            os.kill(target.process, signal.SIGSTOP)
            return 0
        try: found = run_load(mixed, target, loading.requests_for(target, "shades"), 10, 100, freeze)
        finally: os.kill(target.process, signal.SIGCONT)
    faults = found.requests.fault.value_counts()
    assert faults["no answer until the end"] >= 2 and faults["never sent, for the one before had no answer"] > 10
    assert broken(found) >= {"errors", "kept"}


@pytest.mark.slow
def test_a_copy_has_no_secret(shades, tmp_path):
    assert copied_home("shades", tmp_path/"copy") == [2, 1]
    lying = {path.name for path in (tmp_path/"copy").rglob("*") if path.is_file()}
    assert "signing.pub" in lying and not {name for name in lying if name.endswith(".pem") or name == "service.json"}
