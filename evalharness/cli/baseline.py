"""`evalharness baseline`: accept a run's scores into a repository's baseline file, and show such a file."""

from __future__ import annotations

import json
from pathlib import Path

import click

from evalharness import api
from evalharness.analysis.baseline_file import FILE, BaselineFile, place_of, read_file
from evalharness.analysis.policy_file import policy_of
from evalharness.cli.command import CommandGroup
from evalharness.cli.options import debug_option, json_option, policy_option, with_options
from evalharness.cli.printing import print_json, print_line, print_lines
from evalharness.fingerprint import short
from evalharness.report.text_table import aligned

TITLES = ("task", "metric", "units", "original", "accepted", "data", "task file", "prompts")
RIGHT = (2, 3, 4)  # columns of numbers

file_option = click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"The baseline file  [default: the policy's, else {FILE}].",
)


@click.group("baseline", cls=CommandGroup)
def baseline_command() -> None:
    """Accept a run's scores into the repository's baseline file, or show that file."""


@baseline_command.command("accept")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--candidate",
    metavar="NAME",
    help="Accept this candidate's scores beside the original base's  [default: the run's base alone].",
)
@with_options(file_option, policy_option, debug_option)
def accept_command(run: Path, candidate: str | None, file: Path | None, policy_text: str | None, debug: bool) -> None:
    """Write the scores of RUN's base, or of one of its candidates, into the baseline file, and say what changes.

    Nothing else writes that file. Commit it: a reviewer sees whose scores it holds, the score of every task, and the
    digests of data, task files, prompts and engine.
    """
    path = _place(file, policy_text)
    for line in api.accept(run, path, candidate):
        print_line(line)
    print_line(f"{path}: {path.stat().st_size:,} bytes")


@baseline_command.command("show")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@with_options(policy_option, json_option, debug_option)
def show_command(file: Path | None, policy_text: str | None, as_json: bool, debug: bool) -> None:
    """Show a baseline file: its models, the settings they were evaluated with, and their score on every task."""
    baseline = read_file(_place(file, policy_text))
    if as_json:
        print_json(json.dumps(_document(baseline), indent=1))
        return
    for row, role in zip(baseline.models, ("original base", "accepted"), strict=False):
        print_line(f"{role}: {row.name} ({row.kind}, {short(row.fingerprint)})")
    engine = {key: value for key, value in baseline.engine.items() if isinstance(value, str | int | float | bool)}
    print_line(", ".join(f"{key} {value}" for key, value in engine.items()))
    print_line(", ".join(f"{key} {value}" for key, value in baseline.settings.items() if value is not None))
    print_lines(aligned((TITLES, *_rows(baseline)), RIGHT))


def _place(file: Path | None, policy_text: str | None) -> Path:
    return file or place_of(policy_of(policy_text))


def _rows(file: BaselineFile) -> list[tuple[str, ...]]:
    last = file.scores[-1] if len(file.models) > 1 else None
    return [
        (
            task.task,
            task.metric,
            f"{task.units:,}",
            f"{file.scores[0][i].score:.4f}",
            "–" if last is None else f"{last[i].score:.4f}",
            task.data[:8],
            task.definition[:8],
            file.scores[0][i].prompts[:8],
        )
        for i, task in enumerate(file.tasks)
    ]


def _document(file: BaselineFile) -> dict[str, object]:
    """Return the content of the file as JSON values, without its rows."""
    return {
        "digest": file.digest,
        "models": [{"name": row.name, "kind": row.kind, "fingerprint": row.fingerprint} for row in file.models],
        "engine": file.engine,
        "asked": file.settings,
        "tasks": [
            {
                "task": task.task,
                "metric": task.metric,
                "units": task.units,
                "scores": [scores[i].score for scores in file.scores],
                "data": task.data,
                "definition": task.definition,
                "prompts": [scores[i].prompts for scores in file.scores],
            }
            for i, task in enumerate(file.tasks)
        ],
    }
