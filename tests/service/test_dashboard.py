"""Every page of the dashboard on every kind of home: pictures, two classes, many classes, nothing at all, and stores that somebody has broken."""
import gc
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from fashion_mlops.core import WorkflowError, artifacts_folder, home as home_folder, package_folder, runs_folder, write_json
from fashion_mlops.dashboard.address import PAGES
from fashion_mlops.dashboard.kept_days import shared_days
from fashion_mlops.dashboard.parts import Part
from fashion_mlops.service.deployment import serving_folder, set_champion
from fashion_mlops.service.keys import make_key
from fashion_mlops.service.log_files import log_folder, new_id, write_rows

from packs import place_version

pytest.importorskip("streamlit", reason="needs the extra dashboard")

DATASETS = {"shades": ["dark", "bright"], "quakes": ["weaker", "strong"], "garments": [f"garment :red[{number}] $x$" for number in range(40)]}
NOW = datetime.now(UTC) - timedelta(minutes=1)


def opened(page: str, dataset: str = "", **words):
    "A page, run to its end; whatever goes wrong in it is raised."
    from streamlit.testing.v1 import AppTest
    app = AppTest.from_file(str(package_folder()/"dashboard"/"app.py"), default_timeout=120)
    for name, word in ({"page": page, "dataset": dataset} | words).items(): app.query_params[name] = word
    return app.run()


def walked(dataset: str = "", **words):
    "Each page with its app, one after the other in one session, as somebody walks through them."
    app = opened("overview", dataset, **words)
    for page in PAGES:
        if page != "overview": app.sidebar.radio(key="page").set_value(page).run()
        assert not app.exception, (page, dataset, [one.value for one in app.exception])
        assert "Traceback" not in said(app) and app.title[0].value.startswith(PAGES[page])
        yield page, app


@pytest.fixture(scope="module", autouse=True)
def settled():
    "Streamlit has Python look for what is held by nobody after each look; of what is loaded by now, nothing is."
    import streamlit.testing.v1 # noqa: F401
    set_aside()
    yield
    gc.unfreeze()


def set_aside():
    "Have Python no longer look through what is there by now."
    gc.collect()
    gc.freeze()


def said(app) -> str:
    "Everything that a page says."
    kinds = ("title", "markdown", "caption", "info", "warning", "error", "success", "code", "metric")
    return "\n".join(str(one.value) for kind in kinds for one in getattr(app, kind))


def log_of(dataset: str, classes: list[str], rows: int = 300, version: int = 3, last: datetime = NOW):
    "A log of three days, a third of it told of, with a few mistakes and refusals."
    random, lines = np.random.default_rng(0), []
    for number in range(rows):
        name, moment = str(random.choice(classes)), last - timedelta(days=number % 3)
        row = {"id": new_id(), "row": 0, "time": moment, "dataset": dataset, "version": version, "slot": "champion", "unit": None, "digest": "", "watched": [], "input": None,
               "said": name, "confidence": float(random.uniform(0.5, 1)), "probabilities": [], "rejected": False, "seconds": 0.004}
        lines.append(("predictions", row))
        if number % 3 == 0: lines.append(("feedback", {"id": row["id"], "row": 0, "time": NOW, "label": name if number % 9 else classes[0]}))
    lines.append(("refusals", {"id": new_id(), "row": 0, "time": NOW, "dataset": dataset, "slot": "champion", "route": "/predict", "kind": "category", "column": "a_b", "version": version, "requests": 4, "rows": 7}))
    write_rows(log_folder(dataset), lines)


def left_by_a_run(dataset: str, classes: list[str]):
    "What a run of the pipeline leaves: a record, and manifests of stages."
    results = [{"name": name, "state": "done", "seconds": 3.0, "peak": 1e9, "headline": "fine"} for name in ("01_data", "08_registry")]
    for token in ("20261127T100000-aaaa", "20261128T100000-bbbb"):
        write_json(runs_folder(dataset)/f"{token}.json", {"token": token, "number": int(token[7]), "dataset": dataset, "profile": "smoke", "began": f"{token[:4]}-11-28T10:00:00+00:00",
                   "succeeded": True, "results": results, "settings": {}, "stages": {"07_training": {"params": {"epochs": int(token[7])}, "metrics": {"valid_accuracy": 0.9}, "intervals": {}}}})
    manifest = {"dataset": dataset, "finished": "2026-11-28T10:00:00+00:00", "headline": "fine", "writes": {}, "metrics": {"samples": 100.0}, "classes": len(classes), "kind": "table", "dataset_digest": "abc"}
    write_json(artifacts_folder(dataset)/"01_data.json", manifest | {"stage": "01_data"})
    results = [{"met": False, "sentence": "no value is missing", "table": "samples", "breaking": 3, "rows": 10, "critical": True, "problem": ""}]
    write_json(artifacts_folder(dataset)/"quality.json", {"expectations": results})
    write_json(artifacts_folder(dataset)/"02_quality.json", manifest | {"stage": "02_quality", "writes": {"quality.json": {"path": "quality.json"}}})


HOSTILE = """<h1>What the check found</h1><img src="x" alt="x" onerror="top.document.body.dataset.owned = 'by an image'">
<script>(parent.parent === parent ? parent : parent.parent).document.body.dataset.owned = "by a script"</script>
<form action="http://127.0.0.1:9/" target="_top"><button>Go on</button></form>"""


def checked(dataset: str):
    "Two checks in MLflow."
    from mlflow.entities import Metric
    from fashion_mlops.workflow import tracking
    from fashion_mlops.workflow.page import html_page
    facts = {"drift.p": 0.001, "drift.changed": 1.0, "measured.accuracy": 0.9, "measured.accuracy.low": 0.85, "measured.accuracy.high": 0.93, "estimated.accuracy": 0.88, "estimated.accuracy.low": 0.8,
             "estimated.accuracy.high": 0.95, "reference.accuracy": 0.92, "rows": 300.0}
    for number, known in enumerate((facts, {"rows": 5.0})):
        tags = {"check": f"c{number}", "dataset": dataset, "window": "7d", "version": 3, "slot": "all", "stand_in": False, "headline": "Something changed."}
        run = tracking.start_run(dataset, "check", tags)
        tracking.client().log_batch(run, [Metric(name, value, 0, 0) for name, value in known.items()])
        tracking.client().log_dict(run, {"first_lines": ["Something *changed*."], "columns": [["brightest", 7.9]], "classes": [["dark", 0.1, 0.2]], "asked": {"rate": 0.01}, "command": "fashion-mlops monitor"}, "check.json")
        tracking.client().log_text(run, HOSTILE if dataset == "quakes" else html_page("A check", "<h1>What the check found</h1>"), "check.html")
        tracking.end_run(run)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    "A home with three datasets in it, of which two have a model's name and no pack."
    place = tmp_path_factory.mktemp("full")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_MLOPS_HOME", str(place))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        place_version("shades", 3)
        set_champion("shades", 3, {"metrics": {"test_accuracy": 0.94}, "intervals": {"test_accuracy": [0.9, 0.96]}, "card": "# A card"})
        for dataset, classes in DATASETS.items():
            if dataset != "shades": write_json(serving_folder(dataset)/"slots.json", {"champion": 3, "before": None, "since": "2026-11-28T00:00:00+00:00", "facts": {}, "packs": {}})
            log_of(dataset, classes)
            left_by_a_run(dataset, classes)
            checked(dataset)
    set_aside()
    return place


@pytest.fixture
def strict(monkeypatch):
    monkeypatch.setenv("FASHION_MLOPS_STRICT", "1")
    monkeypatch.setenv("FASHION_MLOPS_TRACKING_WAIT", "0")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return monkeypatch


def test_an_empty_home_says_which_command_fills_it(strict, tmp_path):
    strict.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    for _, app in walked(): assert "fashion-mlops run" in said(app)
    assert os.listdir(tmp_path) == [], "looking makes nothing"


def by_the_log(dataset: str) -> dict[str, list[str]]:
    "What pages must say in numbers, by the log itself, read row by row."
    from fashion_mlops.service.log_files import read_log
    rows = read_log(log_folder(dataset))
    told = rows[rows.label.notna()]
    right = (told.said == told.label).mean()
    assert len(rows) == 300 and len(told) == 100 and 0 < right < 1
    return {"overview": [f"With {len(rows)} rows", f"right, of the {len(told)} rows of the chosen time", f"{right:.1%} (95 % interval"],
            "performance": [f"Of {len(rows)} answered rows, somebody has said of **{len(told)}**", f"v3 right in {right:.1%} (", f"of {len(told)} rows"],
            "traffic": [f"{rows.id.nunique()} requests with {len(rows)} rows"]}


EXPECTED = {"overview": "v3", "performance": "somebody has said of", "drift": "Something &#42;changed&#42;", "traffic": "answers everybody", "runs": "20261128T100000-bbbb", "registry": "No version of",
            "try": "v3", "data": "1 are broken"}


@pytest.mark.slow
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_page_shows_every_dataset(dataset, full, strict):
    strict.setenv("FASHION_MLOPS_HOME", str(full))
    shared_days(dataset).refresh() # a page does not wait for it
    numbers = by_the_log(dataset)
    for page, app in walked(dataset, window="7d"):
        assert dataset in app.title[0].value
        for words in numbers.get(page, []): assert words in said(app) + alts(app), (page, words, said(app))
        if (page, dataset) != ("try", "quakes") and page != "runs": assert EXPECTED[page] in said(app), page
        if page == "runs": assert app.selectbox(key="run").value == "20261128T100000-bbbb"


@pytest.mark.slow
def test_a_row_is_tried(full, strict):
    "A table's model, without a pack: what is typed goes in, and the answer comes out."
    from fashion_mlops.dashboard import try_page
    from fashion_mlops.dashboard.trying import Model
    from fashion_mlops.datasets.kinds import kind_of
    columns = [{"name": "depth", "type": "numeric", "share_missing": 0.0, "low": 0.0, "high": 700.0, "median": 20.0, "example": 20.0},
               {"name": "net", "type": "category", "share_missing": 0.0, "levels": ["us", "007"], "example": "us"}]
    asked = []
    served = SimpleNamespace(about={"input": {"shape": [], "columns": columns}}, kind="table", dataset="quakes", wing=kind_of("table"), classes=["weaker", "strong"], threshold=None, conformal={"threshold": 0.3}, version=3,
                             answered=lambda ready: asked.append(ready) or np.array([[0.2, 0.8]]*len(ready), np.float32))
    strict.setenv("FASHION_MLOPS_HOME", str(full))
    strict.setattr(try_page, "_opened_once", lambda stores: Model(served, []))
    app = opened("try", "quakes")
    assert not app.exception and "strong, with a probability of 80.0%" in said(app)
    def ask(): next(one for one in app.button if one.label == "Ask the model").click().run()
    app.text_input(key="row quakes depth").set_value("deep")
    ask()
    assert "something is wrong with depth" in said(app) and "'deep'" in said(app) and "with a probability" not in said(app)
    app.text_input(key="row quakes depth").set_value("900")
    app.selectbox(key="row quakes net").set_value("007")
    ask()
    assert asked[-1].net.tolist() == ["007"] and "900 lies outside" in said(app)


@pytest.mark.slow
def test_what_is_no_picture_is_one_sentence(tmp_path, monkeypatch):
    "Whatever somebody uploads: the page shows the sentence of the door, and the model's own pictures pass."
    import io
    from PIL import Image
    from fashion_mlops.dashboard.trying import Model, answered
    from fashion_mlops.service.session import open_pack
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    served = open_pack(place_version("shades", 3), version=3)
    model, moving = Model(served, served.expected["inputs"]), io.BytesIO()
    Image.new("L", (4, 4)).save(moving, "GIF", save_all=True, append_images=[Image.new("L", (4, 4), 255)])
    assert answered(model, model.example(1)).said["class"] in DATASETS["shades"]
    svg, heic = b'<svg xmlns="http://www.w3.org/2000/svg"/>', b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    for body, words in {b"": "0 bytes", svg: "no picture", heic: "no picture", moving.getvalue(): "2 frames", bytes(60_000_000): "larger than 16"}.items():
        with pytest.raises(WorkflowError) as found: answered(model, body)
        assert words in str(found.value) and "\n" not in str(found.value)


@pytest.mark.slow
def test_what_the_side_says_comes_into_the_address_and_odd_addresses_are_said(full, strict):
    strict.setenv("FASHION_MLOPS_HOME", str(full))
    app = opened("drfit", "quakse", window="soon")
    assert sum("There is no" in one.value for one in app.warning) == 2 and any("is no window of time" in one.value for one in app.warning)
    app.sidebar.radio(key="page").set_value("traffic").run()
    assert app.query_params["page"] in ("traffic", ["traffic"]) and app.title[0].value.startswith("Traffic") and not [one for one in app.warning if "There is no" in one.value]
    app.text_input(key="text").set_value("dark").run()
    assert not app.exception


@pytest.mark.slow
def test_a_link_leads_to_one_check_and_one_run(full, strict):
    "What is chosen stands in the address, and an address chooses; one that leads nowhere is said."
    from fashion_mlops.dashboard.stores import Stores
    strict.setenv("FASHION_MLOPS_HOME", str(full))
    [first, second] = Stores("shades").checks().value.run
    assert opened("drift", "shades", check=first).selectbox(key="check").value == first
    assert opened("drift", "shades", check="7d").selectbox(key="check").value == second, "the newest check of a window"
    older, newer = "20261127T100000-aaaa", "20261128T100000-bbbb"
    app = opened("runs", "shades", run="20200101T000000-cccc")
    assert any("is not among those that are shown here" in one.value for one in app.warning) and app.selectbox(key="run").value == newer
    app.selectbox(key="run").set_value(older).run()
    assert app.query_params["run"] in (older, [older]) and not app.warning
    app.sidebar.radio(key="page").set_value("overview").run()
    assert "run" not in app.query_params and not app.exception


@pytest.mark.slow
def test_only_an_admin_changes_what_serves(full, strict):
    strict.setenv("FASHION_MLOPS_HOME", str(full))
    reader = make_key("rob", "read")
    from fashion_mlops.dashboard import manage_pages
    strict.setattr(manage_pages, "about_version", lambda stores, version: manage_pages.versions(stores).waiting)
    known = [{"version": version, "champion": version == 2, "candidate": "net", "registered": "2026-11-28T00:00:00", "synthetic": False, "outcome": "refused", "metrics": {}} for version in (2, 3)]
    strict.setattr("fashion_mlops.dashboard.stores.Stores.versions", lambda self: Part(known))
    done, promoted = [], manage_pages.promote_here
    def promote_here(*words):
        done.append(words)
        return promoted(*words)
    strict.setattr(manage_pages, "promote_here", promote_here)
    app = opened("registry", "shades")
    app.text_input(key="promote reason").set_value("because")
    app.text_input(key="promote key").set_value(reader)
    [button] = [one for one in app.button if one.label == "Promote v3"]
    for one in known: one["champion"] = False # somebody else changed it; the page has not looked again
    button.click().run()
    assert any("wants admin" in one.value for one in app.error) and not app.exception
    assert done == [("shades", 3, 2, "because", reader)], "the champion is the one that was seen"
    assert app.text_input(key="promote key").value == "" and app.text_input(key="promote reason").value == "because"
    assert "promote said" in repr(app.session_state) and reader not in repr(app.session_state)


@pytest.mark.slow
def test_what_was_done_is_said_until_something_has_changed(full, strict):
    "With its moment, and no longer than it holds: a line that v3 serves is gone when somebody else has changed that."
    strict.setenv("FASHION_MLOPS_HOME", str(full))
    from fashion_mlops.dashboard import manage_pages
    from fashion_mlops.service.audit_trail import note_change
    strict.setattr(manage_pages, "about_version", lambda stores, version: manage_pages.versions(stores).waiting)
    known = [{"version": version, "champion": version == 2, "candidate": "net", "registered": "2026-11-28T00:00:00", "synthetic": False, "outcome": "refused", "metrics": {}} for version in (2, 3)]
    strict.setattr("fashion_mlops.dashboard.stores.Stores.versions", lambda self: Part(known))
    def promote_here(*words):
        for one in known: one["champion"] = not one["champion"]
        return "shades v3 serves now."
    strict.setattr(manage_pages, "promote_here", promote_here)
    app = opened("registry", "shades")
    next(one for one in app.button if one.label == "Promote v3").click().run()
    assert len(app.success) == 1 and " UTC" in app.success[0].value and "shades v3 serves now" in app.success[0].value
    assert len(app.run().success) == 1
    for one in known: one["champion"] = not one["champion"] # somebody else, in MLflow itself
    assert not app.run().success and not app.exception


@pytest.mark.slow
def test_a_command_works_where_it_is_pasted(strict, tmp_path):
    "It names the home that the page was made for."
    strict.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    [command] = [one.value for one in opened("overview").code]
    assert command.startswith(f"FASHION_MLOPS_HOME={tmp_path} ") and command.endswith("fashion-mlops run")


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    "A home in which everything is damaged."
    place = tmp_path_factory.mktemp("broken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_MLOPS_HOME", str(place))
        log_of("shades", DATASETS["shades"], 30)
        for day in log_folder("shades").glob("????-??-??"): (day/"predictions-1.parquet").write_bytes(b"PAR1 and no more")
        serving_folder("shades").mkdir(exist_ok=True)
        (serving_folder("shades")/"slots.json").write_text("[]")
        (serving_folder("shades")/"traffic.json").write_text("{}")
        (serving_folder("shades")/"approvals.json").write_text("[]")
        (serving_folder("shades")/"alerts").mkdir()
        (serving_folder("shades")/"alerts"/"book.json").write_text("{")
        for folder, name in ((home_folder()/"data"/"audit", "shades.jsonl"), (runs_folder("shades"), "20261128T100000-bbbb.json"), (artifacts_folder("shades"), "01_data.json")):
            folder.mkdir(parents=True)
            (folder/name).write_text("nothing of ours\n")
        (home_folder()/"mlflow.db").write_text("no database at all, though it has the name of one")
    return place


@pytest.mark.slow
def test_what_is_broken_is_a_sentence_where_it_matters(broken, strict):
    strict.setenv("FASHION_MLOPS_HOME", str(broken))
    for page, app in walked("shades"): assert page == "runs" or app.error or app.warning, (page, said(app))


def old_layout(home):
    import pyarrow as pa
    import pyarrow.parquet as pq
    folder = log_folder("shades")/f"{NOW:%Y-%m-%d}"
    pq.write_table(pa.table({"id": [new_id()], "row": pa.array([0], pa.int32()), "time": pa.array([NOW], pa.timestamp("us", "UTC")), "said": ["dark"], "mood": ["fine"]}), folder/"predictions-1.parquet")
    return "traffic", ["came without", "mood"]


def counts_have_no_place(home):
    (home/"data"/"dashboard").write_text("a file where a folder should be")
    return "traffic", ["cannot be kept", "answers everybody"]


def odd_days(home):
    (log_folder("shades")/"2026-13-45").mkdir()
    (log_folder("shades")/"<b>x-aa-bb").mkdir()
    (log_folder("shades")/"2026-11-01").symlink_to(home/"nowhere")
    log_of("shades", ["dark"], 3, last=NOW + timedelta(days=1, hours=2)) # by a clock that jumped
    return "traffic", ["a link to a folder that is not there", "33 requests"]


def traffic_half_written(home):
    (serving_folder("shades")/"traffic.json").write_text('{"mode": "shad')
    return "traffic", ["traffic.json"]


def five_hundred_classes(home):
    log_of("shades", [f"<b>[{number}](x) $\\alpha$ | `:red[x]" for number in range(500)], 900)
    return "performance", ["Drawn are 30 of"]


def no_server(home):
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        os.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{asked.getsockname()[1]}"
    return "drift", ["did not answer within"]


def mute_server(home):
    mute = socket.create_server(("127.0.0.1", 0)) # takes a connection and says nothing
    HELD.append(mute)
    os.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{mute.getsockname()[1]}"
    return "drift", ["did not answer within"]


def locked_store(home):
    code = "import sqlite3, sys, time; store = sqlite3.connect(sys.argv[1]); store.execute('BEGIN EXCLUSIVE'); print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(home/"mlflow.db")], stdout=subprocess.PIPE)
    HELD.append(holder)
    assert holder.stdout.readline() == b"held\n"
    return "drift", ["did not answer within", "locked"]


def alts(app) -> str:
    "The sentences below the charts."
    return "\n".join(one.value for one in app.caption)


HELD = [] # what holds or says nothing until a test is over


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [old_layout, counts_have_no_place, odd_days, traffic_half_written, five_hundred_classes, no_server, mute_server, locked_store], ids=lambda one: one.__name__)
def test_what_is_odd_is_said_and_the_rest_works(spoil, strict, tmp_path):
    "Really done to a home with a log of 30 rows; the page says so soon, and the others show what they have."
    strict.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    strict.setenv("MLFLOW_TRACKING_URI", "")
    log_of("shades", DATASETS["shades"], 30)
    try:
        page, words = spoil(tmp_path)
        shared_days("shades").refresh() # a page does not wait for it
        began = time.monotonic()
        app = opened(page, "shades", window="all")
        assert not app.exception and time.monotonic() - began < 15
        for word in words: assert word in said(app) + alts(app), (word, said(app), alts(app))
        app.sidebar.radio(key="page").set_value("performance" if page == "traffic" else "traffic").run()
        assert not app.exception and app.main.get("vega_lite_chart") and "Traceback" not in said(app)
    finally:
        while HELD:
            held = HELD.pop()
            if isinstance(held, subprocess.Popen): held.kill(), held.wait(), held.stdout.close()
            else: held.close()


@pytest.mark.slow
def test_a_dataset_that_vanishes_while_somebody_looks(strict, tmp_path):
    strict.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    for dataset in ("quakes", "shades"):
        log_of(dataset, DATASETS[dataset], 30)
        shared_days(dataset).refresh()
    app = opened("traffic", "shades")
    assert "shades" in app.title[0].value
    shutil.rmtree(serving_folder("shades"))
    shutil.rmtree(tmp_path/"data"/"dashboard"/"shades", ignore_errors=True)
    app.run()
    assert not app.exception and "quakes" in app.title[0].value and any("There is no dataset 'shades'" in one.value for one in app.warning)


WIDTHS = (1280, 390) # a desk and a phone
SEEN = """() => {
    const main = document.querySelector('[data-testid="stMain"]')
    const charts = [...document.querySelectorAll('[data-testid="stVegaLiteChart"]')]
    const ground = getComputedStyle(document.querySelector('[data-testid="stApp"]')).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)
    return {scheme: Math.max(...ground) < 128 ? 'dark' : 'light', width: main.clientWidth, wide: Math.max(main.scrollWidth, document.documentElement.scrollWidth - document.documentElement.clientWidth + main.clientWidth),
            mute: [...document.querySelectorAll('img')].filter(one => !one.alt).length + charts.filter(one => !one.getAttribute('aria-label')).length}
}"""


@pytest.fixture(scope="module")
def address(full):
    "A dashboard that runs, as the command starts it."
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port = asked.getsockname()[1]
    env = {name: word for name, word in os.environ.items() if name != "MLFLOW_TRACKING_URI"} | {"FASHION_MLOPS_HOME": str(full)}
    with (full/"dashboard.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "fashion_mlops.cli", "dashboard", "--port", str(port)], env=env, stdout=log, stderr=log)
    try:
        for _ in range(240):
            assert process.poll() is None, (full/"dashboard.log").read_text()
            with socket.socket() as asked:
                if not asked.connect_ex(("127.0.0.1", port)): break
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def browsed(width: int, scheme: str):
    "A page in a browser that is not in UTC, and what its console says of errors."
    from playwright.sync_api import sync_playwright
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page, found = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, timezone_id="America/Los_Angeles").new_page(), []
        page.on("console", lambda said: found.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: found.append(str(error)))
        yield page, found
        browser.close()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_a_drawing_is_asked_of_the_model(address):
    "A stroke on a telephone in the dark: an answer comes when the pen is let go, and goes when the sheet is cleared."
    with browsed(390, "dark") as (page, found):
        page.goto(f"{address}?page=try&dataset=shades")
        page.get_by_text("Draw it", exact=True).click(timeout=60_000)
        sheet = page.locator("canvas[role=img]")
        sheet.scroll_into_view_if_needed(timeout=60_000)
        page.wait_for_timeout(500)
        page.get_by_text("Give it a picture").wait_for()
        box = sheet.bounding_box()
        page.mouse.move(box["x"] + box["width"]/2, box["y"] + 9)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"]/2, box["y"] + box["height"] - 9, steps=5)
        assert not page.get_by_text("with a probability of").count(), "nothing is asked before the pen is let go"
        page.mouse.up()
        page.get_by_text("with a probability of").first.wait_for()
        assert sheet.get_attribute("aria-label") and sheet.evaluate("one => getComputedStyle(one).touchAction") == "none"
        seen = page.evaluate(SEEN)
        assert seen["wide"] <= seen["width"] and not seen["mute"] and not found, (seen, found)
        page.get_by_role("button", name="Clear").click()
        page.get_by_text("Give it a picture").wait_for()


CHARTS = {"performance": 4, "drift": 1, "traffic": 2, "runs": 1, "try": 1} # of `shades`, at least; a page that is looked at too early has none yet
DRAWN = """([title, charts]) => {
    const there = [...document.querySelectorAll('[data-testid=stVegaLiteChart]')]
    return document.querySelector('h1')?.innerText.startsWith(title) && document.querySelectorAll('[data-testid=stMarkdown], [data-testid=stAlert]').length > 2
        && there.length >= charts && there.every(one => one.ariaLabel && one.querySelector('svg, canvas'))
}"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_a_page_from_a_store_reaches_nothing_around_it(address):
    "An .html of a check's run that somebody else wrote is read, and none of its scripts run: the key of an admin is typed in the page around it."
    with browsed(1280, "light") as (page, found):
        page.goto(f"{address}?page=drift&dataset=quakes&window=7d")
        page.wait_for_function("() => document.querySelector('iframe[srcdoc]')", timeout=60_000)
        page.locator("iframe[srcdoc]").scroll_into_view_if_needed()
        inner = next((one for _ in range(40) for one in page.frames if not page.wait_for_timeout(100) and one.query_selector("h1") and one != page.main_frame), None)
        assert inner and inner.inner_text("h1") == "What the check found"
        inner.click("button") # goes nowhere
        page.wait_for_timeout(300)
        assert page.evaluate("document.body.dataset.owned || ''") == "" and page.url.startswith(address)
        assert any("sandboxed" in one for one in found), "the browser says what it did not run"


@pytest.mark.slow
def test_only_this_machines_own_names_are_answered(address):
    "A name of somebody else that means 127.0.0.1, and pages of other ports, get neither a page nor a connection."
    port = int(address.rsplit(":", 1)[1].strip("/"))
    def asked(host: str, origin: str = "", path: str = "/", more: str = "") -> str:
        with socket.create_connection(("127.0.0.1", port), 10) as line:
            said = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n" + (f"Origin: {origin}\r\n" if origin else "") + (more or "Connection: close\r\n") + "\r\n"
            line.sendall(said.encode())
            return line.recv(200).split(b"\r\n")[0].split(b" ")[1].decode()
    def connected(host: str, origin: str) -> str:
        more = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: streamlit\r\n"
        return asked(host, origin, "/_stcore/stream", more)
    for name in ("127.0.0.1", "localhost", "[::1]"):
        assert (asked(f"{name}:{port}"), connected(f"{name}:{port}", f"http://{name}:{port}")) == ("200", "101"), name
    for host in (f"evil.example:{port}", "localhost", f"localhost.evil.example:{port}"):
        assert {asked(host), asked(host, path="/_stcore/health"), asked(host, path="/_stcore/host-config")} == {"403"}, host
        assert connected(host, f"http://{host}") == "403", host
    for origin in ("http://localhost:9999", "http://127.0.0.1:9999", "http://evil.example", "null"): assert connected(f"localhost:{port}", origin) == "403", origin


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_every_page_in_a_browser(address):
    "Nothing in the console, nothing wider than the window, and words for each picture and chart; on a desk and a phone, in the light and in the dark."
    with browsed(1280, "light") as (page, found):
        looked = 0
        for name, title in PAGES.items():
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                page.emulate_media(color_scheme="light")
                page.goto(f"{address}?page={name}&dataset=shades&window=7d")
                page.wait_for_function(DRAWN, arg=[title, CHARTS.get(name, 0)], timeout=60_000)
                page.wait_for_timeout(300)
                page.wait_for_function(f"() => !({SEEN})().mute", timeout=10_000) # a chart gets its words a moment after it is drawn
                seen = page.evaluate(SEEN)
                assert seen["scheme"] == "light" and not seen["mute"] and seen["wide"] <= seen["width"] <= width and not found, (name, width, seen, found)
                page.emulate_media(color_scheme="dark")
                page.wait_for_timeout(300)
                seen, looked = page.evaluate(SEEN), looked + 1
                assert seen["scheme"] == "dark" and seen["wide"] <= seen["width"] and not found, (name, width, seen, found)
        assert looked == len(PAGES)*len(WIDTHS)
        page.goto(f"{address}?page=traffic&dataset=shades&window=7d")
        page.wait_for_function(DRAWN, arg=[PAGES["traffic"], 2], timeout=60_000)
        told = page.evaluate("() => [...document.querySelectorAll('[aria-label*=\"from (UTC)\"]')].map(one => one.ariaLabel)")
        days = {f"{NOW - timedelta(days=ago):%Y-%m-%d} 00:00" for ago in range(3)}
        assert {words.partition("from (UTC): ")[2][:16] for words in told} == days, "a day begins in UTC, not where the browser is"
