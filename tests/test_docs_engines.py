"""docs/engines.md is short, and names every engine, and the targets and scripts that give its figures."""

from __future__ import annotations

import re
from pathlib import Path

from evalharness.engines import REGISTRY

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/engines.md").read_text("utf-8")
WORDS = 900


def test_the_page_is_short() -> None:
    assert len(PAGE.split()) <= WORDS


def test_every_engine_is_named_with_what_was_run_of_it() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert set(REGISTRY) <= set(rows)


def test_what_gives_its_figures_is_there() -> None:
    targets = re.findall(r"`make ([\w-]+)", PAGE)
    assert targets and all(f"\n{target}: " in (ROOT / "Makefile").read_text("utf-8") for target in targets)
    scripts = re.findall(r"`python (\S+\.py)", PAGE)
    assert scripts and all((ROOT / script).is_file() for script in scripts)
    linked = re.findall(r"\]\(([\w./]+)\)", PAGE)
    assert linked and all((ROOT / "docs" / path).exists() for path in linked)
