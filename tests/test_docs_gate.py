"""docs/gate.md: its commands give what it shows, and its table has every key of a policy."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
from command_line import exit_code

from evalharness.records.policy import LIMITS, Policy

PAGE = (Path(__file__).resolve().parent.parent / "docs/gate.md").read_text("utf-8")
COMMAND = re.compile(r"(.*?<<'END'\n.*?^END\n|.*?\n)(.*)", re.DOTALL | re.MULTILINE)


def test_every_command_gives_the_lines_that_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    codes = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, shown = COMMAND.fullmatch(step).groups()
            if not command.startswith("evalharness"):
                assert subprocess.run(["bash", "-c", command], check=True, capture_output=True).stdout == b""
                continue
            program, *arguments = shlex.split(command)
            codes.append((arguments[0], exit_code(*arguments)))
            output = iter(capsys.readouterr().out.splitlines())
            missing = [line for line in shown.splitlines() if line != "…" and line not in output]
            assert program == "evalharness" and not missing, command
    assert codes == [
        *(("compare", 0), ("gate", 3), ("gate", 0)),
        *(("compare", 0), ("baseline", 0), ("compare", 0), ("gate", 0), ("gate", 3)),
    ]


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
