"""A service that is one release among several: one version for good, known by the name of its slot."""
import json
import subprocess
import sys
import time
import urllib.request

from fashion_mlops.service.deployment import set_champion
from fashion_mlops.service.log_files import log_folder, read_log

from packs import place_version, share_of

BODY = "application/octet-stream"


def test_a_named_version_stays_and_says_its_slot_wherever_it_is_seen(server, tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    for version in (1, 2, 3): place_version("shades", version)
    set_champion("shades", 1)
    running = server(dataset="shades", words=["--version", "2", "--slot", "green"])
    set_champion("shades", 3)
    time.sleep(0.5) # one that follows would have seen it
    status, said, _ = running.ask("/predict", b"\0"*16, content_type=BODY)
    assert (status, said["model"]["version"]) == (200, 2) and abs(said["predictions"][0]["probabilities"]["dark"] - share_of(2)) < 1e-6
    assert running.ask("/health/ready")[1] == {"ready": True, "version": 2, "slot": "green"} and running.ask("/health/live")[1] == {"live": True, "slot": "green"}
    assert running.ask("/version")[1]["slot"] == "green"
    counted = running.ask("/metrics")[1]
    assert 'fashion_mlops_slot_requests_total{slot="green",status="200",version="2"} 1.0' in counted
    assert 'fashion_mlops_model_version{dataset="shades",slot="green"} 2.0' in counted
    assert running.ask("/admin/traffic")[0] in (401, 404)
    assert running.end() == 0
    assert list(read_log(log_folder("shades")).slot) == ["green"]


def test_lines_of_requests_name_the_slot_and_a_version_that_is_not_here_is_refused_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    place_version("shades", 1)
    set_champion("shades", 1)
    def serve(*words): return [sys.executable, "-m", "fashion_mlops.cli", "serve", "--dataset", "shades", "--port", "0", *words]
    refused = subprocess.run(serve("--version", "9"), capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2 and "fashion-mlops traffic bring 9 --dataset shades" in refused.stderr
    odd = subprocess.run(serve("--slot", "Blue one"), capture_output=True, text=True, timeout=60)
    assert odd.returncode == 2 and "such as blue" in odd.stderr
    with subprocess.Popen(serve("--slot", "blue"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().split("answers at ")[1].split()[0]
        urllib.request.urlopen(f"{address}/version", timeout=20).close()
        process.terminate()
        lines = [json.loads(line) for line in process.stderr]
    assert [line["slot"] for line in lines if line.get("route") == "/version"] == ["blue"]
