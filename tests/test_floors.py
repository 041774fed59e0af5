"""The house of README, enforced over the syntax trees: imports go down, rooms of one floor never meet, no cycles, none in functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "evalharness"
FLOORS = {
    "errors": 0, "fingerprint": 0, "places": 0, "stats": 0,
    "records": 1, "registry": 1,
    "readers": 2, "metrics": 2, "checkpoints": 2, "store": 2,
    "engines": 2.5,
    "tasks": 3,
    "pairing": 3.5,
    "collect": 4, "measure": 4, "compare": 4, "average": 4, "gate": 4, "results": 4, "prove": 4, "training": 4,
    "diagnose": 4,
    "imports": 4, "overlap": 4, "drift": 4,
    "pipeline": 5,
    "report": 6,
    "campaigns": 7,
    "cli": 8,
    "__main__": 9,
}  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("torch", "transformers", "peft", "datasets", "evaluate", "matplotlib", "lm_eval")


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def own_imports(path: Path) -> set[str]:
    """Full names of our own modules that a file imports, at any depth of its tree."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "evalharness"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "evalharness":
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else str(node.module))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: module_name(path))
def test_imports_go_down_and_rooms_of_one_floor_never_meet(path: Path) -> None:
    here = room(module_name(path))
    if not here:
        return  # evalharness/__init__ is the public face
    assert here in FLOORS, f"{path}: a room without a floor"
    for imported in own_imports(path):
        there = room(imported)
        if there in ("", here):
            continue
        assert FLOORS[there] < FLOORS[here], f"{path}: {here} (floor {FLOORS[here]}) imports {imported} (floor {FLOORS[there]})"


@pytest.mark.parametrize("path", FILES, ids=lambda path: module_name(path))
def test_no_import_hides_in_a_function(path: Path) -> None:
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = [node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]
            assert not inner, f"{path}:{inner[0].lineno}: import inside {function.name}"


def test_no_import_cycles() -> None:
    graph = {name: own_imports(path) - {name} for name, path in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def test_registry_tables_name_only_their_own_room() -> None:
    for name, path in MODULES.items():
        if path.name != "__init__.py" or "KNOWN" not in path.read_text():
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("evalharness.") and ":" in node.value:
                module = node.value.split(":")[0]
                assert module.startswith(name + "."), f"{path}: {node.value} is not of this room"
                assert module in MODULES, f"{path}: {node.value} does not exist"


def test_files_stay_small() -> None:
    long = {module_name(path): lines for path in FILES if (lines := len(path.read_text().splitlines())) > 320}
    assert not long, f"files with more than one job? {long}"


def test_every_file_says_what_it_does() -> None:
    silent = [module_name(path) for path in FILES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent


def imported_by(command: str) -> set[str]:
    code = f"import sys\n{command}\nprint(' '.join(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["cli.main", "cli.gate", "cli.compare", "cli.report", "cli.tasks"])
def test_light_commands_import_nothing_heavy(module: str) -> None:
    heavy = ("torch", "transformers", "peft", "datasets", "evaluate", "lm_eval")
    assert not imported_by(f"import evalharness.{module}") & set(heavy)


def test_help_imports_no_numbers_at_all() -> None:
    assert not imported_by("import evalharness.cli.main") & {*HEAVY, "scipy", "pandas"}
