"""`evalharness repair`: options to what is repaired, what is printed, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from evalharness import experiments
from evalharness.cli import repair as command
from evalharness.errors import UsageError
from evalharness.experiments.jobs import RepairJob
from evalharness.experiments.repair_rules import WORDS, RepairRule
from evalharness.records.comparison import Estimate
from evalharness.records.measurements import ExampleError
from evalharness.records.results import ModelRow, Results
from evalharness.report.repair import REPAIR, PathPoint, Repair

POINTS = tuple(
    PathPoint(scale=scale, gain=Estimate(value=gain), suite=Estimate(value=loss, low=loss - 1, high=1), fingerprint="f")
    for scale, gain, loss in ((0.0, 0.0, 0.0), (0.5, 0.4, -0.2), (1.0, 0.5, -3.0))
)
REPAIRED = Repair(
    candidate="full", candidate_fingerprint="a", base="tiny", base_fingerprint="b", target="topics", suite="demo",
    seed=1, limit=9, rule=RepairRule.KNEE, rule_words=WORDS[RepairRule.KNEE], rows_a=30, rows_b=31, points=POINTS,
    chosen=0.5, repaired="c",
)  # fmt: skip
MODEL = ModelRow(
    name="full-repaired", kind="full", fingerprint="c", base="tiny", parameters=1, trainable=1,
    trainable_share=1.0, bytes=1,
)  # fmt: skip
ERROR = ExampleError(task="rte", model="full", example="1", reason="broken")


@pytest.fixture
def ask(
    monkeypatch: pytest.MonkeyPatch, zoo: dict[str, Path], tmp_path: Path
) -> Callable[..., tuple[RepairJob, str, int]]:
    """The command run with a repair that only listens."""

    def run(
        *arguments: str, found: Repair = REPAIRED, errors: tuple[ExampleError, ...] = ()
    ) -> tuple[RepairJob, str, int]:
        seen: list[RepairJob] = []

        def listened(given: RepairJob, listener: object) -> tuple[Repair, Results | None]:
            seen.append(given)
            REPAIR.write(given.job.output.folder, found)
            none = found.chosen is None
            return found, None if none else Results(signature={}, models=(MODEL,), comparisons=(), errors=errors)

        monkeypatch.setitem(experiments.REGISTRY, "repair", f"{__name__}:LISTENED")
        monkeypatch.setitem(globals(), "LISTENED", listened)
        given = [str(zoo["llama-lora"]), "--suite", "demo", "--out", str(tmp_path / "out"), "-q", *arguments]
        outcome = CliRunner().invoke(command.repair_command, given, catch_exceptions=False, standalone_mode=False)
        return seen[0], outcome.output, outcome.return_value

    return run


def test_options_and_what_is_printed(ask: Callable[..., tuple[RepairJob, str, int]]) -> None:
    given, output, code = ask("--rule", "knee", "--target", "topics", "--limit", "9")
    assert (given.rule, given.job.models.target, given.job.tasks.limit) == (RepairRule.KNEE, "topics", 9) and code == 0
    assert "● chosen" in output and "tiny + 0.5 × what its training added" in output and "half B (31 rows" in output
    assert "--candidate full-repaired" in output
    assert (ask()[0].rule, ask()[0].choose_split) == (RepairRule.WITHIN_MARGIN, None)
    assert ask("--choose-split", "validation")[0].choose_split == "validation"


def test_that_no_part_of_the_way_helps_is_said(ask: Callable[..., tuple[RepairJob, str, int]]) -> None:
    found = replace(REPAIRED, chosen=None, reason="no part of the way qualifies", repaired="")
    _, output, code = ask(found=found)
    assert code == 0 and "full was not repaired: no part of the way qualifies." in output and "report" not in output


def test_what_got_no_answer_ends_with_5_and_json_is_all_that_is_printed(
    ask: Callable[..., tuple[RepairJob, str, int]],
) -> None:
    _, output, code = ask("--json", errors=(ERROR,))
    assert code == 5 and json.loads(output)["chosen"] == 0.5


def test_nothing_that_may_have_been_lost() -> None:
    with pytest.raises(UsageError, match="name a --suite"):
        given = ["x", "--out", "O", "--policy", "none"]
        CliRunner().invoke(command.repair_command, given, catch_exceptions=False, standalone_mode=False)
