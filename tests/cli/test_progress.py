"""Progress: one line a phase where there is no terminal, counts and time left, nothing on request, nothing hostile."""

from __future__ import annotations

import pytest

from evalharness.cli import progress


def test_lines_say_what_is_done_and_how_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Lines() as listener:
        listener.phase("making prompts")
        listener.expect(300)
        listener.phase("base: sst2")
        listener.advance(100, 0)
        listener.phase("base: rte")
        listener.advance(0, 100)
        listener.phase("base: cola")
    first, second, third, fourth = capsys.readouterr().err.splitlines()
    assert first == "making prompts"
    assert second == "base: sst2 [0/300 requests]"
    assert third == "base: rte [0/200 requests, 100 from the store]"
    assert fourth.startswith("base: cola [100/200 requests, 100 from the store, about ")
    assert fourth.endswith(" left]")


def test_hostile_names_are_shown_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    progress.Lines().phase("\x1b[31mred")
    progress.Lines().notice("\x1b[31mred")
    assert "\x1b" not in capsys.readouterr().err


def test_quiet_is_quiet_but_for_notices(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.listener(quiet=True) as listener:
        listener.phase("x")
        listener.expect(1)
        listener.advance(0, 1)
        listener.notice("the tokenizer got a pad token")
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "note: the tokenizer got a pad token\n")


def test_a_log_gets_lines_and_a_bar_can_be_drawn() -> None:
    assert isinstance(progress.listener(quiet=False), progress.Lines)
    with progress.Bar() as bar:
        bar.expect(2)
        bar.phase("[red]x[/red]")
        bar.advance(1, 0)
        assert (bar.progress.tasks[0].completed, bar.progress.tasks[0].total) == (0, 1)
        bar.advance(0, 1)
        assert bar.progress.finished


def test_a_bar_stays_within_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with progress.Bar() as bar:
        bar.expect(12000)
        bar.phase("full-high-candidate: bigbench_language_identification_multiple_choice")
        bar.console.print(bar.progress.get_renderable())
    shown = capsys.readouterr().err.splitlines()
    assert any("0/12000" in line for line in shown) and max(map(len, shown)) <= 80


def test_verbose_tells_every_block(capsys: pytest.CaptureFixture[str]) -> None:
    listener = progress.listener(quiet=False, verbose=True)
    listener.expect(256)
    listener.advance(128, 0)
    assert capsys.readouterr().err == "  128 found, 0 computed [0/128 requests, 128 from the store]\n"
