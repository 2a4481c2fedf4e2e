"""Where the house stands: directions, kinds, and how its pages read.

    python benchmarks/house.py [--worst N]

Run cells are the cells of a stage from `stage.start(globals())` on. A definition has an example when its name is used in a
cell that is not exported, before the next exported cell of code; and an assertion when such a cell also holds `assert` or a
test of fastcore's."""
import argparse
import ast
import json
import re
from collections import Counter
from pathlib import Path

from fashion_mlops.core import project_root

ROOT = project_root()
STAGE = re.compile(r"(0[1-9]|1[01])_")


def cells_of(path: Path) -> list[tuple[str, str]]:
    "Cells of a notebook that hold code: what they are, and their source."
    found, running = [], False
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code" or not source.strip(): continue
        running |= bool(STAGE.match(path.name)) and "stage.start(globals())" in source
        kind = "library" if re.search(r"^#\|\s*exports?\b", source, re.M) else "run" if running else "example"
        found.append((kind, source))
    return found


def tree_of(source: str) -> ast.AST:
    "The syntax of a cell, without what only a notebook understands."
    lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines()]
    try: return ast.parse("\n".join(lines))
    except SyntaxError: return ast.Module([], [])


def conditions(tree: ast.AST) -> tuple[int, int]:
    "Conditional expressions, and f-strings that hold one."
    return (sum(isinstance(node, ast.IfExp) for node in ast.walk(tree)),
            sum(isinstance(node, ast.JoinedStr) and any(isinstance(part, ast.IfExp) for part in ast.walk(node)) for node in ast.walk(tree)))


def definitions(cells: list[tuple[str, str]]):
    "Each public definition: its name, its lines, and whether an example and an assertion follow."
    for place, (kind, source) in enumerate(cells):
        if kind != "library": continue
        after = []
        for follows, text in cells[place + 1:]:
            if follows == "library": break
            after.append(text)
        for node in tree_of(source).body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"): continue
            used = [text for text in after if re.search(rf"\b{node.name}\b", text)]
            asserted = any(re.search(r"\bassert\b|\btest_\w+\(|\bexpect_fail\(", text) for text in used)
            yield node.name, node.end_lineno - node.lineno + 1, bool(used), asserted


def names_kind(node: ast.AST | None) -> bool:
    "Whether a piece of syntax is a kind's name, or a row with one."
    return any(isinstance(part, ast.Constant) and part.value in ("image", "table") for part in getattr(node, "elts", [node]))


def asks_kind(node: ast.AST) -> bool:
    "Whether a piece of syntax decides by a kind: compares its name, or looks something up by it."
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        constant = any(ast.unparse(side).isupper() for side in sides)
        return any(map(names_kind, sides)) or constant and any(ast.unparse(side).endswith("samples.kind") for side in sides)
    if isinstance(node, ast.MatchValue): return names_kind(node.value)
    if isinstance(node, ast.Dict): return sum(map(names_kind, node.keys)) > 1
    if isinstance(node, ast.Subscript): return ast.unparse(node.slice).endswith("samples.kind")
    looked_up = isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".get") and node.args[:1]
    return bool(looked_up and ast.unparse(node.args[0]).endswith("samples.kind")) or isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("samples.kind")


def kind_asked(source: str) -> int:
    "Places that decide by a kind."
    return sum(map(asks_kind, ast.walk(tree_of(source))))


def directions() -> tuple[list[str], int]:
    "Imports between modules that lead in a circle, and stages that a module imports."
    package = ROOT/"fashion_mlops"
    names = {".".join(path.relative_to(package).with_suffix("").parts): path for path in package.rglob("*.py") if path.stem != "__init__"}
    stages = {path.stem.partition("_")[2] for path in (ROOT/"nbs").glob("*.ipynb") if STAGE.match(path.name)}
    takes = {name: set() for name in names}
    for name, path in names.items():
        above = ["fashion_mlops", *name.split(".")]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom): continue
            origin = ".".join([*(above[:-node.level] if node.level else ()), *filter(None, [node.module])])
            for item in [origin, *(f"{origin}.{alias.name}" for alias in node.names)]:
                if (inner := item.removeprefix("fashion_mlops.")) in names and inner != name: takes[name].add(inner)
    def reaches(start, goal, seen):
        return any(step == goal or step not in seen and (seen.add(step) or reaches(step, goal, seen)) for step in takes[start])
    circles = sorted(name for name in names if reaches(name, name, set()))
    taken = {other for name, others in takes.items() if name not in ("cli", *stages) for other in others if other in stages}
    return circles, len(taken | {other for name in stages & names.keys() for other in takes[name] & stages})


def main(worst: int):
    notebooks = [path for path in sorted((ROOT/"nbs").rglob("*.ipynb")) if not any(part.startswith((".", "_")) for part in path.relative_to(ROOT/"nbs").parts)]
    lines, long, tests, asked, longest, known = Counter(), Counter(), Counter(), Counter(), [], []
    width, choices = {}, {}
    for path in notebooks:
        where = path.relative_to(ROOT/"nbs").with_suffix("").as_posix()
        cells = cells_of(path)
        for kind, source in cells:
            count = [len(line) for line in source.splitlines()]
            lines[kind] += len(count)
            long[kind] += sum(n > 120 for n in count)
            plain, inside = conditions(tree_of(source))
            tests[kind] += plain
            tests[kind, "f-string"] += inside
            if where != "datasets/kinds": asked[where] += kind_asked(source) if kind != "example" else 0
            if kind == "run":
                width[where] = width.get(where, 0) + sum(n > 120 for n in count)
                choices[where] = choices.get(where, 0) + plain
        for name, length, example, assertion in definitions(cells):
            known.append((example, assertion))
            longest.append((length, f"{where}.{name}"))
    circles, stages = directions()
    def per(kind, key=None): return 1000*tests[key or kind]/max(lines[kind], 1)
    rows = [("modules in a circle of imports", len(circles), "0"), ("stages that others import", stages, "0"), ("places that decide by a kind", sum(asked.values()), "0")]
    for kind, most in (("run", "5 %"), ("library", "4 %")): rows.append((f"lines over 120 characters, {kind}", f"{100*long[kind]/max(lines[kind], 1):.1f} % of {lines[kind]:,}", most))
    rows.append(("conditional expressions per 1,000 lines, run", f"{per('run'):.0f}", "25"))
    rows.append(("conditional expressions per 1,000 lines, library", f"{per('library'):.0f}", ""))
    rows.append(("f-strings with a condition per 1,000 lines, run", f"{per('run', ('run', 'f-string')):.1f}", ""))
    rows.append(("definitions followed by an example", f"{100*sum(e for e, _ in known)/len(known):.0f} % of {len(known):,}", "70 %"))
    rows.append(("definitions followed by an assertion", f"{100*sum(a for _, a in known)/len(known):.0f} %", "55 %"))
    rows.append(("longest definition", f"{max(longest)[0]} lines: {max(longest)[1]}", "functions below 40"))
    for what, value, goal in rows: print(f"{what:52} {value!s:>24}   {goal}")
    if circles: print("circle:", ", ".join(circles))
    for title, table in (("compare kinds", asked), ("long run-cell lines", width), ("conditional run cells", choices)):
        print(f"{title}: " + ", ".join(f"{name} {count}" for name, count in Counter(table).most_common(worst) if count))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Where the house stands, in numbers.")
    parser.add_argument("--worst", type=int, default=12, help="notebooks to name (default: 12)")
    main(parser.parse_args().worst)
