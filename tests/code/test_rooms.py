"""Which room may call on which: the directions of the house, no stage imported, no room that hides a stage, the same path on both sides."""
import ast
import json
from pathlib import Path

import pytest

from fashion_mlops.core import project_root
from fashion_mlops.datasets.kinds import WINGS, kind_of
from fashion_mlops.workflow.notebook_modules import library_notebooks, planned_module
from fashion_mlops.workflow.pipeline import discover

ROOT = project_root()
PACKAGE, NBS = ROOT/"fashion_mlops", ROOT/"nbs"
BELOW_ALL = ["core", "workflow"] # whoever comes later may import them
HOUSE = {"core": [], "workflow": ["core"], "samples": BELOW_ALL, "evaluation": [*BELOW_ALL, "samples"]}
for room, before in [("models", "evaluation"), ("nets", "models"), ("search", "nets")]: HOUSE[room] = [*HOUSE[before], before]
ROOMS_OF_KINDS = [kind_of(name).__name__.split(".")[1] for name in WINGS] # fashion_mlops.images.kind
for room in ROOMS_OF_KINDS: HOUSE[room] = [*HOUSE["search"], "search"]
HOUSE["datasets"] = [*HOUSE["search"], "search", *ROOMS_OF_KINDS]
for room, before in [("service", "datasets"), ("drift", "service"), ("operations", "drift"), ("governance", "operations")]: HOUSE[room] = [*HOUSE[before], before]
HOUSE["a stage"] = [*HOUSE["governance"], "governance"]
HOUSE["cli"] = [*HOUSE["a stage"], "a stage"]


def stages(): return {stage.name.partition("_")[2] for stage in discover(NBS)}

def room_of(module: str, stage_names: set[str]) -> str:
    "The room of a module; stages and what stands at the top count as rooms of their own."
    first = module.partition(".")[0]
    return "a stage" if first in stage_names else first

def imports(path: Path) -> set[str]:
    "The modules of ours that a module takes, wherever in it."
    name = ("fashion_mlops", *path.relative_to(PACKAGE).with_suffix("").parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import): found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = ".".join([*(name[:-node.level] if node.level else ()), *filter(None, [node.module])])
            found |= {(origin, alias.name) for alias in node.names}
    modules = set()
    for origin, item in found:
        if origin.partition(".")[0] != "fashion_mlops": continue
        inner = f"{origin}.{item}".removeprefix("fashion_mlops.").strip(".")
        modules.add(inner if PACKAGE.joinpath(*inner.split(".")).with_suffix(".py").is_file() else origin.removeprefix("fashion_mlops").strip("."))
    return modules - {""}

def uphill() -> set[str]:
    "Imports that no room of that height may have."
    found, stage_names = set(), stages()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if path.name == "__init__.py": continue
        own = room_of(name, stage_names)
        for other in imports(path):
            room = room_of(other, stage_names)
            is_stage = room == "a stage" and own not in ("cli", "a stage") or own == room == "a stage" and other != name
            if is_stage or (room != own and room not in HOUSE[own]): found.add(f"{name} → {other}")
    return found


def test_imports_run_one_way():
    assert sorted(uphill()) == [], "arrows that run back up"


def test_no_room_hides_a_stage_and_every_room_is_in_the_plan():
    rooms = {path.name for path in NBS.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))}
    assert not rooms & stages() and rooms <= HOUSE.keys()


def test_only_what_runs_has_a_number():
    top = {path.stem for path in library_notebooks(ROOT) if path.parent == NBS}
    assert top == {"index", "00_core", "12_cli"} | {stage.name for stage in discover(NBS)}
    assert not [path for path in library_notebooks(ROOT) if path.parent != NBS and path.stem[0].isdigit()]


@pytest.mark.parametrize("path", [path for path in library_notebooks(ROOT) if path.stem != "index"], ids=lambda path: path.relative_to(NBS).as_posix())
def test_same_path_other_ending(path):
    module = planned_module(path)
    if module is None: return
    place = path.relative_to(NBS).with_suffix("")
    assert module["name"] == ".".join(place.parts if place.parts[1:] else (place.name.partition("_")[2],))


@pytest.mark.parametrize("room", sorted(path.name for path in NBS.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))))
def test_each_room_has_an_index_of_one_screen_that_names_its_chapters(room):
    text = "\n".join("".join(cell["source"]) for cell in json.loads((NBS/room/"index.ipynb").read_text(encoding="utf-8"))["cells"])
    assert text.startswith("# ") and "\n> " in text and "May import:" in text and text.count("\n") <= 45
    assert [path.stem for path in sorted((NBS/room).glob("*.ipynb")) if path.stem != "index" and f"]({path.name})" not in text] == []


def test_both_wings_have_the_same_doors():
    from fashion_mlops.datasets.kinds import WINGS, kind_of
    first, *others = (set(kind_of(name).__all__) for name in WINGS)
    assert first and all(other == first for other in others)
    assert not [f"{name}.{door}" for name in WINGS for door in first if not hasattr(kind_of(name), door)]


def test_what_a_door_leads_to_is_the_same_in_both_wings():
    from fashion_mlops.datasets.kinds import WINGS, doors, kind_of
    for door in sorted(set.intersection(*map(doors, WINGS))):
        classes = [getattr(kind_of(name), door) for name in WINGS]
        if not all(isinstance(one, type) for one in classes): continue
        first, *others = ({name for name in dir(one) if not name.startswith("_")} for one in classes)
        for other in others: assert first ^ other <= {"statistics", "portraits", "pair"}, door # set by __init__ in one, looked up in the other


def test_a_stage_hangs_on_what_it_asks_the_wings_for():
    from fashion_mlops.workflow.dependencies import module_digests
    behind = {stage.name: set(module_digests(stage.cells)) for stage in discover(NBS)}
    assert {"images.views", "tables.views"} <= behind["01_data"] and not {"images.training", "tables.training"} & behind["01_data"]
    assert {"images.checks", "tables.checks"} <= behind["02_quality"] and not {"images.training", "images.explore"} & behind["02_quality"]
    assert {"images.training", "images.net_views", "tables.training", "nets.trainer", "nets.table_net"} <= behind["07_training"]
