"""Every command of docs/fine_tuning.md prints what stands beside it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from command_line import exit_code

from evalharness.paths import shipped

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "fine_tuning.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (?!what is taught|---).*? \| `(evalharness .*?)` \| `(.*?)` \|$", PAGE, re.MULTILINE)


def test_every_row_has_a_command_and_what_it_prints() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| what is taught")]
    assert len(ROWS) == len(rows) > 50


@pytest.mark.slow
def test_every_command_prints_what_stands_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    for name, text in zip(("evalharness.toml", "one_task.toml"), blocks, strict=True):
        (tmp_path / name).write_text(text)
    (tmp_path / "fixtures").symlink_to(shipped("fixtures"))
    monkeypatch.chdir(tmp_path)
    for command, printed in ROWS:
        code = exit_code(*shlex.split(command)[1:])
        out, err = capsys.readouterr()
        assert printed in out + err, f"{command}\n{out}\n{err}"
        refused = command.startswith("evalharness train --method qlora")
        assert code == (2 if refused else 0), f"{command}: {code}\n{err}"
