"Laws of training: two processes give the weights of one, a process that dies is reported, a killed run continues to the same weights."
from dataclasses import replace

import numpy as np
import pytest

from fashion_mlops.core import WorkflowError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def garments():
    "A few drawn garments."
    from fashion_mlops.images.garments import draw_garments
    return draw_garments(160, seed=5)


@pytest.fixture(scope="module")
def recipe():
    "A recipe of seconds, with everything that could depend on who computes what."
    from fashion_mlops.nets.trainer import Recipe
    return Recipe(epochs=2, width=8, batch=64, mixup=0.2, seed=4)


def silent(line: str): pass


def state(net) -> np.ndarray: return np.concatenate([value.double().flatten().numpy() for value in net.state_dict().values()])


@pytest.fixture(scope="module")
def alone(garments, recipe):
    "The weights that a single process ends with."
    from fashion_mlops.nets.trainer import Trainer
    trainer = Trainer(recipe, *garments, 10)
    trainer.fit(tell=silent)
    return state(trainer.net)


@pytest.mark.timeout(180)
def test_two_processes_end_with_the_weights_of_one(garments, recipe, alone, tmp_path):
    from fashion_mlops.nets.distributed import train_distributed, write_job
    lines = []
    trainer = train_distributed(write_job(tmp_path, recipe, *garments, 10), 2, lines.append)
    assert np.array_equal(state(trainer.net), alone)
    assert [line.split(":")[0] for line in lines] == ["epoch 1 of 2", "epoch 2 of 2"]


@pytest.mark.timeout(180)
def test_a_job_begun_alone_is_finished_by_two(garments, recipe, alone, tmp_path):
    from fashion_mlops.nets.distributed import train_distributed, write_job
    from fashion_mlops.nets.trainer import Trainer
    def stop(line):
        if line.startswith("epoch 1"): raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): Trainer(recipe, *garments, 10).fit(tmp_path, tell=stop)
    assert np.array_equal(state(train_distributed(write_job(tmp_path, recipe, *garments, 10), 2, silent).net), alone)


@pytest.mark.timeout(180)
def test_a_process_that_fails_is_reported_with_its_last_lines(garments, recipe, tmp_path):
    from fashion_mlops.nets.distributed import train_distributed, write_job
    folder = write_job(tmp_path, replace(recipe, shards=3), *garments, 10) # two processes cannot share three shards
    with pytest.raises(WorkflowError, match="cannot share 3 shards"): train_distributed(folder, 2, silent)


def test_a_checkpoint_of_another_architecture_is_refused_and_kept(garments, recipe, tmp_path):
    from fashion_mlops.nets.trainer import Trainer
    first = Trainer(recipe, *garments, 10)
    first.save(tmp_path/"checkpoint.pt")
    before = (tmp_path/"checkpoint.pt").read_bytes()
    with pytest.raises(WorkflowError, match="another recipe"): Trainer(replace(recipe, width=16), *garments, 10).fit(tmp_path, tell=silent)
    assert (tmp_path/"checkpoint.pt").read_bytes() == before
    (tmp_path/"checkpoint.pt").write_bytes(before[:1000])
    with pytest.raises(WorkflowError, match="cannot be read as a checkpoint"): Trainer(recipe, *garments, 10).fit(tmp_path, tell=silent)


def test_torchvision_learns_and_is_stored(garments, recipe, tmp_path):
    from fashion_mlops.nets.net import probabilities
    from fashion_mlops.images.requests import input_description
    from fashion_mlops.service.predictor import load_predictor, save_candidate
    from fashion_mlops.datasets.catalogue import make_samples
    from fashion_mlops.nets.trainer import Trainer
    trainer = Trainer(replace(recipe, architecture="squeezenet1_1", epochs=3, peak_rate=0.01, mixup=0.), *garments, 10, threads=1)
    history = trainer.fit(tell=silent)
    assert history[-1]["loss"] < history[0]["loss"] + 0.5 and np.isfinite(history[-1]["loss"])
    about = {"name": "net", "classes": [str(n) for n in range(10)], "shape": [28, 28], "mirror_average": False, "architecture": trainer.net.architecture,
             "input": input_description(make_samples("synthetic", 200, 0.1, seed=0))}
    stored = load_predictor(save_candidate(tmp_path/"net", trainer.net, about))
    np.testing.assert_allclose(stored.predict_proba(garments[0]), probabilities(trainer.net, garments[0], False), atol=1e-6)


@pytest.mark.timeout(180)
def test_two_processes_keep_to_a_deadline_together_and_it_is_repeated_by_one(garments, recipe, tmp_path):
    import time
    from fashion_mlops.nets.distributed import train_distributed, write_job
    from fashion_mlops.nets.timetable import Deadline
    from fashion_mlops.nets.trainer import Trainer
    long = replace(recipe, epochs=500)
    together = train_distributed(write_job(tmp_path, long, *garments, 10, deadline=Deadline(time.monotonic() + 12)), 2, silent)
    assert 0 < together.step < 500*together.steps
    once_more = Trainer(together.repeated, *garments, 10)
    once_more.fit(tell=silent)
    assert np.array_equal(state(once_more.net), state(together.net))
