"""A better split is suggested where the table allows it, and what is suggested works as it stands."""
import re
import shlex

import pytest

from fashion_mlops import cli
from fashion_mlops.datasets.catalogue import make_samples


@pytest.fixture
def add(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"home"))
    def run(lines, *words, target="kept"):
        (tmp_path/"t.csv").write_text("\n".join(lines) + "\n")
        code = cli.main(["dataset", "add", str(tmp_path/"t.csv"), "--target", target, "--replace", *words])
        said = capsys.readouterr()
        return code, said.out + said.err
    return run


def suggested(said, by):
    "The options of a suggestion, as a shell takes them."
    return shlex.split(found[1]) if (found := re.search(rf"(--split {by} --split-column .*)", said)) else None


def visits(name, thing, when=lambda i: f"2025-{1 + i // 28:02}-{1 + i % 28:02}", rows=300):
    return [f"{name},Datum,size,kept"] + [f"{thing(i)},{when(i)},{i*i % 7}.5,{('yes', 'no')[i % 2]}" for i in range(rows)]


@pytest.mark.parametrize("name", ["patient_id", "customerId", "userid", "Session ID", "device", "group", "ref"])
def test_rows_that_share_a_name_are_suspected_and_the_suggestion_works(add, name):
    code, said = add(visits(name, lambda i: f"P{i // 5:03}" if name == "ref" else i // 5 + 100))
    assert code == 0 and "(60 groups of 5)" in said
    code, again = add(visits(name, lambda i: f"P{i // 5:03}" if name == "ref" else i // 5 + 100), *suggested(said, "group"))
    assert code == 0, again
    samples = make_samples("t", 0, 0.1, seed=42)
    assert samples.key.by == "group" and len(set(samples.key.codes)) == 60 and name not in samples.table


@pytest.mark.parametrize("mark", ["", "NA", "?", "n/a"])
@pytest.mark.parametrize("form", ["{}", "P{}"])
def test_things_that_are_missing_hide_no_groups(add, mark, form):
    code, said = add(visits("customer", lambda i: mark if i % 40 == 7 else form.format(i // 5 + 100)))
    assert code == 0 and suggested(said, "group") and re.search(r"\(6[01] groups of 4 to [58] rows\)", said)


@pytest.mark.parametrize("name, thing", [("device", lambda i: ("phone", "tablet", "desktop")[i % 3]), ("user_age", lambda i: 20 + i % 50), ("town", lambda i: f"town {'abcdefghijklmnopqrstuvwxyz'[i*i % 26]}"),
                                         ("width", lambda i: i % 60), ("patient_id", lambda i: i), ("patient_id", lambda i: 1 + (i > 5))])
def test_ordinary_columns_and_names_of_single_rows_are_not_suspected(add, name, thing):
    assert not suggested(add(visits(name, thing))[1], "group")


def test_blank_moments_are_left_out_by_a_rule_when_the_suggestion_is_followed(add):
    lines = visits("colour", lambda i: "red", lambda i: "" if i % 9 == 0 else f"2025-{1 + i // 28:02}-{1 + i % 28:02}")
    code, said = add(lines)
    code, again = add(lines, *suggested(said, "time"))
    assert code == 0 and "removed: 34 rows, Datum is missing (the splits follow each other in it)" in again
    assert len(make_samples("t", 0, 0.1, seed=42)) == 266


def test_a_time_split_that_would_fail_is_not_suggested(add):
    assert not suggested(add([line.replace(",no", ",yes") if i > 150 else line for i, line in enumerate(visits("colour", lambda i: "red"))])[1], "time")
    blank = visits("colour", lambda i: "red", lambda i: f"2025-01-{1 + i // 3:02}" if i < 20 else "")
    assert not suggested(add(blank)[1], "time")


def test_the_target_never_divides_the_rows(add):
    lines = visits("patient_id", lambda i: i // 5, lambda i: f"2025-0{1 + i % 3}-01")
    code, said = add(lines, target="Datum")
    assert code == 0 and "split-column Datum" not in said
    code, said = add(lines, "--split", "time", "--split-column", "Datum", target="Datum")
    assert code == 2 and "is the target" in said and said.count("\n") == 1


def test_a_hand_written_time_split_names_the_rule(add, tmp_path):
    lines = visits("colour", lambda i: "red", lambda i: "" if i % 9 == 0 else f"2025-{1 + i // 28:02}-{1 + i % 28:02}")
    assert add(lines)[0] == 0
    file = tmp_path/"home"/"data"/"datasets"/"t.yaml"
    file.write_text(file.read_text().replace("by: class", "by: time\n  column: Datum"))
    with pytest.raises(Exception, match="34 of 300 are missing. Leave .* with a rule .*present: true"): make_samples("t", 0, 0.1, seed=42)
