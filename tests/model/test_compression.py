"""The net outside PyTorch: whatever its layers, ONNX answers as it does, eight bits nearly so, and a broken file is never run."""
import numpy as np
import pytest

from fashion_mlops.nets.compression import export_onnx, interleaved, onnx_probabilities, onnx_session, quantize, ratio_interval
from fashion_mlops.core import WorkflowError


@pytest.fixture(scope="module")
def garments():
    from fashion_mlops.datasets.catalogue import make_samples
    return make_samples("synthetic", 900, 0.25, seed=21)


@pytest.fixture(scope="module")
def trained(garments, tmp_path_factory):
    "A narrow net after a few epochs, and its files."
    from fashion_mlops.nets.trainer import Recipe, Trainer
    folder = tmp_path_factory.mktemp("onnx")
    trainer = Trainer(Recipe(epochs=8, width=16, batch=32, peak_rate=0.05, seed=2), *garments.take("train"), classes=10, threads=2)
    trainer.fit(tell=lambda line: None)
    images = garments.take("train")[0]
    export_onnx(trainer.net, folder/"net.onnx", images[:50])
    return trainer.net, folder/"net.onnx", quantize(folder/"net.onnx", folder/"net_int8.onnx", images[:200])


@pytest.mark.slow
class TestTrained:
    def test_onnx_answers_as_torch_does(self, trained, garments):
        from fashion_mlops.nets.net import probabilities
        images = garments.take("valid")[0]
        for mirror_average in (True, False):
            answers = onnx_probabilities(onnx_session(trained[1]), images, mirror_average)
            assert answers.dtype == np.float32 and np.abs(answers - probabilities(trained[0], images, mirror_average)).max() < 1e-5

    def test_eight_bits_lose_little_and_save_much(self, trained, garments):
        images, labels = garments.take("valid")
        exact, rough = (onnx_probabilities(onnx_session(path), images) for path in trained[1:])
        assert (exact.argmax(1) == rough.argmax(1)).mean() > 0.95
        assert (rough.argmax(1) == labels).mean() > (exact.argmax(1) == labels).mean() - 0.03
        assert trained[2].stat().st_size < 0.6*trained[1].stat().st_size

    @pytest.mark.parametrize("which", [1, 2])
    def test_company_and_threads_change_nothing(self, trained, garments, which):
        images = np.array(garments.images[:300])
        together = onnx_probabilities(onnx_session(trained[which]), images)
        assert np.allclose(together, onnx_probabilities(onnx_session(trained[which], 3), images), atol=1e-6)
        assert np.allclose(together[:20], np.concatenate([onnx_probabilities(onnx_session(trained[which]), image[None]) for image in images[:20]]), atol=1e-6)
        assert np.allclose(together, onnx_probabilities(onnx_session(trained[which]), images[:, :, ::-1]), atol=1e-6), "averaged over mirror images"

    @pytest.mark.parametrize("which", [1, 2])
    def test_a_file_cut_anywhere_is_refused(self, trained, tmp_path, which):
        whole = trained[which].read_bytes()
        for length in (0, 1, 100, len(whole)//3, len(whole)//2, len(whole)*9//10, len(whole) - 1):
            (tmp_path/"cut.onnx").write_bytes(whole[:length])
            with pytest.raises(WorkflowError, match="cut.onnx"): onnx_session(tmp_path/"cut.onnx")

    def test_a_file_names_nothing_of_the_machine(self, trained):
        from fashion_mlops.core import project_root
        for path in trained[1:]: assert str(project_root()).encode() not in path.read_bytes() and b"site-packages" not in path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["ReLU", "GELU", "SiLU", "Hardswish"])
def test_other_layers_go_the_same_way(activation, garments, tmp_path):
    from torch import nn, no_grad, from_numpy, manual_seed
    manual_seed(0)
    class Other(nn.Module): # normalisation before and after pooling, a branch for each, a path around
        def __init__(self):
            super().__init__()
            act = getattr(nn, activation)
            self.first = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), act(), nn.MaxPool2d(2))
            self.second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.AvgPool2d(2), nn.BatchNorm2d(8), act())
            self.last = nn.Linear(4, 10)
        def forward(self, images):
            x = self.first((images.float()[:, None] - 73)/90)
            x = self.second(x) + nn.functional.avg_pool2d(x, 2)
            return self.last(nn.functional.dropout(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)[:, ::2], 0.5, self.training))
    net, images = Other(), np.array(garments.images[:300])
    net.mean = net.last.bias # where `probabilities` looks for the device
    with no_grad():
        for _ in range(10): net(from_numpy(images))
    assert export_onnx(net, tmp_path/"net.onnx", images[:100]) < 1e-5
    exact, rough = (onnx_probabilities(onnx_session(path), images) for path in (tmp_path/"net.onnx", quantize(tmp_path/"net.onnx", tmp_path/"net_int8.onnx", images[:200])))
    assert np.abs(exact - rough).max() < 0.1


@pytest.mark.slow
def test_a_net_that_is_no_number_is_not_exported(garments, tmp_path):
    import torch
    from fashion_mlops.nets.net import CompactNet
    net = CompactNet(10, 8)
    with torch.no_grad(): net.head[-1].bias[0] = float("nan")
    with pytest.raises(WorkflowError, match="differs by nan"): export_onnx(net, tmp_path/"net.onnx", garments.images[:5])
    assert not list(tmp_path.iterdir())


def test_a_file_of_something_else_is_refused(tmp_path):
    import onnx
    from onnx import TensorProto, helper
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "other", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), tmp_path/"other.onnx")
    with pytest.raises(WorkflowError, match="expected uint8 images in"): onnx_session(tmp_path/"other.onnx")


def test_turns_are_fair_and_ratios_paired():
    order = []
    times = interleaved({name: lambda name=name: order.append(name) for name in "abc"}, rounds=3, repeats=1)
    assert order[::2] == list("abcbcacab") and all(len(part) == 3 for part in times.values())
    drifting = np.linspace(1, 9, 30) # a machine that gets slower and slower: the ratio does not notice
    ratio, low, high = ratio_interval(2*drifting, drifting)
    assert abs(ratio - 2) < 1e-9 and abs(low - 2) < 1e-9 and abs(high - 2) < 1e-9
