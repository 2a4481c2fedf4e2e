"""A kernel that was forked is as one that was started, and nothing of it outlives whoever asked for it."""
import json
import os
import subprocess
import sys

import psutil
import pytest
from toy_stages import PARAMETERS

from fashion_mlops.workflow.forked_kernels import ForkedKernels, ForkServer, Refused, may_fork

pytestmark = pytest.mark.skipif(not may_fork(), reason="kernels are forked on Linux only")

SAY = """
import json, os, random, re, signal, sys, threading, warnings
import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_info
np.random.rand(300, 300) @ np.random.rand(300, 300)
import matplotlib.pyplot as plt
json.dump({"argv": sys.argv, "path": sys.path, "env": dict(os.environ), "cwd": os.getcwd(), "flags": str(sys.flags), "orig": sys.orig_argv,
    "pools": sorted((p["user_api"], p["num_threads"]) for p in threadpool_info()), "signals": [str(signal.getsignal(n)).split(" at ")[0] for n in range(1, 32)],
    "mask": str(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "leads": [os.getpgid(0) == os.getpid(), os.getsid(0) == os.getpid()],
    "umask": os.umask(0o22), "stdin": os.read(0, 9).decode(), "hash": hash("a"), "backend": plt.get_backend(), "settings": str(sorted(plt.rcParams.items())),
    "threads": sorted(re.sub("Thread-[0-9]+", "Thread", t.name) for t in threading.enumerate()), "birth": [w for w in open("/proc/self/environ").read().split(chr(0)) if w.startswith("FASHION_MLOPS_RUN=")],
    "files": sorted(os.readlink(f"/proc/self/fd/{n}").partition(":[")[0] for n in range(500) if os.path.islink(f"/proc/self/fd/{n}")), "wave": "wave" in sys.modules,
    "shown": str(warnings.showwarning).split(" at ")[0], "ours": sorted(m for m in sys.modules if m.startswith("fashion_mlops")),
    "random": [random.random(), float(np.random.rand()), os.urandom(4).hex()]}, open(os.environ["FASHION_MLOPS_SAID"], "w"))
os._exit(7)
"""


@pytest.fixture(scope="module", autouse=True)
def home_that_can_be_written(tmp_path_factory):
    "Elsewhere IPython and matplotlib take a folder with a random name for each kernel, and no two are alike. It is new: matplotlib looks for fonts in it, and a thread of the server's counts."
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def server():
    made = ForkServer(["ipykernel.kernelapp", "matplotlib.pyplot", "scipy.linalg", "pandas", "wave"], kernel_env(), 4) # the last one for a second server
    yield made
    made.close()


def kernel_env(**more):
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return ours | {"PYTHONHASHSEED": "0", "PYTHONPATH": "/nowhere", "FASHION_MLOPS_RUN": "/a run.json", "FASHION_MLOPS_SECRET_key": "hunter2"} | more


def words(tmp_path):
    "Of a kernel that says what it is like."
    (tmp_path/"say.py").write_text(SAY)
    return ["-f", str(tmp_path/"connection.json"), f"--InteractiveShellApp.exec_lines=exec(open({str(tmp_path/'say.py')!r}).read())"]


def test_a_forked_kernel_is_like_a_plain_one(server, tmp_path):
    forked = []
    for n in range(2):
        kernel = server.fork(4 + n, words(tmp_path), kernel_env(FASHION_MLOPS_SAID=str(tmp_path/f"{n}.json")), str(tmp_path))
        assert kernel.wait(60) == 7
        forked.append(json.loads((tmp_path/f"{n}.json").read_text()))
    command = [sys.executable, "-m", "ipykernel_launcher", *words(tmp_path)]
    env = kernel_env(FASHION_MLOPS_SAID=str(tmp_path/"plain.json"), JPY_PARENT_PID=str(os.getpid()))
    assert subprocess.run(command, env=env, cwd=tmp_path, start_new_session=True, stdin=subprocess.DEVNULL, timeout=60).returncode == 7
    plain = json.loads((tmp_path/"plain.json").read_text())
    assert all(one != other for one, other in zip(forked[0].pop("random"), forked[1].pop("random")))
    del plain["random"]
    assert [said.pop("wave") for said in (*forked, plain)] == [False, True, False] # of those of one server nobody sees what the other has imported
    for said in (*forked, plain):
        for name in ("FASHION_MLOPS_SAID", "JPY_PARENT_PID", "MLFLOW_DISABLE_TELEMETRY"): said["env"].pop(name, None)
        said["argv"], said["orig"] = said["argv"][1:], said["orig"][1:] # the launcher's own path, the interpreter's
    assert forked[0] == forked[1] == plain
    assert plain["birth"] == ["FASHION_MLOPS_RUN=/a run.json"] and "hunter2" not in str(psutil.Process(server.process.pid).environ())


def test_how_a_kernel_ended_is_known(server, tmp_path):
    kernel = server.fork(0, ["-f", str(tmp_path/"c.json")], kernel_env(), "/")
    assert kernel.poll() is None and os.getpgid(kernel.pid) == kernel.pid
    with pytest.raises(subprocess.TimeoutExpired): kernel.wait(0.05)
    os.killpg(kernel.pid, 9)
    assert kernel.wait(10) == -9 == kernel.poll() and not psutil.pid_exists(kernel.pid)
    kernel.kill() # as a Popen that has ended: nothing happens


@pytest.mark.parametrize("ends", ["the server", "the second server", "who asked"])
def test_no_kernel_stays_behind(tmp_path, ends):
    server = ForkServer(["ipykernel.kernelapp", "wave"], kernel_env(), 1)
    kernels = [server.fork(needed, ["-f", str(tmp_path/f"{needed}.json")], kernel_env(), "/") for needed in (1, 2)]
    seen = [psutil.Process(pid) for pid in (server.second.pid, kernels[1].pid, server.process.pid, kernels[0].pid)]
    if ends == "the server": server.process.kill()
    elif ends == "the second server": seen[0].kill()
    else: # as when the runner's process is gone
        for control in (server.control, server.second.connection): control.close()
    assert kernels[1].wait(10) == -9
    if ends == "the second server":
        with pytest.raises(Refused, match="has ended"): server.fork(2, [], kernel_env(), "/")
        assert kernels[0].poll() is None and server.fork(1, ["--version"], kernel_env(), "/").wait(30) == 0 # the first one serves on
        server.close()
    assert kernels[0].wait(10) == -9
    server.process.wait(10)
    for process in seen: process.wait(10)


def test_a_server_that_is_asked_no_more_lets_its_kernels_work(tmp_path):
    kernels = ForkedKernels([], print)
    kernels.server, kernels.needs = ForkServer(["ipykernel.kernelapp", "wave"], kernel_env(), 1), {"01_draw": 1, "02_add": 2}
    server, working = kernels.server, kernels.launch("02_add", ["-f", str(tmp_path/"c.json")], kernel_env(), "/")
    kernels._retire()
    assert working.poll() is None and kernels.launch("01_draw", [], kernel_env(), "/") is None
    working.kill()
    working.wait(10)
    kernels.server = ForkServer(["wave"], kernel_env())
    kernels._retire()
    assert server.process.returncode is not None and not kernels.retired


def test_what_must_not_be_forked_is_not(server, tmp_path):
    (tmp_path/"random.py").write_text("")
    with pytest.raises(Refused, match="random.py comes before"): server.fork(0, [], kernel_env(PYTHONPATH=str(tmp_path)), "/")
    with pytest.raises(Refused, match="PYTHONHASHSEED has another value"): server.fork(0, [], kernel_env(PYTHONHASHSEED="1"), "/")
    with pytest.raises(Refused, match="nowhere"): server.fork(0, [], kernel_env(), "/nowhere/at all")
    assert server.fork(0, ["--version"], kernel_env(), "/").wait(30) == 0 # and it serves on


@pytest.mark.parametrize("border", [1, 2])
def test_a_library_with_a_thread_is_left_out(border):
    "Whatever another thread holds at a fork is held forever in the child."
    libraries, env = ["ipykernel.kernelapp", "pyarrow"], kernel_env(JE_ARROW_MALLOC_CONF="background_thread:true")
    server = ForkServer(libraries, env, border)
    try:
        with pytest.raises(Refused, match="after importing pyarrow, ") as refused: server.fork(2, [], env, "/")
    finally: server.close()
    assert refused.value.without == "pyarrow"
    said, kernels = [], ForkedKernels([], print)
    kernels.say, kernels.server = said.append, ForkServer(libraries, env, border)
    kernels.needs = {"01_draw": 2}
    assert kernels.launch("01_draw", [], env, "/") is None and kernels.without == {"pyarrow"} and not kernels.off
    assert len(said) == 1 and "imports for itself" in said[0]
    kernels.close()


@pytest.mark.slow
def test_artifacts_are_the_same(project):
    "Byte for byte, with both kinds of kernels: a picture, a table, a fitted model and numbers of torch, imported at the top, later, or where nobody sees it."
    code = ["import numpy as np, pandas as pd, matplotlib.pyplot as plt, json, os, sys\nIMPORT", "from sklearn.ensemble import RandomForestClassifier",
            "stage.facts = {'dataset_digest': 'abc', 'synthetic': True}\nhas_torch = 'torch' in sys.modules",
            "rows = np.random.rand(200, 5); forest = RandomForestClassifier(10, random_state=seed, n_jobs=2).fit(rows, rows[:, 0] > 0.5)",
            "import importlib; torch = importlib.import_module('torch'); net = torch.nn.Linear(300, 300); said = net(torch.rand(64, 300)).detach().numpy()",
            "figure, axis = plt.subplots(); axis.plot(np.sort(rows[:, 0])); axis.set_title('Numbers'); stage.picture(figure, 'Numbers.', name='numbers')",
            "pd.DataFrame(rows).assign(p=forest.predict_proba(rows)[:, 0]).to_parquet(stage.write('NAME.parquet'))",
            "stage.log({'threads': torch.get_num_threads(), 'torch': float(said.sum()), 'has_torch': has_torch})"]
    for name, line in {"01_draw": "", "02_add": "import torch", "03_end": "from torch import nn"}.items():
        project.stage(name, [cell.replace("NAME", name).replace("IMPORT", line) for cell in code], writes=[f"{name}.parquet"], parameters=PARAMETERS)
    found = []
    for fork in ("1", "0"):
        project.env["FASHION_MLOPS_FORK"] = fork
        answer = subprocess.run(project.command("run", "--profile", "smoke", "--dataset", "synthetic", "--force"), cwd=project.root, env=project.env, capture_output=True, text=True)
        assert answer.returncode == 0 and "imports for itself" not in answer.stdout + answer.stderr, answer.stdout + answer.stderr
        folder = project.root/"data"/"artifacts"/"synthetic"
        manifests = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
        found.append([(m["metrics"], {n: w["digest"] for n, w in m["writes"].items()}, [(folder/p["file"]).read_bytes() for p in m["pictures"]]) for m in manifests])
        assert [m["metrics"]["has_torch"] for m in manifests] == [0, 1, 1]
    assert found[0] == found[1]
    assert len({metrics["torch"] for metrics, *_ in found[0]}) == 1 # seeded by the stage's seed, whenever it was imported
