"""Which room may call on which: the directions of the house, no stage imported, no room that hides a stage, the same path on both sides."""
import ast
import inspect
import json
import linecache
import re
import runpy
import textwrap
from pathlib import Path

import pytest

from fashion_mlops.core import project_root
from fashion_mlops.datasets.kinds import WINGS, doors, kind_of
from fashion_mlops.workflow.dependencies import imported_names, module_digests
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
for room, before in [("service", "datasets"), ("drift", "service"), ("alerts", "drift"), ("operations", "alerts"), ("loop", "operations"), ("governance", "loop"), ("dashboard", "governance")]: HOUSE[room] = [*HOUSE[before], before]
HOUSE["a stage"] = [*HOUSE["governance"], "governance"]
HOUSE["cli"] = [*HOUSE["a stage"], "a stage", "dashboard"]


def stages(): return {stage.name.partition("_")[2] for stage in discover(NBS)}

def room_of(module: str, stage_names: set[str]) -> str:
    "The room of a module; stages and what stands at the top count as rooms of their own."
    first = module.partition(".")[0]
    return "a stage" if first in stage_names else first

def imports(path: Path) -> set[str]:
    "The modules and rooms of ours that a module takes, wherever in it, also by `import_module` with a name written out."
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    taken = set()
    for origin, item in imported_names(path.read_text(encoding="utf-8"), ".".join(parts)):
        inner = PACKAGE.joinpath(*f"{origin}.{item}".strip(".").split("."))
        taken.add(f"{origin}.{item}".strip(".") if inner.is_dir() or inner.with_suffix(".py").is_file() else origin)
    return taken - {""}

def uphill(paths: list[Path]) -> set[str]:
    "Imports that no room of that height may have."
    found, stage_names = set(), stages()
    for path in paths:
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if path.name == "__init__.py": continue
        own = room_of(name, stage_names)
        for other in imports(path):
            room = room_of(other, stage_names)
            is_stage = room == "a stage" and own not in ("cli", "a stage") or own == room == "a stage" and other != name
            if is_stage or (room != own and room not in HOUSE[own]): found.add(f"{name} → {other}")
    return found


def test_imports_run_one_way():
    assert sorted(uphill(sorted(PACKAGE.rglob("*.py")))) == [], "arrows that run back up"


@pytest.mark.parametrize("line", ["from fashion_mlops import tables", "from .. import tables", "import fashion_mlops.tables.checks as c", "from ..tables.checks import promises",
                                  "def f():\n    import_module('fashion_mlops.tables.checks')", "importlib.import_module('fashion_mlops.tables')", "from ..datasets import kinds", "from .. import training"])
def test_a_way_around_is_seen(line, tmp_path, monkeypatch):
    "A room below the wings that reaches for one, in every way that Python has."
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    for place in ("tables", "datasets", "evaluation"): (tmp_path/place).mkdir()
    for place in ("tables/checks", "datasets/kinds", "training"): (tmp_path/f"{place}.py").touch()
    (tmp_path/"evaluation"/"duel.py").write_text(line)
    assert uphill([tmp_path/"evaluation"/"duel.py"])


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
    first, *others = (set(kind_of(name).__all__) for name in WINGS)
    assert first and all(other == first for other in others)
    assert not [f"{name}.{door}" for name in WINGS for door in first if not hasattr(kind_of(name), door)]


DATA_WORDS = {"images", "table", "rows", "features"} # what a wing calls the samples that it is given

def asks_for(function) -> list[tuple]:
    "What a function must be given, in order; a wing's word for samples is one word."
    parameters = inspect.signature(function).parameters.values()
    return [("samples" if each.name in DATA_WORDS else each.name, each.kind) for each in parameters if each.default is each.empty]

def may_be_given(function) -> set[str]:
    return {each.name for each in inspect.signature(function).parameters.values() if each.default is not each.empty}

def answers(function) -> bool:
    "Whether a function gives something back, or says (`-> None`) that in its wing there is nothing to give."
    waiting = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0].body
    while waiting:
        node, *waiting = waiting
        if isinstance(node, (ast.Yield, ast.YieldFrom)) or isinstance(node, ast.Return) and ast.unparse(node) not in ("return", "return None"): return True
        if not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)): waiting += ast.iter_child_nodes(node)
    return inspect.signature(function).return_annotation in (None, "None")

def other_door(one, two) -> str:
    "How a function differs from the same door of the other wing, in words; empty when it does not."
    if asks_for(one) != asks_for(two): return f"{asks_for(one)} and {asks_for(two)}"
    if (first := may_be_given(one)) - (second := may_be_given(two)) and second - first: return f"{first} and {second}"
    return "" if answers(one) == answers(two) else "one answers, the other does not"

def test_a_door_asks_for_the_same_in_both_wings():
    for door in sorted(set.intersection(*map(doors, WINGS))):
        first, *others = (getattr(kind_of(name), door) for name in WINGS)
        for other in others:
            assert callable(first) == callable(other), door
            if not callable(first): assert type(first) is type(other), door; continue
            if not isinstance(first, type): assert not other_door(first, other), door; continue
            assert asks_for(first) == asks_for(other), door
            for name in vars(first).keys() & vars(other).keys():
                one, two = getattr(first, name), getattr(other, name)
                if inspect.isfunction(one) and not name.startswith("_"): assert not other_door(one, two), f"{door}.{name}"


@pytest.mark.parametrize("other", ["def draw(images, count=4): return count", "def draw(table, number, most=4): return number", "def draw(table, count, least=4): return count",
                                   "def draw(table, count, most=4): print(count)", "def draw(table, count, most=4):\n    def inner(): return count", "def draw(table, count, most=4): return None"])
def test_another_door_is_seen(other, tmp_path):
    made = []
    for name, source in (("one", "def draw(images, count, most=4): return count"), ("other", other)):
        (tmp_path/f"{name}.py").write_text(source)
        made.append(runpy.run_path(str(tmp_path/f"{name}.py"))["draw"])
    linecache.checkcache()
    assert other_door(*made) and not other_door(made[0], made[0])


def test_what_a_door_leads_to_is_the_same_in_both_wings():
    for door in sorted(set.intersection(*map(doors, WINGS))):
        classes = [getattr(kind_of(name), door) for name in WINGS]
        if not all(isinstance(one, type) for one in classes): continue
        first, *others = ({name for name in dir(one) if not name.startswith("_")} for one in classes)
        for other in others: assert first ^ other <= {"statistics", "portraits", "pair"}, door # set by __init__ in one, looked up in the other


def test_a_stage_hangs_on_what_it_asks_the_wings_for():
    behind = {stage.name: set(module_digests(stage.cells)) for stage in discover(NBS)}
    assert {"images.views", "tables.views"} <= behind["01_data"] and not {"images.training", "tables.training"} & behind["01_data"]
    assert {"images.checks", "tables.checks"} <= behind["02_quality"] and not {"images.training", "images.explore"} & behind["02_quality"]
    assert {"images.training", "images.net_views", "tables.training", "nets.trainer", "nets.table_net"} <= behind["07_training"]


def test_nobody_but_the_door_keeper_compares_kinds():
    house = runpy.run_path(str(ROOT/"benchmarks"/"house.py"))
    def asked(path): return sum(house["kind_asked"](source) for what, source in house["cells_of"](path) if what != "example")
    assert [path.relative_to(NBS).as_posix() for path in library_notebooks(ROOT) if path != NBS/"datasets"/"kinds.ipynb" and asked(path)] == []


@pytest.mark.parametrize("line", ['if samples.kind == "image": draw()', 'x = 1 if "table" != kind else 2', "if samples.kind != PICTURES: pass", 'if kind in ("image", "other"): pass', "match what:\n    case 'image': pass",
                                  'draw = {"image": pictures, "table": columns}', "VIEWS[samples.kind]()", "VIEWS.get(samples.kind)()", 'if samples.kind.startswith("im"): pass'])
def test_a_question_for_a_kind_is_seen(line): assert runpy.run_path(str(ROOT/"benchmarks"/"house.py"))["kind_asked"](line)


DECORATORS = {"patch", "property", "dataclass", "contextmanager", "torch.no_grad", "model_validator", "lru_cache", "cached_property", "classmethod", "staticmethod"}
# besides classes, whose names are capitalized; the last two are ours
PURE = {"field", "re.compile", "set", "frozenset", "tuple", "list", "type", "len", "datetime", "product", "property", "str.maketrans", "image_families", "_style"}

def done_at_import(body: list[ast.stmt], own: set[str]) -> list[str]:
    "What lines of a module, or of a class, do beyond defining things and growing classes of their own."
    found, calls = [], []
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            words = {ast.unparse(each).partition("(")[0] for each in node.decorator_list}
            if "patch" in words and ast.unparse(node.args.args[0].annotation) not in own: found.append(f"{node.name} grows a class of another module")
            found += sorted(words - DECORATORS)
            if isinstance(node, ast.ClassDef): found += done_at_import(node.body, own)
            else: calls += [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            calls += [node.value] if node.value else []
            for target in getattr(node, "targets", [getattr(node, "target", None)]):
                found += [ast.unparse(node) for each in getattr(target, "elts", [target]) if not isinstance(each, ast.Name)]
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'": pass
        elif not isinstance(node, (ast.Import, ast.ImportFrom, ast.Pass)) and not isinstance(getattr(node, "value", None), ast.Constant): found.append(ast.unparse(node))
    while calls:
        node = calls.pop()
        if isinstance(node, ast.Lambda): continue
        calls += ast.iter_child_nodes(node)
        if not isinstance(node, ast.Call): continue
        name = ast.unparse(node.func)
        of_text = isinstance(node.func, ast.Attribute) and node.func.attr in ("format", "join", "split", "values")
        if not (name in PURE or name.startswith("np.") or name.rpartition(".")[2][:1].isupper() or of_text): found.append(ast.unparse(node))
    return found

def test_what_lies_behind_a_door_changes_nothing_when_it_is_imported():
    "A stage does not hang on what it does not ask for, but a wing may import it: so that may only define things. `core` counts for every stage."
    behind = module_digests([f"from fashion_mlops.{room}.kind import *" for room in ROOMS_OF_KINDS])
    assert len(behind) > 100
    for name in sorted(behind.keys() - {"core"}):
        path = PACKAGE.joinpath(*name.split("."))
        tree = ast.parse((path/"__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8"))
        assert done_at_import(tree.body, {node.name for node in tree.body if isinstance(node, ast.ClassDef)}) == [], name

@pytest.mark.parametrize("line", ["torch.set_num_threads(1)", "KEPT = os.environ.setdefault('A', '1')", "Samples.kind = 'x'", "@patch\ndef draw(self: Samples): pass", "@register\ndef draw(): pass",
                                  "def draw(rows=register()): pass", "class A:\n    register()", "for one in FAMILIES: FAMILIES.pop(one)", "FAMILIES['mine'] = 1"])
def test_what_is_done_at_import_is_seen(line): assert done_at_import(ast.parse(line).body, set())


def worked_out(tree: ast.Module) -> list[str]:
    "Where code asks a wing, or what is assigned from one, for a name that is not written in it."
    wings = {"kind", "wing", "WINGS"}
    def is_wing(node): return "kind_of(" in ast.unparse(node) or not wings.isdisjoint(re.split(r"\W", ast.unparse(node)))
    def is_called(node, *names): return isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in names
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and re.match(r"kind_of\(|WINGS\b", ast.unparse(node.value)): wings |= {each.id for each in node.targets if isinstance(each, ast.Name)}
    found = []
    for node in ast.walk(tree):
        if is_called(node, "getattr") and node.args[1:] and isinstance(node.args[1], ast.Constant): continue
        if is_called(node, "getattr", "vars", "getmembers") and node.args and is_wing(node.args[0]): found.append(ast.unparse(node))
        if is_called(getattr(node, "func", None), "attrgetter", "methodcaller"): found.append(ast.unparse(node))
        if isinstance(node, ast.Attribute) and node.attr in ("__dict__", "__getattr__", "__getattribute__") and is_wing(node.value): found.append(ast.unparse(node))
    return found

def test_no_library_module_works_out_what_it_asks_a_wing_for():
    "Of a notebook this opens all doors; of the library it would not be seen, so it is not done."
    for path in sorted(PACKAGE.rglob("*.py")):
        if path != PACKAGE/"datasets"/"kinds.py": assert worked_out(ast.parse(path.read_text(encoding="utf-8"))) == [], path.name

@pytest.mark.parametrize("line", ["getattr(kind, name)", "getattr(kind_of(samples), f'draw_{name}')()", "wing = 1; vars(self.wing)[name]", "door = kind_of(samples)\ngetattr(door, name)", "door = WINGS['table']\ndoor.__dict__",
                                  "kind.__getattr__(name)", "attrgetter(name)(kind)", "inspect.getmembers(kind)"])
def test_a_name_that_is_worked_out_is_seen(line): assert worked_out(ast.parse(line)) and not worked_out(ast.parse("getattr(kind, 'draw')(array.dtype)"))
