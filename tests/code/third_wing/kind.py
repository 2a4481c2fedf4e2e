"""The door of this wing."""
from fashion_mlops.models.families import Habits
from fashion_mlops.workflow.costs import Costs

from .files import (claims, counted, describe, draw_samples, extent, in_a_folder, load_described, mistakes_in, refused,
                    rows_and_columns)
from .judged import (FEATURE_TYPES, feature_facts, fit_features, identical, pipeline_for, promises, values_by_fold)

THINGS, HABITS, COSTS = "sounds", Habits(), Costs({})
__all__ = ["THINGS", "HABITS", "COSTS", "claims", "counted", "describe", "draw_samples", "extent", "in_a_folder", "load_described",
           "mistakes_in", "refused", "rows_and_columns", "FEATURE_TYPES", "feature_facts", "fit_features", "identical", "pipeline_for",
           "promises", "values_by_fold"]
