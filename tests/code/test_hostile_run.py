"""A table and pictures whose every name is hostile, through all stages, and each page in a real browser."""
import os
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fashion_mlops import cli
from fashion_mlops.workflow import screenshots
from fashion_mlops.core import WorkflowError, read_json
from fashion_mlops.workflow.markup import readable
from fashion_mlops.workflow.manifests import artifact

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)] # all stages, on a machine that may have other work

OWNED = "window.__owned=1"
COLUMNS = [f"<script>{OWNED}</script>", f"<img src=x onerror={OWNED}>", f"</style></script><svg onload={OWNED}>", "$0 - $24,999", "Ba$$in_club^2", "a|b", "`tick`", "../up", "new\nline", "🚀 emoji", "שלום עולם",
           "long " * 60, "count", "index", "_", "*star*", "<!--", f"[x](javascript:{OWNED})", "&lt;", "Count", "level_0", "value", "{{7*7}}\"'", "id", "split", "label", "back\\slash"]
CLASSES = [f"<script>{OWNED}</script>", f"<img src=x onerror={OWNED}>", "$1 to $2", "a|*b*", "שלום"]
LEVELS = [f"<b onclick={OWNED}>x</b>", "$y$", f"</script><script>{OWNED}</script>"]


def hostile_table(path: Path, rows: int = 150):
    "Numbers and words that say something of the class, under hostile names."
    draw = random.Random(0)
    kinds = [n % len(CLASSES) for n in range(rows)]
    table = {name: [round(draw.gauss(kind * (place % 3), 1), 3) for kind in kinds] for place, name in enumerate(COLUMNS)}
    for name in ("a|b", "Count", f"<script>{OWNED}</script>"): table[name] = [LEVELS[kind % 3] if draw.random() < .7 else draw.choice(LEVELS) for kind in kinds]
    pd.DataFrame(table | {"the <b>class</b>": [CLASSES[kind] for kind in kinds]}).to_parquet(path)


def run_of(home: Path, file: Path, *words: str) -> Path:
    "Add a dataset, run the smallest profile on it, return the folder of its reports."
    environment = os.environ | {"FASHION_MLOPS_HOME": str(home), "FASHION_MLOPS_STRICT": "1"} # a tool that fails fails the test
    assert cli.main(["dataset", "add", str(file), "--name", "hostile", *words]) == 0
    command = [sys.executable, "-m", "fashion_mlops.cli", "run", "--profile", "smoke", "--dataset", "hostile", "-p", "eda.table_columns=12"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800)
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-1000:]
    return home/"reports"


TEXT = "() => { const copy = document.body.cloneNode(true); copy.querySelectorAll('script, style').forEach(e => e.remove()); return document.title + ' ' + copy.textContent }"


def _looked_at(pages: list[Path]) -> dict[Path, tuple[str, list[str]]]:
    found = {}
    with screenshots._browser() as browser:
        for path in pages:
            page, wrong = browser.new_page(), []
            page.on("dialog", lambda dialog: (wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
            page.on("pageerror", lambda error: wrong.append(f"error {error}"))
            page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
            page.goto(path.as_uri(), wait_until="load", timeout=60_000)
            page.wait_for_timeout(300) # what a script of theirs does late
            if page.evaluate("window.__owned"): wrong.append("a script of theirs has run")
            found[path] = page.evaluate(TEXT), wrong
            page.close()
    return found


def looked_at(reports: Path) -> dict[str, str]:
    "The text of every page by its place, once a browser has opened it; nothing may have happened there."
    try: screenshots.chromium()
    except WorkflowError as error: pytest.skip(str(error))
    with ThreadPoolExecutor(1) as thread: found = thread.submit(_looked_at, sorted(reports.rglob("*.html"))).result()
    wrong = [f"{path.relative_to(reports)}: {text}" for path, (_, texts) in found.items() for text in texts]
    assert not wrong, "\n".join(wrong)
    return {path.relative_to(reports).as_posix(): re.sub(r"\s+", " ", re.sub("[\u2068\u2069]", "", text)) for path, (text, _) in found.items()}


def read_as_written(page: str, names: list[str]) -> list[str]:
    "The names that a page does not show; a line end may be shown as one, and of a long name the beginning is enough."
    spellings = lambda name: {readable(name), " ".join(name.split()), name.replace("\n", "\\n")}
    return [name for name in names if not any(text[:40] in page for text in spellings(name))]


def test_a_hostile_table_through_all_stages(home, tmp_path):
    hostile_table(tmp_path/"hostile.parquet")
    pages = looked_at(run_of(home, tmp_path/"hostile.parquet", "--target", "the <b>class</b>"))
    told = [row["column"] for row in read_json(artifact("hostile", "eda.json"))["statistics"]][:12] # what the tools are given
    documents = next(text for place, text in pages.items() if place.endswith("tables-rows.html"))
    shown = {"hostile/01_data.html": COLUMNS + CLASSES, "hostile/02_quality/data_docs/index.html": COLUMNS, "hostile/03_eda.html": COLUMNS + CLASSES, "hostile/03_eda/profile.html": told,
             "hostile/03_eda/sweetviz_splits.html": told, "hostile/08_registry.html": COLUMNS + CLASSES}
    missing = {place: lacking for place, names in shown.items() if (lacking := read_as_written(pages[place], names))}
    if lacking := read_as_written(documents, COLUMNS): missing["tables-rows.html"] = lacking
    assert not missing, missing
    assert "hostile/10_monitoring/drift_clean.html" in pages and not [place for place, text in pages.items() if "The stage went on without it" in text]


def test_hostile_folders_of_pictures(home, tmp_path):
    from PIL import Image
    folders = [name.replace("/", "∕") for name in [*CLASSES, "count", "_", "# head"]]
    draw = np.random.default_rng(0)
    for place, name in enumerate(folders):
        (tmp_path/"pictures"/name).mkdir(parents=True)
        for number in range(16): Image.fromarray((draw.random((12, 12)) * 60 + 20 * place).astype(np.uint8)).save(tmp_path/"pictures"/name/f"{number}.png")
    pages = looked_at(run_of(home, tmp_path/"pictures"))
    missing = {place: lacking for place in ("hostile/01_data.html", "hostile/03_eda.html", "hostile/08_registry.html") if (lacking := read_as_written(pages[place], folders))}
    assert not missing, missing
