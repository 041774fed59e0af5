"""docs/verdict.md is short, and its commands give what it shows."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from command_line import exit_code

PAGE = (Path(__file__).resolve().parent.parent / "docs/verdict.md").read_text("utf-8")
WORDS = 1000
COMMAND = re.compile(r"(.*?<<'END'\n.*?^END\n|.*?\n)(.*)", re.DOTALL | re.MULTILINE)


def test_the_page_is_short() -> None:
    assert len(PAGE.split()) <= WORDS


def test_every_command_gives_the_lines_that_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    codes = []
    for step in (part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]):
        command, shown = COMMAND.fullmatch(step).groups()
        program, *arguments = shlex.split(command.partition("\n")[0])
        if program != "evalharness":
            assert subprocess.run(["bash", "-c", command], check=True, capture_output=True).stdout == b""
            continue
        codes.append((arguments[0], exit_code(*arguments)))
        output = iter(capsys.readouterr().out.splitlines())
        missing = [line for line in shown.splitlines() if line != "…" and line not in output]
        assert not missing, command
    assert [code for name, code in codes if name == "gate"] == [0, 4]
    assert len(blocks) == 5 and all(code == 0 for name, code in codes if name == "compare")
