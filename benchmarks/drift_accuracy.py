"""How near the accuracy that is estimated without labels comes to the true one, on shifts of Fashion-MNIST and of a table.

python benchmarks/drift_accuracy.py [--grids fashion_mnist orders orders_more earthquakes_more] [--choose] [--rows 2000] [--seeds 3] [--first 101] [--cache FOLDER] [--output FILE]

Fashion-MNIST: a net and trees that learnt from 30,000 rows of the official training set; of its other rows 10,000 are the reference
and 10,000 are drawn on for windows. The official test rows are not used. Two champions: the net, and the mean of both, each brought
to its temperature on the reference as the pipeline does. Shifts: six corruptions at five severities, of all rows of a window and of
half of them; two corruptions on top of each other; classes knocked out (one, or three, keep 50 % down to none of their rows); a class
that nobody has learnt (handwritten digits, 5 to 50 % of the rows). Orders: gradient boosting on 6,000 drawn orders, 4,000 for
reference and 6,000 for windows; noise and missing cells at five severities, the shift of `10_monitoring` at five strengths, returns
that become rarer and commoner, and prices that rise.

orders_more, earthquakes_more: many more shifts of tables, laid down before any of their figures was seen, in as many worlds as there are
seeds (a table, a model, a reference and windows each): noise, missing cells and both, the shift of `10_monitoring`, each column lost, each
number in another unit, all of that in all rows and in half of them; each class and the commonest level of each category rarer by tenths;
of orders, prices that rise. Earthquakes are those outside the pipeline's test split, in random order and without their dates.

--choose prints the same for corruptions of reference rows: what the method and its constants were chosen on. The reported windows
are not quite untouched: while the method was built, earlier forms of it were looked at on those of seed 0, and what rising prices did
to one of them on orders is why new shares now have to be needed and have to fit the watched values. Method "learnt" is fitted on those, without the kinds that the window is shifted by.
Reported: mean absolute error of the accuracy in points by kind, over all shifted windows with a bootstrap interval over shifts
(windows of one kind and severity are drawn together), that of the log loss, and how often the stated interval holds the truth.
"""
import argparse
import json
import os
import platform
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from fashion_mlops.drift.class_mix import answers_at, believed_shares, class_mix
from fashion_mlops.drift.estimation import estimate_performance
from fashion_mlops.drift.finding import worsening
from fashion_mlops.drift.observed import Observed
from fashion_mlops.evaluation.calibration import at_temperature, fit_temperature
from fashion_mlops.evaluation.metrics import row_losses

FAR = 0.03
KINDS, PAIRS = ("noise", "blur", "shift", "rotation", "contrast", "occlusion"), (("noise", "contrast"), ("blur", "rotation"), ("shift", "occlusion"), ("contrast", "blur"), ("rotation", "noise"))


def training_rows() -> tuple:
    "Images and labels of the official training set, and the shuffled order of its rows."
    from fashion_mlops.images.fashion_mnist import load_fashion_mnist
    loaded = load_fashion_mnist()
    rows = np.flatnonzero(~loaded.is_test)
    return loaded.inputs[rows], loaded.labels[rows].astype(np.int64), np.random.default_rng(14).permutation(len(rows))


def image_models(folder: Path, images, labels):
    "A net and trees, from the cache or trained."
    import torch
    from sklearn.ensemble import ExtraTreesClassifier
    from fashion_mlops.nets.net import choose_device, choose_precision, net_for
    from fashion_mlops.nets.trainer import Recipe, Trainer
    if not (folder/"trees.joblib").is_file():
        trainer = Trainer(Recipe(epochs=4, light=True, width=32, precision=choose_precision("auto", choose_device())), images, labels, 10)
        trainer.fit()
        torch.save(trainer.net.state_dict(), folder/"net.pt")
        trees = ExtraTreesClassifier(60, min_samples_leaf=2, max_features=28, random_state=0).fit(images.reshape(len(images), -1), labels)
        joblib.dump(trees, folder/"trees.joblib", compress=3)
    net = net_for(images, 10, "compact", 32, False, True)
    net.load_state_dict(torch.load(folder/"net.pt"))
    return net, joblib.load(folder/"trees.joblib")


def digits() -> np.ndarray:
    "Handwritten digits in the size of the garments."
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits
    return np.clip(np.stack([zoom(image, 3.5, order=1) for image in load_digits().images])*255/16, 0, 255).round().astype(np.uint8)


def image_answers(folder: Path) -> dict:
    "Answers of both models to every set of rows, by name: `ref`, `pool`, `digits`, L (of reference rows), T and M (of others) with corruption and severity."
    if (folder/"answers.joblib").is_file(): return joblib.load(folder/"answers.joblib")
    from fashion_mlops.images.corruptions import corrupted
    from fashion_mlops.nets.net import probabilities
    images, labels, order = training_rows()
    net, trees = image_models(folder, images[order[:30_000]], labels[order[:30_000]])
    def answered(inputs, truth):
        flat = inputs.reshape(len(inputs), -1)
        facts = np.stack([flat.mean(1), flat.std(1), (flat == 0).mean(1)], 1).astype(np.float32)
        return {"watched": facts, "net": probabilities(net, inputs), "trees": trees.predict_proba(flat).astype(np.float32), "y": truth}
    reference, pool = order[30_000:40_000], order[40_000:50_000]
    found = {"ref": answered(images[reference], labels[reference]), "pool": answered(images[pool], labels[pool])}
    strange = digits()
    found["digits"] = answered(strange, np.full(len(strange), -1))
    for kind in KINDS:
        for severity in range(1, 6):
            for name, rows, seed in (("L", reference[:3000], 1), ("T", pool[:4000], 2)):
                found[f"{name}/{kind}/{severity}"] = answered(corrupted(images[rows], kind, severity, seed), labels[rows])
        print(kind, flush=True)
    for first, second in PAIRS:
        for severity in range(1, 6):
            rows = pool[:2000]
            found[f"M/{first}+{second}/{severity}"] = answered(corrupted(corrupted(images[rows], first, severity, 3), second, severity, 4), labels[rows])
    joblib.dump(found, folder/"answers.joblib")
    return found


def champions(answers: dict) -> dict:
    "Every set of rows as `Observed`, by champion and name."
    truth, heat = answers["ref"]["y"], {name: fit_temperature(answers["ref"]["y"], answers["ref"][name]) for name in ("net", "trees")}
    both = {name: np.stack([at_temperature(each[model], heat[model]) for model in heat]) for name, each in answers.items()}
    again = fit_temperature(truth, both["ref"].mean(0))
    names = [str(number) for number in range(10)]
    def sets(give):
        return {name: Observed(pd.DataFrame(each["watched"], columns=["brightness", "contrast", "empty"]), give(name).astype(np.float32), names, labels=each["y"], members=both[name])
                for name, each in answers.items()}
    return {"net": sets(lambda name: both[name][0]), "mean of net and trees": sets(lambda name: at_temperature(both[name].mean(0), again))}


def joined(*parts: Observed) -> Observed:
    "Rows of several windows as one."
    whole = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("probabilities", "labels")}
    members = None if parts[0].members is None else np.concatenate([part.members for part in parts], 1)
    return Observed(pd.concat([part.table for part in parts], ignore_index=True), classes=parts[0].classes, members=members, **whole)


def knocked_out(rows: Observed, gone, keep: float, count: int, random) -> Observed:
    "A window in which some classes are rarer."
    weight = np.where(np.isin(rows.labels, gone), keep, 1.0)
    return rows.at(random.choice(len(rows), count, False, p=weight/weight.sum()))


def image_windows(sets: dict, rows: int, seed: int, source: str):
    "Kind, severity and window; source T for what is reported and L for what was chosen on."
    random, clean = np.random.default_rng(seed), sets["pool" if source == "T" else "ref"]
    def some(window, count): return window.at(random.choice(len(window), count, False))
    for number in range(5): yield "nothing", number, some(clean, rows)
    for name, window in sets.items():
        if name[:2] not in (f"{source}/", "M/"*(source == "T")): continue
        _, kind, severity = name.split("/")
        yield kind, int(severity), some(window, min(rows, len(window)))
        if "+" not in kind: yield kind, int(severity), joined(some(window, rows//2), some(clean, rows - rows//2))
    for severity, keep in enumerate((.5, .25, .1, .05, 0.), 1):
        for count in (1, 3): yield "knock-out", severity, knocked_out(clean, random.choice(10, count, False), keep, rows, random)
    for severity, share in enumerate((.05, .1, .2, .3, .5), 1):
        if source == "T": yield "new class", severity, joined(some(sets["digits"], int(rows*share)), some(clean, rows - int(rows*share)))


class TableWorld:
    "A table in random order, and a boosted model of its first rows; the next ones are the reference, windows are drawn from the others."

    def __init__(self, inputs, labels, classes: list[str], columns: list, learned: int, draw=None):
        from sklearn.compose import make_column_selector, make_column_transformer
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OrdinalEncoder
        self.classes, self.columns, self.draw, until = classes, columns, draw, learned + 4000
        coded = make_column_transformer((OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), make_column_selector(dtype_include="category")), remainder="passthrough")
        trees = HistGradientBoostingClassifier(max_iter=80, learning_rate=.08, max_leaf_nodes=12, random_state=0)
        self.model = make_pipeline(coded, trees).fit(self.plain(inputs[:learned]), labels[:learned])
        self.heat = fit_temperature(labels[learned:until], self.model.predict_proba(self.plain(inputs[learned:until])))
        self.known, self.pool = ((inputs[part].reset_index(drop=True), labels[part]) for part in (slice(learned, until), slice(until, None)))

    @staticmethod
    def plain(inputs):
        "What the model takes: no texts, and of a date the day of the week."
        days = {name: inputs[name].dt.dayofweek.astype(float) for name in inputs.select_dtypes("datetime")}
        return inputs.assign(**days).drop(columns=inputs.select_dtypes("object"))

    def observed(self, inputs, truth) -> Observed:
        said = at_temperature(self.model.predict_proba(self.plain(inputs)), self.heat).astype(np.float32)
        return Observed(inputs.select_dtypes("number").astype(np.float64).reset_index(drop=True), said, self.classes, labels=truth.astype(np.int64))


def orders(seed: int = 3) -> TableWorld:
    "Drawn orders; they alone can be drawn with prices that rise."
    from fashion_mlops.tables.orders import ORDER_COLUMNS, draw_orders
    return TableWorld(*draw_orders(16_000, seed), ["kept", "returned"], list(ORDER_COLUMNS), 6000, draw_orders)


def earthquakes(seed: int) -> TableWorld:
    "Earthquakes outside the pipeline's test split, in random order, without their dates."
    from fashion_mlops.datasets.catalogue import make_samples
    samples = make_samples("earthquakes", 0, 0.1, 42)
    rows = np.random.default_rng([14, seed]).permutation(np.r_[samples.rows("train"), samples.rows("valid")])
    columns = [column for column in samples.columns if column.type != "datetime"]
    inputs = samples.at(rows)[[column.name for column in columns]].reset_index(drop=True)
    return TableWorld(inputs, np.asarray(samples.labels)[rows].astype(np.int64), list(samples.classes), columns, 5000)


def order_windows(rows: int, seeds: int) -> tuple:
    "The reference, windows to choose on and windows to report of drawn orders."
    from fashion_mlops.tables.corruptions import corrupted
    from fashion_mlops.tables.shift import shift_inputs
    world = orders()
    def shifts(source, seed, all_kinds):
        random = np.random.default_rng(seed)
        def some():
            chosen = random.choice(len(source[1]), min(rows, len(source[1])), False)
            return source[0].iloc[chosen].reset_index(drop=True), source[1][chosen]
        for number in range(5): yield "nothing", number, world.observed(*some())
        for severity in range(1, 6):
            for kind in ("noise", "missing"):
                inputs, truth = some()
                yield kind, severity, world.observed(corrupted(inputs, kind, severity, seed, world.columns), truth)
            rare = world.observed(*source)
            for number in (0, 1): yield "knock-out", severity, knocked_out(rare, [number], (.8, .6, .4, .2, .1)[severity - 1], rows//2, random)
            if not all_kinds: continue
            inputs, truth = some()
            yield "shift", severity, world.observed(shift_inputs(inputs, world.columns, severity/2, seed), truth)
            yield "prices", severity, world.observed(*world.draw(rows, 100*seed + severity, severity/2))
    return world.observed(*world.known), list(shifts(world.known, 50, False)), [(seed, *each) for seed in range(seeds) for each in shifts(world.pool, seed, True)]


def table_changes(world: TableWorld, seed: int):
    "Kind, severity and what becomes of some rows."
    from fashion_mlops.tables.corruptions import corrupted
    from fashion_mlops.tables.shift import shift_inputs
    def worse(kind, severity, later=0): return lambda inputs: corrupted(inputs, kind, severity, seed + later, world.columns)
    for severity in range(1, 6):
        yield "noise", severity, worse("noise", severity)
        yield "missing", severity, worse("missing", severity)
        yield "noise+missing", severity, lambda inputs, severity=severity: worse("missing", severity, 1)(worse("noise", severity)(inputs))
        yield "shift", severity, lambda inputs, severity=severity: shift_inputs(inputs, world.columns, severity/2, seed)
    for column in world.columns:
        if column.type == "text": continue
        yield "a column is lost", column.name, lambda inputs, name=column.name: inputs.assign(**{name: inputs[name].mask(np.ones(len(inputs), bool))})
        if column.type != "numeric": continue
        yield "another unit", column.name, lambda inputs, name=column.name: inputs.assign(**{name: inputs[name]*2.54})


def table_windows(world: TableWorld, rows: int, seed: int):
    "Kind, severity and window: changes of all rows and of half of them, classes and levels that become rarer by tenths, and prices that rise."
    random, (inputs, labels), whole = np.random.default_rng([5, seed]), world.pool, world.observed(*world.pool)
    def some():
        chosen = random.choice(len(labels), rows, False)
        return inputs.iloc[chosen].reset_index(drop=True), labels[chosen]
    for number in range(10): yield "nothing", number, world.observed(*some())
    for kind, severity, change in table_changes(world, seed):
        for share in (1.0, 0.5):
            table, truth = some()
            changed, same = np.split(np.arange(rows), [int(share*rows)])
            yield kind, f"{severity} in {share:.0%}", joined(world.observed(change(table), truth).at(changed), world.observed(table, truth).at(same))
    for tenth in range(1, 10):
        for number, name in enumerate(world.classes): yield "knock-out", f"{name} {tenth}", knocked_out(whole, [number], 1 - tenth/10, rows//2, random)
        for name in inputs.select_dtypes("category"):
            weight = np.where(inputs[name] == inputs[name].mode()[0], 1 - tenth/10, 1.0)
            yield "a level is rarer", f"{name} {tenth}", whole.at(random.choice(len(labels), rows//2, False, p=weight/weight.sum()))
        if world.draw: yield "prices", tenth, world.observed(*world.draw(rows, 1000*seed + tenth, tenth/4))


def table_grid(world: TableWorld, rows: int, seed: int) -> tuple:
    "The reference, corrupted reference rows to learn from, and windows to report."
    known, random, (inputs, labels) = world.observed(*world.known), np.random.default_rng(50), world.known
    lessons = [(kind, severity, world.observed(change(inputs[:rows]), labels[:rows])) for kind, severity, change in table_changes(world, 50) if kind in ("noise", "missing")]
    lessons += [("knock-out", keep, knocked_out(known, [number], keep, rows//2, random)) for keep in (.8, .6, .4, .2, .1) for number in (0, 1)]
    return known, lessons, [(seed, *each) for each in table_windows(world, rows, seed)]


def transported(answers, shares) -> np.ndarray:
    "Agreement of each row with the class that optimal transport gives it, smoothed a little so that its dual has a slope."
    from scipy.optimize import minimize
    answers, prices = np.asarray(answers, np.float64), np.zeros(len(shares))
    for smooth in (0.05, 0.003):
        def parts(given):
            wanted = (answers + given)/smooth
            most = wanted.max(1, keepdims=True)
            powers = np.exp(wanted - most)
            return smooth*(most[:, 0] + np.log(powers.sum(1))), powers/powers.sum(1, keepdims=True)
        def cost(given):
            gains, dealt = parts(given)
            return gains.mean() - given @ shares, dealt.mean(0) - shares
        prices = minimize(cost, prices, jac=True, method="L-BFGS-B", bounds=[(-2, 2)]*len(shares)).x
    return (parts(prices)[1]*answers).sum(1)


def row_facts(window: Observed) -> np.ndarray:
    "What the learnt method sees of an answer, and of the window it is in."
    ordered = np.sort(np.asarray(window.probabilities, np.float64), 1)[:, ::-1].clip(1e-6, 1 - 1e-6)
    odds, margin = np.log(ordered[:, 0]/(1 - ordered[:, 0])), np.log(ordered[:, 0]/ordered[:, 1])
    entropy = -(ordered*np.log(ordered)).sum(1)
    return np.stack([odds, margin, entropy, np.full(len(odds), odds.mean()), np.full(len(odds), entropy.mean())], 1)


class Methods:
    "All candidates, against one reference."
    def __init__(self, reference: Observed, lessons: list):
        self.reference, self.right, self.lessons, self.fitted = reference, reference.said == reference.labels, lessons, {}
        self.accuracy, self.shares = self.right.mean(), np.bincount(reference.labels, minlength=len(reference.classes))/len(reference)
        self.line = np.quantile(reference.confidence, 1 - self.accuracy)
        self.agreement = transported(reference.probabilities, self.shares)
        self.cut = np.quantile(self.agreement, 1 - self.accuracy)

    def learnt(self, window: Observed, kinds: tuple) -> float:
        "The share of right answers by a regression of rows that were corrupted on purpose, but in no way of this window."
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        if kinds not in self.fitted:
            taken = [rows for kind, _, rows in self.lessons if kind not in kinds]
            seen, right = np.concatenate(list(map(row_facts, taken))), np.concatenate([rows.said == rows.labels for rows in taken])
            model = make_pipeline(StandardScaler(), LogisticRegression()).fit(seen, right)
            self.fitted[kinds] = model, self.accuracy - model.predict_proba(row_facts(self.reference))[:, 1].mean()
        model, off = self.fitted[kinds]
        return float(model.predict_proba(row_facts(window))[:, 1].mean() + off)

    def __call__(self, kind: str, window: Observed) -> dict:
        "The accuracy by each method."
        given, (shares, _) = window.probabilities, believed_shares(class_mix(self.reference, window))
        weighed, agreement = answers_at(given, self.shares), transported(given, self.shares)
        own, found = estimate_performance(self.reference, window), {}
        found["mean confidence"] = window.confidence.mean()
        found["difference of confidences"] = window.confidence.mean() + self.accuracy - self.reference.confidence.mean()
        found["ATC"] = (window.confidence >= self.line).mean()
        if window.members is not None: found["disagreement of members (GDE)"] = (window.members[0].argmax(1) == window.members[1].argmax(1)).mean()
        found["COT"], found["COTT"] = agreement.mean(), (agreement >= self.cut).mean()
        trusted = transported(given, shares)
        found["COT at believed shares"], found["COTT at believed shares"] = trusted.mean(), (trusted >= self.cut).mean()
        found["learnt from corrupted rows"] = self.learnt(window, tuple(kind.split("+")))
        found["ours at old shares"] = weighed[np.arange(len(window)), window.said].mean()
        found["ours"] = own.accuracy[0]
        known = window.labels.min() >= 0
        losses = {"loss": row_losses(window.labels, given).mean(), "own loss": own.log_loss[0], "plain loss": float(-(given*np.log(np.maximum(given, 1e-15))).sum(1).mean())} if known else {}
        true = (window.said == window.labels).mean()
        inside, hurts = own.accuracy[1] <= true <= own.accuracy[2], true < self.accuracy - own.tolerance
        said = {"says it hurts": own.hurts, "verdict": worsening(own.change, own.tolerance), "beyond": true - self.accuracy < own.change[1], "width": own.accuracy[2] - own.accuracy[1]}
        return {"true": true, "before": self.accuracy, **found, "inside": inside, "hurts": hurts, **said, "trust": own.trust, **losses}


def table_of(rows: pd.DataFrame, methods: list[str], seed: int = 0) -> pd.DataFrame:
    "Mean absolute errors in points: by kind, and of all shifted windows with a bootstrap interval over shifts."
    errors = rows[methods].sub(rows.true, axis=0).abs()*100
    kind = rows.kind.where(~rows.kind.str.contains("+", regex=False), "two at once")
    by_kind, moved = errors.groupby(kind).mean().T, rows.kind != "nothing"
    shifts = errors[moved].groupby([rows.kind[moved], rows.severity[moved]]).mean()
    sizes = errors[moved].groupby([rows.kind[moved], rows.severity[moved]]).size().to_numpy()
    drawn = np.random.default_rng(seed).multinomial(len(shifts), np.full(len(shifts), 1/len(shifts)), 4000)*sizes
    means = drawn @ shifts.to_numpy()/drawn.sum(1, keepdims=True)
    ratios = means/means[:, [methods.index("mean confidence")]]
    def ends(values): return [f"{low:.2f} to {high:.2f}" for low, high in np.quantile(values, [.025, .975], axis=0).T]
    whole = errors[moved].mean()
    return by_kind.round(2).assign(all=whole.round(2), interval=ends(means), share=(whole/whole["mean confidence"]).round(3), of_it=ends(ratios)).rename(columns={"share": "of mean confidence", "of_it": "interval of that"})


def far_errors(rows: pd.DataFrame) -> dict:
    "Mean absolute errors in points where there was something to see; beyond chance in a window of 2,000 rows."
    far = rows[(rows.true - rows.before).abs() >= FAR]
    return {"how many": len(far), **{each: (far[each] - far.true).abs().mean()*100 for each in ("mean confidence", "ours")}}


def reported(name: str, rows: pd.DataFrame) -> dict:
    "Print and return what came of one grid."
    methods = [each for each in rows if each not in ("seed", "kind", "severity", "true", "before", "inside", "hurts", "says it hurts", "verdict", "beyond", "width", "trust", "loss", "own loss", "plain loss")]
    table, moved, known = table_of(rows, methods), rows[rows.kind != "nothing"], rows[(rows.kind != "nothing") & rows.loss.notna()]
    print(f"\n{name}: {len(rows)} windows, {len(moved)} of them shifted; mean absolute error of the accuracy, in points\n{table.to_string()}")
    loss = {each: float((known[each] - known.loss).abs().mean()) for each in ("own loss", "plain loss")}
    said, calm = moved[moved["says it hurts"]], moved[moved.verdict.isin(("no", "little"))]
    facts = {"intervals that hold the truth, nothing shifted": float(rows[rows.kind == "nothing"].inside.mean()), "the same, shifted": float(moved.inside.mean()),
             **{f"the same, {kind}": float(each.inside.mean()) for kind, each in moved.groupby("kind")}, "log loss is off by": loss["own loss"], "log loss of the answers themselves is off by": loss["plain loss"],
             **{f"windows whose accuracy is {FAR:.0%} or more off that of the reference: {what}": float(value) for what, value in far_errors(moved).items()},
             "windows that hurt": int(moved.hurts.sum()), "of these said to hurt": int((moved.hurts & moved["says it hurts"]).sum()), "said to hurt and do not": int((~said.hurts).sum()),
             **{f"windows that hurt, said: {what}": int((moved.hurts & (moved.verdict == what)).sum()) for what in ("perhaps", "open", "little", "no")},
             "said to hurt little or not": len(calm), "of these worse than the most that is named": int(calm.beyond.sum()),
             "width of the interval, nothing shifted": float(rows[~rows.index.isin(moved.index)].width.mean()), "the same, of shifted windows": float(moved.width.mean()),
             "trust in other shares, knock-out (least)": float(moved[moved.kind == "knock-out"].trust.min()), "trust, other kinds (mean)": float(moved[moved.kind != "knock-out"].trust.mean())}
    for what, value in facts.items(): print(f"  {what}: {value:.3g}")
    return {"table": table.reset_index().to_dict("records"), **facts}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grids", nargs="+", choices=["fashion_mnist", "orders", "orders_more", "earthquakes_more"], default=["fashion_mnist", "orders"])
    parser.add_argument("--choose", action="store_true", help="print what the method was chosen on, and nothing else")
    parser.add_argument("--rows", type=int, default=2000, help="in a window")
    parser.add_argument("--seeds", type=int, default=3, help="windows drawn of each shift")
    parser.add_argument("--first", type=int, default=101, help="number of the first world of a table")
    parser.add_argument("--cache", type=Path, default=Path("reports/drift_accuracy"), help="where models and answers are kept")
    parser.add_argument("--output", type=Path, help="where to write the figures")
    options, began, result = parser.parse_args(), time.time(), {}
    options.cache.mkdir(parents=True, exist_ok=True)
    grids = {}
    if "fashion_mnist" in options.grids:
        for name, sets in champions(image_answers(options.cache)).items():
            lessons = list(image_windows(sets, options.rows, 100, "L"))
            shown = [(seed, *each) for seed in range(options.seeds) for each in image_windows(sets, options.rows, seed, "T")]
            grids[f"fashion_mnist, {name}"] = sets["ref"], lessons, shown
    grids = {name: [grid] for name, grid in grids.items()}
    if "orders" in options.grids: grids["orders, gradient boosting"] = [order_windows(options.rows, options.seeds)]
    for name, world in (("orders", orders), ("earthquakes", earthquakes)):
        if f"{name}_more" in options.grids: grids[f"{name}, more shifts"] = [table_grid(world(number), options.rows, number) for number in range(options.first, options.first + options.seeds)]
    for name, worlds in grids.items():
        told = []
        for reference, lessons, shown in worlds:
            methods = Methods(reference, lessons)
            print(f"{name}: accuracy {methods.accuracy:.4f}, confidence {reference.confidence.mean():.4f} on the reference", flush=True)
            windows = [(0, *each) for each in lessons] if options.choose else shown
            told += [{"seed": seed, "kind": kind, "severity": severity, **methods(kind, window)} for seed, kind, severity, window in windows]
        result[name] = reported(name, pd.DataFrame(told))
    about = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "seconds": round(time.time() - began), "rows": options.rows, "seeds": options.seeds}
    print(about)
    if options.output: options.output.write_text(json.dumps({**about, **result}, indent=1))


if __name__ == "__main__": main()
