"""A window that somebody gives is read as the dataset's own files are, and refused in a sentence when the model cannot answer it."""
import gzip
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fashion_mlops.core import WorkflowError
from fashion_mlops.datasets.catalogue import make_samples
from fashion_mlops.datasets.description import described, write_dataset_file
from fashion_mlops.tables.requests import input_description
from fashion_mlops.workflow.watched import file_stamp
from fashion_mlops.drift.window import read_window, window_paths


@pytest.fixture
def shop(home):
    "A shop with a file of its own: semicolons, a decimal comma, a rule for rows, and an answer."
    random, rows = np.random.default_rng(1), 240
    price, colour = random.uniform(1, 90, rows).round(2), random.choice(["red", "blue"], rows)
    table = pd.DataFrame({"price": [f"{p:.2f}".replace(".", ",") for p in price], "colour <b>": colour, "kind": random.choice(["sale", "test"], rows, p=[0.8, 0.2]),
                          "kept": np.where(price + 20*(colour == "red") + random.normal(0, 10, rows) > 50, "yes", "no")})
    write_dataset_file(described("shop", kind="table", path=str(home/"shop.csv"), format={"delimiter": ";", "decimal": ","}, target={"column": "kept", "classes": ["no", "yes"]},
                                 rows=[{"column": "kind", "is": "sale", "why": "tests are no sales"}], columns={"price": "numeric", "colour <b>": "category"}))
    table.to_csv(home/"shop.csv", sep=";", index=False)
    samples = make_samples("shop", 0, 0.2, 1)
    return SimpleNamespace(table=table, samples=samples, model=SimpleNamespace(columns=input_description(samples)["columns"]), home=home)


def given(shop, name: str, table: pd.DataFrame, **how):
    "The window that a file makes."
    if name.endswith(".parquet"): table.to_parquet(shop.home/name)
    else: table.to_csv(shop.home/name, index=False, **{"sep": ";", **how})
    return read_window(str(shop.home/name), shop.samples, shop.model)


def test_a_file_like_the_datasets_own_gives_the_same_rows(shop):
    window = given(shop, "again.csv", shop.table)
    both = shop.table[shop.table.kind == "sale"].reset_index(drop=True)
    assert window.inputs.price.tolist() == both.price.str.replace(",", ".").astype(float).tolist()
    assert window.labels.tolist() == (both.kept == "yes").astype(int).tolist()
    assert any("left out by the rules" in note for note in window.notes)


@pytest.mark.parametrize("name, change", [("turned.csv", lambda t: t[t.columns[::-1]]), ("more.csv", lambda t: t.assign(cashier="Kim")), ("packed.csv.gz", lambda t: t),
                                          ("numbers.parquet", lambda t: t.assign(price=t.price.str.replace(",", ".").astype(float)))])
def test_neither_the_order_of_columns_nor_the_program_that_wrote_it_counts(shop, name, change):
    plain, other = given(shop, "plain.csv", shop.table), given(shop, name, change(shop.table))
    assert other.inputs.price.tolist() == plain.inputs.price.tolist() and (other.inputs["colour <b>"].astype(str) == plain.inputs["colour <b>"].astype(str)).all()
    assert other.labels.tolist() == plain.labels.tolist()


@pytest.mark.parametrize("change, words", [
    (lambda t: t.drop(columns="price"), "no column 'price'"),
    (lambda t: t.rename(columns={"price": "prices"}), "Did you mean prices"),
    (lambda t: t.assign(price="cheap"), "'price'"),
    (lambda t: t.assign(kind="test"), "No row of the window is left"),
    (lambda t: t.iloc[:0], "")])
def test_what_cannot_be_answered_is_refused_in_a_sentence(shop, change, words):
    with pytest.raises(WorkflowError, match=words): given(shop, "bad.csv", change(shop.table))


@pytest.mark.parametrize("change, words", [
    (lambda t: t.drop(columns="kept"), "says no classes"),
    (lambda t: t.assign(kept=["perhaps", *t.kept[1:]], kind="sale"), "'perhaps'"),
    (lambda t: t.assign(kept=[None, *t.kept[1:]], kind="sale"), "1 of 240 answers are missing"),
    (lambda t: t.drop(columns="kind"), "rule about kind was not asked")])
def test_what_is_merely_lacking_is_said(shop, change, words):
    window = given(shop, "lacking.csv", change(shop.table))
    assert any(words in note for note in window.notes), window.notes
    assert (window.labels is None) == ("rule" not in words)


def test_what_is_unusual_is_a_note_and_no_error(shop):
    window = given(shop, "unusual.csv", shop.table.assign(**{"price": "1000000,5", "colour <b>": "green"}))
    assert len(window.inputs) and any("1e+06 lies outside" in note for note in window.notes) and any("'green' did not occur" in note for note in window.notes)


def test_places_and_names(shop, monkeypatch):
    shop.table.to_csv(shop.home/"März 2025 (neu).csv", index=False, sep=";")
    monkeypatch.chdir(shop.home)
    assert read_window("März 2025 (neu).csv", shop.samples, shop.model).name == "März 2025 (neu).csv"
    for where, words in (("shop", "from which the model has learnt"), ("synthetic", "of the kind image"), ("synthetic_orders", "cannot be answered"), ("nowhere.csv", "neither a file or folder nor a dataset"),
                         (str(shop.home), "is a folder"), ("../../etc", "neither a file or folder nor a dataset")):
        with pytest.raises(WorkflowError, match=words): read_window(where, shop.samples, shop.model)
    with gzip.open(shop.home/"cut.csv.gz", "wb") as file: file.write(shop.table.to_csv(sep=";").encode())
    (shop.home/"cut.csv.gz").write_bytes((shop.home/"cut.csv.gz").read_bytes()[:-40])
    with pytest.raises(WorkflowError): read_window("cut.csv.gz", shop.samples, shop.model)


def test_a_window_that_is_written_anew_makes_the_stage_stale(shop):
    path = shop.home/"day.csv"
    shop.table.to_csv(path, index=False, sep=";")
    before = file_stamp(window_paths(str(path))[0])
    shop.table.iloc[:-1].to_csv(path, index=False, sep=";")
    assert file_stamp(window_paths(str(path))[0]) != before
    assert window_paths("shop")[0].name == "shop.yaml" and window_paths("") == [] == window_paths("nowhere.csv")


@pytest.mark.parametrize("classes, named, wanted", [
    (["1", "2", "3"], ["1", "2", "2"], [0, 1, 1]), (["1", "2", "3"], ["0", "1", "1"], None), (["1", "2", "3"], ["3"], [2]),
    (["bag", "coat"], ["0", "1", "1"], [0, 1, 1]), (["bag", "coat"], ["coat", "bag"], [1, 0]), (["bag", "coat"], ["0", "coat"], None), (["bag", "coat"], ["2", "0"], None),
    (["0", "1"], ["1", "0"], [1, 0]), (["bag", "7"], ["1", "0"], None), (["bag", "7"], ["7"], [1])])
def test_numbers_are_names_or_positions_by_a_rule(classes, named, wanted):
    from fashion_mlops.drift.window import Window, _labels
    labels, said = _labels(Window("w", None, named), classes)
    assert (labels if wanted is None else labels.tolist()) == wanted
    if not set(named) <= set(classes): assert len(said) == 1 and ("position" in said[0] or "does not know" in said[0])
