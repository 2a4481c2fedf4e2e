"""What a run says of its time, and asking for a run by its time or by another run."""
import json
import re

import pytest

from fashion_mlops.datasets.size import sized as Shape
from fashion_mlops.workflow.costs import reference_seconds
from fashion_mlops.workflow.estimate import Estimate, Expected, estimate, estimate_words, expected_stage, past_stages
from fashion_mlops.workflow.remaining import Remaining, seconds_left

TIMED = 'dataset: str = "toy"  # dataset name\nminutes: "float[0, 100000]" = 0  # time to keep to\nrows: "int[1, 1000]" = 100  # the most'
CHOOSE = ["import time; time.sleep(0.5)", "rows = 7 if stage.budget.bounded else rows", "if stage.budget.bounded: stage.chose('that is what fits', rows=rows)",
          "from fashion_mlops.core import write_json; write_json(stage.write('fit.json'), {'rows': rows})"]
DAY = "2026-11-26T10:00:00+00:00"


@pytest.fixture
def timed(project):
    "A project whose default profile gives a stage half a minute."
    project.stage("03_fit", CHOOSE, reads=["sum.json"], writes=["fit.json"], parameters=TIMED)
    (project.root/"params.yaml").write_text("default:\n  03_fit: {minutes: 1.0}\n")
    return project


def records(project): return [json.loads(path.read_text()) for path in sorted((project.root/"data"/"runs"/"synthetic").glob("*.json"), key=lambda path: json.loads(path.read_text())["number"])]
def default(project, *words): return project.call("run", "--dataset", "synthetic", *words)


@pytest.mark.slow
def test_what_was_chosen_is_asked_for_again_and_counts_as_the_same(timed):
    first = default(timed)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "expected: about 60 s (from the machine's speed" in first.stdout and "01_draw, 02_add will take, which never ran here" in first.stdout
    assert "of 1 min" in first.stdout and re.search(r"run --like \d{8}T\d{6}-\w{4}\n", first.stdout) and "-p 03_fit.minutes=0 -p 03_fit.rows=7" in first.stdout
    said = records(timed)[0]
    assert said["stages"]["03_fit"]["chosen"] == {"rows": 7} and {"processor", "cores", "vector_units", "load"} <= said["machine"].keys() and said["shape"]["kind"] == "image"

    assert [line.split()[1] for line in default(timed, "--like", "latest").stdout.splitlines()[:3]] == ["up"] * 3
    again = default(timed, "fit", "--like", "latest", "--force")
    assert again.returncode == 0 and json.loads(timed.artifact("fit.json").read_text()) == {"rows": 7}
    assert "minutes 0" in default(timed, "--dry-run").stdout                    # the clock is asked again

    third = default(timed, "--minutes", "20", "--dry-run")
    assert "minutes 0.0 → 19.17" in third.stdout, third.stdout
    forced = default(timed, "fit", "--force")
    assert re.search(r"expected: about \d+ s \(as on \d+ \w+ on this machine\)", forced.stdout)


def test_what_cannot_be_is_refused_before_anything_starts(timed):
    for words, sentence in ((["--minutes", "1"], "at least 1.5"), (["--minutes", "0"], "at least"), (["--minutes", "nan"], "at least"), (["--minutes", "20", "--profile", "smoke"], "Profiles that do: default"),
                            (["--like", "latest"], "No run is recorded yet"), (["--like", "x", "--minutes", "3"], "Give one of them"), (["-p", "fit.minutes=0.01"], "at least 0.1")):
        answer = default(timed, *words)
        assert answer.returncode == 2 and sentence in answer.stderr, (words, answer)
    assert not (timed.root/"data"/"runs").exists() and not (timed.root/"data"/"artifacts").exists()


def stage_record(stage, params, seconds, **more):
    return {"token": "t", "dataset": "orders", "began": DAY, "results": [{"name": stage, "state": "done", "seconds": seconds}], "stages": {},
            "settings": {stage: {name: {"value": value, "source": "notebook"} for name, value in params.items()}}} | more


def test_old_records_and_those_of_other_machines():
    here = {"processor": "P", "vector_units": "AVX2", "cores": "2"}
    old, mine, others = (stage_record("05_automl", {"search_rows": 700}, seconds) for seconds in (40.0, 41.0, 5.0))
    past = past_stages([old, mine | {"machine": here | {"load": 3.0}}, others | {"machine": here | {"cores": "64"}}], here)
    assert [p.seconds for p in past] == [41.0, 40.0] and past[1].shape is None


@pytest.mark.parametrize("minutes, most", [(0, 1e9), (2, 150), (0.1, 36)])
def test_a_stage_with_minutes_takes_no_more(minutes, most):
    shape, slow = Shape("image", 70000, 1), {"python": 1.0, "gemm": 0.1}
    found = expected_stage("07_training", {"epochs": 60, "width": 64, "minutes": minutes}, "fashion_mnist", shape, [], lambda: slow if minutes == 0 else {"python": 1e6, "gemm": 1.0})
    assert 0 < found.seconds and (found.seconds <= most) and found.bounded == (minutes > 0)


def test_the_same_words_learn_from_the_last_runs_and_others_are_scaled():
    shape = Shape("table", 2000, 11)
    same = [stage_record("05_automl", {"search_rows": 700, "seed": n}, seconds, shape=vars(shape)) for n, seconds in enumerate((90.0, 40.0, 44.0, 41.0))]
    past = past_stages(same, {})
    assert expected_stage("05_automl", {"search_rows": 700, "seed": 9}, "orders", shape, past, None).seconds == 41.0 # median of three; the oldest no longer counts
    ratio = reference_seconds("05_automl", {"search_rows": 1400}, shape) / reference_seconds("05_automl", {"search_rows": 700}, shape)
    assert expected_stage("05_automl", {"search_rows": 1400}, "orders", shape, past, None).seconds == pytest.approx(41 * ratio)
    assert expected_stage("05_automl", {"search_rows": 1400}, "clients", shape, past, None).basis == "scaled"
    kept_to = past_stages([stage_record("05_automl", {"search_rows": 700, "minutes": 0.5}, 31.0, shape=vars(shape))], {})
    assert expected_stage("05_automl", {"search_rows": 700}, "orders", shape, kept_to, lambda: {"python": 363.0, "gemm": 230.0}).basis == "speed" # what a clock ended says nothing of the work


@pytest.mark.parametrize("ticks", [[1] * 50, [0] * 50, [-5, 3600, -7200, 1e7, 0, 1], [86400] * 3])
def test_what_is_left_is_never_below_zero_nor_more_than_a_stage_could_explain(ticks):
    clock = [0.0]
    going = Remaining(Estimate({"a": Expected(10, "same"), "b": Expected(20, "scaled"), "c": Expected(60, "same", "", True)}), lambda: clock[0])
    for name in "abc":
        going.start(name)
        for tick in ticks:
            clock[0] += tick
            assert 0 <= seconds_left(going) <= 90 * 5 + max(0.2 * abs(t) for t in ticks) * len(ticks)
        going.end(name)
    assert seconds_left(going) == 0


def test_a_stage_that_nobody_knows_leaves_the_rest_unsaid():
    told = Estimate({"a": Expected(10, "same", DAY), "13_pricing": Expected(None, "speed")})
    assert seconds_left(Remaining(told)) is None and "13_pricing" in estimate_words(told)
    assert estimate_words(Estimate({})) == "" and "this stage has not" in estimate_words(Estimate({"13_pricing": Expected(None, "speed")}))
    assert estimate([], {}, "synthetic", []).seconds == 0


FULL_NET = {"epochs": 60, "width": 48, "fine": True}

@pytest.mark.parametrize("params, rows, speed, measured", [
    (FULL_NET, 70000, {"python": 363.0, "gemm": 920.0}, 41 * 60),                            # four cores with bfloat16
    ({"epochs": 12, "width": 64}, 70000, {"python": 363.0, "gemm": 920.0}, 4 * 60),
    ({"epochs": 16, "width": 32}, 70000, {"python": 363.0, "gemm": 230.0}, 16 * 54000 * 0.35e-3 / 2)])
def test_a_net_that_nobody_trained_here_is_expected_within_half_and_twice(params, rows, speed, measured):
    found = expected_stage("07_training", params, "fashion_mnist", Shape("image", rows, 1), [], lambda: speed)
    assert measured / 2 < found.seconds < 2 * measured


@pytest.mark.parametrize("stage, params, quiet", [("01_data", {}, 15), ("02_quality", {}, 8), ("08_registry", {}, 15), ("10_monitoring", {"n_features": 28, "null_draws": 999}, 45)])
def test_light_stages_cost_what_they_took_on_quiet_cores(stage, params, quiet):
    assert reference_seconds(stage, params, Shape("image", 70000, 1)) == pytest.approx(quiet, rel=0.1)


def test_a_resumed_run_names_all_that_was_chosen_in_it(monkeypatch):
    from fashion_mlops.workflow import manifests
    from fashion_mlops.operations.running import _again
    from fashion_mlops.workflow.pipeline import Setting
    from fashion_mlops.workflow.progress import Result, Run
    chosen = {"03_eda": {"chosen": {"map_rows": 70}}, "04_features": {"chosen": {"model_rows": 900}}, "05_automl": {"chosen": {"search_rows": 80}}}
    monkeypatch.setattr(manifests, "manifests", lambda *words: chosen)
    settings = {name: {"seed": Setting(7, "command line"), "hush": Setting("word", "command line", True)} for name in chosen}
    run = Run("synthetic", settings=settings, results=[Result("03_eda", "fresh"), Result("04_features", "done"), Result("05_automl", "failed")], recorded=True)
    assert all(word in _again(run) for word in ("03_eda.map_rows=70", "04_features.model_rows=900", "03_eda.seed=7"))
    assert "05_automl" not in _again(run) and "hush" not in _again(run)
    run.results, run.recorded = [Result("03_eda", "fresh")], False
    assert _again(run) == "" # nothing ran, so there is no record of it


def test_a_run_that_cannot_keep_to_its_time_says_so_with_the_least_that_can_be_kept():
    from fashion_mlops.workflow.estimate import late_words
    told = Estimate({"02_quality": Expected(400, "scaled"), "07_training": Expected(260, "speed", bounded=True)})
    assert "the 4.5 min asked for" in late_words(told, 4.5, 4.5) and "Less cannot be asked for: it takes about 11 min." in late_words(told, 4.5, 4.5)
    assert "the least, --minutes 4.5, it takes about 10 min" in late_words(told, 5.5, 4.5)
    assert late_words(told, 10.1, 4.5) == late_words(told, None, None) == ""


def test_minutes_are_spread_over_what_would_be_asked_and_all_that_was_said_holds(timed):
    file = timed.root/"mine.yaml"
    file.write_text("03_fit: {minutes: 3.0}\n")
    for words, code, said in ((["--before", "03", "--minutes", "0.1"], 2, "none to"),                    # that one is not asked for: the others have no minutes
                              (["fit", "--minutes", "5", "-f", str(file)], 2, "-p or -f say those of 03_fit"),
                              (["fit", "--minutes", "5", "-p", "03_fit.minutes=3"], 2, "-p or -f say those of 03_fit"),
                              (["01", "--minutes", "5"], 2, "01_draw has no such parameter"),
                              (["--minutes", "5", "--profile", "smoke"], 2, "-p 03_fit.minutes=2"),
                              (["--minutes", "inf"], 2, "at most 100000.\n"),
                              (["--minutes", "1"], 2, "0.8 min for imports, and for stages without minutes"),
                              (["--from", "03", "--minutes", "7", "--dry-run"], 0, "would run")):
        answer = default(timed, *words)
        assert answer.returncode == code, (words, answer.stdout, answer.stderr)
        if "--before" not in words: assert said in answer.stdout + answer.stderr, (words, answer.stdout, answer.stderr)
        else: assert "no such parameter" in answer.stderr


def test_an_estimate_that_fails_is_no_failure(monkeypatch):
    from fashion_mlops.workflow import estimate as chapter
    def broken(*words, **more): raise ZeroDivisionError("no speed")
    monkeypatch.setattr(chapter, "estimate", broken)
    told, words = chapter.foreseen([], {}, "synthetic")
    assert told.stages == {} and words == "No estimate: ZeroDivisionError: no speed"


@pytest.fixture
def recorded(timed):
    "A project with the record of a run that asked for minutes, and for more rows than the stage allows by now."
    said = stage_record("03_fit", {}, 9.0, token="20261126T101010-ab12", dataset="synthetic", profile="default", number=1, minutes=4.5, mlflow_run_id=None)
    said["stages"] = {"03_fit": {"chosen": {}}}
    said["settings"] = {"03_fit": {"minutes": {"value": 3.6, "source": "command line, --minutes 4.5"}, "rows": {"value": 5000, "source": "command line"}}}
    folder = timed.root/"data"/"runs"/"synthetic"
    folder.mkdir(parents=True)
    (folder/f"{said['token']}.json").write_text(json.dumps(said))
    return timed


@pytest.mark.parametrize("words, sentence", [
    (["--like", "20261126T101010-ab12", "--dataset", "synthetic_orders"], "that run was on synthetic, and --dataset says synthetic_orders"),
    (["--like", "latest", "--dataset", "synthetic_orders"], "the last one was on synthetic"),
    (["--like", "latest", "--profile", "smoke"], "that run was of profile default, and --profile says smoke"),
    (["--like", ""], "not an empty word"),
    (["--like", "latest"], "Run 20261126T101010-ab12 asked for it; say another by -p 03_fit.rows=VALUE")])
def test_another_run_that_cannot_be_repeated_is_named_with_the_way_out(recorded, words, sentence):
    answer = recorded.call("run", "--dry-run", *words)
    assert answer.returncode == 2 and sentence in answer.stderr, answer
    if sentence.startswith("Run"): assert recorded.call("run", "--dry-run", *words, "-p", "03_fit.rows=7").returncode == 0


def test_status_says_of_which_parameters_it_speaks(recorded):
    first = recorded.call("status").stdout.splitlines()[0]
    assert "profile default · as the last run asked (--minutes 4.5, -p 03_fit.rows=5000)" in first
    assert "as the last run" not in recorded.call("status", "--profile", "smoke").stdout


def test_what_is_left_of_a_running_stage_only_falls():
    clock = [0.0]
    going = Remaining(Estimate({"a": Expected(40, "same"), "b": Expected(60, "same")}), lambda: clock[0])
    going.start("a")
    left = []
    for clock[0] in range(400): left.append(seconds_left(going))
    assert all(later < earlier for earlier, later in zip(left, left[1:])) and left[0] == 100 and left[-1] > 60


def test_only_what_never_ran_here_is_a_first_run():
    shape, speed = Shape("table", 2000, 11), lambda: {"python": 363.0, "gemm": 230.0}
    kept_to = past_stages([stage_record("05_automl", {"search_rows": 700, "minutes": 0.5}, 31.0, shape=vars(shape))], {})
    for past, first in ((kept_to, False), ([], True)):
        told = Estimate({"05_automl": expected_stage("05_automl", {"search_rows": 700}, "orders", shape, past, speed)})
        assert ("none of these has run here yet" in estimate_words(told)) == first


def test_stages_with_minutes_run_beside_no_other():
    from fashion_mlops.workflow.pipeline import Setting
    from types import SimpleNamespace as Notebook
    stages = [Notebook(name="03_eda", reads=[], writes=[]), Notebook(name="04_features", reads=[], writes=[])]
    def seconds(jobs, minutes):
        settings = {s.name: {"minutes": Setting(minutes, "profile default")} for s in stages}
        return estimate(stages, settings, "synthetic", [], lambda: {"python": 363.0, "gemm": 230.0}, jobs, Shape("image", 2000, 1)).seconds
    assert seconds(2, 0.0) < seconds(1, 0.0) and seconds(2, 0.1) == seconds(1, 0.1)


def test_a_failed_run_says_that_the_next_call_resumes_and_the_table_explains_its_times():
    from fashion_mlops.workflow.pipeline import Setting
    from fashion_mlops.workflow.progress import Result, Run, summary
    run = Run("synthetic", settings={"03_eda": {"minutes": Setting(0.2, "profile default")}}, results=[Result("03_eda", "done", seconds=23.0), Result("04_features", "failed")])
    assert "resumes at 04_features" in summary(run) and "time with imports, of its minutes" in summary(run) and "23 s of 12 s" in summary(run)
    run = Run("synthetic", settings={}, results=[Result("03_eda", "done", seconds=23.0)])
    assert "resumes" not in summary(run) and "its minutes" not in summary(run)


MOMENTS = "int(time.time() * 1000)", "st_mtime" # what MLflow is told, and the age of a file

def test_no_duration_is_read_from_a_clock_that_can_be_set():
    from pathlib import Path
    import fashion_mlops
    for module in Path(fashion_mlops.__file__).parent.rglob("*.py"):
        for line in module.read_text(encoding="utf-8").splitlines():
            assert not re.search(r"\btime\(\)|time\.time\b(?!\()", line) or any(moment in line for moment in MOMENTS), (module.name, line)


def test_products_are_measured_on_one_core_and_counted_for_all(monkeypatch):
    from fashion_mlops.workflow import machine_speed as chapter
    import threadpoolctl
    seen = []
    def rates(work, seconds):
        seen.append({pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"})
        return 50.0, 100.0
    monkeypatch.setattr(chapter, "_rates", rates)
    monkeypatch.setattr(chapter, "available_cores", lambda: 8)
    assert chapter.measured_speed() == {"python": 50.0, "gemm": pytest.approx(50 * 8 * 2 * 768**3 / 1e9)} and seen[1] == {1}


def test_an_attempt_that_goes_on_with_kept_work_is_marked(home, monkeypatch):
    from fashion_mlops.core import write_json
    from fashion_mlops.workflow.stage import Stage
    monkeypatch.setenv("FASHION_MLOPS_ROOT", str(home))
    monkeypatch.delenv("FASHION_MLOPS_RUN", raising=False)
    for name in ("stage._check_package", "half_done._code_so_far"): monkeypatch.setattr(f"fashion_mlops.workflow.{name}", lambda *words: None)

    def attempt(fails=False):
        stage = Stage("02_fit", writes=["fit.json"]).start({})
        folder = stage.scratch("study")
        (folder/"trials").write_text("one")
        stage.scratch("study")                                  # its own work, asked for again
        if fails: return
        write_json(stage.write("fit.json"), 1)
        return stage.finish("done")["resumed"]

    attempt(fails=True)
    assert [attempt(), attempt()] == [True, False]


@pytest.mark.parametrize("more, result, jobs, learnt", [
    ({}, {"resumed": True}, 1, False), ({}, {"resumed": False}, 1, True), ({"jobs": 2}, {}, 1, False), ({"jobs": 2}, {}, 2, True), ({"jobs": 1}, {}, 2, True)])
def test_only_whole_attempts_teach_what_a_stage_takes(more, result, jobs, learnt):
    shape, params = Shape("table", 2000, 11), {"search_rows": 700}
    said = stage_record("05_automl", params, 130.0, shape=vars(shape)) | more
    said["results"][0] |= result
    past = past_stages([said], {}, jobs)
    for asked in (params, {"search_rows": 1400}):
        found = expected_stage("05_automl", asked, "orders", shape, past, lambda: {"python": 363.0, "gemm": 230.0})
        assert (found.basis != "speed") == learnt and (learnt or found.ran)
    assert "first run" not in estimate_words(Estimate({"05_automl": found}))


def test_a_stage_whose_clock_chose_is_weighed_by_what_it_did():
    shape, did = Shape("table", 20000, 11), {"search_rows": 1000}
    said = stage_record("05_automl", {"search_rows": 9000, "minutes": 2.0}, 60.0, shape=vars(shape)) | {"stages": {"05_automl": {"chosen": did}}}
    again = stage_record("05_automl", did | {"minutes": 0.0}, 60.0, shape=vars(shape)) # what --like asks for
    found = [expected_stage("05_automl", {"search_rows": 2000}, "orders", shape, past_stages([one], {}), None).seconds for one in (said, again)]
    assert found[0] == found[1] > 60


FULL_TABLE = {"07_training": {"table_epochs": 100, "table_width": 256, "table_members": 16}, "06_tuning": {
    "n_trials": 100, "n_folds": 3, "tuning_rows": 15000, "table_rows": 60000, "justify_rows": 54000, "timeout_seconds": 1800, "net_trials": 30, "net_rows": 30000, "net_table_epochs": 16, "net_table_width": 128}}

@pytest.mark.parametrize("stage, most, deciding, idle", [
    ("07_training", 880, ["table_epochs", "table_width", "table_members"], ["epochs", "width"]),
    ("06_tuning", 3700, ["n_trials", "table_rows", "n_folds", "justify_rows", "net_trials", "net_rows", "net_table_epochs", "net_table_width"], ["tuning_rows", "net_epochs", "net_width"])])
def test_costs_of_tables_follow_what_the_stage_does(stage, most, deciding, idle):
    params = FULL_TABLE[stage]
    def cost(rows, **other): return reference_seconds(stage, params | other, Shape("table", rows, 20))
    sizes = [cost(rows) for rows in (60, 5000, 200_000)]
    assert sizes == sorted(set(sizes)) and sizes[-1] < most
    for name in deciding: assert cost(5000, **{name: 2}) < cost(5000), name
    for name in idle: assert cost(5000, **{name: 2}) == cost(5000), name


def test_costs_count_the_steps_that_a_net_for_tables_takes():
    import numpy as np
    from fashion_mlops.tables.costs import rows_seen
    from fashion_mlops.nets.table_net import TableRecipe, TableTrainer
    for rows in (60, 5000, 40_000):
        trainer = TableTrainer(TableRecipe(epochs=100, width=4, members=1), np.zeros((rows, 2), np.float32), np.arange(rows) % 2, 2)
        assert rows_seen(rows, 100) == trainer.batch*trainer.steps*trainer.epochs and trainer.steps*trainer.epochs <= trainer.recipe.most_steps
