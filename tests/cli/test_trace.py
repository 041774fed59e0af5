"""`evalharness trace`: options to what is asked, tables to the terminal, errors in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from command_line import exit_code, last_of_each

from evalharness.cli import trace as command
from evalharness.errors import UsageError
from evalharness.experiments.jobs import TraceJob
from evalharness.records.comparison import Estimate
from evalharness.records.measurements import ExampleError
from evalharness.records.results import Results
from evalharness.report.stages import NAMES, ContinualMeasure, Stages, StageScore, StageTask

NEEDED = ["--base", "B", "--suite", "glue", "--out", "O"]


def traced() -> Stages:
    half = Estimate(value=0.5, low=0.4, high=0.6)
    cells = (
        StageScore(
            stage="s1",
            n=50,
            score=half,
            difference=Estimate(value=-0.25, low=-0.3, high=-0.2),
            verdict="forgotten",
            reference="B",
            since=Estimate(value=-0.25, low=-0.3, high=-0.2),
            retained=half,
            p_forgotten=0.001,
            p_adjusted=0.002,
            state="forgotten",
        ),
    )
    column = StageTask(
        "sst2", "task", "acc", "binary", True, True, 0.02, 0.0, 0, half, cells, scale=1.0, first="s1", after="last"
    )
    measures = tuple(
        ContinualMeasure(over=kind, name=name, tasks=1, estimate=half) for kind in ("general", "all") for name in NAMES
    )
    measures += tuple(
        ContinualMeasure(over="learned", name=name, tasks=0, estimate=None, reason="no such task") for name in NAMES
    )
    return Stages(
        base="B",
        stages=("s1",),
        learned={"s1": ()},
        joint=None,
        fresh=None,
        alpha=0.05,
        level=0.9,
        tests=1,
        rule="The rule.",
        scaled=False,
        columns=(column,),
        measures=measures,
        of="",
    )


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[TraceJob, str, int]]:
    """The command run with a campaign that only listens."""

    def run(*arguments: str, errors: tuple[ExampleError, ...] = ()) -> tuple[TraceJob, str, int]:
        seen: list[TraceJob] = []

        def campaign(given: TraceJob, listener: object) -> tuple[Stages, Results]:
            seen.append(given)
            return traced(), Results(signature={}, models=(), comparisons=(), errors=errors)

        monkeypatch.setattr(command.registry, "find", lambda known, name, what: {"trace": campaign}[name])
        result = CliRunner().invoke(
            command.trace_command,
            last_of_each([*NEEDED, *arguments], NEEDED[::2]),
            catch_exceptions=False,
            standalone_mode=False,
        )
        return seen[0], result.output, result.return_value

    return run


def test_options_to_what_is_asked(ask: Callable[..., tuple[TraceJob, str, int]]) -> None:
    given, output, code = ask(
        "--stage", "a=x", "--stage", "b=y", "--learned", "a=sst2,rte", "--joint", "z", "--task", "rte", "--margin",
        "0.03", "--limit", "9",
    )  # fmt: skip
    assert (
        given.job.models.candidates == ("a=x", "b=y")
        and given.learned == {"a": ("sst2", "rte")}
        and (given.joint, given.fresh) == ("z", None)
    )
    assert (
        given.job.models.base,
        given.job.tasks.suite,
        given.job.tasks.names,
        given.job.statistics.margin,
        given.job.tasks.limit,
    ) == ("B", "glue", ("rte",), 0.03, 9)
    assert (
        code == 0
        and "Stages and tasks" in output
        and "0.500 (−0.250)▼" in output
        and "sst2 is forgotten at s1" in output
    )
    assert "backward transfer (BWT)" in output and "The rule." in output and "report: O/report.html" in output


def test_what_got_no_answer_is_said_and_in_the_exit_code(ask: Callable[..., tuple[TraceJob, str, int]]) -> None:
    _, output, code = ask(
        "--stage", "s1=x", errors=(ExampleError(task="sst2", model="s1", example="1", reason="broken"),)
    )
    assert code == 5 and "1 examples got no answer" in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no stage"),
        (["--stage", "x", "--model", "y/*"], "have no order"),
        (["--stage", "x", "--learned", "sst2"], "is not NAME=VALUE"),
    ],
)
def test_wrong_in_one_line(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        CliRunner().invoke(
            command.trace_command,
            last_of_each([*NEEDED, *arguments], NEEDED[::2]),
            catch_exceptions=False,
            standalone_mode=False,
        )


def test_wrong_paths_end_with_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    models = ("--base", tmp_path, "--stage", tmp_path / "nowhere")
    assert exit_code("trace", *models, "--suite", "demo", "--out", tmp_path / "out", "-q") == 2
    assert capsys.readouterr().err.startswith("Error: ")


def test_json_is_the_file_and_nothing_else(ask: Callable[..., tuple[TraceJob, str, int]], tmp_path: Path) -> None:
    (tmp_path / "stages.json").write_text(json.dumps({"schema_version": 1}))
    _, output, _ = ask("--stage", "x", "--json", "--out", str(tmp_path))
    assert json.loads(output) == {"schema_version": 1}
