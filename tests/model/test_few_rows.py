"""What rests on few validation rows says so, and no part of a report that only looks may end a stage."""
import ast, itertools, json

import numpy as np
import pytest

from fashion_mlops.evaluation.calibration import compare_rules, conformal_threshold, cross_sets, least_rows, sensible_coverage
from fashion_mlops.core import project_root


def answers(rows, classes, mistakes, seed=0):
    "Labels, and probabilities of a model that is sure and wrong as often as asked."
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, classes, rows)
    given = np.where(draws.random(rows) < mistakes, (labels + 1) % classes, labels)
    probabilities = np.full((rows, classes), 0.09/(classes - 1))
    probabilities[np.arange(rows), given] = 0.91
    return labels, probabilities


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("rows", [1, 2, 19, 39, 40, 41, 60, 172, 198, 199, 200, 202, 400])
def test_the_promise_is_one_that_so_few_rows_can_back(rows, classes):
    for mistakes in (0, 0.03, 0.3):
        labels, probabilities = answers(rows, classes, mistakes)
        promise = sensible_coverage((probabilities.argmax(1) == labels).mean(), rows)
        rules = compare_rules(labels, probabilities, [str(n) for n in range(classes)], promise)
        assert bool(len(rules)) == (rows >= 40)
        if rows >= 40: assert 0 < conformal_threshold(labels[:rows//2], probabilities[:rows//2], promise), "no set of all classes"
        assert cross_sets(labels, probabilities, promise).shape == probabilities.shape


def test_any_promise_is_compared_or_there_are_too_few_rows():
    for rows, promise in itertools.product((40, 100, 180, 220), (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)):
        rules = compare_rules(*answers(rows, 5, 0.03), list("abcde"), promise)
        assert bool(len(rules)) == (rows//2 >= least_rows(promise))


def _cells(path):
    "The code cells of a stage's own run, parsed."
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and not source.startswith("#|"): yield ast.parse(source)


def _is_part_that_may_fail(node):
    return isinstance(node, ast.With) and any(isinstance(item.context_expr, ast.Call) and getattr(item.context_expr.func, "attr", "") == "may_fail" for item in node.items)


def _names(node, context):
    "Names that a piece of code gives a value to or takes; what a function names its own arguments counts as neither."
    own = set() if context is ast.Store else {inner.arg for inner in ast.walk(node) if isinstance(inner, ast.arg)}
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, context)} - own


def _imported(node):
    return {(alias.asname or alias.name).split(".")[0] for inner in ast.walk(node) if isinstance(inner, (ast.Import, ast.ImportFrom)) for alias in inner.names}


@pytest.mark.parametrize("path", sorted((project_root()/"nbs").glob("[01][0-9]_*.ipynb")), ids=lambda path: path.stem)
def test_nothing_stands_on_a_part_that_may_fail(path):
    "A name that only such a part gives a value to is used in that part alone."
    parts, steady, used = [], set(), []
    def visit(node):
        if _is_part_that_may_fail(node):
            own = _names(node, ast.Store) | _imported(node) | {f.name for f in ast.walk(node) if isinstance(f, ast.FunctionDef)}
            parts.append(own - steady); used.append((_names(node, ast.Load), own))
        elif hasattr(node, "body") and isinstance(node, (ast.If, ast.For, ast.With, ast.Try, ast.Module)):
            for field, value in ast.iter_fields(node):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST): visit(child)
        else:
            used.append((_names(node, ast.Load), set()))
            steady.update(_names(node, ast.Store) | _imported(node) | ({node.name} if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else set()))
    for cell in _cells(path): visit(cell)
    fragile = set().union(*parts) - steady if parts else set()
    assert not (bad := {name for names, own in used for name in names & fragile - own}), f"{path.stem} uses {bad}, which is not there when a diagnostic failed"


def test_a_part_that_fails_is_said_and_the_stage_goes_on(tmp_path, monkeypatch, capsys):
    from fashion_mlops.workflow.stage import Stage, TooFew, read_manifest
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    for name in ("FASHION_MLOPS_RUN", "FASHION_MLOPS_STRICT", "MLFLOW_TRACKING_URI"): monkeypatch.delenv(name, raising=False)
    stage = Stage("01_data", writes=["answer.json"]).start({})
    with stage.may_fail("a picture"): raise RuntimeError("no <b>font</b>\nmore")
    with stage.may_fail("a comparison"): raise TooFew("Three rows are too few.")
    said = capsys.readouterr().out
    assert stage.failures == {"a picture": "RuntimeError: no <b>font</b>"}
    stage.write("answer.json").write_text("{}")
    stage.finish("a headline")
    manifest = read_manifest("synthetic", "01_data")
    assert manifest["failures"] == stage.failures and manifest["headline"] == "a headline; not made: a picture"
    assert "<b>font" not in said
    with pytest.raises(KeyboardInterrupt):
        with stage.may_fail("a picture"): raise KeyboardInterrupt


def test_trees_find_what_is_there_in_few_rows():
    from fashion_mlops.evaluation.explanation import fit_trees
    values = np.random.default_rng(0).normal(size=(29, 3)).astype(np.float32)
    assert len(np.unique(fit_trees(values, (values[:, 0] > 0).astype(int)).predict_proba(values)[:, 1])) > 2


def test_a_perfect_score_on_few_rows_is_not_certain():
    from fashion_mlops.evaluation.metrics import metric_intervals
    labels = np.arange(30) % 2
    found = metric_intervals(labels, np.eye(2)[labels]*0.8 + 0.1)
    assert found["accuracy"] == (0.9, 1.0) and found["macro_f1"][0] == 0.9 and found["roc_auc"] == found["average_precision"] == (0.8, 1.0)
    assert metric_intervals(labels, np.eye(2)[1 - labels]*0.8 + 0.1)["accuracy"] == (0.0, 0.1)
