"""What sounds promise, and the features that are made of them."""
import numpy as np
from fashion_mlops.samples.expectations import (Promises, class_expectations, class_frame, copies_of, copy_expectations, dataset_expectations,
                                                dataset_frame, label_expectations, seen_labels, severity_for)

FEATURE_TYPES = ["fashion_mlops.sounds.loudness.Loudness"]

def identical(inputs): return np.unique(np.asarray(inputs), axis=0, return_inverse=True)[1].astype(np.uint64)

def promises(samples, tolerances, seed=0):
    import pandas as pd
    severity, may = severity_for(samples), tolerances
    split = pd.Series(np.asarray(samples.split)).map(dict(enumerate(samples.splits)))
    frame = pd.DataFrame({"id": np.arange(len(samples)), "split": split, "label": seen_labels(samples)})
    frame = frame.assign(**copies_of(identical(samples.inputs), samples, split))
    tables = {"samples": frame, "classes": class_frame(samples), "dataset": dataset_frame(samples, extent_words(samples), "float32")}
    return Promises(tables, {"samples": [*label_expectations(samples.classes), *copy_expectations("sound", may.copies, may.leaks, severity)],
                             "classes": class_expectations(may.imbalance, may.per_class, severity),
                             "dataset": dataset_expectations(samples, "float32", "sounds are float32", severity)})

def extent_words(samples): return str(samples.inputs.shape[1])

def pipeline_for(samples, n_components=40):
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from .loudness import Loudness
    return Pipeline([("families", Loudness()), ("scaler", StandardScaler())])

def fit_features(pipeline, samples): pipeline.fit(samples.at(samples.rows("train")))

def feature_facts(pipeline):
    import pandas as pd
    names = [str(name) for name in pipeline.get_feature_names_out()]
    return pd.DataFrame({"feature": names, "family": "spectrum", "column": "", "words": names})

def values_by_fold(pipeline, inputs, labels, key, folds):
    for _ in folds: yield pipeline.transform(inputs).astype(np.float32)
