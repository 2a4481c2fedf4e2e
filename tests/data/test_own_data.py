"""What people's own files look like: each gets in as it is, or is refused in one sentence, and nothing is half-added."""
import numpy as np
import pytest
from PIL import Image

from fashion_mlops import cli
from fashion_mlops.datasets.catalogue import dataset_entry, make_samples


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"home"))
    return tmp_path


def rows(n=60, decimal=".", delimiter=","):
    "Lines of a small, well-behaved table."
    lines = [delimiter.join(("size", "colour", "bought", "kept"))]
    return lines + [delimiter.join((f"{i % 7}{decimal}5", ("red", "blue", "green")[i % 3], f"2025-01-{1 + i % 28:02d}", ("yes", "no", "no")[i*i % 3])) for i in range(n)]


def add(home, name, content, *words):
    "Write a file and add it; returns the exit code."
    path = home/name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return cli.main(["dataset", "add", str(path), *map(str, words)])


def refused(home, capsys, expected, name, content, *words):
    "The file is refused, in one sentence that says this, and leaves nothing behind."
    assert add(home, name, content, *words) == 2
    said = capsys.readouterr().err
    assert expected in said and "Traceback" not in said and said.count("\n") == 1, said
    assert not list((home/"home").rglob("*.yaml"))


@pytest.mark.parametrize("case", ["plain", "semicolons and decimal commas", "tabs", "byte-order mark", "Latin-1", "quotes", "Windows line ends"])
def test_spellings_of_the_same_table_give_the_same_rows(home, capsys, case):
    text = "\n".join(rows()) + "\n"
    content = {"plain": text, "semicolons and decimal commas": "\n".join(rows(decimal=",", delimiter=";")), "tabs": "\n".join(rows(delimiter="\t")), "byte-order mark": "\ufeff" + text,
               "Latin-1": text.replace("green", "grün").encode("latin-1"), "quotes": text.replace("red", '"red, dark"'), "Windows line ends": text.replace("\n", "\r\n")}[case]
    assert add(home, "shop.csv", content, "--target", "kept") == 0, capsys.readouterr().err
    samples = make_samples("shop", 0, 0.2, seed=0)
    assert list(samples.table) == ["size", "colour", "bought"] and len(samples) == 60
    assert sorted(samples.table["size"].unique()) == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert samples.classes == ["no", "yes"] and (samples.labels == 1).sum() == sum(line.endswith("yes") for line in rows()[1:])
    if case == "Latin-1": assert "grün" in set(samples.table["colour"])


def test_odd_columns_are_left_out_with_a_reason(home, capsys):
    lines = [line + f",{'' if i else 'nothing'}{',same' if i else ',one'}{f',{i}' if i else ',number'}{f',{line.split(chr(44))[0]}' if i else ',again'}" for i, line in enumerate(rows())]
    assert add(home, "odd.csv", "\n".join(lines), "--target", "kept") == 0, capsys.readouterr().err
    out = dataset_entry("odd").load().about["left_out"]
    assert {"nothing", "one", "number", "again"} <= set(out) and "size" in out["again"]


def test_rows_without_a_target_are_left_out_and_counted(home, capsys):
    lines = rows(); lines[5] = lines[5].rsplit(",", 1)[0] + ","
    assert add(home, "gap.csv", "\n".join(lines), "--target", "kept") == 0
    assert "1 of 60 rows have no value" in capsys.readouterr().out and len(make_samples("gap", 0, 0.2, seed=0)) == 59


@pytest.mark.parametrize("expected, content, words", [
    ("is empty", b"", ("--target", "kept")),
    ("a header and no rows", "size,colour,kept\n", ("--target", "kept")),
    ("expected at least 50", "size,kept\n" + "1,yes\n2,no\n"*2, ("--target", "kept")),
    ("one class, 'yes'", "size,kept\n" + "\n".join(f"{i},yes" for i in range(40)), ("--target", "kept")),
    ("at most 1,000 classes", "size,kept\n" + "\n".join(f"{i},w{i % 10_000}" for i in range(20_000)), ("--target", "kept")),
    ("--at-least VALUE", "size,price\n" + "\n".join(f"{i},{i*1.37:.2f}" for i in range(80)), ("--target", "price")),
    ("Every value of the target 'kept' is missing", "size,kept\n" + "\n".join(f"{i}," for i in range(40)), ("--target", "kept")),
    ("written in two ways", "day,kept\n" + "\n".join(f"{f'2025-01-{1 + i % 28:02d}' if i % 2 else f'{13 + i % 15}.01.2025'},{('yes', 'no')[i % 2]}" for i in range(80)), ("--target", "kept")),
    ("Did you mean kept?", "\n".join(rows()), ("--target", "kpet")),
    ("--target COLUMN", "\n".join(rows()), ()),
])
def test_what_cannot_work_is_refused_in_one_sentence(home, capsys, expected, content, words):
    refused(home, capsys, expected, "bad.csv", content, *words)


def test_mixed_types_stay_readable(home, capsys):
    "A number here and a word there: the column becomes a category or text, and no value is lost."
    lines = [f"{line},{('12', 'n/k', '7')[i % 3]}" if i else f"{line},code" for i, line in enumerate(rows())]
    assert add(home, "mixed.csv", "\n".join(lines), "--target", "kept") == 0, capsys.readouterr().err
    assert "code" in make_samples("mixed", 0, 0.2, seed=0).table


def test_a_file_that_grows_while_it_is_read_is_refused(home, capsys, monkeypatch):
    from fashion_mlops.samples import table_files
    real = table_files._read_delimited
    def grows(path, *rest):
        table = real(path, *rest)
        with path.open("a") as file: file.write("9.5,red,2025-01-01,yes\n")
        return table
    monkeypatch.setattr(table_files, "_read_delimited", grows)
    refused(home, capsys, "changed while it was read", "growing.csv", "\n".join(rows()) + "\n", "--target", "kept")


def pictures(folder, classes=("dark", "light"), each=30):
    "A folder for each class."
    draws = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (folder/name).mkdir(parents=True)
        for i in range(each): Image.fromarray(draws.integers(90*number, 90*number + 80, (20 + i % 3, 24), dtype=np.uint8)).save(folder/name/f"{i}.png")
    return folder


def test_a_folder_of_pictures_with_a_broken_one_in_each_class(home, capsys):
    folder = pictures(home/"photos")
    for name in ("dark", "light"): (folder/name/"broken.jpg").write_bytes(b"\xff\xd8\xff cut off")
    (folder/"dark"/"link.png").symlink_to("/etc/hostname")
    assert cli.main(["dataset", "add", str(folder)]) == 0
    assert "3 files were set aside" in capsys.readouterr().out
    samples = make_samples("photos", 0, 0.2, seed=0)
    assert len(samples) == 60 and samples.classes == ["dark", "light"] and samples.inputs.dtype == np.uint8
    assert [samples.inputs[samples.labels == label].mean() > 80 for label in (0, 1)] == [False, True]


@pytest.mark.parametrize("case, expected", [("empty", "holds no pictures"), ("one class", "one class, 'dark'"), ("all broken", "can be read")])
def test_folders_that_cannot_work(home, capsys, case, expected):
    folder = home/"photos"
    if case == "empty": folder.mkdir()
    if case == "one class": pictures(folder, ("dark",), 40)
    if case == "all broken":
        for file in (pictures(folder)/"light").iterdir(): file.write_bytes(b"no picture")
    assert cli.main(["dataset", "add", str(folder)]) == 2
    said = capsys.readouterr().err
    assert expected in said and said.count("\n") == 1 and not list((home/"home").rglob("*.yaml"))


def test_links_and_empty_class_folders_are_told(home, capsys):
    folder = pictures(home/"photos", ("dark",))
    pictures(home/"elsewhere", ("light",))
    (folder/"light").symlink_to(home/"elsewhere"/"light")
    assert cli.main(["dataset", "add", str(folder)]) == 2
    assert "light is a symbolic link that leaves the folder; put the folders themselves there" in capsys.readouterr().err
    (folder/"light").unlink(); (folder/"light").mkdir()
    assert cli.main(["dataset", "add", str(folder)]) == 2
    assert "light is a folder without pictures" in capsys.readouterr().err
    pictures(folder, ("grey",)); (folder/".cache").mkdir()
    assert cli.main(["dataset", "add", str(folder)]) == 0
    assert "1 files and folders were set aside: 1 × a folder without pictures (such as light)" in capsys.readouterr().out


def test_pictures_that_lie_flat_are_counted_once(home, capsys):
    pictures(home/"photos", ("dark",), 12)
    (home/"photos"/"dark"/"notes.txt").write_text("")
    assert cli.main(["dataset", "add", str(home/"photos"/"dark")]) == 2
    assert "(12 pictures elsewhere, 1 other files or links)" in capsys.readouterr().err


def test_pictures_of_which_little_is_left_are_told(home, capsys):
    folder = pictures(home/"photos")
    assert cli.main(["dataset", "add", str(folder)]) == 0 and "scaled to fit" not in capsys.readouterr().out
    Image.new("L", (1, 1)).save(folder/"dark"/"dot.png")
    Image.new("L", (3000, 20)).save(folder/"light"/"line.png")
    assert cli.main(["dataset", "add", str(folder), "--replace"]) == 0
    said = capsys.readouterr().out
    assert "1 are less than 8 pixels wide or high, such as 1 × 1; 1 are of quite another shape and become mostly border, such as 3,000 × 20" in said


def test_splits_of_the_source_are_kept(home, capsys):
    for number, split in enumerate(("train", "val", "test")): pictures(home/"photos"/split, each=(30, 8, 10)[number])
    assert cli.main(["dataset", "add", str(home/"photos")]) == 0
    samples = make_samples("photos", 0, 0.2, seed=0)
    assert [len(samples.rows(split)) for split in samples.splits] == [60, 16, 20]


def test_an_archive_that_would_run_code_is_refused(home, capsys):
    np.savez(home/"trap.npz", images=np.array([{"a": 1}], dtype=object), labels=np.zeros(1))
    assert cli.main(["dataset", "add", str(home/"trap.npz")]) == 2
    assert "without Python objects" in capsys.readouterr().err


def test_amounts_as_people_write_them(home, capsys):
    lines = ["price,share,rate,kept"] + [f'"€{1000 + i:,}.50",{i % 13}%,{"inf" if i == 3 else i*i % 31/7},{("yes", "no")[i % 2]}' for i in range(60)]
    assert add(home, "money.csv", "\n".join(lines), "--target", "kept") == 0, capsys.readouterr().err
    table = make_samples("money", 0, 0.2, seed=0).table
    assert table["price"].tolist() == [1000.5 + i for i in range(60)] and table["share"].tolist() == [float(i % 13) for i in range(60)]
    assert table["rate"].isna().tolist() == [i == 3 for i in range(60)]


def test_parquet_keeps_what_it_knows_and_leaves_out_lists(home, capsys):
    import datetime
    import decimal
    import pyarrow as pa
    import pyarrow.parquet as parquet
    n, moment = 60, datetime.datetime(2025, 1, 1, tzinfo=datetime.timezone.utc)
    table = pa.table({"exact": [decimal.Decimal(i*i % 17)/4 for i in range(n)], "word": pa.array(["a", "b", "c"]*20).dictionary_encode(), "at": [moment + datetime.timedelta(hours=i) for i in range(n)],
                      "parts": [[1, 2]]*n, "kept": [bool(i % 2) for i in range(n)]})
    parquet.write_table(table, home/"some.parquet")
    assert cli.main(["dataset", "add", str(home/"some.parquet"), "--target", "kept"]) == 0, capsys.readouterr().err
    samples = make_samples("some", 0, 0.2, seed=0)
    assert {c.name: c.type for c in samples.columns} == {"exact": "numeric", "word": "category", "at": "datetime"}
    assert "no single value" in samples.about["left_out"]["parts"]


def test_a_table_with_nothing_to_learn_from_is_refused(home, capsys):
    refused(home, capsys, "is left to learn from: a (the same value", "still.csv", "a,kept\n" + "\n".join(f"5,{('yes', 'no')[i % 2]}" for i in range(60)), "--target", "kept")
