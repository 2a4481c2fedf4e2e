"""A page belongs to a result as its artifacts do."""
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
