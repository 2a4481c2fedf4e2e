"""A command line of ours in a process that has imported what others wrote already: MLflow and papermill alone take most of a small run's time.
Ours is imported anew each time, with its own environment and folder. Questions such as `status` still get an interpreter of their own, with another order of its sets."""
import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback

OF_OTHERS = ("mlflow", "mlflow.store.tracking.sqlalchemy_store", "papermill", "nbconvert", "pandas", "psutil", "joblib")


def become(words: list[str], env: dict, cwd: str):
    "Be `python -m words`, as far as that can be seen from inside."
    own = {"", *os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[:] = [cwd, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep)), *(folder for folder in sys.path if folder not in own)]
    sys.argv, sys.orig_argv = list(words), [sys.executable, "-m", *words]
    sys.modules["numpy"].random.seed()
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = open(number, "w", buffering=1, errors=getattr(sys, name).errors, closefd=False) # the old one may be of something that can be sought in
        setattr(sys, name, stream), setattr(sys, f"__{name}__", stream)
    code = 0
    try: runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    except SystemExit as ended: code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code) # what others imported need not be taken apart


def serve(control: socket.socket):
    "Fork for whoever asks, until nobody can any more; whoever waits for the fork says how it ended and what it cost."
    assert not [name for name in sys.modules if name.partition(".")[0] == "fashion_mlops"] and len(os.listdir("/proc/self/task")) == 1
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze() # or a fork's collector would write to every page, and so copy it
    while True:
        asked, fds, _, _ = socket.recv_fds(control, 1 << 20, 3)
        if not asked: return
        if os.fork() == 0: break
        for number in fds: os.close(number)
    control.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with socket.socket(fileno=fds[2]) as teller:
        if pid := os.fork():
            teller.send(json.dumps(pid).encode())
            _, status, used = os.wait4(pid, 0)
            teller.send(json.dumps([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime]).encode())
            os._exit(0)
    for number, fd in ((1, fds[0]), (2, fds[1])): os.dup2(fd, number), os.close(fd)
    become(**json.loads(asked))


class WarmPython:
    "That process, seen from outside."
    def __init__(self):
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.spent = 0.0 # seconds of processor of what has ended
        env = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "JE_ARROW_MALLOC_CONF": "background_thread:false", "OPENBLAS_NUM_THREADS": "1"}
        with theirs: self.process = subprocess.Popen([sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=env)

    def run(self, words: list[str], env: dict, cwd, timeout: float) -> subprocess.CompletedProcess:
        "As `subprocess.run` of `python -m words`, with what it says as text."
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pipes = [os.pipe(), os.pipe()]
        with theirs: socket.send_fds(self.control, [json.dumps({"words": words, "env": env, "cwd": str(cwd)}).encode()], [pipes[0][1], pipes[1][1], theirs.fileno()])
        for _, end in pipes: os.close(end)
        with ours, open(pipes[0][0]) as out, open(pipes[1][0]) as errors:
            pid = json.loads(ours.recv(100))
            said = _read_both(out, errors, pid, timeout)
            code, seconds = json.loads(ours.recv(100))
        self.spent += seconds
        return subprocess.CompletedProcess(words, code, *said)

    def close(self):
        self.control.close()
        try: self.process.wait(20)
        except subprocess.TimeoutExpired: self.process.kill()


def _read_both(out, errors, pid: int, timeout: float) -> list[str]:
    "What a process says in both of its streams; it is killed when it takes too long."
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(2) as readers:
        waiting = [readers.submit(stream.read) for stream in (out, errors)]
        try: return [one.result(timeout) for one in waiting]
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired("a warm interpreter", timeout) from None


if __name__ == "__main__":
    for name in OF_OTHERS: importlib.import_module(name)
    sys.path[:] = filter(None, sys.path[1:]) # the tests' own folder
    serve(socket.socket(fileno=int(sys.argv[1])))
