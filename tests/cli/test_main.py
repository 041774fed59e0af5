"""The command line as a user meets it: help, exit codes, one line an error."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from command_line import exit_code

from evalharness import cli, registry
from evalharness.cli import main as entry
from evalharness.cli.main import SUMMARIES
from evalharness.report.escape import plain


def run(*arguments: str) -> tuple[int, str, str]:
    process = subprocess.run([sys.executable, "-m", "evalharness", *arguments], capture_output=True, text=True)
    return process.returncode, process.stdout, process.stderr


def walk(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    commands = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            commands += walk(child, (*path, name))
    return commands


def test_help_lists_every_command_with_its_own_first_sentence() -> None:
    code, out, _ = run("--help")
    assert code == 0
    for name in cli.REGISTRY:
        assert f"\n  {name} " in out


@pytest.mark.parametrize("name", cli.REGISTRY)
def test_every_command_is_documented(name: str) -> None:
    assert SUMMARIES[name]
    for path, command in walk(registry.find(cli.REGISTRY, name, "command"), (name,)):
        assert command.help, f"{path} has no help"
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.name not in ("help", "version"):
                assert parameter.help, f"{path}: {parameter.opts} has no help"


def test_readme_names_every_command() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    for name in cli.REGISTRY:
        assert f"evalharness {name}" in readme, name


def test_version() -> None:
    assert run("--version")[1].startswith("evalharness, version ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rn",), "did you mean run?"),
        (("run",), "no candidate"),
        (("run", "--model", "x"), "nothing to evaluate"),
        (("run", "--model", "x", "--suite", "demo", "--limit", "0"), "--limit"),
        (("run", "--model", "x", "--suite", "demo", "--margin", "-1"), "give a number above 0"),
        (("run", "--model", "x", "--suite", "demo", "--margin", "sst2=lots"), "give a number above 0"),
        (("run", "--model", "x", "--suite", "demo", "--data", "sst2"), "is not NAME=VALUE"),
        (("run", "--model", "x", "--suite", "demo", "--data", "sst2=/nowhere/rows.jsonl"), "does not exist"),
        (("run", "--nonsense",), "No such option"),
        (("gate", "/nowhere"), "no results here"),
        (("report", "/nowhere"), "no results here"),
        (("compare", "/nowhere"), "/nowhere: does not exist; compare takes runs of evalharness"),
        (("store", "info", "--store", "/nowhere/store.sqlite"), "no store here"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line_with_code_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_a_crash_of_ours_is_1_and_shows_the_traceback_only_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(cli.REGISTRY, "gate", "evalharness.cli.gate:no_such_attribute")
    assert exit_code("gate", "x") == 1
    assert "a bug in evalharness" in (said := capsys.readouterr().err)
    assert "Traceback" not in said
    assert exit_code("gate", "x", "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_130_and_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry.evalharness, "main", interrupted)
    assert exit_code("run", "--model", "a b") == 130
    kept = "Interrupted. What is done so far is kept: the same command goes on from there.\n"
    assert capsys.readouterr().err == f"{kept}evalharness run --model 'a b'\n"
    assert exit_code("train") == 130
    assert capsys.readouterr().err == "Interrupted.\n"  # training says itself what it kept


def test_a_request_to_terminate_is_an_interrupt_that_cleans_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unfinished = tmp_path / "unfinished"

    def terminated(*_: object, **__: object) -> None:
        unfinished.mkdir()
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            unfinished.rmdir()

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(entry.evalharness, "main", terminated)
    try:
        assert exit_code("train") == 143
        assert signal.getsignal(signal.SIGTERM) == before
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not unfinished.exists()


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "\x1b]0;title\x07", "a\u202eb", "\x00", "x\r\ny"])
def test_control_characters_never_reach_the_terminal(hostile: str) -> None:
    shown = plain(hostile)
    assert not any(character in shown for character in "\x1b\x07\u202e\x00\r")


def test_workflow_commands_are_broken_up() -> None:
    assert "\n::" not in plain("text\n::set-output name=x::y")


def test_no_environment_variable_changes_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in cli.REGISTRY:
        for path, command in walk(registry.find(cli.REGISTRY, name, "command"), (name,)):
            context = click.Context(entry.evalharness, info_name="evalharness")
            for part in path:
                context = click.Context(command, info_name=part, parent=context)
            assert context.auto_envvar_prefix is None
            assert not any(parameter.envvar for parameter in command.params), path


def test_the_options_of_run_stand_in_sections_each_once_and_its_examples_parse() -> None:
    command = registry.find(cli.REGISTRY, "run", "command")
    named = [name for names in command.sections.values() for name in names.split()]
    options = {option for parameter in command.params for option in parameter.opts}
    assert len(set(named)) == len(named) and set(named) <= options
    with click.Context(command, info_name="run") as context:
        text = command.get_help(context)
        for example in command.examples:
            command.parse_args(context, shlex.split(example)[2:])
    for option in named:
        assert f"\n  {option} " in text
    assert "Examples:" in text


@pytest.mark.parametrize(("given", "kept"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_without_spinning_unless_the_user_says_otherwise(
    given: str | None, kept: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    assert exit_code("--version") == 0
    assert os.environ["OMP_WAIT_POLICY"] == kept


def leaves() -> list[tuple[tuple[str, ...], click.Command]]:
    """Every command that is no group, with the words that call it."""
    found = [walk(registry.find(cli.REGISTRY, name, "command"), (name,)) for name in cli.REGISTRY]
    return [(path, command) for of_name in found for path, command in of_name if not isinstance(command, click.Group)]


def test_an_option_given_twice_is_refused_by_name_whatever_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    refused = set()
    for path, command in leaves():
        for option in command.params:
            if isinstance(option, click.Option) and not (option.multiple or option.is_flag):
                assert exit_code(*path, *[f"{option.opts[-1]}=1"] * 2) == 2, (path, option.opts)
                assert f"Error: {option.opts[-1]}: is given twice, and takes one value" in capsys.readouterr().err
                refused.add((path[0], option.opts[-1]))
    assert {("train", "--train-file"), ("run", "--suite"), ("compare", "--out"), ("data", "--to")} < refused


def test_an_empty_value_is_refused_by_name_whatever_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = set()
    for path, command in leaves():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and (parameter.is_flag or parameter.name == "system_instruction"):
                continue
            given = [f"{parameter.opts[-1]}="] if isinstance(parameter, click.Option) else [""]
            assert exit_code(*path, *given) == 2, (path, parameter.opts)
            assert ": is empty; give a value, or leave it out" in capsys.readouterr().err, (path, parameter.opts)
            refused.add((path[0], parameter.opts[-1]))
    assert {("run", "--out"), ("demo", "--out"), ("run", "--model"), ("store", "--store"), ("gate", "run")} < refused
    assert not list(tmp_path.iterdir())


def test_flags_and_repeatable_options_may_be_repeated_and_help_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        exit_code("tasks", "list", "sst2", "--json", "--json", "--include-path", "tasks", "--include-path", "tasks")
        == 0
    )
    assert exit_code("run", "--out", "", "--suite", "a", "--suite", "b", "--help") == 0
    assert "Error" not in capsys.readouterr().err
