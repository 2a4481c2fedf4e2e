"""Images without a daemon: a base of this machine's own files, buildah around the real Dockerfile, and a run as a container runtime would do it."""
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from fashion_mlops.core import project_root

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
TOOLS = ["buildah", "unshare", "chroot", "setpriv", "mount", "ldd", "ldconfig"]
WORDS = ["cat", "chmod", "chown", "cp", "echo", "find", "id", "ls", "mkdir", "mv", "rm", "sh", "touch"] # that the Dockerfile's lines may use
LIBRARIES = ["libstdc++.so.6", "libgcc_s.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libm.so.6"] # that wheels may expect of a system
INDEXES = ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT"]
CANARY = "/canary-that-no-image-keeps"
USER = 10001


def missing() -> str:
    "Why no image can be built and run here, in a sentence; empty when one can."
    if not sys.platform.startswith("linux"): return "containers need Linux"
    if absent := [word for word in TOOLS if not shutil.which(word, path=PATH)]: return f"{', '.join(absent)} cannot be found"
    if os.getuid() or subprocess.run(["unshare", "--mount", "true"], capture_output=True, env={"PATH": PATH}).returncode:
        return "only root may mount, and this user may not"
    if sys.base_prefix == "/usr" and "FASHION_MLOPS_BASE" not in os.environ:
        return "the files of this Python are not together in one place; name a base in FASHION_MLOPS_BASE"
    return ""


def store() -> Path:
    "Where images are kept between runs, for this user alone."
    folder = Path(tempfile.gettempdir())/f"fashion_mlops_images_{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    assert folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o077, f"{folder} is open to others: remove it"
    return folder


def call(*words) -> str:
    "What a command prints; its last words when it fails."
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, env=os.environ | {"PATH": PATH})
    assert done.returncode == 0, f"{' '.join(map(str, words))[:300]}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
    return done.stdout.strip()


def buildah(*words) -> str:
    "What buildah prints, with a store of its own."
    return call("buildah", "--root", store()/"storage", "--runroot", store()/"run", "--storage-driver", "vfs", *words)


def digest(*parts) -> str:
    "Of files and words, in order."
    state = hashlib.sha256()
    for part in parts: state.update((part.read_bytes() if isinstance(part, Path) else str(part).encode()) + b"\0")
    return state.hexdigest()[:16]


def there(name: str) -> bool:
    "Whether an image is in the store."
    return any(name in (image.get("names") or []) for image in json.loads(buildah("images", "--json") or "null") or [])


def forget(begin: str):
    "Remove the images whose names begin so: those of earlier files."
    for image in json.loads(buildah("images", "--json") or "null") or []:
        if any(name.startswith(begin) for name in image.get("names") or []): buildah("rmi", "--force", image["id"])


def needed_libraries(files) -> set[str]:
    "Shared libraries that executables and modules ask for."
    said = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True).stdout
    return set(re.findall(r"(/\S+) \(0x", said))


def fill_base(root: Path):
    "A shell with a few words, and this Python below /usr/local, as the official images have it; beyond these, nothing."
    for name in ("bin", "sbin", "lib", "lib64"):
        (root/"usr"/name).mkdir(parents=True)
        (root/name).symlink_to(f"usr/{name}")
    for name in ("etc", "tmp", "root", "dev", "proc", "sys", "srv", "run", "var/tmp", "usr/local/bin"): (root/name).mkdir(parents=True)
    for name in ("tmp", "var/tmp"): (root/name).chmod(0o1777)
    (root/"etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root/"etc/group").write_text("root:x:0:\n")
    version, local = f"python{sys.version_info.major}.{sys.version_info.minor}", root/"usr/local"
    unwanted = shutil.ignore_patterns("test", "tests", "site-packages", "__pycache__", "idlelib", "turtledemo", "*.a", "_tkinter*")
    shutil.copytree(Path(sys.base_prefix)/"lib"/version, local/"lib"/version, ignore=unwanted, symlinks=True)
    (local/"lib"/version/"site-packages").mkdir()
    executable = Path(sys.base_prefix, "bin", version).resolve()
    shutil.copy2(executable, local/"bin"/version)
    for name in ("python3", "python"): (local/"bin"/name).symlink_to(version)
    words = [f"/usr/bin/{word}" for word in WORDS]
    known = dict(re.findall(r"^\s(\S+) .*=> (/\S+)", call("ldconfig", "-p"), re.M)[::-1])
    wanted = [*words, *(known[name] for name in LIBRARIES), *needed_libraries([executable, *words, *(local/"lib"/version/"lib-dynload").glob("*.so")])]
    for file in wanted:
        target = local/"lib"/Path(file).name if file.startswith(sys.base_prefix) else root/file.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
    folders = dict.fromkeys(["/usr/local/lib", *sorted({str(Path(file).parent) for file in wanted if ".so" in file and not file.startswith(sys.base_prefix)})])
    (root/"etc/ld.so.conf").write_text("\n".join(folders) + "\n")
    call("ldconfig", "-r", root)


def base() -> str:
    "The image to build on: FASHION_MLOPS_BASE, else one of this machine's own files, made once."
    if given := os.environ.get("FASHION_MLOPS_BASE"): return given
    name = f"localhost/own-base:{digest(Path(__file__), sys.version)}"
    if there(name): return name
    forget("localhost/own-base:")
    with tempfile.TemporaryDirectory(dir=store()) as folder:
        fill_base(Path(folder))
        container = buildah("from", "scratch")
        buildah("copy", "--quiet", container, folder, "/")
        buildah("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", "--env", "LANG=C.UTF-8", "--cmd", "python3", container)
        buildah("commit", "--quiet", "--rm", container, name)
    return name


def index_words() -> list[str]:
    "How packages are reached from here, as arguments of a build; what lies on this machine is mounted."
    said = {name: os.environ[name] for name in INDEXES if os.environ.get(name)}
    said["PIP_FIND_LINKS"] = f"{said.get('PIP_FIND_LINKS', '')} {CANARY}".strip()
    places = [word for value in said.values() for word in value.split() if word.startswith("/") and os.path.exists(word)]
    return [*(word for name, value in said.items() for word in ("--build-arg", f"{name}={value}")),
            *(word for place in places for word in ("--volume", f"{os.path.realpath(place)}:{place}:ro"))]


def build(target: str, **arguments) -> str:
    "Build a target of the project's Dockerfile, unless its like was built before, and say how it is named."
    root = project_root()
    with (store()/"lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        on = base()
        content = [root/name for name in (".dockerignore", "deploy/Dockerfile", "deploy/build.txt", "deploy/serve.txt", "setup.py", "settings.ini", "README.md", "LICENSE")]
        name = f"localhost/fashion-mlops-{target}:{digest(on, arguments, *content, *sorted((root/'fashion_mlops').rglob('*.py')))}"
        if there(name): return name
        forget(f"localhost/fashion-mlops-{target}:")
        said = [word for key, value in ({"BASE": on} | arguments).items() for word in ("--build-arg", f"{key}={value}")]
        buildah("bud", "--isolation", "chroot", "--format", "docker", "--target", target, *said, *index_words(),
                "--tag", name, "--file", root/"deploy/Dockerfile", root)
        return name


@contextmanager
def opened(image: str):
    "The folder that holds an image's files, and the image's own words."
    said = json.loads(buildah("inspect", "--type", "image", image))["Docker"]
    container = buildah("from", "--pull-never", image)
    try: yield Path(buildah("mount", container)), said
    finally: buildah("rm", container)


START = """set -e
root=$1 home=$2 user=$3 place=$4 memory=$5; shift 5
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o size="$memory",mode=1777,nosuid,nodev,noexec tmpfs "$root/tmp"
mount -t tmpfs -o size=64k,mode=755 tmpfs "$root/dev"
mkdir "$root/dev/shm"
mount -t tmpfs -o size=64m,mode=1777,nosuid,nodev,noexec tmpfs "$root/dev/shm"
for name in null zero random urandom; do touch "$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"; done
mount --bind "$home" "$root/srv/fashion_mlops"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs --inh-caps=-all env -i "${environment[@]}" \
    /usr/sbin/chroot --userspec="$user" --groups= "$root" /bin/sh -c 'cd "$1"; shift; exec "$@"' sh "$place" "$@"
"""


class Container:
    "An image that runs as it says itself: its user, words and environment; root read-only, /tmp in memory, a home that can be written."
    def __init__(self, root: Path, said: dict, home: Path, memory: str = "64m"):
        self.root, self.said, self.home, self.memory = root, said["config"], home, memory

    def command(self, *words, entry=None) -> list[str]:
        "The words that start it, for a process of this machine."
        for path in [self.home, *self.home.rglob("*")]: os.chown(path, USER, USER, follow_symlinks=False)
        entry = self.said["Entrypoint"] if entry is None else entry
        listed = " ".join(f"'{pair}'" for pair in self.said["Env"])
        return ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--propagation", "private", "bash", "-c", f"environment=({listed})\n{START}", "container",
                str(self.root), str(self.home), self.said["User"], self.said["WorkingDir"] or "/", self.memory, *entry, *words]

    def call(self, *words):
        "What a command answers within, instead of the image's own."
        return subprocess.run(self.command(*words, entry=[]), capture_output=True, text=True, env={"PATH": PATH}, timeout=60)

    @contextmanager
    def serving(self, port: int, *words):
        "A service that answers; its log is yielded, and at the end it gets the signal that a runtime sends."
        log = (self.home/"container.log").open("w+")
        process = subprocess.Popen(self.command("--host", "127.0.0.1", "--port", str(port), *words), stdout=log, stderr=subprocess.STDOUT, env={"PATH": PATH})
        try:
            for _ in range(300):
                try: urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2).close(); break
                except OSError: time.sleep(0.1)
                assert process.poll() is None, Path(log.name).read_text()
            first = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
            yield first
            os.kill(first, signal.SIGTERM)
            assert process.wait(20) == 0, Path(log.name).read_text()
        finally:
            process.kill()
            process.wait()
            log.close()
