"A version whose net answers in eight bits: asked for, held to its table, taken over by a service that runs, and given back."
import json
import shutil

import numpy as np
import pytest
import torch

from fashion_mlops.core import WorkflowError
from fashion_mlops.nets.net import build_net
from fashion_mlops.samples.garments import draw_garments
from fashion_mlops.service import eight_bits
from fashion_mlops.service.deployment import open_champion, place_pack, set_champion
from fashion_mlops.service.eight_bits import deploy_form
from fashion_mlops.service.pack import sign_pack, write_pack
from fashion_mlops.service.parity import Answers, apart
from fashion_mlops.service.predictor import decided, save_candidate
from fashion_mlops.service.session import open_pack


@pytest.fixture
def images():
    return draw_garments(600, seed=1)


@pytest.fixture
def floats(tmp_path, monkeypatch, images):
    "A small net, packed and served."
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"home"))
    inputs, labels = images
    torch.manual_seed(1)
    net, architecture = build_net(10, {"width": 8}), {"width": 8}
    optimizer, shown, classes = torch.optim.Adam(net.parameters(), 0.01), torch.from_numpy(inputs[:300]), torch.from_numpy(labels[:300]).long()
    for _ in range(25):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(shown), classes).backward()
        optimizer.step()
    described = {"kind": "image", "shape": [28, 28], "preparation": {}}
    save_candidate(tmp_path/"net", net.eval(), {"name": "net", "architecture": architecture, "mirror_average": True, "shape": [28, 28],
                                                "classes": [f"class {n}" for n in range(10)], "input": described})
    pack = write_pack(tmp_path/"pack", tmp_path/"net", "drawn", inputs[300:])
    place_pack(pack, "drawn", 1)
    set_champion("drawn", 1, {"metrics": {"test_accuracy": 0.9}})
    monkeypatch.setattr("fashion_mlops.service.deployment.registered_pack", lambda dataset, version: pack)
    exact = eight_bits.eight_bit_pack # so small a net is unsure of many rows
    monkeypatch.setattr(eight_bits, "eight_bit_pack", lambda *given: exact(*given, most=.1))
    monkeypatch.setattr(eight_bits, "rows_to_judge", lambda dataset, version: (inputs[:300], inputs[300:], labels[300:]))
    return pack


@pytest.mark.slow
def test_eight_bits_keep_their_table_and_come_and_go(floats, images):
    wanted = open_pack(floats).predict_proba(images[0][300:])
    table = deploy_form("drawn", "int8").about["int8"]
    served, facts = open_champion("drawn")
    found = served.predict_proba(images[0][300:])
    assert np.abs(found - wanted).max() <= table["largest_difference"] + 1e-4
    assert (decided(found) != decided(wanted)).sum() == table["classes_changed"] <= table["bound"]*table["rows"]
    low, high = table["changed_interval"]
    assert low <= table["changed_share"] <= high and facts["metrics"] == {"test_accuracy": 0.9}
    doors = {"library": Answers(wanted, decided(wanted), False), "serving form": Answers(found, decided(found), True)}
    assert apart(doors, table)[0]["holds"] and not apart(doors)[0]["holds"]
    deploy_form("drawn", "float32")
    assert open_champion("drawn")[0].about["form"] == "graph"


def test_alone_is_as_in_a_batch(floats, images):
    served = deploy_form("drawn", "int8")
    some = images[0][300:364]
    alone = np.concatenate([served.predict_proba(some[number:number + 1]) for number in range(64)])
    assert np.abs(alone - served.predict_proba(some)).max() <= 1e-4


@pytest.mark.slow
def test_too_many_changes_are_refused_and_what_served_goes_on(floats, monkeypatch):
    monkeypatch.setattr(eight_bits, "decided", lambda shares, threshold, calls=[]: calls.append(0) or np.full(len(shares), len(calls) % 2))
    with pytest.raises(WorkflowError, match="another class.*--form float32"): deploy_form("drawn", "int8")
    assert open_champion("drawn")[0].about["form"] == "graph"


def test_other_answers_than_the_table_says_are_refused(floats, tmp_path):
    pack = deploy_form("drawn", "int8").folder
    other = shutil.copytree(pack, tmp_path/"other")
    about = json.loads((other/"serving.json").read_text())
    (other/"serving.json").write_text(json.dumps(about | {"int8": about["int8"] | {"largest_difference": -1e-3}}))
    sign_pack(other)
    with pytest.raises(WorkflowError, match="does not answer here"): open_pack(other).as_expected()
