"""The commands of README.md and docs/*.md do what the pages say.

```console  `$ ` lines are executed in order; the lines below a command are in its output, in this order (`…` skips).
```sh       commands are executed, in a folder that holds what HELD and `furnish` name; nobody looks at the output.
            `<!-- not executed: REASON -->` on the line before: they are only checked.
`# exit 3` behind a command names its exit code, where that is not 0; `# exits 0, 3 or 4` those that it may have.
pip, make, ray, vllm and git are never executed.
Every command, executed or not, names commands, options, make targets and scripts that exist.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from command_line import exit_code

from evalharness.cli.main import evalharness

ROOT = Path(__file__).resolve().parent.parent
PAGES = {str(path.relative_to(ROOT)): path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
LANGUAGES = ("console", "sh", "text", "python", "toml", "yaml", "json", "")
BLOCK = re.compile(r"(<!-- not executed: .+? -->\n)?^( *)```(\w*)\n(.*?)^\2```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^ *(?:\$ )?(?:evalharness|make|python|pip) ", re.MULTILINE)
INLINE = re.compile(r"`((?:evalharness|make|python) [^`]+)`")
EXIT = re.compile(r"# exits? (\d[\d, or]*)")
BETWEEN = re.compile(r"[;|&<>()]+|do|then")  # between two commands of a line
SHELL = re.compile(r"[|<>$;&*`\n]")  # in a command that only a shell can run
LAST = 40  # lines of the output of a command that a failure shows
NEVER_RUN = ("pip", "make", "ray", "vllm", "git")
# what the folder of a page holds under which names; `base` and `chat` are copies of the tiny base
HELD = {
    "base": "base models/base BASE small large original old-base",
    "chat": "my-instruct my-chat",
    "full": "ckpt tuned models/tuned ckpt-a full-a runs/a runs/full out/checkpoint-500 out/full",
    "strong": "ckpt-b full-b runs/b out/checkpoint-1000 out/full-high",
    "lora": "my-lora lora lora-a runs/lora runs/my-lora out/lora",
    "lora2": "lora-b",
}
TRAININGS = {
    "full": "--method full --lr 1e-4",
    "strong": "--method full --lr 1e-3 --seed 2",
    "lora": "--method lora --lr 1e-3 --keep-checkpoints 2",
    "lora2": "--method lora --lr 1e-3 --seed 2",
}
CHAT = "{% for each in messages %}{{ each.role }}: {{ each.content }}\n{% endfor %}"


class Block(NamedTuple):
    """A fenced block: its language, its text, and whether its commands are executed."""

    language: str
    text: str
    executed: bool


class Step(NamedTuple):
    """A command, the lines that the page shows below it, and the exit codes that it may have."""

    command: str
    shown: list[str]
    codes: list[int]


def blocks(page: str) -> list[Block]:
    text = PAGES[page].read_text("utf-8")
    return [Block(match[3], match[4], not match[1]) for match in BLOCK.finditer(text)]


def is_whole(command: str) -> bool:
    """Has bash all lines of a command, with its loops and here-documents?"""
    checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True)
    return not command.endswith("\\") and checked.returncode == 0 and not checked.stderr


def steps(block: Block) -> Iterator[Step]:
    """Split a block into its commands."""
    lines = block.text.splitlines()
    while lines:
        command = lines.pop(0).strip()
        if block.language == "console":
            assert command.startswith("$ "), command
            command = command.removeprefix("$ ")
        while lines and not is_whole(command):
            command += "\n" + lines.pop(0)
        shown = []
        while block.language == "console" and lines and not lines[0].startswith("$ "):
            shown.append(lines.pop(0))
        if command and not command.startswith("#"):
            named = EXIT.search(command)
            yield Step(command, shown, [int(code) for code in re.findall(r"\d+", named[1] if named else "0")])


def check_named(command: str) -> None:
    """Check that what a command names exists: commands and options of ours, make targets, scripts."""
    words = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars=";|&<>()")
    words.whitespace_split, words.commenters = True, "#"
    rest = [word for word in words if word not in ("…", "...")]
    while rest:
        end = next((i for i, word in enumerate(rest) if BETWEEN.fullmatch(word)), len(rest))
        (program, *arguments), rest = rest[:end] or [""], rest[end + 1 :]
        if program == "evalharness":
            check_options(arguments)
        if program == "make":
            targets = [each for each in arguments if re.fullmatch(r"[a-z-]+", each)]
            assert all(f"\n{target}:" in (ROOT / "Makefile").read_text("utf-8") for target in targets), targets
        if program == "python" and arguments and "/" in arguments[0]:
            assert (ROOT / arguments[0]).exists(), arguments[0]


def check_options(arguments: list[str]) -> None:
    """Take arguments apart as click does, without running anything."""
    command: click.Command = evalharness
    context = click.Context(command)
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        command = command.get_command(context, arguments.pop(0)) or pytest.fail(f"no such command: {arguments}")
        context = click.Context(command, parent=context, resilient_parsing=True)
    values, _, order = command.make_parser(context).parse_args(arguments)
    for option in order:
        value = values[option.name or ""]
        if isinstance(option.type, click.Choice) and isinstance(value, str) and not value.startswith("$"):
            option.type_cast_value(context, value)


@pytest.mark.parametrize("page", PAGES)
def test_what_its_commands_name_exists(page: str) -> None:
    text = PAGES[page].read_text("utf-8")
    for block in blocks(page):
        unmarked = not block.language and COMMAND.search(block.text)
        if unmarked or block.language not in LANGUAGES:
            pytest.fail(f"mark this block as console, sh or text:\n{block.text}", pytrace=False)
        for step in steps(block) if block.language in ("console", "sh") else ():
            check_named(step.command)
    for command in INLINE.findall(BLOCK.sub("", text)):
        check_named(command.replace("'", "").replace('"', ""))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what HELD names: two bases and candidates of three steps, `data` and a finished `run`."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("base", "chat"):
        shutil.copytree(ROOT / "fixtures/models/tiny-base", folder / name)
    (folder / "chat" / "chat_template.jinja").write_text(CHAT)
    for source, rows in ((ROOT / "fixtures/benchmarks", 12), (ROOT / "fixtures/world/rows", 24)):
        for path in source.rglob("*.jsonl"):
            few = folder / "data" / path.relative_to(source)
            few.parent.mkdir(parents=True, exist_ok=True)
            few.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[:rows]), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("EVALHARNESS_STORE", str(folder / "store.sqlite"))
        for name, options in TRAININGS.items():
            more = ["--task", "sst2", "--steps", "4", "--batch-size", "4", "--data-dir", "data", *options.split()]
            assert exit_code("train", "--base", folder / "base", *more, "--out", name) == 0
        for path in (*folder.rglob("adapter_config.json"), *folder.rglob("training.json")):  # copied to any depth
            path.write_text(re.sub(r'"(\.\./)+base"', f'"{folder / "base"}"', path.read_text("utf-8")), "utf-8")
        arguments = "--model tuned=full --model lora=lora --base base --suite demo --limit 20 --data-dir data --out run"
        assert exit_code("run", *arguments.split()) == 0
    return folder


def furnish(folder: Path, models: Path) -> Path:
    """Fill a page's folder."""
    for model, names in HELD.items():
        for name in names.split():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(models / model, folder / name, copy_function=os.link)
    for name in ("last", "base", "gate"):
        shutil.copytree(models / "run", folder / "runs" / name)
    (folder / "data").symlink_to(models / "data")
    shutil.copy(models / "data/nyu-mll/glue/sst2/train.jsonl", folder / "rows.jsonl")
    (folder / "fixtures").symlink_to(ROOT / "fixtures")
    return folder


def execute(command: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run a command in this folder, in this process where no shell is needed; its exit code and what it prints."""
    words = shlex.split(command.replace("\\\n", " "), comments=True)
    if words[0] == "evalharness" and not SHELL.search(shlex.join(words).replace("'", "")):
        code = exit_code(*words[1:])
        printed = capsys.readouterr()
        return code, printed.out + printed.err
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if {each.language for each in blocks(page)} & {"console", "sh"}]
)
def test_its_commands_do_what_it_shows(
    page: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVALHARNESS_STORE", str(models / "store.sqlite"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folders = {}
    for language in ("console", "sh"):
        (tmp_path / language).mkdir()
        folders[language] = furnish(tmp_path / language, models)
    for block in blocks(page):
        if block.language not in folders or not block.executed:
            continue
        monkeypatch.chdir(folders[block.language])
        for step in steps(block):
            if step.command.split()[0] in NEVER_RUN:
                continue
            code, output = execute(step.command, capsys)
            lines = iter(output.splitlines())
            missing = [line for line in step.shown if line != "…" and line not in lines]
            if missing or code not in step.codes:
                printed = "\n".join(output.splitlines()[-LAST:])
                pytest.fail(f"{step.command}\nexit {code}, missing: {missing}\n{printed}", pytrace=False)
