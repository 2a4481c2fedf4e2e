"""Every family of models answers a row alone as it does among others, at the corners of where its search may go."""
import itertools

import numpy as np
import pytest

from fashion_mlops.datasets.kinds import WINGS, kind_of
from fashion_mlops.models.families import families, fitted, predicted
from fashion_mlops.search.pipeline_space import Draw

CLOSE = 5e-5 # of a probability: what rounding in 32 bits comes to
OF_A_KNOWN_ROW = 1e-3 # neighbours by distance: a row that was learnt lies at zero from itself, or at a rounding error


class Corner(Draw):
    "A draw that takes the lowest, or the highest, of everything."
    def __init__(self, highest: bool): self.highest = highest

    def suggest_int(self, name, low, high, **_): return high if self.highest else low

    def suggest_float(self, name, low, high, **_): return high if self.highest else low

    def suggest_categorical(self, name, choices): return choices[-1 if self.highest else 0]


def table(classes: int, kind=np.float32, columns: int = 12, rows: int = 240) -> tuple:
    "Features with a constant column, equal rows, and one value that is far out."
    draws = np.random.default_rng(classes)
    labels = np.arange(rows) % classes
    features = draws.normal(size=(rows, columns)) + labels[:, None]*(np.arange(columns) < 3)
    features[:, 3], features[7] = 1.0, features[7 + classes]
    features[11, 5] = 60
    return features.astype(kind), labels


CASES = [(wing, name, classes, highest) for wing in WINGS for name in families() for classes, highest in itertools.product((2, 10), (False, True))]

@pytest.mark.slow
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(("wing", "name", "classes", "highest"), CASES)
def test_a_row_alone_is_answered_as_in_a_batch(wing, name, classes, highest, kind):
    features, labels = table(classes, kind)
    family = families(features.shape[1], kind_of(wing).HABITS, classes)[name]
    parameters = family.space(Corner(highest))
    model = fitted(family.build(parameters, seed=1), features, labels)
    strange = features[::-1] + np.random.default_rng(9).normal(0, 0.3, features.shape).astype(features.dtype)
    for rows, close in ((strange, CLOSE), (features, OF_A_KNOWN_ROW)):
        together = predicted(model, rows, classes)
        alone = np.concatenate([predicted(model, rows[row:row + 1], classes) for row in range(0, len(rows), 5)])
        assert np.abs(alone - together[::5]).max() < close, parameters
        turned = predicted(model, np.asfortranarray(rows[::-1]), classes)[::-1]
        assert np.abs(turned - together).max() < close, parameters
        assert np.allclose(together.sum(1), 1) and np.isfinite(together).all()
