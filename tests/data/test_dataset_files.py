"""What dataset files say, and what hostile or mistaken ones are told: a sentence for each mistake, and nothing is written where it does not belong."""
import hashlib

import pytest
import yaml

from fashion_mlops import cli
from fashion_mlops.core import WorkflowError
from fashion_mlops.datasets.catalogue import make_samples
from fashion_mlops.datasets.description import described, read_dataset_file, write_dataset_file
from fashion_mlops.samples.sources import Source, raw_path

TABLE = {"kind": "table", "path": "shop.csv", "target": {"column": "kept", "classes": ["no", "yes"]}, "columns": {"size": "numeric", "colour": "category"}}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"home"))
    monkeypatch.setenv("FASHION_MLOPS_MIRROR", "")
    (tmp_path/"home"/"data"/"datasets").mkdir(parents=True)
    lines = ["size,colour,price,kept"] + [f"{i % 7}.5,{('red', 'blue', 'green')[i % 3]},{100 + i},{('yes', 'no', 'no')[i*i % 3]}" for i in range(90)]
    (tmp_path/"home"/"shop.csv").write_text("\n".join(lines) + "\n")
    return tmp_path/"home"


def said(home, capsys, text) -> str:
    "What `dataset check` says to a file, which may be text or data; always sentences."
    (home/"data"/"datasets"/"mine.yaml").write_text(text if isinstance(text, str) else yaml.safe_dump(text))
    code = cli.main(["dataset", "check", "mine"])
    out, error = capsys.readouterr()
    assert code == (2 if error else 0) and "Traceback" not in error, error
    return error


@pytest.mark.parametrize("change, words", [
    ({"split": "time"}, "split is 'time'; expected a mapping, such as split: {by: time, column: when}"),
    ({"target": "kept"}, "target is 'kept'; expected a mapping"),
    ({"target": {"column": "kept"}}, "at least two classes, and names 0"),
    ({"target": {"column": "kept", "classes": ["no", "no"]}}, "stands there twice"),
    ({"target": {"column": "price", "at_least": 1, "below": 2, "classes": ["a", "b"]}}, "exclude each other"),
    ({"target": {"column": "price", "below": "many", "classes": ["a", "b"]}}, "target: below is 'many'; expected a number"),
    ({"columns": ["size", "colour"]}, "expected a mapping with a line for each column"),
    ({"columns": {"size": ["numeric"]}}, "column 'size': type is ['numeric']"),
    ({"columns": {"size": {"typ": "numeric"}}}, "column 'size' has the key 'typ'. Did you mean type?"),
    ({"columns": {"size": {"leave_out": "why"}}}, "column 'size' has no type"),
    ({"columns": {"size": {"type": "ordinal", "levels": "S"}}}, "column 'size': levels is 'S'"),
    ({"columns": {"size": "numeric", "kept": "boolean"}}, "column 'kept' is the target, and no model may see it"),
    ({"rows": [{"is": "red"}]}, "rows, number 1 has no column"),
    ({"rows": [{"column": "colour"}]}, "a rule has one test, and this one has 0"),
    ({"rows": [{"column": "colour", "iss": "red"}]}, "Did you mean is?"),
    ({"rows": {"column": "colour", "is": "red"}}, "rows is {"),
    ({"costs": {"false_positiv": 1}}, "Did you mean false_positive?"),
    ({"costs": {"false_positive": -1}}, "false_positive is '-1'; expected a number from 0"),
    ({"costs": {"false_positive": 0, "false_negative": 0}}, "both costs are 0"),
    ({"costs": {"false_positive": ".nan"}}, "false_positive is '.nan'; expected a number from 0"),
    ({"costs": [1, 3]}, "costs is ['1', '3']; expected a mapping"),
    ({"floor": 80}, "floor is '80'; expected an accuracy from 0 to 1"),
    ({"strict": "sometimes"}, "strict is 'sometimes'; expected true"),
    ({"format": {"delimitr": ";"}}, "Did you mean delimiter?"),
    ({"split": {"by": "group", "column": "customer"}}, "no column 'customer'"),
    ({"split": {"by": "time", "column": "colour"}}, "needs a datetime or numeric column, and 'colour' is category"),
    ({"split": {"by": "class", "column": "colour"}}, "a split by class takes no column"),
    ({"path": ""}, "names no file"),
    ({"path": "data"}, "is a folder; expected a file"),
    ({"kind": "image"}, "it has no images"),
    ({"images": {"layout": "npz", "shape": [8, 8]}}, "images are for kind: image"),
    ({"name": "other"}, "rename the file instead"),
    ({"kind": "image", "target": {}, "columns": {}, "images": {"layout": "class_folders"}}, "images has no shape"),
    ({"kind": "image", "target": {}, "columns": {}, "images": {"layout": "class_folders", "shape": [28, "wide"]}}, "shape, number 2 is 'wide'"),
    ({"kind": "image", "target": {}, "columns": {}, "images": {"layout": "csv", "shape": [28, 28]}}, "columns belong to the layout csv"),
])
def test_a_mistake_is_a_sentence_with_key_value_and_way_out(home, capsys, change, words):
    assert words in said(home, capsys, {**TABLE, **change})


def test_all_mistakes_are_told_at_once_and_a_good_file_passes(home, capsys):
    assert said(home, capsys, TABLE) == ""
    error = said(home, capsys, {**TABLE, "kind": "tabel", "splitt": 1, "floor": "high", "costs": {"miss": 3}})
    assert error.count("mine.yaml:") == 4 and error.count("\n") == 4


@pytest.mark.parametrize("text, words", [("kind: [", "cannot be read as YAML"), ("just words", "is not a mapping"), ("kind: table\nkind: image", "stands there twice"), ("a: &x [1]\nb: *x", "write the value out"),
                                         ("[" * 3000, "cannot be read as YAML"), ("kind: table\npath: \"a\\0b\"", "path is")])
def test_what_is_no_dataset_file(home, capsys, text, words):
    assert words in said(home, capsys, text)


@pytest.mark.parametrize("values, classes", [(("no", "yes"), "[no, yes]"), (("007", "010"), "[007, 010]"), (("1.50", "2.0"), "[1.50, 2.0]"), (("12:30", "off"), "[12:30, off]"), (("~", "null"), "['~', 'null']")])
def test_classes_are_the_words_that_stand_in_the_file(home, values, classes):
    "YAML takes `no` for false, `007` for seven and `12:30` for 750; a table does not."
    (home/"data"/"datasets"/"words.yaml").write_text(f"kind: table\npath: words.csv\ntarget: {{column: t, classes: {classes}}}\ncolumns: {{a: numeric}}\n")
    assert read_dataset_file(home/"data"/"datasets"/"words.yaml").target.classes == list(values)


def test_what_is_written_is_read_again(home):
    about = described("again", kind="table", path="shop.csv", target={"column": "price", "below": 120, "classes": ["dear", "cheap"]}, costs={"false_negative": 3}, rows=[{"column": "colour", "is": ["red", "no"]}],
                      columns={"size": {"type": "ordinal", "levels": ["0.5", "1.5"], "leave_out": "no: a secret"}, "type": "category", "price": {"type": "numeric", "leave_out": "the target"}}, format={"delimiter": ";"}, notes=["yes"])
    assert read_dataset_file(write_dataset_file(about)) == about


@pytest.mark.parametrize("option, value, second", [("--at-least", 130, "at least 130"), ("--below", 130, "below 130"), ("--below", 129.5, "below 129.5")])
def test_a_limit_makes_two_classes_and_the_second_is_the_one_asked_about(home, capsys, option, value, second):
    assert cli.main(["dataset", "add", str(home/"shop.csv"), "--target", "price", option, str(value)]) == 0, capsys.readouterr().err
    samples = make_samples("shop", 0, 0.2, seed=0)
    assert samples.classes[1] == second and (samples.labels == 1).sum() == (60 if option == "--at-least" else 30)
    assert "price" not in samples.table
    assert cli.main(["dataset", "check", "shop"]) == 0


@pytest.mark.parametrize("words, sentence", [(("--at-least", 1, "--below", 2), "exclude each other"), (("--below", 130, "--positive", "yes"), "is for a target of words"), (("--below", "nan"), "expected a number"), (("--below", 5), "are of one class")])
def test_limits_that_cannot_work(home, capsys, words, sentence):
    assert cli.main(["dataset", "add", str(home/"shop.csv"), "--target", "price", *map(str, words)]) == 2
    assert sentence in capsys.readouterr().err and not list((home/"data"/"datasets").iterdir())


def test_a_limit_on_words_is_refused(home, capsys):
    assert cli.main(["dataset", "add", str(home/"shop.csv"), "--target", "colour", "--below", "3"]) == 2
    assert "'red' in row 1" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"folders": ["../../../victim"]}, {"folders": ["/victim"]}, {"folders": ["a/b"]}, {"folders": ["..", "quakes"]}, {"folders": ["~"]}, {"folders": ["a\\..\\b"]}, {"folders": []},
                                    {"md5": {"../sitecustomize.py": "SUM"}}, {"md5": {"/victim/sitecustomize.py": "SUM"}}, {"md5": {".hidden": "SUM"}}, {"md5": {"a.py": "no sum"}}, {"md5": {}},
                                    {"service": {"file": "../../victim.py", "address": "http://127.0.0.1:9/q", "first": "2025-01-01", "last": "2025-01-02"}},
                                    {"service": {"file": "a.csv", "address": "file:///etc/passwd", "first": "2025-01-01", "last": "2025-01-02"}}, {"homes": ["file:///etc"]}])
def test_a_dataset_file_writes_nowhere_else(home, capsys, change):
    "The home it names has the very file with the very checksum; a name that leads elsewhere is refused before anything is asked."
    content = b"print('here')\n"
    total = hashlib.md5(content).hexdigest()
    published = {"folders": ["quakes"], "md5": {"a.csv": total}, "homes": ["http://127.0.0.1:9/nobody"], **change}
    if "md5" in change: published["md5"] = {name: total if value == "SUM" else value for name, value in published["md5"].items()}
    before = sorted(home.parent.rglob("*"))
    assert said(home, capsys, {**{k: v for k, v in TABLE.items() if k != "path"}, "published": published})
    assert sorted(set(home.parent.rglob("*")) - set(before)) == [home/"data"/"datasets"/"mine.yaml"]


def test_sources_refuse_names_that_lead_elsewhere_whoever_gives_them(home):
    for files, folders in (({"../a": ""}, ("x",)), ({"a": ""}, ("x/../..",)), ({"a": ""}, ("",))):
        with pytest.raises(WorkflowError, match="becomes a folder or a file"): Source("s", files, (), folders)
    (home/"data"/"raw").mkdir()
    (home/"data"/"raw"/"away").symlink_to(home.parent)
    with pytest.raises(WorkflowError, match="leads out of"): raw_path("away", "victim.py")


ODD = [None, [], {}, "", "word", "../../x", 0, -1, 1.5, True, ["a"], [["a"]], {"a": 1}, {"column": "size"}, "a\0b", "~nobody/x", "%Q", 10**30, "nan"]
WHOLE = {**TABLE, "format": {"encoding": "utf-8", "delimiter": ",", "decimal": "."}, "rows": [{"column": "colour", "is_not": "pink", "why": "x"}], "split": {"by": "group", "column": "colour"},
         "costs": {"false_positive": 1, "false_negative": 3}, "floor": 0.5, "strict": False, "notes": ["a"], "caveat": "c", "columns": {"size": {"type": "numeric", "format": ""}, "price": {"type": "ordinal", "levels": [str(100 + i) for i in range(90)]}}}


def places(said, path=()):
    "Every place in nested data."
    yield path
    for key in (said if isinstance(said, dict) else range(len(said)) if isinstance(said, list) and path != ("columns", "price", "levels") else ()): yield from places(said[key], (*path, key))


@pytest.mark.parametrize("place", [place for place in places(WHOLE) if place], ids=str)
def test_whatever_stands_in_a_place_is_read_or_refused_in_words(home, place):
    "A law over the whole file: each of its values, and each of its mappings, replaced by each of the odd ones."
    import copy
    from fashion_mlops.datasets.description import load_dataset
    for odd in ODD:
        said = copy.deepcopy(WHOLE)
        inner = said
        for key in place[:-1]: inner = inner[key]
        inner[place[-1]] = odd
        (home/"odd.yaml").write_text(yaml.safe_dump(said))
        try: load_dataset(read_dataset_file(home/"odd.yaml"))
        except WorkflowError as error: assert str(error).strip() and "Traceback" not in str(error)


@pytest.mark.parametrize("change, words", [({"format": {"encoding": "klingon"}}, "no encoding 'klingon'"), ({"format": {"delimiter": ";;"}}, "expected one character"), ({"columns": {"colour": {"type": "datetime", "format": "%Q"}}}, "date format '%Q'"),
                                           ({"path": "~nobody77/x.csv"}, "is not there"), ({"kind": "image", "target": {}, "columns": {}, "images": {"layout": "npz", "shape": [28, 28]}}, "is no .npz file")])
def test_what_only_the_parts_know(home, capsys, change, words):
    assert words in said(home, capsys, {**TABLE, **change})
