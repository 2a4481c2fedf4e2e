"""What the commands print: nothing in it acts on a terminal, nothing in it is a password, and a wrong setting is a sentence."""
import io
import json
import os
import subprocess
import sys

import pytest
from sqlalchemy.engine import make_url

from fashion_mlops.workflow.contract import parse_parameters
from fashion_mlops.core import WorkflowError, seconds_of
from fashion_mlops.workflow.engine import _save_without, execute, Watch
from fashion_mlops.workflow.markup import ShownOnly, for_terminal
from fashion_mlops.workflow.secrets import shown_uri, uri_secrets, without_passwords

ACTING = ["\x1b]0;pwned\x07", "\x1b[2J", "\x9b31m", "\r", "\x08\x08", "\x7f", "\x1bc", "\x0e"]


@pytest.mark.parametrize("acting", ACTING)
def test_one_door_for_all_that_is_printed(acting):
    below = io.StringIO()
    door = ShownOnly(below)
    print(f"a{acting}b", "šč", file=door)
    door.writelines(["x\ty\r\n", acting])
    assert all(c.isprintable() or c in "\n\t" for c in below.getvalue()) and "šč\nx\ty\n" in below.getvalue()
    assert for_terminal(f"a{acting}b") != "ab" # it is shown
    door.act("\x1b[2K")
    assert below.getvalue().endswith("\x1b[2K")


def test_the_commands_go_through_it(tmp_path):
    "An error, a list for people, and a list for programs."
    (tmp_path/"settings.ini").write_text("lib_name = fashion_mlops\n")
    (tmp_path/"nbs").mkdir()
    folder = tmp_path/"data"/"datasets"
    folder.mkdir(parents=True)
    (tmp_path/"evil.csv").write_text("\x1b]0;pwned\x07a,b\n" + "".join(f"{i},{i % 2}\n" for i in range(60)))
    (folder/"x.yaml").write_text('kind: table\npath: evil.csv\norigin: "\\e]0;pwned\\a\\x9b"\ntarget: {column: b, classes: ["0","1"]}\ncolumns: {q: numeric}\n')
    env = os.environ | {"FASHION_MLOPS_ROOT": str(tmp_path), "FASHION_MLOPS_HOME": str(tmp_path)}
    for words in (["dataset", "add", str(tmp_path/"evil.csv"), "--target", "nope\x1b[2J"], ["dataset", "list"], ["dataset", "list", "--json"]):
        answer = subprocess.run([sys.executable, "-m", "fashion_mlops.cli", *words], capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, env=env)
        said = answer.stdout + answer.stderr
        assert said.strip() and not set("\x1b\x07\x9b") & set(said), words
    json.loads(answer.stdout)


@pytest.mark.parametrize("password", ["pa?ssword", "pa/ssword", "pa#ssword", "pa@ssword", "pa:ssword", "12/3456", "p%40ssword", "a=b&ssword", "?ssword", "/ssword", "ssword?", "a?b=cssword", "//ssword", "[ssword]", "ssword\\", "пароль?ssword"])
@pytest.mark.parametrize("address", ["postgresql://bob:{}@db.local/x", "postgresql+psycopg2://bob:{}@db.local:5432/x?sslmode=require", "mysql://bob:{}@db.local", "http://bob:{}@db.local:5000", "https://bob:{}@db.local/api/"])
def test_no_part_of_a_password_is_shown(address, password):
    uri = address.format(password)
    inner = "ssword" if "ssword" in password else "3456"
    for said in (shown_uri(uri), without_passwords(f"cannot reach {uri}", uri), without_passwords(f"cannot reach {uri} now"), without_passwords(f"nonnumeric port: '{password}'", uri)):
        assert inner not in said, said
    assert "db.local" in shown_uri(uri)
    if "@" not in password and not address.startswith("http"): # as SQLAlchemy reads it
        assert make_url(uri).password in uri_secrets(uri)


@pytest.mark.parametrize("uri", ["sqlite:////home/me@work/x.db", "file:///a@b/c", "http://host:5000/x", "s3://bucket/a@b", "/a/folder@home", "https://host"])
def test_an_address_without_a_password_is_shown_as_it_is(uri):
    assert shown_uri(uri) == uri and uri_secrets(uri) == []


def test_a_mirror_with_a_password_is_printed_without_it(home, monkeypatch, capsys):
    from fashion_mlops.workflow import at_work
    from fashion_mlops.samples import sources
    monkeypatch.setenv("FASHION_MLOPS_MIRROR", "http://bob:hunter2x@127.0.0.1:9/data")
    source = sources.Source("Toys", {"toy.gz": "0" * 32}, ("http://127.0.0.1:9/home",), ("toys",))
    with pytest.raises(WorkflowError) as error: sources.fetch(source)
    assert "hunter2x" not in str(error.value) + capsys.readouterr().out and "http://127.0.0.1:9/data" in str(error.value)
    assert "hunter2x" in at_work._store_secrets()

    class Stream(io.BytesIO): headers = {}
    monkeypatch.setattr(sources, "_connect", lambda url: Stream(b"other"))
    with pytest.raises(sources.ChecksumError) as error: sources.fetch(source)
    assert "hunter2x" not in str(error.value) + capsys.readouterr().out


@pytest.mark.parametrize("word", ["stream", "text", "data", "stdout", "display_data", "output_type", "image/png", "name", "error"])
def test_a_secret_that_is_a_word_of_notebooks_leaves_the_notebook_one(word):
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook, new_output
    shown = new_output("display_data", {"text/plain": f"a {word}", "image/png": "AAAA", "application/json": {f"of {word}": word}}, metadata={"image/png": {"width": 1}})
    outputs = [new_output("stream", name="stdout", text=f"the {word}"), shown, new_output("error", ename="E", evalue=word, traceback=[word])]
    notebook = new_notebook(cells=[new_code_cell("1", outputs=outputs)])
    class Manager: nb, save = notebook, lambda self, **_: None
    manager = Manager()
    _save_without(manager, [word])
    manager.save()
    nbformat.validate(notebook)
    stream, shown, error = notebook.cells[0].outputs
    assert stream["text"] == "the •••" and shown["data"]["text/plain"] == "a •••" and error["evalue"] == "•••" and error["traceback"] == ["•••"]
    assert shown["data"]["application/json"] == {"of •••": "•••"} and shown["data"]["image/png"] == "AAAA"


@pytest.mark.parametrize("line, way_out", [('token: secret = "hunter2"  # key', 'token: "secret" = '), ("n: int[1, 9] = 3", 'n: "int[1, 9]" = '), ("way: str[a, b] = 'a'", 'way: "str[a, b]" = ')])
def test_a_type_that_python_does_not_know_is_refused_before_the_kernel(line, way_out):
    with pytest.raises(ValueError) as error: parse_parameters(line)
    assert way_out in str(error.value) and "line 1" in str(error.value) and "hunter2" not in str(error.value)


@pytest.mark.parametrize("name", ["FASHION_MLOPS_PROGRESS", "FASHION_MLOPS_TRACKING_WAIT"])
@pytest.mark.parametrize("given", ["fast", "nan", "-1", "inf", "1,5"])
def test_a_time_that_is_none_is_a_sentence(monkeypatch, name, given):
    from fashion_mlops.workflow import runner, tracking
    monkeypatch.setenv(name, given)
    with pytest.raises(WorkflowError, match=f"{name} is '{given}': expected seconds"):
        runner.Display() if "PROGRESS" in name else tracking.wait_for_store()
    monkeypatch.setenv(name, "")
    assert seconds_of(name, 7) == 7
