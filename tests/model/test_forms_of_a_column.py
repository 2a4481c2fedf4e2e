"""However pandas holds a column, the answer is that of the training file's reading; what no file could hold is refused in words."""
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fashion_mlops.samples.columns import Column
from fashion_mlops.core import WorkflowError
from fashion_mlops.service.predictor import Predictor
from fashion_mlops.tables.requests import check_rows
from fashion_mlops.samples.values import converted, plain_type


def asked(values, type, levels=(), words=None):
    "What the model is handed for one column, after the check found nothing wrong with it."
    got = []
    column = {"name": "k", "type": type} | ({"levels": list(levels)} if levels else {})
    model = Predictor("toy", "classical", ["a", "b"], (), lambda rows: (got.append(rows["k"]), np.full((len(rows), 2), .5))[1], {"input": {"columns": [column]}})
    frame = pd.DataFrame({"k": values})
    wrong, _ = check_rows(model.columns, frame)
    if wrong:
        with pytest.raises(WorkflowError) as said: model(frame)
        assert wrong == [str(said.value)], "the check and the answer say the same"
        return wrong[0]
    model(frame)
    return [None if pd.isna(value) else value for value in got[0].astype(object)]


def in_file(words, type, levels=()):
    "What the training file's reading makes of these cells."
    found = converted(plain_type(pa.array(words, pa.string())), Column("k", type, levels=tuple(levels)))
    return [None if pd.isna(value) else value for value in found.astype(object)]


def every_category(forms):
    "The same, and each once more as a category."
    return forms | {f"category of {name}": values.astype("category") for name, values in forms.items() if not isinstance(values.dtype, pd.SparseDtype)}


def arrow(type): return pd.ArrowDtype(type)


NUMBERS = ["10", "20", None, "20"]
FLOATS = pd.Series([10., 20., np.nan, 20.])
AS_NUMBERS = every_category({
    "float64": FLOATS, "float32": FLOATS.astype("float32"), "Int64": FLOATS.astype("Int64"), "UInt8": FLOATS.astype("UInt8"), "Float64": FLOATS.astype("Float64"), "objects": FLOATS.astype(object),
    "integers": pd.Series([10, 20, None, 20], dtype=object), "numpy": pd.Series([np.float32(10), np.int8(20), np.nan, np.float64(20)], dtype=object), "decimals": pd.Series([Decimal("10.00"), Decimal(20), None, Decimal(20)], dtype=object),
    "words": pd.Series(NUMBERS, dtype=object), "string": pd.Series(NUMBERS, dtype="string"), "blanks": pd.Series([" 10", "20 ", "  ", "20"]), "blank string": pd.Series([" 10", "20", "", "20"], dtype="string"), "marks": pd.Series(["10", "20", "NaN", "20"]),
    "arrow integers": FLOATS.astype("Int64").astype(arrow(pa.int64())), "arrow floats": FLOATS.astype("Float64").astype(arrow(pa.float32())), "arrow decimals": pd.Series([Decimal(10), Decimal(20), None, Decimal(20)], dtype=arrow(pa.decimal128(9, 2))),
    "arrow words": pd.Series(NUMBERS, dtype=arrow(pa.string())), "arrow blanks": pd.Series(["10", "20", " ", "20"], dtype=arrow(pa.large_string())), "sparse": pd.Series(pd.arrays.SparseArray(FLOATS))}) | {
    "unused categories": pd.Series(pd.Categorical(NUMBERS, ["99", "20", "10"])), "an arrow dictionary": pd.Series(pd.arrays.ArrowExtensionArray(pa.array(NUMBERS).dictionary_encode())),
    "an arrow view": pd.Series(pd.arrays.ArrowExtensionArray(pa.array(NUMBERS).cast(pa.string_view())))}


@pytest.mark.parametrize("type, levels", [("numeric", ()), ("category", ()), ("category", ("10", "20")), ("ordinal", ("10", "20")), ("ordinal", ("20", "10")), ("text", ()), ("identifier", ())])
def test_numbers(type, levels):
    right = in_file(NUMBERS, type, levels)
    for form, values in AS_NUMBERS.items(): assert asked(values, type, levels) == right, form


def test_yes_and_no():
    there = [True, False, None, True]
    forms = every_category({"objects": pd.Series(there, dtype=object), "boolean": pd.Series(there, dtype="boolean"), "arrow": pd.Series(there, dtype=arrow(pa.bool_()))})
    numbers = every_category({"float": pd.Series([1, 0, np.nan, 1]), "Int64": pd.Series([1, 0, None, 1], dtype="Int64"), "words": pd.Series(["Yes", "no", None, "TRUE"])})
    for form, values in (forms | numbers).items(): assert asked(values, "boolean") == [1, 0, None, 1], form
    for form, values in forms.items():
        for yes, no in (("true", "false"), ("True", "False"), ("TRUE", "FALSE")): assert asked(values, "category", (yes, no)) == [yes, no, None, yes], form


def test_moments():
    words = ["2025-01-31", "2025-02-01 10:30:00", None, "2025-02-01"]
    moments = pd.Series(pd.to_datetime(words, format="mixed"))
    zoned = moments.dt.tz_localize("UTC")
    forms = every_category({"ns": moments.astype("datetime64[ns]"), "s": moments.astype("datetime64[s]"), "UTC": zoned, "Paris": zoned.dt.tz_convert("Europe/Paris"), "objects": moments.astype(object), "words": pd.Series(words), "string": pd.Series(words, dtype="string"),
                            "numpy": pd.Series([None if pd.isna(m) else m.to_datetime64() for m in moments], dtype=object), "arrow": moments.astype(arrow(pa.timestamp("us"))), "arrow UTC": zoned.astype(arrow(pa.timestamp("ms", "UTC"))), "arrow words": pd.Series(words, dtype=arrow(pa.string()))})
    days = every_category({"dates": pd.Series([date(2025, 1, 31), date(2025, 2, 1), None], dtype=object), "arrow": pd.Series([date(2025, 1, 31), date(2025, 2, 1), None], dtype=arrow(pa.date32())), "period": moments[[0, 3, 2]].reset_index(drop=True).dt.to_period("D")})
    for type in ("datetime", "category", "text"):
        for form, values in forms.items(): assert asked(values, type) == in_file(words, type), (type, form)
        for form, values in days.items(): assert asked(values, type) == in_file(["2025-01-31", "2025-02-01", None], type), (type, form)


def test_words():
    words = [" a", "b c ", "", "NA", "?"]
    forms = every_category({"objects": pd.Series(words, dtype=object), "string": pd.Series(words, dtype="string"), "arrow": pd.Series(words, dtype=arrow(pa.string()))})
    for type, levels in (("category", ()), ("text", ()), ("identifier", ()), ("ordinal", ("b c", "a"))):
        for form, values in forms.items(): assert asked(values, type, levels) == in_file(words, type, levels), (type, form)


def test_one_row_is_read_as_among_others():
    several = asked(pd.Series([10., 20.5]), "category")
    assert several == asked(pd.Series([10., 20.5], dtype=object), "category") == [asked(pd.Series([value]), "category")[0] for value in (10., 20.5)] == ["10", "20.5"]


@pytest.mark.parametrize("values", [pd.Series([b"10", None]), pd.Series([10 + 1j, 2]), pd.Series(pd.interval_range(0, 2)), pd.Series([["a"], "b"]), pd.Series([{"a": 1}, None]), pd.Series([[1], [2]], dtype=arrow(pa.list_(pa.int64())))], ids=str)
def test_what_no_cell_holds_is_refused(values):
    for type, levels in (("numeric", ()), ("category", ()), ("text", ()), ("datetime", ()), ("boolean", ()), ("ordinal", ("10", "20"))):
        said = asked(values, type, levels)
        assert isinstance(said, str) and "'k'" in said and "row 1" in said, said


def test_what_is_in_form_by_its_type_alone_is_looked_at():
    assert "expected yes or no" in asked(pd.Series([0.5, 1.0]), "boolean")
    assert "'XL' in row 2" in asked(pd.Series(["S", "XL"], dtype="category"), "ordinal", ("S", "M"))
    assert asked(pd.Series([np.inf, 1.0]), "numeric") == [None, 1.0]
    assert "not" in asked(pd.Series([date(9999, 12, 31)], dtype=object), "datetime")
    assert "expected" in asked(pd.Series(pd.to_timedelta([1, 2], unit="D")), "datetime")
