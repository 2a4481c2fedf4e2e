"""A page belongs to a result as its artifacts do."""
import re
import shutil

import pytest


@pytest.mark.slow
def test_a_page_that_is_lost_is_made_again_and_one_that_cannot_be_written_fails_the_run(project):
    assert project.run("draw").returncode == 0
    reports = project.root/"reports"
    page, notebook = reports/"synthetic"/"01_draw.html", reports/"synthetic"/"notebooks"/"01_draw.ipynb"
    (reports/"index.html").unlink()
    page.write_text(page.read_text().replace("fashion_mlops 20", "fashion_mlops 19")) # the page of another run
    again = project.run("draw")
    assert again.returncode == 0 and "its page is of another run: written again" in again.stdout and "runs:" not in again.stdout
    assert (reports/"index.html").is_file() and "fashion_mlops 20" in page.read_text()

    page.unlink()
    page.mkdir() # in the way
    (page/"mine").write_text("")
    shutil.rmtree(reports/"synthetic"/"01_draw")
    (reports/"synthetic"/"01_draw").write_text("also in the way")
    for _ in range(2): # not forgotten
        blocked = project.run("draw")
        assert blocked.returncode == 1 and "The run has failed:\n  the report of 01_draw" in blocked.stdout, blocked.stdout
    (reports/"synthetic"/"01_draw").unlink()
    shutil.rmtree(page)
    assert project.run("draw").returncode == 0 and page.is_file()

    notebook.unlink()
    page.unlink()
    assert project.status()["01_draw"]["reasons"] == ["its page is missing, and so is the notebook that it was made from"]
    assert project.run("draw").returncode == 0 and page.is_file() and notebook.is_file()
    assert [path.name for path in reports.rglob(".*")] == []


@pytest.mark.slow
def test_a_page_says_once_what_each_parameter_was_and_who_asked_for_it(project):
    (project.root/"params.yaml").write_text("smoke: {draw: {n: 4}}\n")
    assert project.run("draw", "-p", "draw.seed=9").returncode == 0
    page = (project.root/"reports"/"synthetic"/"01_draw.html").read_text()
    rows = {re.sub("<.*?>", "", name): row for name, row in re.findall(r'<tr[^>]*><th scope="row">(.*?)</th>(.*?)</tr>', page)}
    assert {name: re.search('class="from">(.*?)</td>', row)[1] for name, row in rows.items()} == {
        "dataset": "the run&#x27;s dataset", "seed": "command line", "n": "profile smoke"}
    assert "<div>9</div>" in rows["seed"] and "<div>4</div>" in rows["n"] and 'class="default">3<' in rows["n"]
    assert "# Parameters\n" not in page # the cells are not there a second time
    assert set(re.findall(r"<summary>(.*?)</summary>", page.split("<h2>Run")[-1].split('class="chapter"')[0])) <= {"code"}
    front = (project.root/"reports"/"index.html").read_text()
    assert "No model has been judged yet." in front and "01_draw.seed=9" in front and front.index("Is it good?") < front.index('class="card"')

    project.edit("01_draw", "list(range(n))", "list(range(n))[n]")
    assert project.run("draw", "-p", "draw.seed=9").returncode == 1
    front = (project.root/"reports"/"index.html").read_text()
    assert "The last run failed at 01_draw." in front and "IndexError" in front and 'class="badge bad">failed' in front
    assert 'href="synthetic/notebooks/01_draw.failed.ipynb"' in front
