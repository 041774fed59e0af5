"""What commands print, where names, texts and errors come from others: no CI runner reads a command out of it, no
terminal a control sequence.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import signal
from pathlib import Path

import pytest
import yaml
from command_line import exit_code

from evalharness import cli
from evalharness.cli.printing import print_json
from evalharness.cli.progress import Lines
from evalharness.report.escape import plain, within_json

PAYLOADS = (
    "::error::x",
    "  ::set-output name=a::b",
    "\t::warning file=a.py::b",
    "\u00a0::error::nbsp",
    "\u3000\u2003::error::wide",
    "a\n::error::newline",
    "a\n \t ::error::indented",
    "a\r::error::return",
    "a\r\n::stop-commands::token",
    "a\x0b::error::vertical",
    "a\x0c::error::page",
    "a\x85::error::next line",
    "a\u2028::error::line separator",
    "a\u2029::error::paragraph",
    "##[error]x",
    "a ##[group]b",
    "###[error]x",
    "#####[command]x",
    "##vso[task.setvariable variable=a;isOutput=true]b",
    "a ##VSO[task.complete result=Succeeded;]b",
    "##teamcity[buildStop comment='x']",
    "section_start:1:x\r\x1b[0Kx",
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]8;;http://example.invalid\x1b\\link",
    "\x9b31mred",
    "\u202egnp.exe\u2066",
    "::add-mask::a\n::add-mask::b\n##[error]c",
    "::debug::\x00",
)
ALL = "\n".join(PAYLOADS)
SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"


def obeyed(log: str) -> list[str]:
    """What is a command or a control sequence in a log, by the rules of actions/runner (ActionCommand.cs: V2 begins a
    trimmed line, V1 stands anywhere), Azure Pipelines, TeamCity, GitLab and terminals.
    """
    found = []
    for line in re.split(r"\r\n|\r|\n", log):
        trimmed = line.lstrip(SPACE)
        if trimmed.startswith("::") and "::" in trimmed[2:]:
            found.append(line)
        for mark in ("##[", "##vso[", "##teamcity["):
            at = line.lower().find(mark)
            if at >= 0 and "]" in line[at:]:
                found.append(line)
    found += re.findall(r"section_(?:start|end):\d+:[\w.-]+\r\x1b\[0K", log)
    return found + re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]", log)


@pytest.mark.fault(29)
def test_the_runners_rules_find_every_payload() -> None:
    assert not [payload for payload in PAYLOADS if not obeyed(payload)]


@pytest.mark.fault(29)
def test_no_payload_is_left_in_a_text_or_a_document(record_property) -> None:
    record_property("injected", 4 * len(PAYLOADS))
    for payload in PAYLOADS:
        for text in (payload, f"before {payload}", f"{payload}\n{payload}", f"  {payload}{payload}"):
            assert not obeyed(plain(text)), text
            assert plain(plain(text)) == plain(text)
            document = json.dumps({text: [text]}, ensure_ascii=False, indent=1)
            assert not obeyed(within_json(document)) and json.loads(within_json(document)) == {text: [text]}
    assert plain("a::b, # [c], ## d\n\te · ▼ ∆") == "a::b, # [c], ## d\n\te · ▼ ∆"


COMMANDS = (
    (ALL,),
    ("--" + ALL,),
    ("run", ALL),
    ("run", "--" + ALL),
    ("run", "--model", ALL, "--suite", "demo"),
    ("run", "--model", "x", "--base", ALL, "--suite", "demo"),
    ("run", "--model", "x", "--task", ALL),
    ("run", "--model", "x", "--suite", ALL),
    ("run", "--model", "x", "--suite", "demo", "--margin", ALL),
    ("run", "--model", "x", "--suite", "demo", "--limit", ALL),
    ("run", "--model", "x", "--suite", "demo", "--device", ALL),
    ("run", "--model", "x", "--suite", "demo", "--data", f"{ALL}={ALL}"),
    ("run", "--model", "x", "--suite", "demo", "--include-path", ALL),
    ("train", "--base", ALL, "--task", "topics", "--out", "/nowhere/x"),
    ("sweep", "--base", ALL),
    ("trace", ALL),
    ("plan", "--suite", ALL),
    ("gate", ALL),
    ("gate", ALL, "--json"),
    ("report", ALL),
    ("compare", ALL, ALL),
    ("tasks", "list", ALL),
    ("tasks", "show", ALL),
    ("tasks", "validate", ALL),
    ("data", "verify", ALL),
    ("checkpoint", "show", ALL),
    ("store", "info", "--store", ALL),
)


@pytest.fixture(autouse=True)
def _handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.fault(29)
@pytest.mark.parametrize("debug", ["", "1"])
def test_no_error_about_an_argument_speaks_to_the_runner(debug, capsys, monkeypatch, record_property) -> None:
    monkeypatch.setenv("EVALHARNESS_DEBUG", debug)
    record_property("injected", len(COMMANDS) * len(PAYLOADS))
    for arguments in COMMANDS:
        code = exit_code(*arguments)
        output = capsys.readouterr()
        assert code in (0, 2, 5) and "a bug in evalharness" not in output.err, arguments[:2]
        assert not obeyed(output.out + output.err), arguments[:2]
        assert output.out + output.err


@pytest.fixture
def hostile(small_world: Path, zoo: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """A task, its rows, and checkpoints, in whose names and texts payloads stand."""
    tasks, data = tmp_path / "tasks", tmp_path / "data"
    tasks.mkdir()
    definition = yaml.safe_load((small_world / "tasks" / "echo.yaml").read_text())
    definition |= {"task": "::error::task", "description": ALL, "dataset_path": "json", "tag": "##[error]tag"}
    rows = [{"text": f"{payload} {number}", "label": 0} for number, payload in enumerate(PAYLOADS)]
    data.mkdir()
    (data / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tasks / "hostile.yaml").write_text(yaml.safe_dump(definition))
    (tasks / "broken.yaml").write_text(yaml.safe_dump({**definition, "task": "##[error]broken", ALL: 1}))
    base = tmp_path / "##[error]base"
    shutil.copytree(zoo["llama"], base)
    return {"tasks": tasks, "rows": data / "rows.jsonl", "base": base, "out": tmp_path / "##vso[x]out"}


@pytest.mark.fault(29)
def test_no_command_speaks_to_the_runner_of_what_others_named(hostile, zoo, tmp_path, capsys, record_property) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps({"text": ALL}) + "\n")
    include = ("--include-path", hostile["tasks"], "--data", f"::error::task={hostile['rows']}")
    run = (
        *("run", "--engine", "scripted", "--engine-option", f"answers={answers}", "--task", "::error::task", *include),
        *("--base", f"::error::base={hostile['base']}", "--model", f"##[error]candidate={zoo['llama-lora']}"),
        *("--out", hostile["out"], "--store", tmp_path / "store.sqlite", "--device", "cpu", "--allow-noop"),
    )
    commands = (
        (*run, "-v"),
        ("gate", hostile["out"]),
        ("gate", hostile["out"], "--json"),
        ("report", hostile["out"]),
        ("compare", hostile["out"], hostile["out"]),
        ("compare", hostile["out"], "--json"),
        ("tasks", "list", *include[:2]),
        ("tasks", "list", "--json", *include[:2]),
        ("tasks", "show", "::error::task", *include),
        ("tasks", "show", "::error::task", "--json", *include),
        ("tasks", "validate", hostile["tasks"]),
        ("tasks", "validate", hostile["tasks"], "--json"),
        ("plan", "--task", "::error::task", *include),
        ("checkpoint", "show", hostile["base"]),
        ("checkpoint", "show", hostile["base"], "--json"),
        ("store", "info", "--store", tmp_path / "store.sqlite"),
    )
    record_property("injected", len(commands))
    for arguments in commands:
        code = exit_code(*arguments)
        output = capsys.readouterr()

        assert not obeyed(output.out + output.err), arguments
        assert code in (0, 2, 4, 5) and "a bug in evalharness" not in output.err, output.err


@pytest.mark.fault(29)
def test_only_one_file_prints() -> None:
    """What is printed elsewhere would not be escaped."""
    package = Path(cli.__file__).parent.parent
    printing = [
        f"{path.relative_to(package)}:{node.lineno}"
        for path in package.rglob("*.py")
        if path.name != "printing.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "click.echo", "click.secho")
    ]
    assert not printing


@pytest.mark.fault(29)
def test_progress_and_notices_do_not_either(capsys, record_property) -> None:
    record_property("injected", 3 * len(PAYLOADS))
    lines = Lines()
    for payload in PAYLOADS:
        lines.phase(payload)
        lines.notice(payload)
        print_json(json.dumps([payload], ensure_ascii=False))
    output = capsys.readouterr()
    assert not obeyed(output.out + output.err)
