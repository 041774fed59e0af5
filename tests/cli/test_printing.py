"""Widths and colours, with a real terminal's two ends."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import select
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from evalharness.cli.printing import print_json, print_line, print_lines, terminal_width
from evalharness.report.text_table import aligned

LONG = "a-task-with-a-long-name"
ROWS = [("", "n", "score", "verdict"), (LONG, "12", "0.500", "? inconclusive"), ("b", "3", "1", "")]


@pytest.fixture
def files() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Terminal:
    """A terminal of so many columns in place of stdout."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, files: ExitStack, columns: int) -> None:
        self.reading, writing = pty.openpty()
        fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.stream = files.enter_context(os.fdopen(writing, "w"))
        files.callback(os.close, self.reading)
        monkeypatch.setattr(sys, "stdout", self.stream)
        monkeypatch.setattr(sys, "__stdout__", self.stream)
        for name in ("COLUMNS", "NO_COLOR"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("TERM", "xterm")

    def shown(self) -> str:
        """What was printed since the last look."""
        self.stream.flush()
        read = b""
        while select.select([self.reading], [], [], 0.3)[0]:
            read += os.read(self.reading, 65536)
        return read.decode().replace("\r\n", "\n")


def test_lines_are_wrapped_between_words_to_the_terminal_and_paths_stay_whole(
    monkeypatch: pytest.MonkeyPatch, files: ExitStack
) -> None:
    terminal = Terminal(monkeypatch, files, 40)
    assert terminal_width() == 40
    path = "/".join(["folder"] * 12)
    print_lines(["  note: of several tasks each fell by more than its margin", f"see {path}"])
    assert terminal.shown().splitlines() == [
        "  note: of several tasks each fell by",
        "    more than its margin",
        "see",
        f"  {path}",
    ]


def test_verdicts_have_colours_on_a_terminal_unless_no_color_asks_for_none(
    monkeypatch: pytest.MonkeyPatch, files: ExitStack
) -> None:
    terminal = Terminal(monkeypatch, files, 40)
    print_line("sst2  ▼ forgotten")
    assert "\x1b[31m▼ forgotten\x1b[0m" in terminal.shown()
    monkeypatch.setenv("NO_COLOR", "1")
    print_line("sst2  ▼ forgotten")
    assert terminal.shown() == "sst2  ▼ forgotten\n"


def test_a_pipe_has_neither_width_nor_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")  # a shell may export it: that makes no terminal of a pipe
    print_lines(["▼ forgotten " * 30])
    assert capsys.readouterr().out == "▼ forgotten " * 30 + "\n"


def test_json_keeps_its_content_where_stdout_lacks_a_character(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "cp1252", write_through=True))
    document = {"name": "−1 ≤ 𝛿 é", "command": "##[error]x"}
    print_json(json.dumps(document, ensure_ascii=False))
    assert json.loads(written.getvalue().decode("cp1252")) == document
    assert b"##[" not in written.getvalue()


@pytest.mark.parametrize("width", range(24, 60))
def test_a_table_fits_and_never_loses_names_or_verdicts(width: int) -> None:
    lines = list(aligned(ROWS, (1, 2), width, spare=(1, 2)))
    assert max(map(len, lines)) <= width
    assert any(LONG in line for line in lines) and any("? inconclusive" in line for line in lines)


def test_a_table_leaves_out_spare_columns_first() -> None:
    assert list(aligned(ROWS, (1, 2), 48, spare=(1, 2)))[1] == f"{LONG}  0.500  ? inconclusive"
    assert list(aligned(ROWS, (1, 2), 30, spare=(1, 2)))[1:3] == [LONG, "   12  0.500  ? inconclusive"]
