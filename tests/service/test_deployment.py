"""What services find is what the registry means: the right pack under the right number, by one who deploys at a time, and tried before anything is changed for it."""
import shutil
import threading
import time
from types import SimpleNamespace

import pytest

from fashion_mlops.core import WorkflowError, read_json, write_json
from fashion_mlops.operations import registry
from fashion_mlops.service import champion, deployment
from fashion_mlops.service.audit_trail import read_trail
from fashion_mlops.service.pack import sign_pack

from packs import place_version


def registered(version: int, wrong: bool = False, mark: str = "") -> tuple:
    "A pack as the registry holds it, and the digest of its candidate."
    folder = place_version("stock", 100*len(list(deployment.serving_folder("stock").glob("v*"))) + version, wrong)
    about = read_json(folder/"serving.json") | {"dataset": "shades", "candidate_digest": f"{version}{mark}"}
    write_json(folder/"serving.json", about)
    sign_pack(folder)
    return folder, f"{version}{mark}"


class Registry:
    "A registry in memory, behind the doors that deployment and champion have to MLflow."
    def __init__(self): self.held, self.alias, self.fetched, self.slow, self.tags = {}, None, [], 0.0, {}

    def downloaded(self, dataset: str, version: int):
        self.fetched.append(version)
        if version not in self.held: raise WorkflowError(f"{dataset} v{version} was registered without a pack.")
        time.sleep(self.slow)
        return self.held[version][0]

    def set_registered_model_alias(self, dataset: str, name: str, version: str): self.alias = int(version)
    def get_model_version(self, dataset: str, version: str): return SimpleNamespace(tags=self.tags.get(int(version), {}))


@pytest.fixture
def store(tmp_path, monkeypatch) -> Registry:
    from fashion_mlops.workflow import tracking
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    store = Registry()
    for version in (1, 2, 3): store.held[version] = registered(version)
    monkeypatch.setattr(tracking, "client", lambda: store)
    monkeypatch.setattr(champion, "champion_version", lambda dataset: store.alias)
    monkeypatch.setattr(champion, "load_version", lambda dataset, version: None)
    monkeypatch.setattr(registry, "known_version", lambda dataset, version: {"champion": version == store.alias, "outcome": "not judged yet"})
    monkeypatch.setattr(deployment, "_registered_candidate", lambda dataset, version: store.held.get(version, ("", "none"))[1])
    monkeypatch.setattr(deployment, "registered_pack", store.downloaded)
    monkeypatch.setattr(deployment, "_facts", lambda dataset, version, intervals: {})
    return store


def asked(**said): return SimpleNamespace(**{"dataset": "shades", "reason": "a test"} | said)


def serves() -> tuple:
    served, _ = deployment.open_champion("shades")
    return served.version, served.about["candidate_digest"]


def test_a_new_registry_with_the_same_numbers_does_not_serve_the_old_packs(store):
    store.alias = 1
    deployment.deploy("shades")
    assert serves() == (1, "1")
    store.held[1] = registered(1, mark=" of the new store")
    assert not deployment.is_deployed("shades", 1)
    registry.follow("shades", 0.01, 1)
    assert serves() == (1, "1 of the new store")


def test_a_pack_that_is_not_the_registered_candidates_is_refused(store):
    store.alias, store.held[2] = 2, (store.held[1][0], "2")
    with pytest.raises(WorkflowError, match="holds the candidate 1, and 2 is registered"): deployment.deploy("shades")
    assert not (deployment.serving_folder("shades")/"v2").exists()


@pytest.mark.parametrize("spoilt", ["model.onnx", "signature.json", "files.json", "another", "older", None])
def test_a_damaged_pack_is_fetched_anew(store, spoilt):
    store.alias = 1
    deployment.deploy("shades")
    place = deployment.serving_folder("shades")/"v1"
    if spoilt == "older":
        shutil.rmtree(place)
        shutil.copytree(store.held[2][0], place)
    elif spoilt: (place/spoilt).write_bytes(b"?")
    else: shutil.rmtree(place)
    with pytest.raises(WorkflowError): deployment.open_champion("shades")
    deployment.deploy("shades")
    assert serves() == (1, "1") and store.fetched == [1, 1]
    deployment.deploy("shades")
    assert store.fetched == [1, 1] # whole: nothing to fetch


def test_a_slow_deploy_does_not_put_the_old_version_back(store):
    "The first reads the alias and fetches slowly; meanwhile the alias moves, and a second one deploys."
    store.alias, store.slow = 2, 0.5
    first = threading.Thread(target=deployment.deploy, args=("shades",))
    first.start()
    while not store.fetched: time.sleep(0.01)
    store.alias = 3
    deployment.deploy("shades")
    first.join(20)
    assert serves()[0] == 3 and deployment.read_slots("shades")["before"] == 2


@pytest.mark.parametrize("why", ["answers otherwise", "damaged", "without a pack", "of another dataset"])
def test_what_could_not_serve_is_not_promoted(store, why):
    registry.promote(asked(version=1))
    if why == "answers otherwise": store.held[2] = registered(2, wrong=True)
    if why == "damaged": (store.held[2][0]/"model.onnx").write_bytes(b"?")
    if why == "without a pack": del store.held[2]
    if why == "of another dataset":
        write_json(store.held[2][0]/"serving.json", read_json(store.held[2][0]/"serving.json") | {"dataset": "stock"})
        sign_pack(store.held[2][0])
    with pytest.raises(WorkflowError): registry.promote(asked(version=2))
    assert (store.alias, serves()[0], len(read_trail("shades"))) == (1, 1, 1)


def test_two_rollbacks_lead_back_and_do_not_put_back_what_was_taken_out(store):
    for version in (1, 2, 3): registry.promote(asked(version=version))
    registry.rollback(asked())
    assert (store.alias, serves()[0]) == (2, 2)
    shutil.rmtree(deployment.serving_folder("shades")/"v1")
    kept = store.held.pop(1)
    with pytest.raises(WorkflowError): registry.rollback(asked()) # it could not serve: nothing is changed
    assert (store.alias, serves()[0], len(read_trail("shades"))) == (2, 2, 4)
    store.held[1] = kept
    registry.rollback(asked())
    assert (store.alias, serves()[0]) == (1, 1)
    with pytest.raises(WorkflowError, match="knows no champion before v1"): registry.rollback(asked())


def test_the_dataset_goes_back_with_the_champion(store, monkeypatch, capsys):
    from fashion_mlops.datasets import versions
    monkeypatch.setattr(versions, "versions", lambda dataset: [SimpleNamespace(number=1)])
    monkeypatch.setattr(versions, "find_version", lambda dataset, number: None)
    store.tags = {1: {"dataset_version": "0"}, 2: {"dataset_version": "1"}, 3: {"dataset_version": "7"}}
    in_use = []
    for version in (1, 2):
        registry.promote(asked(version=version))
        in_use.append(versions.version_in_use("shades"))
    registry.rollback(asked())
    assert [*in_use, versions.version_in_use("shades"), versions.adopted_version("shades")] == [0, 1, 0, 0]
    registry.promote(asked(version=3))
    assert "version 7 of the dataset, which is gone; stages get version 0" in capsys.readouterr().out


def test_follow_begins_where_nothing_is_deployed_and_survives_a_full_disk(store, monkeypatch, capsys):
    store.alias, really = 1, deployment.deploy
    failures = [OSError(28, "No space left on device"), ValueError("the store is gone"), OSError(28, "No space left on device")]
    def deploys(dataset):
        if failures: raise failures.pop()
        return really(dataset)
    monkeypatch.setattr(deployment, "deploy", deploys)
    registry.follow("shades", 0.01, 6)
    assert serves() == (1, "1")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4 and "No space left" in said[0] and "the store is gone" in said[1] and "v1" in said[3]


def test_the_export_of_a_pack_keeps_nobody_waiting(store, monkeypatch, tmp_path):
    "While a candidate is packed, somebody else takes the registry's lock; of two who register the same one, one does."
    from fashion_mlops.service import pack
    held, begun, go_on = [], threading.Event(), threading.Event()
    def slowly(target, *rest, **more):
        begun.set()
        assert go_on.wait(20)
        return target
    store.search_registered_models = lambda *_: [store]
    store.create_model_version = lambda *_, **__: held.append(1) or SimpleNamespace(version=len(held))
    monkeypatch.setattr(pack, "write_pack", slowly)
    monkeypatch.setattr(champion, "load_predictor", lambda folder: SimpleNamespace(name="x", kind="image"))
    monkeypatch.setattr(champion, "digest_path", lambda folder: "4f1c")
    monkeypatch.setattr(champion, "find_version", lambda *_: SimpleNamespace(version="1") if held else None)
    monkeypatch.setattr(champion, "log_model", lambda *_: "models:/m-1")
    found = []
    turns = [threading.Thread(target=lambda: found.append(champion.register_candidate("shades", tmp_path, "run", None, {}, None))) for _ in range(2)]
    for turn in turns: turn.start()
    assert begun.wait(20)
    with champion.registry_lock(): pass
    go_on.set()
    for turn in turns: turn.join(20)
    assert sorted(found) == [(1, False), (1, True)]
