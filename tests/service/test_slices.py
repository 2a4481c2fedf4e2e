"""Whatever lies in the prediction log, a slice of it is read: what is right is counted as by hand, and what is wrong is said in a sentence."""
import os
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashion_mlops.drift.slice_rows import MOST_OF_ONE, fair_choice
from fashion_mlops.drift.slices import read_slice, slice_of
from fashion_mlops.service import log_reading
from fashion_mlops.service.log_files import log_schema, merge_day, read_log, write_rows
from fashion_mlops.service.log_reading import map_table, mixed, request_keys, row_keys

MONDAY, NOW, CLASSES = datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC), ["bag", "boot", "coat"]
WING = SimpleNamespace(watched_table=lambda described, maps: map_table(maps))
PACK = SimpleNamespace(version=3, classes=CLASSES, about={"input": {}}, wing=WING)


def line(number: int = 0, minutes: float = 0.0, **other) -> dict:
    "A row as the service writes it, with an id that says when it came."
    moment = MONDAY + timedelta(minutes=minutes)
    shares = [(name, 0.6 if name == other.get("said", "bag") else 0.2) for name in CLASSES]
    return {"id": f"{int(moment.timestamp()*1000):012x}{number:020x}", "row": 0, "time": moment, "dataset": "toy", "version": 3, "slot": "champion",
            "unit": None, "digest": "", "watched": [("brightness", float(number)), ("contrast", 1.0)], "input": None, "said": "bag",
            "confidence": 0.6, "probabilities": shares, "rejected": False, "seconds": 0.004} | other


def told(row: dict, label: str, later: float = 60.0) -> dict:
    return {"id": row["id"], "row": row["row"], "time": row["time"] + timedelta(minutes=later), "label": label}


def put(folder, rows: list[dict], kind: str = "predictions"):
    assert write_rows(folder, [(kind, row) for row in rows])[1] == 0
    return folder


def read(folder, window="all", served=PACK, version=None, slot=None, **other):
    return read_slice(folder, slice_of(window, version, slot, NOW), served, now=NOW, **other)


def the_sentence(found, *words: str) -> str:
    "The one fault that says this; nothing else may be said."
    assert len(found.faults) == 1, found.faults
    for word in words: assert word in found.faults[0], (word, found.faults[0])
    return found.faults[0]


def a_week(seed: int) -> tuple[list[dict], list[dict]]:
    "Requests of one row and of many, by versions in slots, in no order; some with labels, which come days later."
    random, rows, labels = np.random.default_rng(seed), [], []
    for number in range(120):
        version, slot = [(3, "champion"), (3, "champion"), (4, "canary"), (5, "shadow")][random.integers(4)]
        minutes, many = float(random.integers(0, 7*24*60)), int(random.choice([1, 1, 1, 4, 130]))
        for row in range(many):
            said = str(random.choice(CLASSES))
            rows.append(line(number, minutes, row=row, version=version, slot=slot, said=said, confidence=float(np.float32(random.uniform(0.4, 1))),
                             rejected=bool(random.random() < 0.1)))
            rows[-1]["id"] = line(number, minutes)["id"]
            if random.random() < 0.2: labels.append(told(rows[-1], str(random.choice(CLASSES)), float(random.integers(1, 4000))))
    return [rows[place] for place in random.permutation(len(rows))], labels


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("window, slot", [("all", None), ("2026-11-03..2026-11-06", "champion"), ("2026-11-04T07:30..2026-11-04T19:00", None)])
def test_counts_and_sample_are_those_of_a_naive_reading(tmp_path, seed, window, slot):
    rows, labels = a_week(seed)
    for part in np.array_split(np.arange(len(rows)), 4): put(tmp_path, [rows[place] for place in part])
    put(tmp_path, rows[::3]) # killed before the small ones were removed
    put(tmp_path, labels, "feedback")
    put(tmp_path, labels[:5], "feedback")
    asked = slice_of(window, slot=slot, now=NOW)
    whole = read_log(tmp_path).drop_duplicates(["id", "row", "time"])
    whole = whole[(whole.slot != "shadow") & (whole.time >= (asked.since or MONDAY)) & (whole.time < (asked.until or NOW))]
    own = whole[(whole.version == 3) & ((whole.slot == slot) | (slot is None))]
    found = read(tmp_path, window, slot=slot, most=100)
    assert (found.rows, found.others, found.version) == (len(own), len(whole) - len(own), 3)
    assert (found.first, found.last) == (own.time.min(), own.time.max())

    whole = whole.assign(hour=whole.time.dt.tz_localize(None).dt.floor("h"))
    by_hand = whole.groupby(["hour", "version", "slot"]).apply(lambda part: pd.Series({
        "rows": len(part), "requests": part.id.nunique(), "rejected": part.rejected.sum(), "confidence": part.confidence.mean(),
        "seconds": part.seconds.mean(), "told": part.label.notna().sum(), "right": (part.label == part.said).sum(),
        **{f"said: {name}": (part.said == name).sum() for name in CLASSES}}), include_groups=False).reset_index()
    pd.testing.assert_frame_equal(found.hours[list(by_hand)], by_hand, check_dtype=False, rtol=1e-5)

    keys = row_keys(request_keys(pa.array(own.id)), own.row.to_numpy())
    drawn = own.assign(chance=mixed(keys ^ mixed(np.array([0], np.uint64))), day=own.time.dt.date).sort_values("chance")
    drawn = drawn[drawn.groupby(["day", "id"]).cumcount() < MOST_OF_ONE].head(100).sort_values(["time", "id", "row"])
    assert found.observed.ids.tolist() == [f"{name} · {row}" for name, row in zip(drawn.id, drawn.row)]
    assert [CLASSES[place] if place >= 0 else None for place in found.observed.labels] == [label if isinstance(label, str) else None for label in drawn.label]
    assert found.observed.table.brightness.tolist() == [dict(pairs)["brightness"] for pairs in drawn.watched]

    for day in tmp_path.glob("2026-*"): merge_day(day, "predictions")
    again = read(tmp_path, window, slot=slot, most=100)
    assert again.observed.ids.tolist() == found.observed.ids.tolist() and again.hours.equals(found.hours)


def test_every_row_is_chosen_as_often_as_any_other():
    keys = mixed(np.arange(400, dtype=np.uint64))
    rows = pd.DataFrame({"key": keys, "request": keys, "moment": np.datetime64("2026-11-02", "us")})
    often = np.bincount(np.concatenate([fair_choice(rows, 100, seed).index for seed in range(200)]), minlength=400)
    assert often.sum() == 100*200 and abs(np.mean((often - 50)**2)/(200*0.25*0.75) - 1) < 0.3 # the spread of chance


def test_no_log_one_row_and_one_class(tmp_path):
    nothing = read(tmp_path/"none")
    the_sentence(nothing, "is empty", "fashion-mlops serve")
    assert (nothing.rows, len(nothing.observed), len(nothing.hours), nothing.first) == (0, 0, 0, None) and nothing.observed.classes == CLASSES
    one = read(put(tmp_path/"one", [line()]))
    the_sentence(one, "holds one row")
    assert len(one.observed) == 1
    the_sentence(read(put(tmp_path/"few", [line(number, number) for number in range(9)])), "All 9 rows", "'bag'")


def several(count: int = 8) -> list[dict]:
    "Rows that say two classes, minutes apart."
    return [line(number, number, said=CLASSES[number % 2]) for number in range(count)]


def test_a_slice_of_what_is_not_there_says_what_is(tmp_path):
    put(tmp_path, several())
    the_sentence(read(tmp_path, "2026-10-01"), "No row lies in the slice", "2026-11-02", "--window")
    the_sentence(read(tmp_path, version=9, served=None), "No row of the slice", "8 of version 3 (champion)", "--version")
    the_sentence(read(tmp_path, slot="canary"), "slot canary", "8 of version 3 (champion)")


def test_a_version_that_is_gone_is_read_from_what_the_log_says(tmp_path):
    put(tmp_path, several() + [line(20, 30, version=2, said=CLASSES[number % 2], row=number) for number in range(4)])
    gone = read(tmp_path, version=2)
    the_sentence(gone, "No pack of version 2")
    assert (gone.rows, gone.others, gone.observed.classes, list(gone.observed.table)) == (4, 8, CLASSES, ["brightness", "contrast"])


def test_shadow_rows_are_read_only_where_they_are_asked_for(tmp_path):
    copies = [row | {"slot": "shadow", "version": 4, "time": row["time"] + timedelta(seconds=1)} for row in several()]
    put(tmp_path, [row for pair in zip(several(), copies) for row in pair])
    plain, shadow = read(tmp_path), read(tmp_path, version=4, slot="shadow", served=SimpleNamespace(**vars(PACK) | {"version": 4}))
    assert (plain.rows, plain.others, plain.faults) == (8, 0, []) and set(plain.hours.slot) == {"champion"}
    assert (shadow.rows, shadow.others, shadow.faults) == (8, 8, []) and shadow.own_hours.rows.sum() == 8


def test_files_that_cannot_be_read_are_named_and_the_rest_is_read(tmp_path):
    put(tmp_path, several())
    day = next(tmp_path.glob("2026-*"))
    whole_file = next(day.iterdir())
    whole = whole_file.read_bytes()
    for number, content in enumerate((whole[:len(whole)//2], whole[:-3], b"PAR1 half a fi", b"", b"rows\n")):
        (day/f"predictions-{number}-1.parquet").write_bytes(content)
    pq.write_table(pa.table({"id": ["a"], "row": [1]}), day/"predictions-8-1.parquet") # no moments
    pq.write_table(pa.table({"id": ["a"], "row": [1], "time": ["yesterday"]}), day/"predictions-9-1.parquet")
    bad = pq.read_table(whole_file, partitioning=None)
    pq.write_table(bad.set_column(0, "id", pa.array([b"\xff\xfe"]*8, pa.binary()).view(pa.string())), day/"predictions-7-1.parquet")
    (day/"predictions-6-1.parquet").mkdir()
    found = read(tmp_path)
    the_sentence(found, "9 files", "could not be read", day.name)
    assert found.rows == len(found.observed) == 8
    for path in day.glob("predictions-?-1.parquet"): path.rename(path.with_suffix(".damaged")) # as `tidy` does
    the_sentence(read(tmp_path), "9 files", "put aside")


def test_a_file_damaged_in_its_wide_columns_alone(tmp_path):
    put(tmp_path, [line(number, number, said=CLASSES[number % 2]) for number in range(3000)])
    path = next(tmp_path.glob("2026-11-02/predictions-*"))
    group = pq.ParquetFile(path).metadata.row_group(0)
    places = {group.column(number).path_in_schema: group.column(number) for number in range(group.num_columns)}
    start = places["watched.key_value.value"].data_page_offset
    with path.open("r+b") as file:
        file.seek(start)
        file.write(os.urandom(60))
    found = read(tmp_path, "2026-11-02")
    assert found.rows == 1440 and len(found.observed) == 0 and len(found.faults) == 2 and "vanished" in found.faults[1], found.faults


def test_logs_of_older_and_newer_versions_of_the_service(tmp_path):
    put(tmp_path, several())
    day = next(tmp_path.glob("2026-*"))
    table = pq.read_table(next(day.iterdir()), partitioning=None)
    def shifted(hours): return table.set_column(2, "time", pa.array([moment + timedelta(hours=hours) for moment in table["time"].to_pylist()], table.schema.field("time").type))
    pq.write_table(shifted(1).drop_columns(["slot", "seconds"]), day/"predictions-1-1.parquet")
    pq.write_table(shifted(2).append_column("weight", pa.array([1.0]*8)), day/"predictions-2-1.parquet")
    wider = shifted(1.5).cast(pa.schema([field.with_type(pa.int64()) if field.name == "version" else field.with_type(pa.timestamp("ns", "UTC")) if field.name == "time"
                                         else field for field in table.schema]))
    pq.write_table(wider, day/"predictions-3-1.parquet")
    found = read(tmp_path)
    assert len(found.faults) == 3, found.faults # the ids are those of the first file, too
    assert "came without seconds and slot" in found.faults[0] and "not known here: weight" in found.faults[1] and "same id" in found.faults[2]
    assert found.rows == len(found.observed) == 32 and set(found.hours.slot) == {"champion", "unknown"} and found.hours.seconds.isna().any()


def test_watched_values_and_answers_of_another_kind(tmp_path):
    put(tmp_path, several() + [line(30, 20, said="hat", probabilities=[("hat", 1.0)]), line(31, 21, probabilities=[], watched=[])])
    found = read(tmp_path)
    assert len(found.faults) == 2 and "'hat' (1 times)" in found.faults[0] and "2 rows of the sample" in found.faults[1], found.faults
    assert (found.rows, len(found.observed), found.own_hours["said: hat"].sum()) == (10, 8, 1)


def test_clocks_that_jump(tmp_path):
    future = line(50, 60*24*400, said="boot")
    the_sentence(read(put(tmp_path/"ahead", [*several(), future])), "1 row", "future", "2027-12-07")
    back = several() + [line(60 + number, 1000 + number) for number in range(3)] + [line(90, 500)]
    found = read(put(tmp_path/"steps", back))
    the_sentence(found, "In 1 place", "8 hours")
    assert (np.diff(found.observed.moments) >= np.timedelta64(0)).all()
    hours = [line(number, 60*hour, said=CLASSES[number % 2]) for number, hour in enumerate([0, 1, 2, 3, 11, 12, 13])]
    the_sentence(read(put(tmp_path/"gap", hours)), "from 2026-11-02 04:00 to 2026-11-02 11:00")


def test_rows_in_no_order_are_ordered(tmp_path):
    rows = several(200)
    for place in np.random.default_rng(0).permutation(200)[:50].reshape(10, 5): put(tmp_path, [rows[number] for number in sorted(place)])
    found = read(tmp_path)
    assert found.faults == [] and (np.diff(found.observed.moments) > np.timedelta64(0)).all() and len(found.observed) == 50


def test_ids_that_come_twice(tmp_path):
    rows = several()
    put(tmp_path, [rows[0], rows[0] | {"time": rows[0]["time"] + timedelta(seconds=9)}, *rows[1:]])
    put(tmp_path, [told(rows[0], "bag")], "feedback")
    found = read(tmp_path)
    the_sentence(found, "2 rows", "same id and row number")
    assert (found.rows, found.hours.told.sum(), len(found.observed.told)) == (9, 2, 2)


def test_labels_that_contradict_each_other_or_belong_to_nobody(tmp_path):
    rows = several()
    put(tmp_path, rows)
    put(tmp_path, [told(rows[0], "boot", 9), told(rows[1], "boot", 9), told(rows[1], "boot", 99)], "feedback")
    put(tmp_path, [told(rows[0], "bag", 3000)], "feedback") # the newest, in the folder of another day
    found = read(tmp_path)
    the_sentence(found, "For 2 rows several labels", "(of 1 they")
    assert (found.hours.told.sum(), found.hours.right.sum(), len(found.observed.told)) == (2, 2, 2)
    put(tmp_path, [told(line(99, 5), "bag"), told(line(98, 5) | {"id": "7f3a"}, "bag"), told(rows[2], "hat")], "feedback")
    found = read(tmp_path)
    assert len(found.faults) == 3 and "2 labels came for rows" in found.faults[1] and "'hat' (1 times)" in found.faults[2], found.faults
    assert len(found.observed.told) == 2 and found.hours.told.sum() == 3
    assert read(tmp_path, "2026-11-02T00:06..").faults == []  # labels of rows before are not strange


def test_one_client_is_not_the_window(tmp_path):
    put(tmp_path, [line(1, 5, row=number, said="coat") for number in range(900)] + several(50))
    found = read(tmp_path, most=120)
    the_sentence(found, "1 request had more than 100 rows", "(900 together)")
    assert found.rows == 950 and len(found.observed) == 120 and (found.observed.said == 2).sum() <= 100
    assert found.hours["said: coat"].sum() == 900 and len(np.unique(found.observed.together)) == 1 + (found.observed.said != 2).sum()


def test_files_that_vanish_while_they_are_read(tmp_path, monkeypatch):
    for number in range(5): put(tmp_path, [line(number*10 + part, number*10 + part, said=CLASSES[part % 2]) for part in range(10)])
    day, calls, real = next(tmp_path.glob("2026-*")), [], log_reading.read_part
    wanted = read(tmp_path)
    def meddled(path, *asked):
        calls.append(path)
        if len(calls) == 3: merge_day(day, "predictions") # while the narrow columns are read
        return real(path, *asked)
    monkeypatch.setattr(log_reading, "read_part", meddled)
    found = read(tmp_path)
    assert found.faults == [] and found.hours.equals(wanted.hours) and found.observed.ids.tolist() == wanted.observed.ids.tolist()
    monkeypatch.undo()
    for number in range(5, 9): put(tmp_path, [line(number*10 + part, number*10 + part, said=CLASSES[part % 2]) for part in range(10)])
    from fashion_mlops.drift import slices
    def merged_between(chosen, files, faults, real=slices.wide_rows):
        merge_day(day, "predictions")
        return real(chosen, files, faults)
    monkeypatch.setattr(slices, "wide_rows", merged_between)
    found = read(tmp_path)
    assert found.faults == [] and len(found.observed) == found.rows == 90
    def removed(chosen, files, faults, real=slices.wide_rows):
        for path in day.iterdir(): path.unlink()
        return merged_between(chosen, files, faults)
    monkeypatch.setattr(slices, "wide_rows", removed)
    the_sentence(read(tmp_path), "90 rows of the sample vanished")


def test_rows_without_id_or_moment(tmp_path):
    put(tmp_path, several())
    day = next(tmp_path.glob("2026-*"))
    strange = pa.table({name: [None]*2 for name in log_schema("predictions").names}, log_schema("predictions"))
    pq.write_table(strange, day/"predictions-1-1.parquet")
    found = read(tmp_path)
    the_sentence(found, "2 rows", "for want of an id or a moment")
    assert found.rows == len(found.observed) == 8


def test_a_row_in_the_folders_of_two_days_counts_once(tmp_path):
    rows = [line(number, minutes=17*number, said=CLASSES[number % 3]) for number in range(120)] # from Monday to Tuesday morning
    put(tmp_path, rows)
    once = read(tmp_path)
    for day, other in (("2026-11-02", "2026-11-03"), ("2026-11-03", "2026-11-02"), ("2026-11-02", "2026-11-09"), ("2026-11-02", "2026-11-10")):
        (tmp_path/other).mkdir(exist_ok=True)
        path = next((tmp_path/day).glob("predictions-*"))
        (tmp_path/other/path.name.replace("-", f"-{other[-2:]}", 1)).write_bytes(path.read_bytes())
    found = read(tmp_path)
    pd.testing.assert_frame_equal(found.hours, once.hours, check_like=True) # classes come in the order in which files name them
    assert found.rows == 120 and set(found.observed.ids) == set(once.observed.ids) and len(found.observed) == 120
    assert the_sentence(found, "came again in the folder of another day", "each counts once")


def test_a_file_that_is_not_there_costs_only_itself(tmp_path):
    put(tmp_path, [line(number, minutes=number) for number in range(50)])
    (tmp_path/"2026-11-02"/"predictions-9-9.parquet").symlink_to("gone")
    found = read(tmp_path)
    assert found.rows == 50 and "1 file of the prediction log could not be read" in found.faults[0] and "a link to a file" in found.faults[0]
    assert len(read_log(tmp_path)) == 50


def test_files_from_before_the_window_are_not_opened(tmp_path):
    put(tmp_path, [line(number, minutes=number) for number in range(50)])
    path = next((tmp_path/"2026-11-02").iterdir())
    early = path.with_name(f"predictions-{int(MONDAY.timestamp()*1e9)}-1.parquet") # written at midnight
    early.write_bytes(b"never opened")
    assert "could not be read" in read(tmp_path, "2026-11-02T00:30..").faults[0]
    put(tmp_path, [line(90, minutes=200)])
    found = read(tmp_path, "2026-11-02T02:00..")
    assert (found.rows, "could not be read" in " ".join(found.faults)) == (1, False)


@pytest.mark.parametrize("window", ["9999-12-31", "0001-01-01..", "..9999-12-31", "0001-01-01..0001-01-02", "..0001-01-01T00:01"])
def test_the_ends_of_the_calendar_are_windows(tmp_path, window):
    put(tmp_path, [line()])
    assert read(tmp_path, window).rows in (0, 1)
