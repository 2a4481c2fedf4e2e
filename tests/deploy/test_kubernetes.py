"""What the manifests say of each other, of the service and of the command line; and the commands of a release, against a stand-in for kubectl."""
import functools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fashion_mlops import cli
from fashion_mlops.core import WorkflowError, project_root
from fashion_mlops.operations import cluster_alerts, cluster_slots, kubernetes

PLACE = project_root()/"deploy"/"k8s"
OVERLAYS = ("blue", "green", "canary")
YOURS = {("ConfigMap", "trusted-keys"), ("Secret", "service-keys"), ("Secret", "signing-key"), ("Secret", "metrics-key")}  # as kubernetes.ipynb says

needs_kubectl = pytest.mark.skipif(bool(kubernetes.unrendered()), reason=f"overlays cannot be rendered: {kubernetes.unrendered()}")


@functools.cache
def rendered(folder: str) -> list[dict]:
    "What kubectl makes of a folder."
    done = subprocess.run(["kubectl", "kustomize", str(PLACE/folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def overlay(name): return rendered(f"overlays/{name}")
def of_kind(objects, kind): return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def pods(objects) -> dict[str, dict]:
    "The template of every pod, by the object that makes it."
    found = {f"Deployment {name}": one["spec"]["template"] for name, one in of_kind(objects, "Deployment").items()}
    return found | {f"CronJob {name}": one["spec"]["jobTemplate"]["spec"]["template"] for name, one in of_kind(objects, "CronJob").items()}


def containers(objects):
    for name, template in pods(objects).items():
        for one in template["spec"].get("initContainers", []) + template["spec"]["containers"]: yield name, template, one


def environment(container, objects) -> dict[str, str]:
    "What `$(NAME)` may stand for in a container's words."
    maps = of_kind(objects, "ConfigMap")
    found = {}
    for source in container.get("envFrom", []): found |= maps[source["configMapRef"]["name"]]["data"]
    for one in container.get("env", []):
        if "value" in one: found[one["name"]] = one["value"]
        elif "configMapKeyRef" in one["valueFrom"]:
            found[one["name"]] = maps[one["valueFrom"]["configMapKeyRef"]["name"]]["data"][one["valueFrom"]["configMapKeyRef"]["key"]]
        else: found[one["name"]] = "blue"  # a label of the pod
    return found


def words(container, objects) -> list[str]:
    "A container's command as it will be."
    known = environment(container, objects)
    return [re.sub(r"\$\((\w+)\)", lambda found: known[found[1]], word) for word in container["args"]]


def parsed(container, objects):
    assert container["command"] == ["fashion-mlops"]
    return cli.parser().parse_args(words(container, objects))


def amount(said) -> float:
    "A quantity as a number."
    number, unit = re.fullmatch(r"([\d.]+)(m|Ki|Mi|Gi|)", str(said)).groups()
    return float(number) * {"m": 1e-3, "": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}[unit]


@needs_kubectl
@pytest.mark.parametrize("name", OVERLAYS)
def test_who_is_selected(name):
    "Each Service, budget and policy finds the pods that it means, and no others."
    objects = overlay(name)
    labels = {made: template["metadata"]["labels"] for made, template in pods(objects).items()}
    def found(selector): return {made for made, has in labels.items() if selector.items() <= has.items()}
    services = {service: found(one["spec"]["selector"]) for service, one in of_kind(objects, "Service").items()}
    slots = {slot: {f"Deployment serve-{slot}"} for slot in kubernetes.SLOTS}
    answers = slots["blue"] | slots["green"] if name == "canary" else slots[name]
    assert services == {"serve": answers, "serve-blue": slots["blue"], "serve-green": slots["green"]}
    for deployment, one in of_kind(objects, "Deployment").items():
        assert found(one["spec"]["selector"]["matchLabels"]) == {f"Deployment {deployment}"}
        spread = one["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert all(found(rule["labelSelector"]["matchLabels"]) == {f"Deployment {deployment}"} for rule in spread)
    for budget, one in of_kind(objects, "PodDisruptionBudget").items():
        assert found(one["spec"]["selector"]["matchLabels"]) == {f"Deployment {budget}"}
    policies = {policy: found(one["spec"]["podSelector"].get("matchLabels", {})) for policy, one in of_kind(objects, "NetworkPolicy").items()}
    assert policies == {"nobody": set(labels), "serve": slots["blue"] | slots["green"], "work": {made for made in labels if made.startswith("CronJob")}}
    assert {one["metadata"].get("namespace") for one in objects if one["kind"] != "Namespace"} == {kubernetes.NAMESPACE}


@needs_kubectl
@pytest.mark.parametrize("name", OVERLAYS)
def test_every_command_is_one_of_ours(name):
    "The command line takes the words of every container."
    from fashion_mlops.workflow.pipeline import discover, find_stage
    for made, _, container in containers(overlay(name)):
        asked = parsed(container, overlay(name))
        for stage in getattr(asked, "stages", []): assert find_stage(discover(), stage), made


@needs_kubectl
def test_probes_ask_what_the_service_answers():
    "Paths are routes that want no key, ports have names that are there, and readiness is the route that ends first."
    from fashion_mlops.service.application import ROUTES
    open_routes = {route.path for route in ROUTES if route.method == "GET" and not route.role}
    for made, _, container in containers(overlay("blue")):
        if not made.startswith("Deployment"): continue
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"http": parsed(container, overlay("blue")).port}
        probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
        assert {probe["port"] for probe in probes.values()} <= set(ports) and {probe["path"] for probe in probes.values()} <= open_routes
        assert (probes["readiness"]["path"], probes["liveness"]["path"]) == ("/health/ready", "/health/live")
    for service in of_kind(overlay("blue"), "Service").values(): assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
    assert of_kind(overlay("blue"), "NetworkPolicy")["serve"]["spec"]["ingress"][0]["ports"][0]["port"] == "http"


@needs_kubectl
def test_a_pod_that_ends_has_the_time_that_it_takes():
    "Longer than draining, the answers under way, the log, and the last threads; and longer on air than its end takes to get around."
    import inspect
    from fashion_mlops.service import prediction_log, server
    answers = int(re.search(r"timeout_graceful_shutdown=(\d+)", inspect.getsource(server.run_server))[1])
    threads = int(re.search(r"threading\.Timer\((\d+)", inspect.getsource(server.run_server))[1])
    log = int(re.search(r"join\((\d+)\)", inspect.getsource(prediction_log.PredictionLog.close))[1])
    for made, template, container in containers(overlay("blue")):
        if not made.startswith("Deployment"): continue
        drain, probe = parsed(container, overlay("blue")).drain, container["readinessProbe"]
        assert template["spec"]["terminationGracePeriodSeconds"] > drain + answers + log + threads + 1
        assert drain > probe["periodSeconds"] * probe["failureThreshold"] + 5
        assert "lifecycle" not in container  # a pause before SIGTERM would be one in which clients are not told to go elsewhere


@needs_kubectl
@pytest.mark.parametrize("name", OVERLAYS)
def test_nothing_refers_to_what_nobody_makes(name):
    "Every ConfigMap, Secret, volume claim, account and target of an autoscaler is here, or is said to be yours to make."
    objects = overlay(name)
    here = {(one["kind"], one["metadata"]["name"]) for one in objects}
    wanted = set()
    for _, template, container in containers(objects):
        spec = template["spec"]
        wanted.add(("ServiceAccount", spec["serviceAccountName"]))
        volumes = {volume["name"] for volume in spec["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        for volume in spec["volumes"]:
            if claim := volume.get("persistentVolumeClaim"): wanted.add(("PersistentVolumeClaim", claim["claimName"]))
            for source in volume.get("projected", {}).get("sources", []):
                wanted |= {(kind, source[field]["name"]) for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")) if field in source}
        wanted |= {("ConfigMap", source["configMapRef"]["name"]) for source in container.get("envFrom", [])}
        wanted |= {("ConfigMap", one["valueFrom"]["configMapKeyRef"]["name"]) for one in container.get("env", []) if "configMapKeyRef" in one.get("valueFrom", {})}
    wanted |= {("Deployment", one["spec"]["scaleTargetRef"]["name"]) for one in of_kind(objects, "HorizontalPodAutoscaler").values()}
    assert wanted - here <= YOURS
    page = (project_root()/"nbs"/"operations"/"kubernetes.ipynb").read_text()
    assert all(name in page for _, name in YOURS)
    assert not of_kind(objects, "Secret"), "a secret in a file is none"


@needs_kubectl
@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_may_do_nothing_but_their_work(name):
    "No root, no capability, no writable root, no token; requests within limits; a version and no `latest`; nothing that looks like a password."
    for made, template, container in containers(overlay(name)):
        pod, own = template["spec"], container["securityContext"]
        said = pod["securityContext"]
        assert (said["runAsNonRoot"], said["runAsUser"], said["fsGroup"], said["seccompProfile"]["type"]) == (True, 10001, 10001, "RuntimeDefault"), made
        assert pod["automountServiceAccountToken"] is False and not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert own == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        limits, requests = container["resources"]["limits"], container["resources"]["requests"]
        assert set(limits) == set(requests) >= {"cpu", "memory"}
        assert all(amount(requests[what]) <= amount(limits[what]) for what in limits), made
        tag = container["image"].rpartition(":")[2]
        assert re.fullmatch(r"\d+\.\d+\.\d+", tag), container["image"]
        for one in container.get("env", []): assert not re.search("KEY|TOKEN|PASSWORD|SECRET", one["name"])
    namespace = of_kind(overlay(name), "Namespace")[kubernetes.NAMESPACE]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@needs_kubectl
def test_the_work_runs_one_at_a_time_and_is_tidied():
    for name, one in of_kind(overlay("blue"), "CronJob").items():
        spec, job = one["spec"], one["spec"]["jobTemplate"]["spec"]
        assert spec["concurrencyPolicy"] == "Forbid" and job["ttlSecondsAfterFinished"] > 0 and job["activeDeadlineSeconds"] > 0
        assert spec["suspend"] is (name in ("pipeline", "champion")), name


@needs_kubectl
def test_the_service_sees_no_private_key():
    "Of the home it has packs, log and audit trail; of the keys, digests and public halves."
    for made, template, container in containers(overlay("blue")):
        if not made.startswith("Deployment"): continue
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert {mount["subPath"] for mount in mounts.values() if mount["name"] == "home"} == {"data/serving", "data/audit"}
        assert mounts["/srv/fashion_mlops/data/keys"]["readOnly"] is True
        keys = next(volume for volume in template["spec"]["volumes"] if volume["name"] == "keys")["projected"]["sources"]
        assert {source.get("secret", source.get("configMap"))["name"] for source in keys} == {"trusted-keys", "service-keys"}


def differences(one, two, path=()):
    "Paths at which two trees differ."
    if isinstance(one, dict) and isinstance(two, dict):
        for key in one.keys() | two.keys(): yield from differences(one.get(key), two.get(key), (*path, key))
    elif one != two: yield "/".join(map(str, path))


@needs_kubectl
def test_slots_and_overlays_differ_only_where_they_should():
    named = {name: {(one["kind"], one["metadata"]["name"]): one for one in overlay(name)} for name in OVERLAYS}
    def between(one, two): return {(kind, name, path) for kind, name in named[one].keys() | named[two].keys()
                                   for path in differences(named[one].get((kind, name)), named[two].get((kind, name)))}
    assert between("blue", "green") == {("Service", "serve", "spec/selector/slot")}
    pinned = {("HorizontalPodAutoscaler", f"serve-{slot}", f"spec/{bound}Replicas") for slot in kubernetes.SLOTS for bound in ("min", "max")}
    assert between("blue", "canary") == pinned | {("Service", "serve", "spec/selector/slot")}
    def slot(name): return json.loads(json.dumps({kind: one for (kind, own), one in named["blue"].items() if own == f"serve-{name}"}).replace(name, "SLOT"))
    assert slot("blue") == slot("green") and len(slot("blue")) == 4


@needs_kubectl
def test_autoscalers_go_by_what_the_service_counts():
    "Their metrics are the adapter's, and the adapter's are of series that the service has, under the labels that it is asked by."
    from fashion_mlops.service.metrics import Metrics
    series = {sample.name for family in Metrics().registry.collect() for sample in family.samples} | {
        f"{family.name}_total" for family in Metrics().registry.collect() if family.type == "counter"} | {family.name for family in Metrics().registry.collect()}
    rules = yaml.safe_load((PLACE/"adapter"/"rules.yaml").read_text())["rules"]["custom"]
    offered = set()
    for rule in rules:
        name = re.match(r"[a-z_]+", rule["seriesQuery"])[0]
        assert name in series, name
        assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}
        known = re.fullmatch(rule["name"].get("matches") or ".*", name)
        offered.add(re.sub(r"\$\{(\d)\}", lambda found: known[int(found[1])], rule["name"]["as"]))
    for one in of_kind(overlay("blue"), "HorizontalPodAutoscaler").values():
        asked = {metric["pods"]["metric"]["name"] for metric in one["spec"]["metrics"] if metric["type"] == "Pods"}
        assert asked and asked <= offered
        assert [metric["resource"]["name"] for metric in one["spec"]["metrics"] if metric["type"] == "Resource"] == ["cpu"]
        assert (one["spec"]["minReplicas"], one["spec"]["maxReplicas"]) == kubernetes.USUAL
    shares = {name: one["spec"]["minReplicas"] for name, one in of_kind(overlay("canary"), "HorizontalPodAutoscaler").items()}
    assert (shares["serve-blue"], shares["serve-green"]) == kubernetes.pods_for(0.1)


@needs_kubectl
def test_nobody_may_talk_but_those_who_must():
    "The service is asked by two namespaces and asks nobody; work asks for names, and MLflow at the address that it is given."
    policies, place = of_kind(overlay("blue"), "NetworkPolicy"), of_kind(overlay("blue"), "ConfigMap")["place"]["data"]
    assert policies["nobody"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert "egress" not in policies["serve"]["spec"] and policies["serve"]["spec"]["policyTypes"] == ["Ingress"]
    asking = [peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in policies["serve"]["spec"]["ingress"][0]["from"]]
    assert asking == ["ingress-nginx", "monitoring"]
    name, space, port = re.fullmatch(r"http://(\w+)\.(\w+)\.svc:(\d+)", place["MLFLOW_TRACKING_URI"]).groups()
    mlflow = policies["work"]["spec"]["egress"][1]
    assert mlflow["to"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}}, "podSelector": {"matchLabels": {"app": name}}}]
    assert mlflow["ports"] == [{"port": int(port), "protocol": "TCP"}]


@needs_kubectl
def test_what_wants_more_than_kubernetes_itself_stands_apart():
    "The schemas of these two come with their operators and not with Kubernetes: their shape is looked at here."
    monitor = of_kind(rendered("operator"), "ServiceMonitor")["serve"]
    services = of_kind(overlay("blue"), "Service")
    found = {name for name, one in services.items() if monitor["spec"]["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
             and all(rule["operator"] == "Exists" and rule["key"] in one["metadata"]["labels"] for rule in monitor["spec"]["selector"]["matchExpressions"])}
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1" and found == {"serve-blue", "serve-green"}  # through the door, each pod would count twice
    endpoint, = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics") and ("Secret", endpoint["authorization"]["credentials"]["name"]) in YOURS
    asked = {rule["targetLabel"]: rule["sourceLabels"] for rule in endpoint["relabelings"]} | {"job": monitor["spec"]["jobLabel"]}
    assert asked == {"color": ["__meta_kubernetes_service_label_slot"], "job": "app"}
    assert {services[name]["metadata"]["labels"]["app"] for name in found} == {"serve"}
    route = of_kind(rendered("gateway"), "HTTPRoute")["serve"]
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    behind = [backend for rule in route["spec"]["rules"] for backend in rule["backendRefs"]]
    assert {backend["name"]: backend["weight"] for backend in behind} == {"serve-blue": 90, "serve-green": 10}
    assert all(backend["port"] == services[backend["name"]]["spec"]["ports"][0]["port"] for backend in behind)


def test_the_operator_has_the_one_list_of_alerts():
    "What it reads is written from the files that Prometheus reads."
    assert cluster_alerts.rule_file().read_text() == cluster_alerts.rule_text(cluster_alerts.known_rules()), "python -m fashion_mlops.operations.cluster_alerts"
    rule = yaml.safe_load(cluster_alerts.rule_file().read_text())
    assert (rule["apiVersion"], rule["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert all((one.get("alert") or one["record"]) and one["expr"] for group in rule["spec"]["groups"] for one in group["rules"])


def checking_python() -> Path | None:
    "A Python that has the schemas: that of `make check-deploy`, or this one."
    own = project_root()/".venv-checks"/"bin"/"python"
    for python in (own, Path(sys.executable)):
        if python.exists() and not subprocess.run([python, "-c", "import kubernetes_validate"], capture_output=True).returncode: return python


@needs_kubectl
@pytest.mark.slow
def test_the_api_takes_every_object():
    "Each object against the JSON schema of the API, where no unknown field is allowed; and one misspelt field is found."
    if not (python := checking_python()): pytest.skip("no kubernetes-validate here: make check-deploy has an environment with it")
    check = "import json, sys, kubernetes_validate as k\nfor one in json.load(sys.stdin): k.validate(one, '1.34', strict=True)"
    def taken(objects): return subprocess.run([python, "-c", check], input=json.dumps(objects), capture_output=True, text=True, timeout=120)
    for name in OVERLAYS:
        done = taken(overlay(name))
        assert done.returncode == 0, f"{name}: {done.stderr[-1500:]}"
    wrong = json.loads(json.dumps(of_kind(overlay("blue"), "Deployment")["serve-blue"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    assert "livenessProb" in taken([wrong]).stderr


STAND_IN = '''#!{python} -IS
"""Notes what it is asked, and answers from a file as a cluster would: patches are merged, pods come at once."""
import json, pathlib, sys
place = pathlib.Path(__file__).parent
state, words = json.loads((place/"state.json").read_text()), sys.argv[1:]
sent = "" if sys.stdin.isatty() else sys.stdin.read()
with (place/"asked.jsonl").open("a") as file: file.write(json.dumps([words, sent]) + "\\n")
def merge(one, two):
    for key, value in two.items():
        if value is None: one.pop(key, None)
        elif isinstance(value, dict): merge(one.setdefault(key, {{}}), value)
        elif key == "containers": one[key][0].update(value[0])
        else: one[key] = value
if words[0] == "get":
    if words[2] == "--selector": found = {{"items": [one for name, one in state.items() if name.startswith(words[1] + "/")]}}
    elif (found := state.get(f"{{words[1]}}/{{words[2]}}")) is None:
        sys.exit(f'Error from server (NotFound): {{words[1]}} "{{words[2]}}" not found')
    print(json.dumps(found))
elif words[0] == "patch":
    one, change = state[f"{{words[1]}}/{{words[2]}}"], json.loads(words[words.index("--patch") + 1])
    version = one["metadata"].get("resourceVersion", "0")
    if change.get("metadata", {{}}).get("resourceVersion", version) != version:
        sys.exit(f"Error from server (Conflict): Operation cannot be fulfilled on {{words[1]}}: the object has been modified")
    merge(one, change)
    one["metadata"]["resourceVersion"] = str(int(version) + 1)
elif words[0] == "exec" and "python" in words:
    args = state[words[1].replace("deploy/", "deployment/")]["spec"]["template"]["spec"]["containers"][0]["args"]
    print(json.dumps({{"ready": True, "version": state["says"] or int(args[args.index("--version") + 1]) if "--version" in args else 1}}))
elif words[0] == "scale": state[words[1]]["status"]["readyReplicas"] = int(words[2].partition("=")[2])
elif words[0] == "create":
    job = json.loads(sent)
    job["status"] = {{"conditions": [{{"type": state["jobs end"], "status": "True"}}]}}
    state["job/" + job["metadata"]["name"]] = job
elif words[0] == "logs": print("fashion-mlops: fashion_mnist has no version 7")
elif words[:2] == ["rollout", "status"] and not state["rolls out"]: sys.exit("error: timed out waiting for the condition")
(place/"state.json").write_text(json.dumps(state))
'''


class Cluster:
    "The stand-in, filled with what the overlay `blue` renders."
    def __init__(self, folder, monkeypatch):
        self.folder = folder
        program = folder/"kubectl"
        program.write_text(STAND_IN.format(python=sys.executable))
        program.chmod(0o755)
        state = {f"{one['kind'].lower()}/{one['metadata']['name']}": json.loads(json.dumps(one)) for one in overlay("blue")} | {"jobs end": "Complete", "rolls out": True, "says": None}
        for slot, ready in (("blue", 6), ("green", 2)): state[f"deployment/serve-{slot}"]["status"] = {"readyReplicas": ready}
        self.save(state)
        monkeypatch.setenv("PATH", str(folder), prepend=":")

    def save(self, state): (self.folder/"state.json").write_text(json.dumps(state))
    def change(self, **values): self.save(self.state() | {name.replace("_", " "): value for name, value in values.items()})
    def state(self): return json.loads((self.folder/"state.json").read_text())
    def asked(self): return [json.loads(line)[0] for line in (self.folder/"asked.jsonl").read_text().splitlines()]
    def writes(self): return [" ".join(words[:3]).split(" --")[0] for words in self.asked() if words[0] not in ("get", "logs")]
    def bounds(self, slot): return tuple(self.state()[f"horizontalpodautoscaler/serve-{slot}"]["spec"][f"{bound}Replicas"] for bound in ("min", "max"))
    def container(self, slot): return self.state()[f"deployment/serve-{slot}"]["spec"]["template"]["spec"]["containers"][0]


@pytest.fixture
def cluster(tmp_path, monkeypatch): return Cluster(tmp_path, monkeypatch)


@needs_kubectl
def test_a_slot_is_filled_and_answers(cluster):
    "The pack first, then one patch, then the wait; it answers with as many pods as the other one had; and every command names the namespace."
    before = cluster.container("blue")
    cluster_slots.fill("green", 7, "registry.example/fashion-mlops-serve:0.2.0")
    assert cluster.writes() == ["create", "patch deployment serve-green", "rollout status deployment/serve-green"]
    job = next(one for name, one in cluster.state().items() if name.startswith("job/bring-v7-"))
    asked = cli.parser().parse_args([word.replace("$(DATASET)", "toy") for word in job["spec"]["template"]["spec"]["containers"][0]["args"]])
    assert (asked.version, asked.dataset) == (7, "toy")
    assert cluster.container("green")["args"] == [*before["args"], "--version", "7"] and cluster.container("green")["image"].endswith(":0.2.0")
    assert cluster.container("blue") == before and kubernetes.active_slot() == "blue"
    cluster_slots.let_answer("green")
    assert kubernetes.active_slot() == "green" and cluster.state()["deployment/serve-green"]["status"]["readyReplicas"] == 6
    order = cluster.writes()[3:]
    assert order.index("scale deployment/serve-green") < order.index("rollout status deployment/serve-green") < order.index("patch service serve")
    assert cluster.bounds("green") == cluster.bounds("blue") == kubernetes.USUAL
    assert all(words[words.index("--namespace") + 1] == kubernetes.NAMESPACE for words in cluster.asked())
    assert cluster_slots.roll_back() == "blue" == kubernetes.active_slot() and cluster.writes()[-4] == "patch service serve"
    with pytest.raises(WorkflowError, match="nothing to come back to"): cluster_slots.roll_back() # forward again
    cluster_slots.let_answer("green")
    cluster_slots.let_answer("green") # again: it does not shrink, and the way back stays
    assert cluster.state()["deployment/serve-green"]["status"]["readyReplicas"] == 6
    cluster_slots.fill("blue", 8)
    with pytest.raises(WorkflowError, match="nothing to come back to"): cluster_slots.roll_back() # what was before is not there


@needs_kubectl
def test_back_grows_and_what_somebody_changed_meanwhile_is_not_changed(cluster):
    cluster_slots.let_answer("green")
    state = cluster.state()
    state["deployment/serve-blue"]["status"] = {"readyReplicas": 1}
    cluster.save(state)
    assert cluster_slots.roll_back() == "blue" and cluster.state()["deployment/serve-blue"]["status"]["readyReplicas"] == 6
    def other(): kubernetes.kubectl(kubernetes.pointed(None, "blue"))
    with pytest.raises(WorkflowError, match="Somebody changed it meanwhile"): cluster_slots.let_answer("green", other)
    with pytest.raises(WorkflowError, match="Somebody changed it meanwhile"): cluster_slots.let_share("green", 0.1, other)
    def fails(): raise WorkflowError("it is another one")
    with pytest.raises(WorkflowError, match="another one"): cluster_slots.let_answer("green", fails)
    assert kubernetes.active_slot() is None


@needs_kubectl
def test_a_share_is_pods(cluster):
    "Newcomers come before others go, and both are pinned; the end of it, either way, frees both."
    cluster_slots.let_share("green", 0.1)
    assert (cluster.bounds("blue"), cluster.bounds("green"), kubernetes.active_slot()) == ((9, 9), (1, 1), None)
    order = cluster.writes()
    assert max(order.index(f"scale deployment/serve-{slot}") for slot in ("blue", "green")) < order.index("patch service serve") # it grows from 6
    assert cluster_slots.roll_back() == "blue" and cluster.bounds("blue") == kubernetes.USUAL
    state = cluster.state()
    state["deployment/serve-blue"]["status"] = {"readyReplicas": 12}
    cluster.save(state)
    many = len(order := cluster.writes())
    cluster_slots.let_share("green", 0.25)
    order = cluster.writes()[many:]
    assert order.index("patch service serve") < order.index("scale deployment/serve-blue") # it shrinks to 9, and not before
    assert cluster_slots.roll_back() == "blue"
    with pytest.raises(WorkflowError, match="no pod|nothing to come back"): cluster_slots.roll_back("blue")
    cluster_slots.let_share("green", 0.1)
    cluster_slots.let_answer("green")
    assert kubernetes.active_slot() == "green" and cluster.bounds("blue") == cluster.bounds("green") == kubernetes.USUAL
    assert cluster.state()["deployment/serve-green"]["status"]["readyReplicas"] == 9


@needs_kubectl
def test_a_release_that_fails_is_taken_back(cluster):
    "A job that fails changes no slot; a roll-out that does not end is undone; a slot without a pod is not switched to."
    cluster.change(jobs_end="Failed")
    with pytest.raises(WorkflowError, match="failed: fashion-mlops: fashion_mnist has no version 7"): cluster_slots.fill("green", 7)
    assert cluster.writes() == ["create"]
    cluster.change(jobs_end="Complete", rolls_out=False)
    before = cluster.container("green")
    with pytest.raises(WorkflowError, match="timed out.*events.*has the release again"): cluster_slots.fill("green", 7, seconds=1)
    assert cluster.writes()[-3:] == ["patch deployment serve-green", "rollout status deployment/serve-green", "patch deployment serve-green"]
    assert cluster.container("green") == before
    for does in (lambda: cluster_slots.let_answer("green", seconds=1), lambda: cluster_slots.let_share("green", 0.1, seconds=1)):
        with pytest.raises(WorkflowError, match="timed out"): does()
        assert kubernetes.active_slot() == "blue" and cluster.bounds("green") == cluster.bounds("blue") == kubernetes.USUAL
    state = cluster.state()
    state["deployment/serve-green"]["status"] = {}
    cluster.save(state)
    with pytest.raises(WorkflowError, match="nothing to come back to"): cluster_slots.roll_back()
    with pytest.raises(WorkflowError, match="no pod that is ready, so nothing was changed"): cluster_slots.roll_back("green")
    state.pop("service/serve")
    cluster.save(state)
    with pytest.raises(WorkflowError, match="not found. Bring it there: kubectl apply -k deploy/k8s/overlays/blue"): kubernetes.active_slot()


@needs_kubectl
def test_stages_are_jobs(cluster):
    "Every stage of the pipeline alone, as a Job that the command line takes; the training with an accelerator."
    from fashion_mlops.workflow.pipeline import discover
    template = kubernetes.asked("cronjob", "pipeline")
    for stage in discover():
        job = kubernetes.stage_job(template, stage.name, f"{stage.name.replace('_', '-')}-1", gpus=int(stage.name == "07_training"))
        container, = job["spec"]["template"]["spec"]["containers"]
        assert parsed(container, overlay("blue")).stages == [stage.name]
        assert container["resources"]["limits"].get("nvidia.com/gpu", 0) == (stage.name == "07_training")
