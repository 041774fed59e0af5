"""`evalharness sweep`: options to a grid, errors in one line, tables to the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from command_line import exit_code

from evalharness.cli import sweep as command
from evalharness.cli import train
from evalharness.errors import UsageError
from evalharness.experiments.grid import EVERY, Grid
from evalharness.experiments.jobs import SweepJob
from evalharness.records.results import Results
from evalharness.report.sweep import Choice, Outcome, Point, Sweep

NEEDED = ["--base", "B", "--task", "sst2", "--suite", "glue", "--out", "O"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[SweepJob, str]]:
    """The command run with a campaign that only listens."""
    outcome = Outcome(metrics={"acc": 0.75}, gain=None, learned=True, suite=None, forgotten=("rte",), units=9)
    point = Point(
        name="lora-r2-lr0.001-s1",
        series="lora-r2",
        method="lora",
        rank=2,
        learning_rate=1e-3,
        seed=1,
        status="trained",
        reason="",
        made={"trainable": 1234, "bytes": 5000},
        loss=1.25,
        validation=outcome,
        test=outcome,
    )
    sweep = Sweep(
        base="B",
        task="sst2",
        suite="glue",
        select="acc",
        rule="The rule.",
        rows={},
        points=(point,),
        chosen=(Choice("lora-r2", 1e-3, 0.75, (point.name,)),),
    )

    def ask(*arguments: str) -> tuple[SweepJob, str]:
        seen: list[SweepJob] = []

        def run(given: SweepJob, listener: object) -> tuple[Sweep, Results]:
            seen.append(given)
            return sweep, Results(signature={}, models=(), comparisons=())

        monkeypatch.setattr(command.registry, "find", lambda known, name, what: {"sweep": run}[name])
        result = CliRunner().invoke(command.sweep_command, [*NEEDED, *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return seen[0], result.output

    return ask


def test_options_to_a_grid(asked: Callable[..., tuple[SweepJob, str]]) -> None:
    given, _ = asked(
        "--method", "full,lora", "--lr", "1e-4,3e-4", "--lr", "lora=1e-3", "--rank", "1,2", "--seed", "1,2,3",
        "--steps", "9", "--replay", "glue=0.2", "--targets", "q_proj,v_proj", "--batch-size", "4", "--eval-batch-size",
        "8", "--limit", "50", "--jobs", "2", "--select", "loss",
    )  # fmt: skip
    shared = {
        "steps": 9, "batch_size": 4, "gradient_accumulation": 1, "warmup": 0.05, "device": "auto", "dtype": "float32",
        "mix": {}, "replay": {"glue": 0.2}, "targets": ("q_proj", "v_proj"),
    }  # fmt: skip
    assert given.grid == Grid(("full", "lora"), {EVERY: (1e-4, 3e-4), "lora": (1e-3,)}, (1, 2), (1, 2, 3), shared)
    assert (given.job.models.base, given.job.models.target, given.job.tasks.suite, given.job.tasks.limit) == (
        "B",
        "sst2",
        "glue",
        50,
    )
    assert given.job.engine.batch_size == 8 and given.job.output.store == Path("O/store.sqlite")
    assert (given.select, given.processes) == ("loss", 2)


def test_options_are_read_as_train_reads_them(asked: Callable[..., tuple[SweepJob, str]]) -> None:
    """Lists of options, the same for both commands: a regular expression keeps its commas, a mixed task its weight of
    1.
    """
    texts = ["--mix", "rte", "--mix", "cola=2", "--replay", "glue=0.1", "--targets", r".*\.[0-9]{1,2}\.q_proj"]
    shared = asked(*texts)[0].grid.shared
    assert shared["targets"] == r".*\.[0-9]{1,2}\.q_proj" and shared["mix"] == {"rte": 1.0, "cola": 2.0}
    with train.train_command.make_context(
        "train", ["--method", "lora", "--base", "B", "--task", "sst2", "--out", "O", *texts]
    ) as context:
        recipe = train._recipe(context.params)
    assert (recipe.targets, recipe.mix, recipe.replay) == (shared["targets"], shared["mix"], shared["replay"])
    assert asked("--targets", "q_proj")[0].grid.shared["targets"] == ("q_proj",)
    assert asked("--train", "*norm*", "--train", "*.3.*")[0].grid.shared["parameters"] == ("*norm*", "*.3.*")


def test_the_page_names_the_options_that_only_train_has() -> None:
    words = (Path(__file__).parents[2] / "docs" / "sweep.md").read_text()
    lacking = words[words.index("What a sweep has not:") : words.index("Then:")]
    own, others = (
        {option for each in of.params for option in each.opts} for of in (command.sweep_command, train.train_command)
    )
    assert {option for option in others - own if option not in lacking} == set()
    assert not {option for option in own if f"`{option}`" in lacking}


def test_both_tables_and_the_report_are_shown(asked: Callable[..., tuple[SweepJob, str]]) -> None:
    _, shown = asked()
    assert (
        "Chosen, on test rows" in shown
        and "Every rate, on validation rows" in shown
        and "report: O/report.html" in shown
    )
    (line,) = [line for line in shown.splitlines() if line.strip().startswith("lora ")]
    assert line.split()[:5] == ["lora", "2", "0.001", "1.250", "0.750"] and "1 of 9" in line and "1,234" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lr", "fast"], "'fast' is no number"),
        (["--mix", "rte=much"], "--mix rte: 'much' is no number"),
        (["--lr", "lora=1,", "--lr", "lora=2"], "is no number"),
        (["--lr", "1e-3", "--lr", "1e-4"], "given twice"),
        (["--rank", "1.5"], "is no whole number"),
        (["--seed", "x"], "is no whole number"),
        (["--replay", "glue"], "is not NAME=VALUE"),
        (["--method", "lorra"], "did you mean lora"),
    ],
)
def test_wrong_in_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("sweep", *NEEDED, *arguments) == 2
    errors = capsys.readouterr().err
    assert words in errors and errors.count("\n") == 1


def test_rates_by_method() -> None:
    assert command._rates(["1e-3,2e-3", "lora=0.1"]) == {EVERY: (1e-3, 2e-3), "lora": (0.1,)}
    with pytest.raises(UsageError):
        command._rates(["lora=x"])
