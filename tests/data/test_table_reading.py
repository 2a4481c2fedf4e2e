"""What is read out of a table: moments whatever stands around them, missing values in numbers, columns that stay in their place, options that are obeyed."""
import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fashion_mlops.tables.column_types import as_said, guessed
from fashion_mlops.samples.moments import as_moments

MOMENTS = ["2024-01-05T10:00:00Z", "2024-02-05T10:00:00+01:00", "2024-03-05T10:00:00", "2024-02-05", "2024-01-05 10:00 UTC", "2024-01-05T10:00:00.123-0530", "2024-01-05 10:00+02", "20240105T100000+0100", "now", "no date"]


def look(name, values):
    return guessed(name, pa.array([str(value) for value in values]))


@pytest.mark.parametrize("first", range(len(MOMENTS)))
def test_a_moment_means_the_same_whatever_stands_around_it(first):
    alone = {text: as_moments(pa.array([text]))[0] for text in MOMENTS}
    for others in itertools.permutations([*MOMENTS[:first], *MOMENTS[first + 1:]][:7], 2):
        texts = [MOMENTS[first], *others, MOMENTS[0]]
        assert as_moments(pa.array(texts)).equals(pd.Series([alone[text] for text in texts], dtype="datetime64[ns]")), texts
    assert alone["2024-01-05T10:00:00Z"] == pd.Timestamp("2024-01-05 10:00") and pd.isna(alone["now"])


def test_moments_with_and_without_a_zone_are_said():
    guess = look("at", ["2024-01-05T10:00:%02d" % i + ("Z", "", "+01:00")[i % 3] for i in range(60)])
    assert guess.column.type == "datetime" and "name no zone" in " ".join(guess.doubts)
    assert not look("at", [f"2024-01-05T10:00:{i:02d}+01:00" for i in range(60)]).doubts


@pytest.mark.parametrize("sentinel, scale", [("-999", 1), ("-9999", 15), ("-999.9", 10), ("-99.9", 9), ("9999", 40), ("-999.90", 3)])
def test_nines_far_from_all_others_are_asked_about(sentinel, scale):
    draws = np.random.default_rng(0).normal(size=200)*scale
    doubts = " ".join(look("x", [sentinel if i % 5 == 0 else f"{value:.3f}" for i, value in enumerate(draws)]).doubts)
    assert f"--missing x={sentinel}" in doubts
    assert "--missing" not in " ".join(look("x", [f"{value:.3f}" for value in draws]).doubts)


def test_two_kinds_of_nines_do_not_hide_each_other():
    doubts = " ".join(look("x", [(-999, -9999, i % 37, i % 11, i % 5)[i % 5] for i in range(200)]).doubts)
    assert "--missing x=-999." in doubts + "." and "--missing x=-9999" in doubts


@pytest.mark.parametrize("name, first, step, format", [("timestamp", 1_700_000_000, 3700, "unix"), ("created_at", 1_700_000_000_000, 3_700_000, "unix_ms"), ("ymd", 20230101, 1, "%Y%m%d")])
def test_a_count_that_could_be_moments_is_left_out_with_the_way_back(name, first, step, format):
    values = [first + step*i for i in range(28)]
    guess = look(name, values)
    assert f"--date-format {name}={format}" in guess.column.reason
    if format != "%Y%m%d": assert as_said(guess, pa.array([str(value) for value in values]), {"type": "datetime"}).column.format == format


@pytest.mark.parametrize("values", [["2023%02d%02d" % (m, d) for m in range(1, 9) for d in range(1, 28)], [f"{i % 5}:{i*7 % 60:02d}:{i % 60:02d}" for i in range(80)], [("2024-01-%02d", "%02d.03.2024", "%02d March 2024")[i % 3] % (i % 28 + 1) for i in range(80)],
                                    [f"{i % 28 + 1}. {('Januar', 'März', 'Mai', 'Dezember')[i % 4]} 2024" for i in range(80)], [f"{i % 28 + 1} {('janvier', 'février', 'août')[i % 3]} 2024" for i in range(80)], [f"2023-02-{28 + i % 4}" for i in range(40)], ["".join(chr(0x660 + int(digit)) for digit in str(i*7 % 91)) for i in range(80)]])
def test_moments_and_numbers_that_are_not_read_are_said(values):
    guess = look("x", values)
    assert guess.column.type != "datetime" and ("like dates" in " ".join(guess.doubts) or "like times" in " ".join(guess.doubts) or "other digits" in " ".join(guess.doubts) or "eight digits" in " ".join(guess.doubts))


def test_words_spelled_in_several_ways_are_said():
    from fashion_mlops.tables.adding import target_classes
    assert "'YES', 'Yes', 'yes'" in target_classes(pa.array(["Yes", "YES", "yes", "no", "No", "n"]*20), "ok", ".")[1][0]
    assert "u200b" in " ".join(look("town", ["Bonn", "Bonn\u200b", "Paris", "paris", "Rome"]*9).doubts)
    assert not look("town", ["Bonn", "Paris", "Rome"]*9).doubts


def test_a_decimal_mark_with_an_exponent_is_one():
    from fashion_mlops.tables.column_kinds import Guess
    from fashion_mlops.samples.columns import Column
    from fashion_mlops.tables.reading_options import mark_doubts
    assert not mark_doubts([look("s", ["6.674e+04", "1.234e+03"]*9)])
    assert "divides thousands: --decimal s=," in mark_doubts([Guess(Column("s", "numeric"), either=("66740.125", "66,740.125"))])[0]
    assert "is a decimal mark: --decimal s=." in mark_doubts([Guess(Column("s", "numeric"), either=("1.200", "1,200"))])[0]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"home"))
    return tmp_path


def added(home, content, *words, target="ok"):
    "What `dataset add` makes of a file: description, doubts, frame."
    from fashion_mlops.datasets.commands import add_parser
    from fashion_mlops.tables.adding import describe
    from fashion_mlops.datasets.description import described, load_dataset, read_dataset_file, write_dataset_file
    from functools import partial
    import argparse
    path = home/"shop.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    top = argparse.ArgumentParser(); add_parser(top.add_subparsers())
    asked = top.parse_args(["dataset", "add", "file", *words])
    asked.target = target
    about, doubts = describe(path, asked, partial(described, "shop", kind="table", path=str(path)))
    about = read_dataset_file(write_dataset_file(about))
    return about, " ".join(doubts), load_dataset(about).inputs


def rows(line, n=60):
    return "\n".join(line(i, ("p", "q", "q")[i*i % 3]) for i in range(n)) + "\n"


@pytest.mark.parametrize("head, line, words", [
    ("id, name, age, ok", lambda i, ok: f'{i}, "Smith, J{i % 7}", {i % 50}, {ok}', ()),
    ("id, name, age, ok", lambda i, ok: f'{i}, "Smith, J{i % 7}", {i % 50}, {ok}' if i % 3 else f'{i}, SmithJ{i % 7}, {i % 50}, {ok}', ()),
    ("id,name,age,ok", lambda i, ok: rf'{i},"Smith, \"J{i % 7}\", x",{i % 50},{ok}', ()),
    ("id, name, age, ok", lambda i, ok: rf'{i}, "Smith, \"J{i % 7}\", x", {i % 50}, {ok}', ()),
    ("id,name,age,ok", lambda i, ok: f"{i},'Smith, J{i % 7}',{i % 50},{ok}", ("--quote-sign", "'")),
    ("id\tname\tage\tok", lambda i, ok: f'{i}\t "Smith\tJ{i % 7}"\t{i % 50}\t{ok}', ()),
    ("id,name,age,ok", lambda i, ok: f'{i},"Smith, ""J{i % 7}"" C:\\",{i % 50},{ok}', ()),
])
def test_no_column_takes_the_values_of_its_neighbour(home, head, line, words):
    _, _, frame = added(home, head + "\n" + rows(line), *words)
    assert frame["age"].tolist() == [i % 50 for i in range(60)] and 7 <= frame["name"].nunique() <= 14 and frame["name"].astype(str).str.startswith("Smith").all()


@pytest.mark.parametrize("line", [lambda i, ok: f"{i % 13},{i*7 % 100},{i % 5},{ok}", lambda i, ok: f"{i},'Smith, J',{ok}", lambda i, ok: f"{max(i, 401)},{i*7 % 100},{i % 5},{ok}"])
def test_a_field_too_many_that_is_no_row_name_is_refused(home, line):
    from fashion_mlops.core import WorkflowError
    with pytest.raises(WorkflowError, match="(4 fields and line 1 has 3 names|one field more).*write it into"): added(home, "a,b,ok\n" + rows(line, 900))
    _, doubts, frame = added(home, "a,b,ok\n" + rows(lambda i, ok: f'"r{i}",{i*7 % 100},{i % 5},{ok}'))
    assert frame["a"].tolist() == [i*7 % 100 for i in range(60)] and "name of the row" in doubts


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_an_encoding_that_is_said_is_obeyed(home, encoding, capsys):
    from fashion_mlops import cli
    (home/"town.csv").write_bytes(b"a,town,ok\n" + b"\n".join(b"%d,%s,%s" % (i*7 % 11, "Köln".encode("cp1252" if i == 30 else "utf-8"), (b"p", b"q", b"q")[i*i % 3]) for i in range(60)))
    assert cli.main(["dataset", "add", str(home/"town.csv"), "--target", "ok"]) == 2 and r"K\xf6ln" in (said := capsys.readouterr().err) and r"\\" not in said
    assert cli.main(["dataset", "add", str(home/"town.csv"), "--target", "ok", "--encoding", encoding]) == 0


def test_names_that_are_given_twice_are_all_said(home):
    _, doubts, _ = added(home, "a,a, a ,ok,ok\n" + rows(lambda i, ok: f"{i*7 % 11}.5,{i*5 % 13},{i*11 % 17},{ok},{'x' if i % 2 else 'y'}"))
    assert "a_2, a_3, ok_2" in doubts and "Several columns are called 'ok'" in doubts


ODD = ["", ";;", "\n", '"', "\0", "§", "=", "a=", "=a", "a=b", "nan", "-1", "0", "1e9", "utf-9", "%", "a=%", "a=%Q", "a=\udcff", "ok=numeric", "a=datetime", "a=boolean", "a=ordinal", "a=,", "a=..", "é", "base64", "idna", "hex", "undefined", "punycode", "utf-7"]
OPTIONS = ["--encoding", "--delimiter", "--decimal", "--header", "--quote-sign", "--escape", "--missing", "--type", "--date-format", "--levels", "--leave-out", "--target", "--at-least", "--below", "--positive", "--split-column", "--name", "--licence", "--costs"]


@pytest.mark.parametrize("option", OPTIONS)
def test_no_value_of_an_option_ends_in_a_traceback(home, option, capsys):
    from fashion_mlops import cli
    (home/"t.csv").write_text("a,b,ok\n" + rows(lambda i, ok: f"{i*7 % 11}.5,w{i % 3},{ok}"))
    for value in ODD:
        words = [f"{option}={value}", *([] if option == "--target" else ["--target", "ok"])]
        if option == "--costs": words = ["--costs", value, "1", "--target", "ok"]
        try: code = cli.main(["dataset", "add", str(home/"t.csv"), "--replace", *words])
        except SystemExit as end: code = end.code
        assert code in (0, 2), (option, value)
        assert "Traceback" not in capsys.readouterr().err


def test_small_words_that_were_missing(home, capsys):
    from fashion_mlops import cli
    from fashion_mlops.core import WorkflowError
    from fashion_mlops.datasets.description import described
    path = home/"t.xlsx"
    path.write_text("a,b,when,ok\n" + rows(lambda i, ok: f"{i*7 % 11}.5,{('да', 'нет')[i*i % 2]},2024-01-01,{ok}"))
    assert cli.main(["dataset", "add", str(path), "--target", "ok"]) == 0
    said = capsys.readouterr().out
    assert "rows of 2 columns (of the 4 in the file)" in said and "although its name says otherwise" in said and "boolean: b" in said
    assert cli.main(["dataset", "add", str(path), "--target", "ok", "--replace", "--split", "time", "--split-column", "when"]) == 2 and "the same in every row" in capsys.readouterr().err
    with pytest.raises(WorkflowError, match="empty leave_out"): described("t", kind="table", path="t.csv", target={"column": "ok", "classes": ["p", "q"]}, columns={"a": {"type": "numeric", "leave_out": None}, "b": "numeric"})
    with pytest.raises(WorkflowError, match=r"Did you mean numeric\?$"): described("t", kind="table", path="t.csv", target={"column": "ok", "classes": ["p", "q"]}, columns={"a": "numerc"})
