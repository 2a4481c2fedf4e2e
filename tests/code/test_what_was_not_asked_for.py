"""What a run does with stages that it only looks at, and with those that nobody recorded."""
import json

import pytest
from toy_stages import ADD, DRAW

TIMED = 'dataset: str = "toy"  # dataset name\nseed: int = 1  # seed\nminutes: "float[0, 100000]" = 0  # to keep to\nn: "int[1, 100]" = 3  # how many'


def records(project): return sorted((json.loads(p.read_text()) for p in (project.root/"data").glob("runs/synthetic/*.json")), key=lambda said: said["number"])


def minutes(project): return {name: one["minutes"]["value"] for name, one in records(project)[-1]["settings"].items()}


@pytest.mark.slow
def test_stages_before_stay_as_they_ran_and_share_the_minutes_only_when_they_run(project):
    (project.root/"params.yaml").write_text("smoke:\n  01_draw: {minutes: 1}\n  02_add: {minutes: 1}\n")
    project.stage("01_draw", [*DRAW, "stage.chose('as many as fit', n=n)"], writes=["numbers.json"], parameters=TIMED)
    project.stage("02_add", ADD, reads=["numbers.json"], writes=["sum.json"], parameters=TIMED)
    assert project.run("--minutes", "4").returncode == 0
    first = minutes(project)
    answer = project.run("--from", "02", "--minutes", "3")
    assert "01_draw         up to date" in answer.stdout, answer.stdout + answer.stderr
    assert minutes(project)["01_draw"] == first["01_draw"] and minutes(project)["02_add"] > first["02_add"]
    assert "01_draw" in answer.stdout.partition("elsewhere:")[2] # its choice is asked for again
    assert project.status()["01_draw"]["state"] == "fresh"
    project.edit("01_draw", "list(range(n))", "list(range(n + 1))") # now it has to run, within what is asked for
    told = project.run("--from", "02", "--minutes", "3")
    assert told.returncode == 0 and sum(minutes(project).values()) <= 3.02, told.stdout


@pytest.mark.slow
def test_a_run_that_was_killed_at_its_end_is_recorded_by_the_next(finished):
    for path in (finished.root/"data").glob("runs/synthetic/*.json"): path.unlink()
    answer = finished.run()
    assert "taken over from a run that ended before it was recorded: 01_draw, 02_add" in answer.stdout, answer.stdout
    (said,) = records(finished)
    assert [(r["state"], r["seconds"] > 0) for r in said["results"]] == [("fresh", True)]*2 and said["succeeded"]
    finished.run()
    assert len(records(finished)) == 1
