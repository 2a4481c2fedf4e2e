"""A small project of toy stages in a folder of its own, driven through the real command line."""
import compileall
import fcntl
import json
import os
import py_compile
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1") # tests run side by side, one on each core: threads beside them would wait for each other

from fashion_mlops.core import project_root
from fashion_mlops.workflow.forked_kernels import may_fork
from fashion_mlops.workflow.pipeline import write_stage_notebook

from toy_stages import ADD, DRAW, PARAMETERS
from warm import WarmPython


def cores() -> int:
    "Cores that this process may use, also in a container that is given a part of a large machine."
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for quota, period in (("cpu.max", None), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")): # control groups of the second and the first version
        try: words = " ".join(Path("/sys/fs/cgroup", name).read_text() for name in (quota, period) if name).split()
        except OSError: continue
        if words[0] not in ("max", "-1"): there = min(there, max(1, round(int(words[0]) / int(words[1]))))
    return there


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    "One for each core; slow tests wait for servers, kernels and deadlines so often that one more has enough to do."
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" not in os.environ: return cores() + (config.getoption("markexpr") == "slow")


LONGEST = ("deploy", "code", "service") # folders whose slow tests take longest: images, releases, whole runs, servers


PATIENCE = 900 # seconds: what ends a slow test that hangs is no judge of how quick a busy machine is

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    "The longest of the slow tests begin first, so that no core waits at the end for one that began last."
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"): item.add_marker(pytest.mark.timeout(PATIENCE))
    if config.getoption("markexpr") == "slow":
        items.sort(key=lambda item: next((place for place, name in enumerate(LONGEST) if name == item.path.parent.name), len(LONGEST)))


BUDGET = {False: 3, True: 25} # seconds of processor that a quick and a slow test may cost before they are named; nothing fails by it


_warm: list[WarmPython] = [] # one at most, for all small projects of this process


def processor() -> float:
    "Seconds of processor that this process and its ended children have taken: other work on the machine hardly changes them."
    return sum(os.times()[:4]) + sum(one.spent for one in _warm)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item): item.began = processor()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item, call):
    if call.when == "teardown" and hasattr(item, "began"): item.user_properties.append(("processor", processor() - item.began))


def pytest_sessionfinish():
    for one in _warm: one.close()


def pytest_terminal_summary(terminalreporter):
    "What the tests cost, and which of them more than they should."
    reports = [report for some in terminalreporter.stats.values() for report in some if getattr(report, "when", "") == "teardown"]
    costs = {report.nodeid: (dict(report.user_properties).get("processor", 0), BUDGET["slow" in report.keywords]) for report in reports}
    dear = sorted(((cost, name) for name, (cost, budget) in costs.items() if cost > budget), reverse=True)
    if not costs: return
    terminalreporter.write_line(f"{sum(cost for cost, _ in costs.values()):.0f} s of processor in {len(costs)} tests" + (", and these could be cheaper:" if dear else ""))
    for cost, name in dear: terminalreporter.write_line(f"  {cost:4.0f} s  {name}")


class Project:
    "A clone in miniature: `settings.ini`, `nbs/`, and a home for results."
    def __init__(self, root: Path):
        self.root, self.nbs = root, root/"nbs"
        self.nbs.mkdir()
        (root/"settings.ini").write_text("lib_name = fashion_mlops\n")
        self.env = os.environ | {"FASHION_MLOPS_ROOT": str(root), "FASHION_MLOPS_HOME": str(root), "FASHION_MLOPS_TRACKING_WAIT": "3", "PYTHONUNBUFFERED": "1"}
        self.env.pop("MLFLOW_TRACKING_URI", None)
        self.stage("01_draw", DRAW, writes=["numbers.json"])
        self.stage("02_add", ADD, reads=["numbers.json"], writes=["sum.json"])

    def stage(self, name, code, reads=(), writes=(), parameters=PARAMETERS):
        return write_stage_notebook(self.nbs/f"{name}.ipynb", code, reads, writes, parameters, headline=f"{name} done")

    def command(self, *words): return [sys.executable, "-m", "fashion_mlops.cli", *words]

    def call(self, *words, **kwargs):
        if words[0] == "run" and "--dry-run" not in words and not kwargs and may_fork():
            if not _warm: _warm.append(WarmPython())
            return _warm[0].run(["fashion_mlops.cli", *words], self.env, self.root, PATIENCE/2)
        return subprocess.run(self.command(*words), cwd=self.root, env=self.env, capture_output=True, text=True, timeout=PATIENCE/2, **kwargs)

    def run(self, *words): return self.call("run", "--profile", "smoke", "--dataset", "synthetic", *words)

    def start(self, *words):
        return subprocess.Popen(self.command("run", "--profile", "smoke", "--dataset", "synthetic", *words), cwd=self.root, env=self.env,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) # tests that run in a background job inherit that Ctrl-C is ignored

    def status(self): return {s["name"]: s for s in json.loads(self.call("status", "--dataset", "synthetic", "--json").stdout)["stages"]}
    def artifact(self, name): return next((self.root/"data"/"artifacts"/"synthetic").glob(f"*/[0-9]*/{name}"))
    def edit(self, name, old, new):
        path = self.nbs/f"{name}.ipynb"
        text = path.read_text()
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new))


def _fill_clone(root: Path):
    """What every clone begins with. Its byte code knows its source by the content, and is never that of an edit in the same second;
    what its code says was read once, and is kept by the content, too."""
    source = project_root()
    for name in ("nbs", "fashion_mlops"): shutil.copytree(source/name, root/name, ignore=shutil.ignore_patterns("__pycache__", "_pictures", ".*"))
    for name in ("settings.ini", "params.yaml"): shutil.copy(source/name, root/name)
    compileall.compile_dir(root/"fashion_mlops", quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    (root/"data").mkdir()
    subprocess.run([sys.executable, "-m", "fashion_mlops.cli", "status"], cwd=root, env=_clone_env(root), check=True, capture_output=True)
    assert (root/"data"/".code").is_file()


def _clone_env(root: Path) -> dict:
    return {k: v for k, v in os.environ.items() if not k.startswith(("FASHION_MLOPS_", "MLFLOW"))} | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}


def _copied(source: str, place: str): (os.link if source.endswith(".pyc") else shutil.copy2)(source, place) # byte code is replaced, never written to


class Clone:
    "A copy of notebooks and library, and its command line."
    def __init__(self, root: Path, source: Path):
        self.root = root
        shutil.copytree(source, root, copy_function=_copied)
        self.env = _clone_env(root)

    def call(self, *words, module="cli", **env): return subprocess.run([sys.executable, "-m", f"fashion_mlops.{module}", *words], cwd=self.root, env=self.env | env, capture_output=True, text=True, timeout=PATIENCE/2)
    def dry(self): return self.call("run", "--profile", "smoke", "--dry-run")
    def module(self, name): return (self.root/"fashion_mlops"/f"{name}.py").read_text()
    def state(self): return {p.relative_to(self.root/"fashion_mlops").as_posix(): p.read_bytes() for p in (self.root/"fashion_mlops").rglob("*.py")}
    def edit(self, name, old, new):
        path = self.root/"nbs"/f"{name}.ipynb"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))


@pytest.fixture
def clone(tmp_path, tmp_path_factory): return Clone(tmp_path/"clone", made_once(tmp_path_factory, "new clone", _fill_clone))


@pytest.fixture(autouse=True)
def places_are_found_anew():
    "Commands that run in this process hand root and home on through the environment: no test inherits them."
    from fashion_mlops import core
    before, found = dict(os.environ), list(core._found)
    yield
    os.environ.clear()
    os.environ.update(before)
    core._found[:] = found


def made_once(tmp_path_factory, name: str, fill) -> Path:
    "A folder that `fill` fills the first time that a worker asks for it; all workers of a session share it."
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ: shared = shared.parent
    with (shared/f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared/name).exists():
            folder = tmp_path_factory.mktemp(name)
            fill(folder)
            folder.rename(shared/name)
    return shared/name


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    "An MLflow store with its tables: making them takes seconds, copying them does not."
    def fill(folder):
        code = "from fashion_mlops.workflow import tracking; tracking.client()"
        subprocess.run([sys.executable, "-c", code], env=os.environ | {"FASHION_MLOPS_HOME": str(folder)}, check=True, capture_output=True)
    return made_once(tmp_path_factory, "store", fill)/"mlflow.db"


@pytest.fixture
def project(tmp_path, empty_store) -> Project:
    made = Project(tmp_path)
    (tmp_path/"mlflow.db").write_bytes(empty_store.read_bytes())
    return made


@pytest.fixture
def finished(project, empty_store, tmp_path_factory) -> Project:
    "A project whose two stages have run: a copy, since a project may be moved."
    def fill(folder):
        made = Project(folder)
        (folder/"mlflow.db").write_bytes(empty_store.read_bytes())
        answer = made.run()
        assert answer.returncode == 0, answer.stdout + answer.stderr
    shutil.copytree(made_once(tmp_path_factory, "finished", fill), project.root, dirs_exist_ok=True)
    return project


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    "An empty home for results, in this process."
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path
