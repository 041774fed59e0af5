"""The tables in docs/ are those that their generators write from what is shipped."""

from __future__ import annotations

import ast
import re
import runpy
import tomllib
from pathlib import Path

from evalharness.records.comparison import Flag
from evalharness.report.flags import FLAGS
from evalharness.tasks.library import Library

DOCS = Path(__file__).resolve().parent.parent / "docs"


def test_the_page_of_tasks_is_up_to_date() -> None:
    page = runpy.run_path(str(DOCS / "make_tasks_table.py"))["page"]
    assert (DOCS / "tasks.md").read_text("utf-8") == page(Library()), "run: python docs/make_tasks_table.py"


def test_the_flags_are_explained_as_the_report_does() -> None:
    make = runpy.run_path(str(DOCS / "make_flags_table.py"))
    text = make["PAGE"].read_text("utf-8")
    assert text == make["page"](text), "run: python docs/make_flags_table.py"
    assert all(f"| `{flag}` | " in text for flag in Flag)
    assert all(words.action for words in FLAGS.values()) and set(FLAGS) == set(Flag)


def test_the_page_names_every_task_that_is_no_variant() -> None:
    page, library = (DOCS / "tasks.md").read_text("utf-8"), Library()
    for name in library.names():
        task = library.task(name)
        if not task.variant_of and task.family in ("glue", "superglue", "summarization", "translation", "nlg"):
            assert f"| `{name}` |" in page
    for suite in library.suites():
        assert f"| `{suite}` |" in page


def test_the_table_of_suites_names_what_is_shipped_and_is_made_by_its_script() -> None:
    make, library = runpy.run_path(str(DOCS / "make_suites_table.py")), Library()
    page = (DOCS / "plan.md").read_text("utf-8")
    lines = make["parts"](page, make["SUITES"])[1].splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == list(library.suites()), "run: python docs/make_suites_table.py"
    for name in library.suites():
        assert all(make["rows_of"](task) > 0 for task in library.suite(name).tasks if not library.suite(name).data)
    translation = make["table"]([make["forecasts"]("translation")]).splitlines()[2]
    assert translation in lines and translation.startswith("| `translation` | 2 | 0 |")
    shares = re.findall(r"passes|undecided|fails|found", make["parts"](page, make["GATE"])[1])
    assert {"passes", "undecided", "fails", "found"} == set(shares)


def test_the_page_of_files_is_up_to_date() -> None:
    make = runpy.run_path(str(DOCS / "make_files_page.py"))
    assert make["PAGE"].read_text("utf-8") == make["page"](), "run: python docs/make_files_page.py"


def test_architecture_names_what_exists() -> None:
    page, package = (DOCS.parent / "ARCHITECTURE.md").read_text("utf-8"), DOCS.parent / "evalharness"
    named = re.findall(r"`([a-z_/0-9]+\.py)(?::(\w+))?`", page)
    assert len(named) > 40
    for file, name in named:
        path = DOCS.parent / file if file.startswith("tests/") else package / file
        tree = ast.parse(path.read_text("utf-8"))
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert not name or name in defined, f"{file}:{name}"


def test_architecture_has_the_packages_in_the_order_of_the_layers() -> None:
    contract = tomllib.loads((DOCS.parent / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][
        0
    ]
    layers = [set(layer.split(" | ")) for layer in contract["layers"]]
    page = (DOCS.parent / "ARCHITECTURE.md").read_text("utf-8")
    stated: dict[int, set[str]] = {}
    for number, packages in re.findall(r"^\| (\d+) \| (.*?) \|", page, re.MULTILINE):
        stated.setdefault(int(number), set()).update(re.findall(r"`(\w+)`", packages))
    assert [stated[number] for number in sorted(stated, reverse=True)] == layers


def test_tests_that_pages_name_exist() -> None:
    pages = [*DOCS.glob("*.md"), *DOCS.parent.glob("*.md")]
    named = {name for page in pages for name in re.findall(r"`(tests/[\w/.]+)`", page.read_text("utf-8"))}
    assert len(named) > 4
    assert not [name for name in named if not (DOCS.parent / name).exists()]
