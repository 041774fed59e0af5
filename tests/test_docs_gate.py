"""docs/gate.md: its table has every key of a policy, and what it shows of the example stands there.

tests/test_docs_commands.py executes its commands.
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from evalharness.records.policy import LIMITS, Policy

PAGE = (Path(__file__).resolve().parent.parent / "docs/gate.md").read_text("utf-8")


def test_every_key_is_explained() -> None:
    keys = {each.name for each in fields(Policy)} - {"sources"}
    table = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    assert {key for row in table for key in re.findall(r"`(\w+)`", row)} >= keys
    assert all(f"`{limit}`" in PAGE for limit in LIMITS)


def test_what_it_shows_of_the_example_stands_there() -> None:
    example = Path(__file__).resolve().parent.parent / "examples" / "lora-repository"
    files = [path.read_text("utf-8") for path in example.rglob("*") if path.is_file()]
    shown = re.findall(r"```(?:yaml|python)\n(.*?)```", PAGE.partition("## In CI")[2], re.DOTALL)
    assert len(shown) == 3 and all(any(block in file for file in files) for block in shown)
