"""Alerts and panels against what a real service really counts: Prometheus itself asks it, with the key of compose, and evaluates every rule and every panel."""
import json
import re
import shutil
import signal
import subprocess
import time
import urllib.parse
import urllib.request

import pytest
import yaml

from fashion_mlops.core import project_root
from fashion_mlops.service.deployment import set_champion
from fashion_mlops.service.keys import make_key
from fashion_mlops.service.last_check import write_last_check

from packs import place_version
from ports import free_ports, until
from running import Running

DEPLOY = project_root()/"deploy"
READ = yaml.safe_load((DEPLOY/"prometheus"/"prometheus.yml").read_text())["rule_files"]
ALL = [rule for name in READ for group in yaml.safe_load((DEPLOY/"prometheus"/name).read_text())["groups"] for rule in group["rules"]]
RULES, RECORDED = [rule for rule in ALL if "alert" in rule], {rule["record"]: rule["expr"] for rule in ALL if "record" in rule}
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((DEPLOY/"grafana"/"dashboards").glob("*.json"))}
WITH_ENDS = ("measured.accuracy", "estimated.accuracy", "measured.change", "estimated.change", "measured.calibration_error")
FACTS = {f"{name}{end}": 0.9 for name in WITH_ENDS for end in ("", ".low", ".high")} | {"reference.accuracy": 0.9, "refused.share": 0.1, "refused.rows": 7.0, "hurts": 0.0, "measured.precision": 0.9, "measured.recall": 0.9, "measured.f1": 0.9, "measured.weighed_accuracy": 0.9, "drift.p": 0.4, "rows": 500.0, "measured.rows": 100.0} | dict.fromkeys(
    ("drift.changed", "labels.changed", "sequential.alarm", "drift.columns", "quality.alarming", "log.faults", "parts.failed"), 0.0) # as a check that could say everything leaves them
RUNBOOK = project_root()/"nbs"/"operations"/"runbook.ipynb"


def recorded(expression: str) -> set[str]: return set(re.findall(r"\b\w+:fashion_mlops_\w+:\w+", expression))


def named(expression: str) -> set[str]: return recorded(expression) | set(re.findall(r"(?<![:\w])fashion_mlops_\w+", expression))


def panels_of(board: dict) -> list[dict]: return [panel for panel in board["panels"] if panel["type"] != "row"]


def as_asked(expression: str) -> str:
    "What Grafana asks when all slots are chosen."
    return expression.replace("$color", ".*").replace("$dataset", ".*").replace("$__rate_interval", "1m")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_says_what_it_means_and_where_help_is(rule):
    said = rule["annotations"]
    assert rule["labels"]["severity"] in ("critical", "warning") and said["summary"] and said["description"]
    assert said["runbook"] == f"operations/runbook.html#{rule['alert']}" # as headings are called in the page
    if RUNBOOK.exists():
        titles = re.findall(r'"#+ (\w+)(?:\\n)?"', RUNBOOK.read_text())
        assert rule["alert"] in titles, f"{rule['alert']} has no section in {RUNBOOK.name}"


def test_each_alert_is_tried_on_series_that_fire_and_on_some_that_do_not():
    tried = {}
    files = [DEPLOY/"prometheus"/name for name in ("alerts_test.yaml", "alerts_days_test.yaml")]
    for one in [one for file in files for one in yaml.safe_load(file.read_text())["tests"]]:
        for alert in one["alert_rule_test"]: tried.setdefault(alert["alertname"], set()).add(bool(alert["exp_alerts"]))
    assert tried == {rule["alert"]: {True, False} for rule in RULES}


def test_a_share_or_a_quantile_rings_only_where_enough_made_it():
    "One failure of two requests is no alarm; what a part of the resources is has no such number."
    by_chance = [rule for rule in RULES if re.search(r":share\d+m|:burn|:p\d\d_|rate\([^/]*/ sum\(rate", rule["expr"]) and "processor" not in rule["expr"]]
    assert {rule["alert"] for rule in by_chance} == {"AnswersFail", "AnswersAreSlow", "BudgetBurnsFast", "BudgetBurnsSlowly", "NoClassFits"}
    for rule in by_chance: assert ">= 5" in rule["expr"], rule["alert"]


def test_each_panel_of_the_drift_board_goes_by_the_dataset_that_is_chosen():
    for panel in panels_of(BOARDS["drift"]):
        assert all("$dataset" in target["expr"] for target in panel["targets"]), panel["title"]


def test_each_recorded_series_is_tried_by_hand_and_asked_by_somebody():
    tried = {name for one in yaml.safe_load((DEPLOY/"prometheus"/"recording_test.yaml").read_text())["tests"] for sample in one["promql_expr_test"] for name in recorded(sample["expr"])}
    assert tried == RECORDED.keys()
    asked = [rule["expr"] for rule in ALL] + [target["expr"] for board in BOARDS.values() for panel in panels_of(board) for target in panel["targets"]]
    assert {name for expression in asked for name in recorded(expression)} == RECORDED.keys()


def test_what_is_worked_out_once_is_not_worked_out_again():
    "A panel or an alert that has the very words of a recording rule in it asks for its name."
    def bare(expression): return re.sub(r"\s+", "", expression)
    asked = {rule["alert"]: rule["expr"] for rule in RULES} | {f"{name}: {panel['title']}": target["expr"] for name, board in BOARDS.items() for panel in panels_of(board) for target in panel["targets"]}
    again = {(title, name) for title, expression in asked.items() for name, known in RECORDED.items() if bare(known) in bare(expression.replace(', color=~"$color"', ""))}
    assert not again


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_has_what_grafana_wants(name):
    board = BOARDS[name]
    [source] = yaml.safe_load((DEPLOY/"grafana"/"provisioning"/"datasources"/"prometheus.yaml").read_text())["datasources"]
    assert board["uid"] == f"fashion-mlops-{name}" and board["title"] and board["description"] and board["schemaVersion"] == 39 and board["refresh"] and board["tags"] == ["fashion_mlops"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert cells and not cells & taken and place["x"] >= 0 and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
    for panel in panels_of(board):
        shown, targets = panel["fieldConfig"]["defaults"], panel["targets"]
        assert panel["title"] and panel["description"].endswith(".") and panel["type"] in ("stat", "timeseries")
        assert panel["datasource"]["uid"] == source["uid"] and all(target["datasource"]["uid"] == source["uid"] for target in targets)
        assert shown["unit"] in ("short", "s", "percentunit", "reqps", "bytes", "decbytes"), panel["title"]
        assert len({target["refId"] for target in targets}) == len(targets)
        assert panel["type"] == "stat" or all("{{" in target["legendFormat"] for target in targets), f"{panel['title']} has a line without a name"
        if panel["type"] == "stat": assert shown["thresholds"]["steps"][0]["value"] is None and panel["options"]["reduceOptions"]["calcs"], panel["title"]
        values = [step["value"] for step in shown.get("thresholds", {"steps": [{"value": None}]})["steps"][1:]]
        assert values == sorted(values), panel["title"]


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_leads_to_the_others_and_to_its_page(name):
    "By the tag that all have, and by an address that whoever looks may change."
    from fashion_mlops.dashboard.address import PAGES
    beside, page = BOARDS[name]["links"]
    assert beside["type"] == "dashboards" and all(set(beside["tags"]) <= set(board["tags"]) for board in BOARDS.values())
    assert page["type"] == "link" and re.fullmatch(r"\$\{pages\}/\?page=(\w+)", page["url"])[1] in PAGES
    [address] = [one for one in BOARDS[name]["templating"]["list"] if one["name"] == "pages"]
    assert address["type"] == "textbox" and address["query"] == address["current"]["value"] == "http://127.0.0.1:8501"
    asked = json.dumps(BOARDS[name])
    for choice in BOARDS[name]["templating"]["list"]: assert f"${choice['name']}" in asked or f"${{{choice['name']}}}" in asked


def test_the_check_of_these_tests_has_no_number_that_no_check_leaves():
    from fashion_mlops.alerts.rules import FACTS as known # others are not handed on to Prometheus
    assert {name.removesuffix(".low").removesuffix(".high") for name in FACTS} <= known.keys()


def test_each_dashboard_is_one_of_its_own():
    assert len({board["uid"] for board in BOARDS.values()}) == len({board["title"] for board in BOARDS.values()}) == len(BOARDS)
    assert BOARDS.keys() == {"service", "model", "drift", "quality"}


class Asked:
    "A program with an address that answers JSON."
    def __init__(self, words, address, log):
        self.address, self.process = address, subprocess.Popen(words, stdout=log, stderr=log)
        until(self.ready)

    def ready(self) -> bool:
        assert self.process.poll() is None, "it ended"
        try: return urllib.request.urlopen(f"{self.address}/-/ready", timeout=2).status == 200
        except OSError: return False

    def get(self, path: str, **words):
        with urllib.request.urlopen(f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(words)}", timeout=10) as found: return json.load(found)["data"]

    def end(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def service(tmp_path, monkeypatch):
    "A service that wants keys and has counted something of each kind."
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    for version in (1, 2): place_version("shades", version)
    set_champion("shades", 1)
    write_last_check("shades", time.time(), FACTS,
                     [{"alert": "answers-worse", "severity": severity, "active": False, "firing": False} for severity in ("warning", "critical")])
    (tmp_path/"metrics_key").write_text(make_key("prometheus", "read"))
    key = {"authorization": f"Bearer {make_key('tests', 'admin')}"}
    running = Running(tmp_path, dataset="shades", words=["--ask-for-keys", "--slot", "blue"])
    assert running.ask("/metrics")[0] == 401
    set_champion("shades", 2)
    until(lambda: running.ask("/version", **key)[1]["version"] == 2)
    def ask(): return [running.ask("/predict", body, content_type=kind, **key)[0] for body, kind in ((b"\0"*16, "application/octet-stream"), (b"{", "application/json"))]
    yield running, ask
    if running.process.poll() is None: running.end(signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("prometheus"), reason="needs prometheus")
def test_prometheus_asks_a_service_and_every_rule_and_panel_finds_its_metrics(service, tmp_path):
    (running, ask), [port] = service, free_ports(1)
    config = yaml.safe_load((DEPLOY/"prometheus"/"prometheus.yml").read_text())
    assert config["scrape_configs"][0]["job_name"] == "serve"
    config["scrape_configs"] = [{"job_name": "serve", "authorization": {"credentials_file": str(tmp_path/"metrics_key")},
                                 "static_configs": [{"targets": [f"127.0.0.1:{running.port}"], "labels": {"color": "blue"}}]}]
    config |= {"global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"}, "rule_files": [str(DEPLOY/"prometheus"/name) for name in READ], "alerting": {}}
    (tmp_path/"prometheus.yml").write_text(yaml.safe_dump(config))
    with (tmp_path/"prometheus.log").open("ab") as log:
        prometheus = Asked(["prometheus", f"--config.file={tmp_path/'prometheus.yml'}", f"--storage.tsdb.path={tmp_path/'series'}",
                            f"--web.listen-address=127.0.0.1:{port}"], f"http://127.0.0.1:{port}", log)
    try: check_rules_and_panels(prometheus, ask)
    finally: prometheus.end()


def check_rules_and_panels(prometheus, ask):
    until(lambda: prometheus.get("query", query='up{job="serve"}')["result"], 30)
    [up] = prometheus.get("query", query='up{job="serve"}')["result"]
    assert up["value"][1] == "1", prometheus.get("targets")["activeTargets"]
    for _ in range(4): # rates want some scrapes
        assert ask() == [200, 400]
        time.sleep(0.6)
    time.sleep(0.6)
    known = set(prometheus.get("label/__name__/values"))
    for name in RECORDED: assert prometheus.get("query", query=name)["result"], f"{name} records nothing"
    for rule in RULES:
        prometheus.get("query", query=rule["expr"]) # an expression that cannot be evaluated is an error of the server
        assert named(rule["expr"]) <= known, (rule["alert"], named(rule["expr"]) - known)
    states = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule["health"] for rule in states} == {rule.get("alert") or rule["record"]: "ok" for rule in ALL}
    assert not [rule["name"] for rule in states if rule.get("state") == "firing"]
    for board in BOARDS.values(): check_panels(prometheus, board, known)


def check_panels(prometheus, board: dict, known: set[str]):
    "Every query of a dashboard, and what its lists are filled from."
    for panel in panels_of(board):
        for target in panel["targets"]:
            assert named(target["expr"]) <= known, (panel["title"], named(target["expr"]) - known)
            assert prometheus.get("query", query=as_asked(target["expr"]))["result"], f"{panel['title']} shows nothing: {target['expr']}"
    for note in board["annotations"]["list"]: prometheus.get("query", query=note["expr"])
    for choice in board["templating"]["list"]:
        if choice["type"] == "textbox": continue
        series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", choice["definition"]).groups()
        assert prometheus.get(f"label/{label}/values", **{"match[]": series}), f"${choice['name']} has nothing to choose from"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("prometheus-alertmanager"), reason="needs prometheus-alertmanager")
def test_alertmanager_starts_with_its_configuration(tmp_path):
    [port] = free_ports(1)
    words = ["prometheus-alertmanager", f"--config.file={DEPLOY/'alertmanager'/'alertmanager.yaml'}", f"--storage.path={tmp_path}",
             f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with (tmp_path/"log").open("ab") as log: Asked(words, f"http://127.0.0.1:{port}", log).end()
