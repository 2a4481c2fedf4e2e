"""Tables as people have them: whatever program wrote a table, the same columns come in, and every assumption is said with a way to correct it."""
import argparse
import gzip
import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fashion_mlops.core import WorkflowError
from fashion_mlops.datasets.commands import add_parser
from fashion_mlops.tables.adding import describe
from fashion_mlops.datasets.description import described, load_dataset, read_dataset_file, write_dataset_file


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"home"))
    return tmp_path


def options(target, *words):
    top = argparse.ArgumentParser(); add_parser(top.add_subparsers())
    return top.parse_args(["dataset", "add", "file", *(["--target", target] if target else []), *words])


def added(path, *words, target="kept"):
    "What `dataset add` makes of a file: dataset file (written and read again), doubts, frame, labels as class names."
    about, doubts = describe(Path(path), options(target, *words), partial(described, "shop", kind="table", path=str(path)))
    about = read_dataset_file(write_dataset_file(about))
    loaded = load_dataset(about)
    return about, doubts, loaded.inputs, [loaded.classes[label] for label in loaded.labels]


def file(home, content, name="shop.csv"):
    path = home/name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def column(home, values, name="x", words=(), quote=False, rows=None):
    "A table of one interesting column, added: the column's description, doubts about it, its values."
    lines = [f"{name}\tother\tkept"] + [f"{value}\t{i % 7}.5\t{('yes', 'no', 'no')[i*i % 3]}" for i, value in enumerate(values)]
    about, doubts, frame, _ = added(file(home, "\n".join(lines) + "\n", "one.tsv"), *words)
    found = next(c for c in about.columns if c.name == name)
    return found, " ".join(doubts), frame[name] if name in frame else None


def good(n=80):
    "A well-behaved table, with what the programs of the world spell differently."
    draws = np.random.default_rng(0)
    return pd.DataFrame({"price": draws.integers(100, 900_000, n)/100, "count": draws.integers(0, 40, n), "city": draws.choice(["Köln", "Gräfenberg", "Orléans"], n),
                         "lat": draws.uniform(47, 50, n).round(4), "lon": draws.uniform(6, 12, n).round(4), "note": draws.choice(["fine", "bent, a bit", 'said "ok"'], n), "day": pd.date_range("2024-01-30", periods=n, freq="D"), "kept": draws.choice(["yes", "no"], n)})


def as_spreadsheet(frame, path):
    "As a spreadsheet of the continent writes: semicolons, decimal commas, thousands, Windows letters and line ends."
    german = frame.assign(price=[f"{v:,.2f}".translate(str.maketrans(",.", ".,")) for v in frame.price], day=frame.day.dt.strftime("%d.%m.%Y"))
    path.write_bytes(("sep=;\r\n" + german.to_csv(sep=";", decimal=",", index=False, lineterminator="\r\n")).encode("cp1252"))


def as_old_mac(frame, path):
    path.write_bytes(frame.to_csv(index=False, lineterminator="\r").encode("mac_roman"))


WRITERS = {
    "pandas": lambda frame, path: frame.to_csv(path),
    "spreadsheet": as_spreadsheet,
    "old Mac": as_old_mac,
    "parquet": lambda frame, path: frame.to_parquet(path.with_suffix(".parquet")),
    "logger": lambda frame, path: path.write_text("# unit 3, site 7\n#\n\n" + frame.to_csv(index=False, sep="\t")),
    "UTF-16 of Excel": lambda frame, path: path.write_bytes(frame.to_csv(index=False, sep="\t").encode("utf-16")),
    "R": lambda frame, path: path.write_text(frame.to_csv(index=True, quoting=2).replace('"",', "", 1)),
    "MySQL": lambda frame, path: path.write_text(frame.to_csv(index=False, sep="\t", na_rep=r"\N")),
    "American": lambda frame, path: frame.assign(price=[f"${v:,.2f}" for v in frame.price], day=frame.day.dt.strftime("%m/%d/%Y %I:%M:%S %p")).to_csv(path, index=False),
    "line end in the header": lambda frame, path: path.write_text(frame.rename(columns={"price": "price\n"}).to_csv(index=False)),
    "zipped": lambda frame, path: path.with_suffix(".csv.gz").write_bytes(gzip.compress(frame.to_csv(index=False).encode())),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_the_same_table_reads_the_same_whoever_wrote_it(home, writer):
    frame = good()
    WRITERS[writer](frame, home/"shop.csv")
    about, _, read, labels = added(next(p for p in home.iterdir() if p.name.startswith("shop")))
    assert {c.name: c.type for c in about.columns if c.use} == {"price": "numeric", "count": "numeric", "city": "category", "note": "category", "day": "datetime", "lat": "latitude", "lon": "longitude"}
    assert np.allclose(read["price"], frame["price"]) and np.allclose(read["lat"], frame["lat"]) and read["count"].tolist() == frame["count"].tolist() and labels == frame["kept"].tolist()
    assert (read["day"].to_numpy() == frame["day"].to_numpy()).all() and read["note"].tolist() == frame["note"].tolist() and read["city"].tolist() == frame["city"].tolist()


def test_a_shuffled_order_of_columns_and_rows_changes_no_type(home):
    frame, draws = good().assign(ambiguous=[f"{i}.{(i*37) % 1000:03d}" for i in range(1, 81)], tax=[f"{i},5" for i in range(80)]), np.random.default_rng(1)
    seen = []
    for _ in range(3):
        frame.sample(frac=1, random_state=3)[list(draws.permutation(frame.columns))].to_csv(home/"shop.csv", index=False, sep=";")
        seen.append({c.name: (c.type, c.use, c.decimal, c.format) for c in added(home/"shop.csv")[0].columns})
    assert seen[0] == seen[1] == seen[2] and seen[0]["lat"][0] == "latitude"


def test_columns_divided_by_runs_of_blanks(home):
    lines = [f"{i:6}.5   {i*7 % 19:4}  {('yes', 'no', 'no')[i*i % 3]}" for i in range(60)]
    about, _, read, _ = added(file(home, "load  age   kept\n" + "\n".join(lines), "shop.data"))
    assert about.format.delimiter == " " and read["load"].tolist() == [i + 0.5 for i in range(60)]


@pytest.mark.parametrize("encoding, word", [("cp1251", "Москва"), ("koi8_r", "Москва"), ("gb18030", "北京"), ("cp932", "東京"), ("cp949", "서울"), ("cp1250", "Plzeň"), ("cp1253", "Θεσσαλονίκη"), ("utf-16-le", "Köln"), ("utf-8-sig", "Köln")])
def test_encodings_are_found_and_said(home, encoding, word):
    other = {"cp1251": "Казань", "koi8_r": "Казань", "gb18030": "上海", "cp932": "大阪へ", "cp949": "부산시", "cp1250": "Říčany", "cp1253": "Αθήνα"}.get(encoding, "Öl")
    text = "city,kept\n" + "\n".join(f"{(word, other)[i*7 % 5 % 2]},{('yes', 'no', 'no')[i*i % 3]}" for i in range(60))
    about, doubts, read, _ = added(file(home, text.encode(encoding)))
    assert set(read["city"]) == {word, other}
    assert encoding.startswith("utf") or "--encoding" in " ".join(doubts)
    assert set(added(home/"shop.csv", "--encoding", encoding)[2]["city"]) == {word, other}


def test_rows_swallowed_by_a_stray_quotation_mark_come_back(home):
    lines = [f"p{i % 3}\tfine\t{i}.5\t{('yes', 'no')[i % 2]}" for i in range(60)]
    lines[9], lines[12], lines[40] = 'p0\t"rust at rim\t9.5\tno', 'p0\t"bent\t12.5\tyes', 'p1\t5" pipe\t40.5\tyes'
    about, doubts, read, labels = added(file(home, "part\tnote\tload\tkept\n" + "\n".join(lines), "shop.tsv"))
    assert len(read) == 60 and not about.format.quotes and "--quotes" in " ".join(doubts) and read["load"].tolist() == [i + 0.5 for i in range(60)]


def test_real_texts_of_several_lines_stay_whole(home):
    lines = [f'p{i % 3},"Dear sir,\nthis is letter {i}, as ever, of many words\n",{i}.5,{("yes", "no")[i % 2]}' for i in range(60)]
    about, _, read, _ = added(file(home, "part,letter,load,kept\n" + "\n".join(lines)))
    assert len(read) == 60 and about.format.quotes and read["letter"].str.contains("\n").all()


@pytest.mark.parametrize("values, type, first", [
    ([f"({i},{i:03d}.50)" for i in range(1, 61)], "numeric", -1001.5), ([f"-${i*i}.00" for i in range(1, 61)], "numeric", -1), ([f"{i} {i*i % 997:03d}" for i in range(1, 61)], "numeric", 1001),
    ([f"{i}\u202f{i:03d},5" for i in range(1, 61)], "numeric", 1001.5), ([f"{i}'{i*i % 997:03d}" for i in range(1, 61)], "numeric", 1001), ([f"{i}.5-" for i in range(1, 61)], "numeric", -1.5),
    ([f"{i},{i*i % 97:02d},000" for i in range(10, 70)], "numeric", 1003000), ([f"{i}.5 EUR" for i in range(1, 61)], "numeric", 1.5), ([f"−{i}" for i in [*range(3, 62), 1]], "numeric", -3),
    ([f"{i*7 % 61} %" for i in range(1, 61)], "numeric", 7), ([f"{i*7 % 61}.25e-3" for i in range(1, 61)], "numeric", 0.00725),
])
def test_amounts_of_other_conventions_are_numbers(home, values, type, first):
    found, _, read = column(home, values)
    assert found.type == type and read[0] == pytest.approx(first) and read.notna().all()


def test_the_decimal_mark_is_that_of_the_column(home):
    lines = ["price;gps;three;kept"] + [f"{i},5;{47 + i/1000:.3f}{'9' if i == 5 else ''};{i}.{i*37 % 1000:03d};{('yes', 'no', 'no')[i*i % 3]}" for i in range(1, 61)]
    about, doubts, read, _ = added(file(home, "\n".join(lines)))
    assert about.format.decimal == "," and read["price"][0] == 1.5 and read["gps"].between(47, 48).all() and read["three"][0] == 1.037
    assert "--decimal three=," in " ".join(doubts) and "--decimal gps" not in " ".join(doubts)
    assert added(home/"shop.csv", "--decimal", "three=,")[2]["three"][0] == 1037


@pytest.mark.parametrize("values, missing", [
    (["1.7976931348623157e+308", *map(str, range(60))], 1), (["-1.797e308", "inf", *map(str, range(59))], 2), (["9.969209968386869e+36", "9.969209968386869e+36", *(f"{i}.5" for i in range(60))], 2),
    (["", " ", r"\N", "NA", "?", "-", "None", *map(str, range(60))], 7), (["", *[f"{i}.5" for i in range(59)], "n/k"], 2), (["#DIV/0!", "1e999", *map(str, range(60))], 2)])
def test_what_is_no_amount_among_numbers_is_missing_and_said(home, values, missing):
    found, doubts, read = column(home, values)
    assert found.type == "numeric" and read.isna().sum() == missing and "missing" in doubts


def test_eleven_blanks_leave_no_column_out(home):
    found, doubts, read = column(home, [" " if i % 60 == 7 else f"{i*7 % 613}.5" for i in range(660)])
    assert found.use and read.isna().sum() == 11 and "blank cells in x (11 rows)" in doubts


def test_words_for_nothing_stay_words_among_words(home):
    found, doubts, read = column(home, [("None", "Paint", "NA", "?")[i % 4] for i in range(80)])
    assert found.type == "category" and set(read.dropna()) == {"None", "Paint", "NA"} and "--missing COLUMN=WORD" in doubts
    assert set(column(home, [("None", "Paint", "NA", "?")[i % 4] for i in range(80)], words=("--missing", "x=None"))[2].dropna()) == {"Paint", "NA", "?"}
    graded, _, read = column(home, [("none", "low", "medium", "high")[i % 4] for i in range(80)])
    assert graded.type == "ordinal" and read.cat.categories.tolist() == ["none", "low", "medium", "high"] and read.notna().all()


def test_a_class_called_none_is_a_class(home):
    text = "size,kept\n" + "\n".join(f"{i % 9}.5,{('None', 'Minor', 'NA')[i % 3]}" for i in range(90))
    assert {*added(file(home, text))[3]} == {"None", "Minor", "NA"}
    assert {*added(home/"shop.csv", "--missing", "kept=NA")[3]} == {"None", "Minor"}


@pytest.mark.parametrize("name, values, types", [
    ("session", [str(716277643516076035 + i % 20) for i in range(80)], {"category"}), ("tweet", [str(716277643516076035 + i*i) for i in range(80)], {"identifier"}), ("CustomerID", [str(10_000 + i*7919 % 80_000) for i in range(80)], {"identifier"}),
    ("Customer Id", [str(10_000 + i % 20) for i in range(80)], {"category"}), ("ZipCode", [f"{i*31 % 37 + 1000:05d}" for i in range(80)], {"category"}), ("branch", [f"{i % 30:04d}" for i in range(80)], {"category"}),
    ("latency_ms", [f"{i}.5" for i in range(80)], {"numeric"}), ("long_calls", [f"{i}.25" for i in range(80)], {"numeric"}), ("paid", [str(i*7 % 61) for i in range(80)], {"numeric"}), ("year", [str(1900 + i*7 % 100) for i in range(80)], {"numeric"}),
    ("ts", [str(1_700_000_000 + i*i) for i in range(80)], {"numeric"}), ("candidate", [str(20_250_101 + i % 28) for i in range(80)], {"numeric"}), ("birth_date", [str(20_250_101 + i % 28) for i in range(80)], {"datetime"})])
def test_types_come_from_values_and_whole_words(home, name, values, types):
    assert column(home, values, name)[0].type in types


@pytest.mark.parametrize("spell, format", [("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M:%S %p"), ("%Y-%m-%d %H:%M:%S UTC", ""), ("%Y-%m-%dT%H:%M:%SZ", ""), ("%Y-%m-%dT%H:%M:%S+00:00", ""), ("%d %b %Y, %H:%M", "%d %b %Y, %H:%M"),
                                           ("%a, %d %b %Y %H:%M:%S +0000", "%a, %d %b %Y %H:%M:%S %z"), ("%d/%b/%Y:%H:%M:%S +0000", "%d/%b/%Y:%H:%M:%S %z"), ("%d-%b-%y", "%d-%b-%y"), ("%Y%m%d%H%M%S", None), ("%Y-%m", ""), ("%b %Y", "%b %Y"), ("%m/%d/%y %I:%M %p", "%m/%d/%y %I:%M %p")])
def test_moments_as_programs_write_them(home, spell, format):
    days = pd.date_range("2023-01-28 13:05:00", periods=60, freq="37h") if "%M" in spell else pd.date_range("2023-01-28", periods=60, freq="40D")
    found, _, read = column(home, [day.strftime(spell) for day in days], "when")
    if format is None: assert found.use
    else: assert (found.type, found.format) == ("datetime", format) and (read.dt.strftime(spell.replace(" UTC", "")) == [day.strftime(spell.replace(" UTC", "")) for day in days]).all()


@pytest.mark.parametrize("sentinel, few", [("9999-12-31", True), ("9999-12-31", False), ("0001-01-01", False), ("1900-01-01", False), ("0000-00-00", True), ("ongoing", False), ("2262-12-31", True)])
def test_dates_that_mean_none_are_missing_and_no_dead_end(home, sentinel, few):
    values = [sentinel if i % (20 if few else 3) == 0 else f"20{10 + i % 9}-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(90)]
    found, doubts, read = column(home, values, "end")
    assert found.type == "datetime" and found.use and read.isna().sum() == values.count(sentinel) and sentinel in doubts


def test_fractions_of_a_second_come_and_go(home):
    found, _, read = column(home, [f"03.0{1 + i % 9}.2024 04:05:{i % 50:02d}{('', '.5', ',123')[i % 3]}" for i in range(60)], "at")
    assert found.type == "datetime" and read.notna().all() and read.dt.microsecond.tolist()[:3] == [0, 500_000, 123_000]


def test_a_request_knows_the_same_missing_values(home):
    from fashion_mlops.samples.values import typed
    found, _, _ = column(home, ["9.969209968386869e+36", *(f"{i}.5" for i in range(60))])
    assert typed(pd.Series([1.5, 9.969209968386869e36]), found).isna().tolist() == [False, True]


def test_a_parquet_file_with_the_year_9999(home):
    import datetime
    days = [datetime.date(9999, 12, 31) if i % 9 == 0 else datetime.date(2020, 1 + i % 12, 3) for i in range(90)]
    pd.DataFrame({"end": days, "load": np.arange(90)*1.5, "kept": ["yes", "no", "no"]*30}).to_parquet(home/"shop.parquet")
    about, _, read, _ = added(home/"shop.parquet")
    assert about.columns[0].type == "datetime" and read["end"].isna().sum() == 10


@pytest.mark.parametrize("text, names", [
    ("size,,size\n", ["size", "column_2", "size_2"]), ('"size\n(cm)", b ,c\n', ["size (cm)", "b", "c"]), ("#size,b,c\n", ["size", "b", "c"]), ("Report of May,,\n\nsize,b,c\n", ["size", "b", "c"]), ("", ["column_1", "column_2", "column_3"])])
def test_headers_as_they_come(home, text, names):
    rows = "".join(f"{i*7 % 11}.5,{i*3 % 17}.25,{('yes', 'no', 'no')[i*i % 3]}\n" for i in range(60))
    about, doubts, read, _ = added(file(home, text + rows), target=names[-1])
    assert [c.name for c in about.columns] == names and len(read) == 60
    assert added(home/"shop.csv", "--no-header", target="column_3")[0].columns[0].name == "column_1" if not text else True


def test_years_as_names_are_names(home):
    text = "country,1960,1961,1962,kept\n" + "".join(f"c{i % 9},{i*7 % 11},{i*3 % 17},{i*5 % 19},{('yes', 'no', 'no')[i*i % 3]}\n" for i in range(60))
    assert [c.name for c in added(file(home, text))[0].columns][1:4] == ["1960", "1961", "1962"]


def test_what_cannot_be_used_is_left_out_and_the_file_is_written(home):
    rows = [f"{i}.5,{f'2025-01-{1 + i % 28:02d}' if i % 2 else f'{13 + i % 15}.01.2025'},{('yes', 'no')[i % 2]}" for i in range(60)] + ["1,2,3,4"]
    about, doubts, read, _ = added(file(home, "load,day,kept\n" + "\n".join(rows)))
    assert not about.columns[1].use and "two ways" in about.columns[1].reason and about.format.bad_lines == "skip" and "left out: 1," in " ".join(doubts) and len(read) == 60
    assert not added(home/"shop.csv", "--leave-out", "day", "--type", "load=category")[0].columns[1].use
    with pytest.raises(WorkflowError, match="Did you mean load"): added(home/"shop.csv", "--leave-out", "laod")


ADVISED = {"x=y": lambda i: ("NA", "fine", "bent")[i % 3], "ts": lambda i: 1_700_000_000 + i*i, "day": lambda i: f"0{1 + i % 9}/0{1 + i*7 % 9}/2024", "three": lambda i: f"{1 + i}.{i*37 % 1000:03d}", "size": lambda i: "SML"[i % 3],
           "grade": lambda i: i % 5, "height cm": lambda i: -999 if i % 9 == 0 else i % 40, "weight": lambda i: f"{i % 70} kg", "end": lambda i: "9999-12-31" if i % 4 == 0 else f"20{10 + i % 80}-05-05", "": lambda i: f"{i % 11}.5", "branch": lambda i: f"{i % 30:04d}",
           "two ways": lambda i: f"2024-01-{13 + i % 9}" if i % 2 else f"{13 + i % 9}.01.2024", "odd": lambda i: "n/k" if i == 7 else i*i}


def test_every_advice_that_is_printed_can_be_followed(home):
    import shlex
    lines = [",".join([*ADVISED, "kept"])] + [",".join([*(str(make(i)) for make in ADVISED.values()), ("yes", "no", "no")[i*i % 3]]) for i in range(210)]
    path = file(home, "\n".join(lines))
    doubts, followed = added(path)[1], 0
    for option, said in re.findall(r"(--(?:missing|type|decimal|date-format|levels|leave-out)) ((?:'[^']*'|[^\s.;]|\.(?=\S))+)", " ".join(doubts)):
        said = shlex.split(said)[0]
        if "WORD" in said: continue
        followed += 1
        assert added(path, option, said)[0].columns, (option, said)
    assert followed >= 10, doubts


@pytest.mark.parametrize("seed", range(4))
def test_no_table_ends_in_a_traceback(home, seed):
    import csv, random
    draw, values = random.Random(seed), ["", "NA", "None", "-", "0", "1", "-999", "1,5", "1.500", "2024-01-05", "05.01.2024", "9999-12-31", "0000-00-00", "1.797e308", "inf", "$(5.00)", "12-", "007", str(2**60 + 1), "yes", "low", "x y z", "é", "a=b", "5%", "12:30", "1e400", "\u202e", '"', "'", "\n", "\\N", "<b>", "5 kg"]
    for number in range(6):
        kinds = [draw.sample(values, draw.randint(1, 6)) for _ in range(5)]
        rows = [[*(draw.choice([str(i*i % 997), *kind]) for kind in kinds), ("yes", "no", "no")[i*i % 3]] for i in range(70)]
        with (home/f"t{number}.csv").open("w", newline="") as stream: csv.writer(stream, delimiter=draw.choice(",;\t")).writerows([["a", "Customer ID", "date", "lat", "e e", "kept"], *rows])
        about, _, read, _ = added(home/f"t{number}.csv")
        assert len(read) == 70 and any(column.use for column in about.columns)


def test_a_dataset_is_described_anew(home, capsys):
    from fashion_mlops import cli
    path = file(home, good().to_csv(index=False))
    words = ["dataset", "add", str(path), "--target", "kept"]
    assert cli.main(words) == 0 and cli.main(words) == 2 and "--replace" in capsys.readouterr().err
    assert cli.main([*words, "--replace", "--type", "count=category"]) == 0
    assert next(c for c in read_dataset_file(home/"home"/"data"/"datasets"/"shop.yaml").columns if c.name == "count").type == "category"


def test_every_option_that_a_message_names_exists():
    import ast
    import importlib
    from fashion_mlops import cli
    known = set(re.findall(r"--[a-z][a-z-]+", " ".join(each for parser in _parsers(cli.parser()) for each in parser._option_string_actions)))
    named = set()
    for module in ("samples.table_files", "samples.table_layout", "samples.text_encoding", "samples.values", "samples.amounts", "samples.moments", "tables.column_kinds", "tables.column_types", "tables.reading_options", "datasets.commands", "tables.adding", "tables.split_suggestions", "images.sources", "tables.sources", "datasets.description"):
        for node in ast.walk(ast.parse(Path(importlib.import_module(f"fashion_mlops.{module}").__file__).read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str): named |= {(module, word) for word in re.findall(r"(?<![\w-])--[a-z][a-z-]+", node.value)}
    assert named and not {(module, word) for module, word in named if word not in known}


def _parsers(top):
    "A parser and those below it."
    found, more = [], [top]
    while more:
        found.append(parser := more.pop())
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction): more.extend(action.choices.values())
    return found
