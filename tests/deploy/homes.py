"""A home with a registry, two versions and their packs, without a run: as a program it fills the home of the environment."""
import tempfile
from pathlib import Path

from fashion_mlops.images.feature_pipeline import feature_pipeline
from fashion_mlops.models.families import families, fitted
from fashion_mlops.models.model_file import save_model_file
from fashion_mlops.samples.garments import draw_garments
from fashion_mlops.service.champion import promote, register_candidate
from fashion_mlops.service.deployment import deploy
from fashion_mlops.service.predictor import save_candidate
from fashion_mlops.workflow.tracking import client, experiment_id


def fill_home(dataset: str = "synthetic", versions: int = 2):
    "Register so many small models of garments, promote one after the other, and deploy each."
    images, labels = draw_garments(300, seed=1)
    about = {"classes": [f"class {number}" for number in range(10)], "shape": [28, 28], "temperature": 1.0,
             "input": {"kind": "image", "shape": [28, 28], "preparation": {}}}
    run = client().create_run(experiment_id(dataset)).info.run_id
    with tempfile.TemporaryDirectory() as scratch:
        pipeline = feature_pipeline(6).fit(images)
        save_model_file(pipeline, Path(scratch, "pipeline.skops"))
        for number in range(1, versions + 1):
            untried = families(200)["logistic_regression"].build(seed=1)
            model = fitted(untried, pipeline.transform(images), (labels + number) % 10)
            named = about | {"name": f"classical {number}"}
            folder = save_candidate(Path(scratch, f"c{number}"), model, named, Path(scratch, "pipeline.skops"))
            version, _ = register_candidate(dataset, folder, run, images[:2], {"synthetic": True}, images[:50])
            promote(dataset, version, version - 1 or None, "a test")
            deploy(dataset)


if __name__ == "__main__": fill_home()
