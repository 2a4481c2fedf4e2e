"""Data that break their contract stop at `02_quality`, with the expectation, the count and examples of rows."""
from dataclasses import replace

import numpy as np
import pytest

from fashion_mlops.core import WorkflowError
from fashion_mlops.datasets.catalogue import make_samples
from fashion_mlops.images.checks import image_expectations, image_frames
from fashion_mlops.samples.validation import raise_on_breach, validate


@pytest.fixture(scope="module")
def samples():
    return make_samples("synthetic", 400, 0.2, seed=5)


def complaint(samples) -> str:
    "What the quality stage says about samples; empty when nothing is broken."
    results = validate(image_frames(samples), image_expectations(samples))
    try: raise_on_breach(results)
    except WorkflowError as error: return str(error)
    return ""


def test_good_data_pass(samples):
    assert complaint(samples) == ""


def test_a_label_out_of_range_is_shown_with_its_row(samples):
    labels = samples.labels.copy()
    labels[7] = 12
    said = complaint(replace(samples, labels=labels))
    assert "label" in said and "id 7 (label 12" in said


def test_missing_pixels_are_shown_with_their_row(samples):
    images = samples.images.astype(np.float32)
    images[11, 3, 3] = np.nan
    said = complaint(replace(samples, inputs=images))
    assert "id 11" in said


def test_a_test_image_among_the_training_images_is_found(samples):
    images = samples.images.copy()
    train, test = samples.rows("train"), samples.rows("test")
    images[train[:20]] = images[test[:20]]
    assert "split" in complaint(replace(samples, inputs=images))
