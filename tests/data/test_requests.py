"""What training accepts, prediction accepts: the values of the training file, however they come, mean in a request what they meant in the file."""
import json

import numpy as np
import pandas as pd
import pytest

from fashion_mlops import cli
from fashion_mlops.datasets.catalogue import make_samples
from fashion_mlops.tables.requests import check_rows, column_said, input_description
from fashion_mlops.samples.values import typed

N = 90
HELD = {
    "yes or no": [("yes", "no", "No", "YES")[i % 4] for i in range(N)],
    "true or false": [("true", "false")[i % 2] for i in range(N)],
    "True or False": [("True", "False", "")[i % 3] for i in range(N)],
    "one or zero": [("1", "0")[i % 2] for i in range(N)],
    "ja or nein": [("ja", "nein")[i % 2] for i in range(N)],
    "point": [f"{i*7 % 31}.{i % 10}" for i in range(N)],
    "thousands": [f"{1000 + 37*i:,}.5" for i in range(N)],
    "currency": [f"€{i*7 % 31}.50" for i in range(N)],
    "percent": [f"{i % 41}%" for i in range(N)],
    "gaps": [("" if i % 9 == 0 else "NA" if i % 9 == 1 else f"{i % 13}") for i in range(N)],
    "words": [("red", "blue", "None", "grün")[i*i % 4] for i in range(N)],
    "codes": [f"{(i*13 % 29) + 100}" for i in range(N)],
    "grades": [("small", "medium", "large")[i*7 % 3] for i in range(N)],
    "iso": [f"2025-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(N)],
    "moments": [f"2025-03-{1 + i % 28:02d} {i % 24:02d}:15:00" for i in range(N)],
    "german": [f"{1 + i % 28:02d}.{1 + i % 12:02d}.2025" for i in range(N)],
    "american": [f"{1 + i % 12:02d}/{1 + i % 28:02d}/2025" for i in range(N)],
    "digits_date": [f"2025{1 + i % 12:02d}{1 + i % 28:02d}" for i in range(N)],
    "prose": [f"a note of some length about the number {i*31 % 89} and what became of it" for i in range(N)],
}


@pytest.fixture
def added(tmp_path, monkeypatch, capsys):
    "Add a table of one column and a target; returns its samples, its frame as text, and the frame as pandas reads it."
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"home"))
    def add(values, *words, delimiter=",", name="x"):
        frame = pd.DataFrame({name: values, "other": [f"{i % 7}" for i in range(N)], "kept": [("yes", "no")[i*i % 3 % 2] for i in range(N)]})
        frame.to_csv(tmp_path/"t.csv", index=False, sep=delimiter)
        assert cli.main(["dataset", "add", str(tmp_path/"t.csv"), "--target", "kept", *words]) == 0, capsys.readouterr().err
        return make_samples("t", 0, 0.1, seed=42), frame.drop(columns="kept"), pd.read_csv(tmp_path/"t.csv", sep=delimiter).drop(columns="kept")
    return add


def same(samples, description, request):
    "The request passes and means what the file meant."
    wrong, odd = check_rows(description["columns"], request)
    assert wrong == []
    for about in description["columns"]:
        name = about["name"]
        expected, found = samples.table[name], typed(pd.DataFrame(request)[name], column_said(about))
        if str(expected.dtype) == "category": expected, found = expected.astype(object), found.astype(object)
        assert found.isna().tolist() == expected.isna().tolist(), name
        there = expected.notna()
        assert found[there].tolist() == expected[there].tolist(), name


@pytest.mark.parametrize("case", list(HELD))
def test_values_of_the_training_file_pass_however_they_come(added, case):
    samples, text, read = added(HELD[case], name=case.replace(" ", "_"))
    description = json.loads(json.dumps(input_description(samples), default=str)) # as model.json keeps it
    assert case.replace(" ", "_") in [about["name"] for about in description["columns"]]
    for request in (text, text.replace("", None), read, read.convert_dtypes(), json.loads(text.to_json(orient="records")), json.loads(read.to_json(orient="records")), samples.table):
        same(samples, description, request)


@pytest.mark.parametrize("words, values", [(("--missing", "-999"), [("-999" if i % 8 == 0 else f"{i % 13}.5") for i in range(N)]), (("--missing", "n/k"), [("n/k" if i % 8 == 0 else f"{i % 13}.5") for i in range(N)])])
def test_what_is_missing_in_the_file_is_missing_in_a_request(added, words, values):
    samples, text, read = added(values, *words)
    assert samples.table["x"].isna().sum() == sum(value in ("-999", "n/k") for value in values)
    for request in (text, read): same(samples, input_description(samples), request)


def test_decimal_commas_and_numbers_mean_the_same(added):
    samples, text, _ = added([f"{i % 13},5" for i in range(N)], delimiter=";")
    numbers = text.assign(x=[i % 13 + 0.5 for i in range(N)])
    mixed = text.assign(x=[value if i % 2 else i % 13 + 0.5 for i, value in enumerate(text["x"])])
    for request in (text, numbers, mixed, json.loads(numbers.to_json(orient="records"))): same(samples, input_description(samples), request)


@pytest.mark.parametrize("case, value", [("ja or nein", "perhaps"), ("point", "two"), ("point", [1, 2]), ("point", {"a": 1}), ("german", "2025-13-45"), ("grades", "huge"), ("ja or nein", 7)])
def test_what_the_file_could_not_hold_is_refused_with_column_and_row(added, case, value):
    samples, text, _ = added(HELD[case])
    request = text.head(3).astype(object)
    request.at[1, "x"] = value
    wrong, _ = check_rows(input_description(samples)["columns"], request)
    assert len(wrong) == 1 and "'x'" in wrong[0] and "in row 2" in wrong[0]


def test_a_moment_with_a_zone_and_python_dates(added):
    samples, text, _ = added(HELD["german"])
    days = pd.to_datetime(text["x"], format="%d.%m.%Y")
    for values in (days, days.dt.tz_localize("UTC"), days.dt.date, pd.Series(list(days), dtype=object)): same(samples, input_description(samples), text.assign(x=values))
