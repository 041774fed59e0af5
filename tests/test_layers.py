"""What holds of the package's tree beside the layers, which import-linter checks (pyproject.toml, `make check`)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "evalharness"
TREES = {path.relative_to(PACKAGE): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
HEAVY = {"torch", "transformers", "peft", "datasets", "evaluate", "matplotlib", "lm_eval"}
LIGHT = (
    *("cli.main", "cli.gate", "cli.compare", "cli.report", "cli.tasks", "cli.plan", "cli.checkpoint"),
    *("analysis", "analysis.gate", "imports.readers", "report.page", "report.forest", "report.tradeoff"),
)


def test_files_and_functions_stay_small() -> None:
    files = {str(path): lines for path in TREES if (lines := len((PACKAGE / path).read_text().splitlines())) > 300}
    functions = {
        f"{path}:{node.name}": lines
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and (lines := (node.end_lineno or 0) - node.lineno + 1) > 40
    }
    assert not files | functions


def test_every_file_says_what_it_does() -> None:
    assert not [str(path) for path, tree in TREES.items() if not ast.get_docstring(tree)]


def test_no_public_class_name_is_defined_twice() -> None:
    classes = [node.name for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert not [name for name, count in Counter(classes).items() if count > 1 and not name.startswith("_")]


def test_no_import_hides_in_a_function() -> None:
    hidden = [
        f"{path}:{inner.lineno}"
        for path, tree in TREES.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for inner in ast.walk(function)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert not hidden


def test_registry_tables_name_what_exists_in_their_own_package() -> None:
    named = []
    for path, tree in TREES.items():
        if path.name != "__init__.py" or len(path.parts) < 2:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("evalharness."):
                module, colon, _ = node.value.partition(":")
                named.append(node.value)
                assert colon and module.startswith(".".join(("evalharness", *path.parts[:-1]))), f"{path}: {node.value}"
                assert Path(*module.split(".")[1:]).with_suffix(".py") in TREES, f"{path}: {node.value} does not exist"
    assert named


def imported_by(command: str) -> set[str]:
    code = f"import sys\n{command}\nprint(' '.join(sorted(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(process.stdout.split())


def test_light_commands_import_nothing_heavy() -> None:
    assert not imported_by("\n".join(f"import evalharness.{name}" for name in LIGHT)) & (HEAVY - {"matplotlib"})


def test_help_imports_no_numbers_at_all() -> None:
    assert not imported_by("import evalharness.cli.main") & {*HEAVY, "scipy", "pandas"}
