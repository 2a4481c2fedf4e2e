"""The labels of test rows are out of reach of every stage before 08_registry."""
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fashion_mlops.core import WorkflowError, project_root
from fashion_mlops.datasets.catalogue import make_samples
from fashion_mlops.datasets.kinds import kind_of
from fashion_mlops.models.feature_table import feature_table, read_split, split_table
from fashion_mlops.images.statistics import sample_statistics
from fashion_mlops.samples.expectations import class_frame, copies_of, seen_labels
from fashion_mlops.images.checks import image_frames
from fashion_mlops.samples.samples import content_digest, load_samples, save_samples, unsealed
from fashion_mlops.tables.checks import table_frames
from fashion_mlops.tables.statistics import column_statistics


@pytest.fixture(scope="module", params=["synthetic", "synthetic_orders"])
def two_worlds(request, tmp_path_factory):
    "The same samples twice, with other labels in the test rows."
    folder, samples = tmp_path_factory.mktemp("sealed"), make_samples(request.param, 300, 0.2, 1)
    tested = samples.rows("test")
    labels = samples.labels.copy()
    labels[tested] = (labels[tested] + 1) % len(samples.classes)
    return samples, *(load_samples(save_samples(each, folder/name)) for name, each in (("a", samples), ("b", replace(samples, labels=labels))))


def test_nothing_that_stages_look_at_depends_on_them(two_worlds):
    samples, *opened = two_worlds
    frames = [(image_frames if samples.kind == "image" else table_frames)(each) for each in opened]
    for name in frames[0]: pd.testing.assert_frame_equal(*(each[name].drop(columns="digest", errors="ignore") for each in frames))
    assert set(frames[0]["classes"]["split"]) == {"train", "valid"}
    looked = [sample_statistics(each) if samples.kind == "image" else column_statistics(each)[0] for each in opened]
    pd.testing.assert_frame_equal(*looked)
    tables = []
    for each in opened:
        pipeline = kind_of(each).pipeline_for(each, 10)
        train = kind_of(each).fit_features(pipeline, each)
        tables.append(feature_table(pipeline, each, train))
    pd.testing.assert_frame_equal(*tables)


def test_asking_for_them_is_refused(two_worlds, tmp_path):
    _, opened, _ = two_worlds
    kind = kind_of(opened)
    pipeline = kind.pipeline_for(opened, 10)
    table = feature_table(pipeline, opened, kind.fit_features(pipeline, opened))
    table.to_parquet(tmp_path/"features.parquet", index=False)
    for ask in (lambda: opened.take("test"), lambda: split_table(table, "test"), lambda: read_split(tmp_path/"features.parquet", "test")):
        with pytest.raises(WorkflowError, match="sealed: 08_registry reads them"): ask()
    assert (seen_labels(opened).isna() == (opened.split == 2)).all()


def test_the_registry_gets_them_back_as_they_were(two_worlds, tmp_path):
    samples, opened, other = two_worlds
    np.testing.assert_array_equal(unsealed(opened).labels, samples.labels)
    assert unsealed(opened).labels.dtype == samples.labels.dtype
    assert content_digest(opened) == content_digest(samples) == samples.digest != content_digest(other)
    again = load_samples(save_samples(opened, tmp_path/"again")) # sealed samples can be saved, and lose nothing
    assert content_digest(again) == samples.digest


def test_copies_and_classes_are_still_seen_in_whole_samples(two_worlds):
    samples, opened, _ = two_worlds
    assert set(class_frame(samples)["split"]) == {"train", "valid", "test"}
    split = pd.Series(np.array(samples.splits)[samples.split])
    doubled = replace(opened, inputs=opened.inputs.iloc[[0]*len(opened)].reset_index(drop=True) if opened.kind == "table" else opened.inputs[[0]*len(opened)])
    assert (copies_of(kind_of(doubled).identical(doubled.inputs), doubled, split)["splits_with_it"] == 3).all()


def test_only_the_registry_breaks_the_seal():
    named = [path.name for path in sorted((project_root()/"nbs").glob("[01][0-9]_*.ipynb"))
             if any("unsealed" in "".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code")]
    assert named == ["08_registry.ipynb"]
