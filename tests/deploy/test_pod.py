"""A pod of the service as its manifest has it, without a cluster: the built image, the words, the mounts, the user; and its end as a kubelet asks for it."""
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from fashion_mlops.service.deployment import serving_folder, set_champion
from fashion_mlops.service.keys import make_key

import containers
from test_image import free_port, image, pytestmark  # noqa: F401  the image is built once for both files
from test_kubernetes import needs_kubectl, of_kind, overlay, words
from test_parity import orders, trained

DRAIN = 3  # seconds, in the place of the manifest's: the rest of it stays
START = """set -e
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o size=64k,mode=755 tmpfs "$root/dev"
for name in null zero random urandom; do touch "$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"; done
for mount in "${mounts[@]}"; do
    IFS='|' read -r from to how <<<"$mount"
    mkdir -p "$root$to"
    if [ "$from" = tmpfs ]; then mount -t tmpfs -o size=64m,mode=1777 tmpfs "$root$to"; else mount --bind "$from" "$root$to"; fi
    if [ "$how" = ro ]; then mount -o remount,bind,ro "$root$to"; fi
done
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs --inh-caps=-all env -i "${environment[@]}" \\
    /usr/sbin/chroot --userspec="$ids" --groups="$group" "$root" /bin/sh -c 'cd /; exec "$@"' sh "$@"
"""


def lists(values) -> str: return " ".join(f"'{value}'" for value in values)


def command(image, home: Path, dataset: str, port: int) -> list[str]:
    "The words that start the pod's container on this machine: volumes are folders of a home, the port is one that is free."
    root, said = image
    template = of_kind(overlay("blue"), "Deployment")["serve-blue"]["spec"]["template"]["spec"]
    container, ids = template["containers"][0], template["securityContext"]
    folders = {volume["name"]: {"home": str(home), "keys": str(home/"keys"), "tmp": "tmpfs"}[volume["name"]] for volume in template["volumes"]}
    mounts = [f"{'/'.join(filter(None, [folders[one['name']], one.get('subPath')]))}|{one['mountPath']}|{'ro' if one.get('readOnly') else 'rw'}" for one in container["volumeMounts"]]
    known = [*said["config"]["Env"], *(f"{one['name']}={one['value']}" for one in container["env"] if "value" in one)]
    args = words(container, overlay("blue"))
    for option, value in (("--dataset", dataset), ("--port", port), ("--drain", DRAIN)): args[args.index(option) + 1] = str(value)
    begin = f"environment=({lists(known)}) mounts=({lists(mounts)}) ids={ids['runAsUser']}:{ids['runAsGroup']} group={ids['fsGroup']}\n{START}"
    return ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--propagation", "private", "bash", "-c", begin, "pod", str(root), *container["command"], *args]


def answer(port: int, path: str, key: str = "") -> int:
    "The status of an answer; 0 where nobody answers."
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(asked, timeout=3) as found: return found.status
    except urllib.error.HTTPError as error: return error.code
    except OSError: return 0


@needs_kubectl
def test_a_pod_answers_and_ends_as_its_manifest_promises(image, home):  # noqa: F811
    "It becomes ready, knows keys, writes where it may; told to end, it is out of the lists at once and answers until it has drained."
    from fashion_mlops.service.pack import write_pack
    samples = orders()
    write_pack(serving_folder("drawn")/"v1", trained(samples, home), "drawn", samples.at(samples.rows("valid")))
    set_champion("drawn", 1)
    key, port = make_key("site", "read"), free_port()
    (home/"data"/"audit").mkdir()
    (home/"keys").mkdir()
    for name in ("signing.pub", "service.json"): shutil.copy(home/"data"/"keys"/name, home/"keys"/name)
    for path in [home, *home.rglob("*")]: os.chown(path, 0, containers.USER, follow_symlinks=False)  # as `fsGroup` does
    for path in (home/"data").rglob("*"): path.chmod(0o770 if path.is_dir() else 0o660)
    for path in (home/"keys").iterdir(): path.chmod(0o440)
    log = (home/"pod.log").open("w+")
    process = subprocess.Popen(command(image, home, "drawn", port), stdout=log, stderr=subprocess.STDOUT, env={"PATH": containers.PATH})
    try:
        until = time.monotonic() + 60
        while answer(port, "/health/ready") != 200:
            assert process.poll() is None and time.monotonic() < until, Path(log.name).read_text()
            time.sleep(0.1)
        assert [answer(port, path, sent) for path, sent in (("/health/live", ""), ("/metrics", ""), ("/metrics", key))] == [200, 401, 200]
        first = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        began = time.monotonic()
        os.kill(first, signal.SIGTERM)
        time.sleep(0.2)
        while time.monotonic() - began < DRAIN - 0.5:
            assert [answer(port, "/health/ready"), answer(port, "/version", key)] == [503, 200]
            time.sleep(0.2)
        assert process.wait(20) == 0 and DRAIN <= time.monotonic() - began < DRAIN + 5
        assert (home/"data"/"serving"/"drawn"/"log").is_dir()
    finally:
        process.kill()
        process.wait()
        log.close()
