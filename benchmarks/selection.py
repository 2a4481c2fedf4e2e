"""Whether dropping features that explain no more than noise costs anything where rows are few.

    python benchmarks/selection.py [--draws 8] [--rows 120 200 400 1200]

Orders are drawn in code. The rule of `04_features` chooses features on their training rows; trees and a linear model are
fitted to the same rows with all features and with the kept ones, and judged by log loss on other orders."""
import argparse
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from fashion_mlops.evaluation.explanation import fit_trees, judged, shapley_values, with_shadows
from fashion_mlops.evaluation.metrics import row_losses
from fashion_mlops.samples.columns import plain_column
from fashion_mlops.samples.folds import fit_and_ask
from fashion_mlops.tables.features import TableFeatures
from fashion_mlops.tables.orders import ORDER_COLUMNS, draw_orders


def described(rows: int, seed: int, others: int = 4000) -> tuple:
    "Standardised features and labels of some orders, and of others."
    (orders, returned), (more, came_back) = draw_orders(rows, seed=100 + seed), draw_orders(others, seed=900 + seed)
    features = TableFeatures([plain_column(column) for column in ORDER_COLUMNS])
    values = features.fit_transform(orders, returned)
    scaled = StandardScaler().fit(values)
    return (*((scaled.transform(part).astype(np.float32)) for part in (values, features.transform(more))), returned, came_back)


def kept(values: np.ndarray, labels: np.ndarray, fit: np.ndarray, ask: np.ndarray, seed: int) -> np.ndarray:
    "Columns that beat nine in ten of sixty shuffled ones."
    wide = with_shadows(values[np.concatenate([fit, ask])], 60, seed)
    trees = fit_trees(wide[:len(fit)], labels[fit], 20, seed)
    strength = np.abs(shapley_values(trees, wide[len(fit):])).mean((0, 2))
    return np.flatnonzero(judged(strength, list(range(values.shape[1])), 0.9).kept)


def losses(rows: int, seed: int) -> tuple[int, list[float]]:
    "How many features are kept, and log losses: trees with all and with the kept ones, a linear model likewise."
    values, others, labels, truth = described(rows, seed)
    fit, ask = fit_and_ask(labels, min(1000, rows*3//4), 300, seed)
    chosen, found = kept(values, labels, fit, ask, seed), []
    for make in (lambda X, y: fit_trees(X, y, 20, seed), LogisticRegression(C=0.1, max_iter=500).fit):
        for columns in (np.arange(values.shape[1]), chosen):
            model = make(values[fit][:, columns], labels[fit])
            found.append(row_losses(truth, model.predict_proba(others[:, columns])).mean())
    return len(chosen), found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=8, help="collections of orders (default: 8)")
    parser.add_argument("--rows", type=int, nargs="+", default=[120, 200, 400, 1200], help="orders in each")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", "X does not have valid feature names")
    for rows in options.rows:
        counts, found = zip(*(losses(rows, seed) for seed in range(options.draws)))
        trees, kept_trees, line, kept_line = np.mean(found, axis=0)
        print(f"{rows:5} orders, {np.mean(counts):4.1f} features kept: trees {trees:.3f} with all, {kept_trees:.3f} with these; "
              f"linear {line:.3f}, {kept_line:.3f}", flush=True)
