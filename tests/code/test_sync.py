"""The repository is in sync with its notebooks, and light where it has to be."""
import re
import subprocess
import sys

from fashion_mlops.workflow import static_check, sync


def test_notebooks_library_and_readme_are_in_sync():
    assert sync.problems() == []


def test_no_call_or_name_that_cannot_be_right():
    assert static_check.main() == 0


def test_command_line_imports_nothing_heavy():
    code = "import sys, fashion_mlops, fashion_mlops.cli as c; c.parser(); print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"numpy", "pandas", "torch", "mlflow", "papermill", "sklearn", "matplotlib", "IPython"}


def test_exported_modules_are_light_too():
    "A module may be imported for one function; what is heavy is imported where it is used."
    from fashion_mlops.core import project_root
    package = project_root()/"fashion_mlops"
    names = [".".join(p.relative_to(package).with_suffix("").parts) for p in package.rglob("*.py") if p.stem not in ("__init__", "engine", "net", "shards", "trainer", "speed", "table_net", "graph")] # these build on classes of papermill and torch
    code = "import sys, importlib\nfor n in sys.argv[1:]: importlib.import_module('fashion_mlops.' + n)\nprint(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"torch", "mlflow", "papermill", "great_expectations", "evidently", "shap", "tpot", "ydata_profiling"}


def test_a_changed_module_is_noticed(tmp_path, monkeypatch):
    fresh = tmp_path/"fresh"
    fresh.mkdir()
    (tmp_path/"fashion_mlops").mkdir()
    (fresh/"core.py").write_text("x = 1")
    (tmp_path/"fashion_mlops"/"core.py").write_text("x = 2")
    (tmp_path/"fashion_mlops"/"old.py").write_text("")
    monkeypatch.setenv("FASHION_MLOPS_ROOT", str(tmp_path))
    assert sync.library_differences(fresh) == {"core.py": "changed", "old.py": "without notebook"}


def test_any_test_file_can_be_collected_beside_any_other():
    "Which conftest an import would find depends on the order of the folders; so does a module's name that is there twice."
    from fashion_mlops.core import project_root
    files = [path for path in (project_root()/"tests").rglob("*.py") if path.name != "conftest.py" and "third_wing" not in path.parts]
    assert not [path.name for path in files if re.search(r"^\s*(from|import) conftest\b", path.read_text(), re.M)]
    assert len({path.name for path in files}) == len(files)
