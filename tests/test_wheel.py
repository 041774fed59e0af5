"""The wheel works where neither the source tree nor torch is: what it carries, what it needs, and what it does then."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import distribution, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from evalharness.data.sources import DataSource
from evalharness.registry import EXTRA_OF
from evalharness.tasks.library import Library
from evalharness.tasks.preview import first_prompts

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED_BY_OTHERS = {"accelerate", "bitsandbytes"}  # transformers imports them, we do not
IMPORTS_US = {"pytest"}  # and the module that needs it
HEAVY = ("hf", "quant", "gguf", "openai", "ray")
ELSEWHERE = {"vllm"}  # pins a torch of its own, so that it cannot be installed beside the tested set


ROOTS = ("benchmarks", "world/rows")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(texts: list[str]) -> set[str]:
    return {normal(Requirement(text).name) for text in texts} - {"evalharness"}


BASE, EXTRAS = declared(PROJECT["dependencies"]), PROJECT["optional-dependencies"]


def closure(names: set[str]) -> set[str]:
    """The distributions of these names and all that they require, extras aside."""
    known, open_ = set(), set(names)
    while open_:
        name = open_.pop()
        known.add(name)
        required = [Requirement(text) for text in requires(name) or ()]
        wanted = {normal(each.name) for each in required if not each.marker or each.marker.evaluate({"extra": ""})}
        open_ |= wanted - known
    return known


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("evalharness-*.whl")
    return path


@pytest.fixture(scope="module")
def light(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, what it requires without an extra, and nothing else."""
    place = tmp_path_factory.mktemp("light") / "venv"
    venv.create(place, symlinks=True)
    (site,) = place.glob("lib/python*/site-packages")
    for name in closure(BASE):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            (site / top).symlink_to(Path(str(found.locate_file(top))))
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--no-index", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)  # fails where a requirement is not met
    return place


@pytest.fixture(scope="module")
def finished(light: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A small run that the wheel's code made where torch is, and what it printed."""
    base, out = places_in(light)["BASE"], tmp_path_factory.mktemp("run")
    models = [
        "--model",
        f"same={base}",
        "--base",
        str(base),
        "--suite",
        "demo",
        "--limit",
        "3",
        "--device",
        "cpu",
        "--allow-noop",
    ]
    places = ["--out", str(out / "out"), "--store", str(out / "store.sqlite")]
    command = [sys.executable, "-m", "evalharness", "run", *models, *places]
    environment = {**os.environ, "PYTHONPATH": str(base.parents[4]), "HF_HUB_OFFLINE": "1"}
    process = subprocess.run(command, capture_output=True, text=True, cwd=light, env=environment)
    assert process.returncode == 0, process.stderr
    return out / "out", process.stdout


def places_in(light: Path, run: Path = Path()) -> dict[str, Path]:
    """What stands for a path in the command lines below."""
    (fixtures,) = light.glob("lib/python*/site-packages/evalharness/shipped/fixtures")
    return {"BASE": fixtures / "models" / "tiny-base", "ROWS": fixtures / "world" / "rows", "RUN": run}


def evalharness(light: Path, *arguments: str | Path) -> tuple[int, str, str]:
    """The installed command in the light environment: exit code, stdout, stderr."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["XDG_CACHE_HOME"] = str(light / "cache")
    command = [str(light / "bin" / "evalharness"), *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, cwd=light, env=environment)
    return process.returncode, process.stdout, process.stderr


# ---- what is declared ------------------------------------------------------------------------------------------------


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def test_every_import_is_declared_and_every_requirement_imported() -> None:
    trees = [ast.parse(path.read_text()) for path in (ROOT / "evalharness").rglob("*.py")]
    for_types = {
        id(inner) for tree in trees for node in ast.walk(tree) if _is_for_types(node) for inner in ast.walk(node)
    }
    nodes = [node for tree in trees for node in ast.walk(tree) if id(node) not in for_types]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    modules = {name.partition(".")[0] for name in names} - {*sys.stdlib_module_names, "evalharness"}
    brought_by = packages_distributions()
    imported = {normal(brought_by[module][0]) for module in modules - IMPORTS_US - ELSEWHERE}
    heavy = declared([requirement for extra in HEAVY for requirement in EXTRAS[extra]])
    assert imported == (BASE | heavy) - NEEDED_BY_OTHERS


def test_a_missing_package_is_told_by_the_extra_that_brings_it() -> None:
    named = {extra: {normal(name) for name, of in EXTRA_OF.items() if of == extra} for extra in set(EXTRA_OF.values())}
    assert named.pop("vllm") == ELSEWHERE <= declared(EXTRAS["vllm"])
    assert named == {extra: declared(EXTRAS[extra]) for extra in HEAVY}


def test_the_tested_set_pins_what_is_declared() -> None:
    pins = {normal(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().split()}
    extras = ("hf", "quant", "gguf", "ray", "test", "docs", "dev")
    assert pins >= BASE | declared([requirement for extra in extras for requirement in EXTRAS[extra]])


def test_pytest_finds_the_plugin(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "[pytest11]\nevalharness = evalharness.pytest_plugin\n" in archive.read(name).decode()


# ---- what is in it ---------------------------------------------------------------------------------------------------


def test_it_carries_what_is_read_and_no_generator(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = [Path(name).relative_to("evalharness/shipped") for name in archive.namelist() if "/shipped/" in name]
    rest = {path for path in shipped if path.parts[0] not in ("tasks", "reports") and path.parts[1] != "benchmarks"}
    assert {path.suffix for path in shipped if path.parts[0] == "tasks"} == {"", ".yaml"}
    assert {path.suffix for path in shipped if path.parts[0] == "reports"} == {".jinja", ".css", ".js"}
    base = {path for path in rest if path.is_relative_to("fixtures/models/tiny-base")}
    assert "model.safetensors" in {path.name for path in base}
    rows = {path for path in rest if path.is_relative_to("fixtures/world/rows")}
    assert {path.stem for path in rows} == {"train", "validation", "test", "dev"}
    behaviour = {path for path in rest if path.is_relative_to("fixtures/behaviour/rows")}
    assert len(behaviour) == 5 and {path.name for path in behaviour} == {"test.jsonl"}
    alone = {"fixtures/atlas/drift-world.csv", "fixtures/demo/recipes.json", "fixtures/drift/neutral.txt"}
    assert rest - base - rows - behaviour == set(map(Path, alone))
    assert not [path for path in shipped if path.suffix in (".py", ".pyc")]


@pytest.mark.slow
def test_the_benchmark_rows_in_it_are_those_that_tasks_show_shows(wheel: Path) -> None:
    """Of the benchmarks' invented rows only those folders of data sets are in it that `tasks show` reads, beside those
    of which the embedded world has rows, too.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = [name.partition("/shipped/fixtures/")[2] for name in archive.namelist()]
    folders = {root: {Path(name).relative_to(root).parent for name in names if name.startswith(root)} for root in ROOTS}
    opened: set[str] = set()
    sys.addaudithook(lambda event, arguments: opened.add(str(arguments[0])) if event == "open" else None)
    library = Library()
    for name in library.names():
        assert first_prompts(library.task(name), None, DataSource(), 2)[0], name
    benchmarks = ROOT / "fixtures" / "benchmarks"
    read = {path.parent.relative_to(benchmarks) for path in map(Path, opened) if path.is_relative_to(benchmarks)}
    same_texts = {Path("aps/super_glue/rte")}  # the embedded world's rows of GLUE's RTE are shown
    assert folders["benchmarks"] - folders["world/rows"] - same_texts == read


# ---- what it does without torch --------------------------------------------------------------------------------------


def test_a_run_from_the_wheel(finished: tuple[Path, str]) -> None:
    out, said = finished
    assert {"results.json", "report.html"} <= {path.name for path in out.iterdir()}
    assert "inconclusive" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        pytest.param(("run", "--help"), marks=pytest.mark.slow),
        pytest.param(("train", "--help"), marks=pytest.mark.slow),
        pytest.param(("tasks", "list", "--all"), marks=pytest.mark.slow),
        ("tasks", "show", "mnli"),
        ("plan", "--task", "sst2", "--data-dir", "ROWS", "--limit", "20", "--quiet"),
        ("report", "RUN"),
        ("compare", "RUN"),
    ],
    ids=" ".join,
)
def test_what_works_without_an_extra(light: Path, finished: tuple[Path, str], arguments: tuple[str, ...]) -> None:
    code, said, error = evalharness(light, *(places_in(light, finished[0]).get(word, word) for word in arguments))
    assert (code, error) == (0, "")
    assert said


def test_the_gate_works_without_an_extra(light: Path, finished: tuple[Path, str]) -> None:
    assert evalharness(light, "gate", finished[0])[0] == 4  # three examples a task decide nothing


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--model", "same=BASE", "--base", "BASE", "--suite", "demo", "--out", "out", "--allow-noop"),
        pytest.param(
            ("trace", "--stage", "BASE", "--base", "BASE", "--suite", "demo", "--out", "out"), marks=pytest.mark.slow
        ),
        pytest.param(
            ("bisect", "--stage", "BASE", "--base", "BASE", "--suite", "demo", "--out", "out"), marks=pytest.mark.slow
        ),
        ("train", "--method", "lora", "--base", "BASE", "--task", "sst2", "--data-dir", "ROWS", "--out", "candidate"),
        pytest.param(
            ("sweep", "--base", "BASE", "--task", "sst2", "--suite", "demo", "--out", "sweep"), marks=pytest.mark.slow
        ),
        pytest.param(("demo", "--out", "demo"), marks=pytest.mark.slow),
        ("data", "fetch", "--task", "sst2", "--to", "rows"),
        ("checkpoint", "show", "BASE"),
        ("plan", "--suite", "demo", "--limit", "20", "--base", "BASE"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_what_needs_the_extra_says_so(light: Path, arguments: tuple[str, ...]) -> None:
    places = places_in(light)
    words = (re.sub("^(same=)?(BASE|ROWS)$", lambda of: f"{of[1] or ''}{places[of[2]]}", word) for word in arguments)
    code, _, error = evalharness(light, *words)
    assert code == 2
    assert re.search(r"^Error: .+: needs the packages of the extra \[hf\] \(\w+ is not installed\); ", error, re.M)
    assert error.endswith("pip install 'evalharness[hf]' would be right\n")
