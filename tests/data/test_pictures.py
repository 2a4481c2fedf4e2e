"""Folders, lists and arrays of pictures as people keep them: the right range, the right classes, the right splits, and nothing from outside."""
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fashion_mlops import cli
from fashion_mlops.datasets.catalogue import make_samples
from fashion_mlops.images.files import hidden, infer_images, load_images
from fashion_mlops.images.picture import prepared
from fashion_mlops.images.pixel_range import common_range


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path/"home"))
    return tmp_path


def png_16(path, numbers):
    "A PNG of 16-bit colour, which Pillow does not write."
    part = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    height, width, _ = numbers.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in numbers)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b""))


def shades(folder, top, kind=np.uint16, ending="png", each=30, bias=0.0):
    "Two classes: dark pictures that use a quarter of the range, bright ones that use all of it; 64 shades in each."
    draws = np.random.default_rng(0)
    for name, most in (("bright", 1.0), ("dark", 0.25)):
        (folder/name).mkdir(parents=True, exist_ok=True)
        for i in range(each):
            share = (draws.permutation(144) % 64/63).reshape(12, 12)*most
            numbers = (bias + share*top).round().astype(kind) if np.dtype(kind).kind == "u" else (bias + share*top).astype(kind)
            Image.fromarray(numbers).save(folder/name/f"{i:02d}.{ending}")
    return folder


@pytest.mark.parametrize("top, kind, ending, expected", [(255, np.uint8, "png", None), (1023, np.uint16, "png", [0, 1023]), (4095, np.uint16, "png", [0, 4095]), (4095, np.uint16, "tif", [0, 4095]), (16383, np.uint16, "tif", [0, 16383]),
                                                         (65535, np.uint16, "png", [0, 65535]), (200, np.uint16, "png", [0, 255]), (1, np.float32, "tif", [0, 1]), (250, np.float32, "tif", [0, 255]), (4000, np.float32, "tif", [0, 4095])])
def test_the_range_is_that_of_the_dataset(home, capsys, top, kind, ending, expected):
    "Dark pictures stay dark, bright ones reach white, and no shade is lost, whatever the container."
    assert cli.main(["dataset", "add", str(shades(home/"photos", top, kind, ending))]) == 0
    assert ("became black and white" in capsys.readouterr().out) == bool(expected)
    samples = make_samples("photos", 0, 0.1, seed=42)
    bright, dark = (samples.images[samples.labels == label] for label in (0, 1))
    assert samples.about["preparation"].get("range") == expected
    assert bright.max() == round(255*top/expected[1]) if expected else bright.max() == top
    assert len(np.unique(bright)) == 64 and abs(int(dark.max()) - bright.max()/4) <= 1


def test_a_picture_at_prediction_time_is_prepared_as_in_training(home):
    "Alone it would be taken for a bright one."
    folder = shades(home/"photos", 4095)
    loaded = load_images({**infer_images(folder), "range": None}, folder)
    preparation = loaded["about"]["preparation"]
    for image, path in zip(loaded["inputs"], sorted(folder.rglob("*.png"))): assert (prepared(path, preparation) == image).all()


def test_units_of_a_scanner_colours_of_16_bits_and_mixtures(home):
    assert common_range(sorted(shades(home/"scans", 4095, np.int32, "tif", 3, bias=-1024).rglob("*.tif"))) == [-1024, 3071]
    (home/"colour"/"a").mkdir(parents=True); (home/"colour"/"b").mkdir()
    ramp = np.stack([np.arange(4096).reshape(64, 64)]*3, 2)
    png_16(home/"colour"/"a"/"deep.png", ramp)
    Image.fromarray((ramp//16).astype(np.uint8)).save(home/"colour"/"b"/"plain.png") # of 8 bits, which stay as they are
    loaded = load_images({"layout": "class_folders", "shape": [64, 64, 3]}, home/"colour")
    assert loaded["about"]["preparation"]["range"] == [0, 4095]
    assert np.abs(loaded["inputs"][0].astype(int) - loaded["inputs"][1]).max() <= 1 and len(np.unique(loaded["inputs"][0])) == 256


def test_pixels_that_are_no_numbers_are_set_aside(home):
    folder = shades(home/"photos", 1, np.float32, "tif", 5)
    Image.fromarray(np.full((12, 12), np.nan, np.float32)).save(folder/"dark"/"00.tif")
    assert [each["reason"] for each in load_images(infer_images(folder), folder)["about"]["set_aside"]] == ["144 pixels are not numbers"]


LEFT = [".ipynb_checkpoints/00-checkpoint.png", ".git/x.png", "__MACOSX/._00.png", "._00.png", ".DS_Store", "Thumbs.db", "desktop.ini", "@eaDir/00.png", "$RECYCLE.BIN/00.png", ".Trash-1000/files/00.png"]


@pytest.mark.parametrize("where", ["", "dark/", "train/", "train/dark/"])
def test_what_programs_leave_behind_never_counts(home, where):
    for split in ("train", "val", "test"): shades(home/"photos"/split, 255, np.uint8, each=6)
    for name in ("bright", "dark"):
        if "train" not in where: shades(home/"photos", 255, np.uint8, each=6)
    if "train" not in where:
        import shutil
        for split in ("train", "val", "test"): shutil.rmtree(home/"photos"/split)
    for name in LEFT:
        path = home/"photos"/(where + name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((next((home/"photos").rglob("00.png"))).read_bytes())
    loaded = load_images(infer_images(home/"photos"), home/"photos")
    assert loaded["classes"] == ["bright", "dark"] and loaded["about"]["set_aside"] == []
    assert len(loaded["labels"]) == (36 if "train" in where else 12) and ("split" in loaded) == ("train" in where)
    assert all(hidden(name.split("/")[0]) for name in LEFT)


def test_splits_of_the_source_are_seen_beside_other_pictures(home, capsys):
    for split in ("Train", "val", "TEST"): shades(home/"photos"/split, 255, np.uint8, each=20)
    shades(home/"photos"/"unlabelled", 255, np.uint8, each=3)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(home/"photos"/"logo.png")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(home/"photos"/"Train"/"loose.png")
    assert cli.main(["dataset", "add", str(home/"photos")]) == 0
    out = capsys.readouterr().out
    assert "splits: those of the source; train 40, valid 40, test 40" in out
    assert "7 × lies beside train, valid and test" in out and "1 × lies in no class folder (such as Train/loose.png)" in out


def test_classes_called_train_and_test_with_pictures_in_them_are_classes(home):
    shades(home/"photos", 255, np.uint8, each=6)
    (home/"photos"/"bright").rename(home/"photos"/"train"); (home/"photos"/"dark").rename(home/"photos"/"test")
    assert load_images(infer_images(home/"photos"), home/"photos")["classes"] == ["test", "train"]


def test_a_folder_around_the_classes_is_pointed_out(home, capsys):
    shades(home/"photos"/"PetImages", 255, np.uint8, each=6)
    assert cli.main(["dataset", "add", str(home/"photos")]) == 2
    assert f"if bright, dark are the classes, name {home}/photos/PetImages" in capsys.readouterr().err


def the_list(home, paths):
    "A list of pictures with two classes."
    (home/"lists").mkdir(exist_ok=True)
    (home/"lists"/"list.csv").write_text("file,what\n" + "".join(f"{path},{'bright' if 'bright' in str(path) else 'dark'}\n" for path in paths))
    return home/"lists"/"list.csv"


@pytest.mark.parametrize("absolute", [True, False])
def test_a_list_beside_its_pictures_says_where_they_start(home, capsys, absolute):
    files = sorted(shades(home/"photos", 255, np.uint8).rglob("*.png"))
    paths = files if absolute else [f"../{file.relative_to(home)}" for file in files]
    assert cli.main(["dataset", "add", str(the_list(home, paths)), "--target", "what"]) == 0
    assert f"The paths start from {home}/photos" in capsys.readouterr().out
    assert len(make_samples("list", 0, 0.1, seed=42)) == 60


def test_a_list_collects_nothing_from_elsewhere(home, capsys):
    import shutil
    files = sorted(shades(home/"lists"/"photos", 255, np.uint8).rglob("*.png"))
    secret = shades(home/"private", 255, np.uint8, each=1)/"dark"/"00.png"
    (home/"lists"/"link.png").symlink_to(secret)
    paths = [file.relative_to(home/"lists") for file in files] + [secret, "../private/dark/00.png", "photos/../../private/dark/00.png", "link.png"]
    assert cli.main(["dataset", "add", str(the_list(home, paths)), "--target", "what"]) == 0
    assert "4 × leads out of lists" in capsys.readouterr().out and len(make_samples("list", 0, 0.1, seed=42)) == 60
    shutil.rmtree(home/"lists"/"photos")
    the_list(home, paths[-4:])
    assert cli.main(["dataset", "check", "list"]) == 2
    assert "images: {root: FOLDER}" in capsys.readouterr().err


@pytest.mark.parametrize("name, expected", [("31_bits.csv", "data_31_bits"), ("Café 2025 (final).csv", "cafe_2025_final"), ("销售.csv", "data")])
def test_any_file_gets_a_name(home, name, expected):
    (home/name).write_text("size,kept\n" + "\n".join(f"{i % 7}.5,{('yes', 'no')[i % 2]}" for i in range(90)))
    assert cli.main(["dataset", "add", str(home/name), "--target", "kept"]) == 0
    assert (home/"home"/"data"/"datasets"/f"{expected}.yaml").is_file()


@pytest.mark.parametrize("words, sentence", [(("--below", "3"), "--below is for tables"), (("--split", "group"), "--split is for tables"), (("--kind", "table"), "is a folder; a table is one file"), (("--costs", "1", "-3"), "false_negative is -3.0; expected a number from 0")])
def test_options_that_mean_nothing_for_pictures_are_refused(home, capsys, words, sentence):
    assert cli.main(["dataset", "add", str(shades(home/"photos", 255, np.uint8)), *words]) == 2
    assert sentence in capsys.readouterr().err and not list((home/"home").rglob("*.yaml"))


def test_a_table_is_no_list_of_pictures(home, capsys):
    (home/"t.csv").write_text("size,kept\n" + "\n".join(f"{i % 7}.5,{('yes', 'no')[i % 2]}" for i in range(90)))
    assert cli.main(["dataset", "add", str(home/"t.csv"), "--kind", "image"]) == 2
    assert "no column of paths" in capsys.readouterr().err
