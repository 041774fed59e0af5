"""`evalharness data` as a user meets it; the last test fetches from a hub of our own, in a process of its own."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from data import hub_stub

from evalharness.cli.data import data_command
from evalharness.cli.main import evalharness
from evalharness.data.lock import LOCK, Lock
from evalharness.errors import DataError, UsageError
from evalharness.paths import shipped
from evalharness.tasks.library import Library

BENCHMARKS = shipped("fixtures/benchmarks")
MINE = """
task: mine
dataset_path: who/what
test_split: test
training_split: train
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_target: label
doc_to_choice: ["no", "yes"]
metric_list: [{metric: acc}]
metadata: {licence: "CC0, \\x1b[31mreally"}
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(
        data_command, [str(argument) for argument in arguments], catch_exceptions=True, standalone_mode=False
    )


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVALHARNESS_STORE", str(tmp_path / "store" / "store.sqlite"))


def test_fetch_turns_published_files_into_a_folder_that_verifies(tmp_path: Path) -> None:
    done = run("fetch", "--task", "rte", "--task", "boolq", "--data-dir", BENCHMARKS / "published", "--to", "out")
    assert done.exception is None
    assert "nyu-mll/glue/rte  " in done.output and "validation" in done.output and "not stated by GLUE" in done.output
    written, expected = (folder / "aps/super_glue/boolq/validation.jsonl" for folder in (tmp_path / "out", BENCHMARKS))
    assert list(map(json.loads, written.read_text().split("\n")[:-1])) == list(
        map(json.loads, expected.read_text().split("\n")[:-1])
    )
    again = run("verify", "out")
    assert (again.return_value, again.exception) == (0, None)
    assert "4 files as fetched, 0 not" in again.output
    kept = run("fetch", "--task", "rte", "--task", "boolq", "--data-dir", BENCHMARKS / "published", "--to", "out")
    assert kept.output.count("(was there)") == 4


def test_splits_can_be_named_and_those_to_train_on_left_out(tmp_path: Path) -> None:
    document = json.loads(
        run("fetch", "--task", "rte", "--data-dir", BENCHMARKS, "--to", "a", "--split", "train", "--json").output
    )
    assert [(entry["split"], entry["licence"][:10]) for entry in document["files"]] == [("train", "not stated")]
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "mine.yaml").write_text(MINE)
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "test.jsonl").write_text('{"q": "To be?", "label": 1}\n')
    arguments = ("fetch", "--task", "mine", "--include-path", "only", "--data", "mine=rows", "--to", "b")
    assert run(*arguments).return_value == DataError.exit_code  # shots come from train, too
    (tmp_path / "rows" / "dev.jsonl").write_text('{"q": "To be?", "label": 1}\n')
    (tmp_path / "only" / "mine.yaml").write_text(MINE + "fewshot_split: dev\n")
    done = run(*arguments, "--training")
    assert done.exception is None and "left out: rows: has no split 'train'" in done.output
    assert "\x1b" not in done.output and "CC0" in done.output


def test_a_suite_brings_its_own_rows_and_split(tmp_path: Path) -> None:
    document = json.loads(run("fetch", "--suite", "demo", "--to", "out", "--json").output)
    assert {entry["split"] for entry in document["files"]} >= {"test"}
    assert any(entry["data_set"] == "topics" for entry in document["files"])
    assert not list(tmp_path.glob("store/*"))  # nothing came from the hub, so nothing is locked


def test_verify_ends_with_2_and_the_names(tmp_path: Path) -> None:
    run("fetch", "--task", "rte", "--data-dir", BENCHMARKS, "--to", "out")
    (tmp_path / "out/nyu-mll/glue/rte/validation.jsonl").write_text("x")
    (tmp_path / "out/more.txt").write_text("x")
    done = run("verify", "out")
    assert done.return_value == 2
    assert "nyu-mll/glue/rte/validation.jsonl: changed" in done.output and "more.txt: extra" in done.output
    assert {fault["what"] for fault in json.loads(run("verify", "out", "--json").output)["faults"]} == {
        "changed",
        "extra",
    }


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (("fetch", "--to", "out"), UsageError, "name a --suite or one or more --task"),
        (("fetch", "--task", "rte", "--to", "out", "--data-dir", "."), DataError, "no rows for rte"),
        (
            ("fetch", "--task", "rte", "--to", "out", "--data-dir", "out"),
            UsageError,
            "is the folder that --data-dir reads",
        ),
        (("fetch", "--task", "rte", "--to", "out", "--data", "rta=."), UsageError, "did you mean rte"),
        (("verify", "nowhere"), DataError, "has no MANIFEST.json"),
        (("accept", "nothing"), UsageError, "is no locked data set and no task"),
        (("accept", "rte"), UsageError, "is not in"),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[str, ...], kind: type, message: str) -> None:
    Path("out").mkdir()
    error = run(*arguments).exception
    assert isinstance(error, kind) and message in str(error)


def test_accept_gives_up_the_lock_by_data_set_or_task(tmp_path: Path) -> None:
    rte = Library().task("rte")
    for name in ("nyu-mll/glue", "rte"):
        Lock(tmp_path / "store" / LOCK).settle(rte, "validation", "c0ffee", 3, "d")
        assert "nyu-mll/glue: no longer locked" in run("accept", name).output
        assert Lock(tmp_path / "store" / LOCK).names() == set()
    Lock(tmp_path / LOCK).settle(rte, "validation", "c0ffee", 3, "d")  # one here comes first
    run("accept", "rte")
    assert Lock(tmp_path / LOCK).names() == set()


def test_every_command_of_the_guide_is_one() -> None:
    """Commands and options of docs/data.md exist, and so do the files of ours that it names."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text()
    lines = [line.split(" #")[0] for line in text.splitlines() if line.startswith("evalharness ")]
    assert len(lines) > 8
    for line in lines:
        _, *arguments = shlex.split(line)
        command: click.Command = evalharness
        while isinstance(command, click.Group):
            context = click.Context(command)
            found = command.get_command(context, arguments.pop(0))
            assert found is not None, line
            command = found
        command.make_context("x", [argument.replace("fixtures/", f"{BENCHMARKS.parent}/") for argument in arguments])


def test_fetch_from_a_hub_records_the_commit_and_update_takes_the_newest(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINE + "fewshot_split: test\n")
    with hub_stub.serving() as hub:

        def fetched(*arguments: str) -> dict[str, str]:
            command = [
                sys.executable,
                "-m",
                "evalharness",
                "data",
                "fetch",
                "--task",
                "mine",
                "--include-path",
                "mine.yaml",
                "--json",
                *arguments,
            ]
            process = subprocess.run(
                command,
                env=hub_stub.environment(tmp_path, hub.endpoint),
                capture_output=True,
                text=True,
                cwd=tmp_path,
                timeout=60,
            )
            assert process.returncode == 0, process.stderr
            entry: dict[str, str] = json.loads(process.stdout)["files"][0]
            return entry

        old = hub.commit("who/what", {"test.jsonl": b'{"q": "To be?", "label": 1}\n'})
        assert fetched("--to", "a")["revision"] == old
        new = hub.commit("who/what", {"test.jsonl": b'{"q": "Or not?", "label": 0}\n'})
        assert fetched("--to", "b")["revision"] == old  # the lock file holds it
        assert fetched("--to", "a", "--update")["revision"] == new
    assert json.loads((tmp_path / "cache/evalharness" / LOCK).read_text())["data_sets"]["who/what"]["revision"] == new
    assert (tmp_path / "a/who/what/default/test.jsonl").read_text() == '{"q": "Or not?", "label": 0}\n'
    assert (tmp_path / "b/who/what/default/test.jsonl").read_text() == '{"q": "To be?", "label": 1}\n'
    assert run("verify", "a").return_value == 0
