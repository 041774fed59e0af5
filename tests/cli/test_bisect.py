"""`evalharness bisect`: options to what is searched, what is printed, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from evalharness import experiments
from evalharness.cli import bisect as command
from evalharness.errors import EvalHarnessError
from evalharness.experiments.jobs import BisectJob
from evalharness.records.comparison import Estimate
from evalharness.report.bisect import BISECT, Bisection, CheckpointLook, Returned, UnitLook
from evalharness.stats.enums import Verdict


def look(place: int, verdict: Verdict, value: float) -> CheckpointLook:
    unit = UnitLook(
        unit="rte", metric="acc", n=50, difference=Estimate(value=value, low=value - 0.125, high=value + 0.125),
        margin=0.02, p_forgotten=0.5, verdict=verdict,
    )  # fmt: skip
    name = f"step-{place}"
    return CheckpointLook(
        place=place, checkpoint=name, fingerprint="f", state=str(verdict), folder=f"looks/{name}", units=(unit,)
    )


FOUND = Bisection(
    base="tiny", checkpoints=("step-1", "step-2", "step-3"), suite="demo", unit=None, alpha=0.05, alpha_of_look=0.0125,
    most_looks=4, looks=(look(3, Verdict.FORGOTTEN, -0.5), look(2, Verdict.INCONCLUSIVE, -0.25)), outcome="found",
    first="step-3", before="step-2",
)  # fmt: skip
Ask = Callable[..., tuple[BisectJob, str, int]]


@pytest.fixture
def folder(zoo: dict[str, Path], tmp_path: Path) -> Path:
    """What `train --keep-checkpoints` leaves, as far as names go."""
    root = tmp_path / "trained"
    for name in ("step-10", "step-9"):
        (root / "checkpoints" / name).mkdir(parents=True)
    (root / "adapter_config.json").write_text("{}")
    return root


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path) -> Ask:
    """The command run with a search that only listens."""

    def run(*arguments: str, found: Bisection = FOUND) -> tuple[BisectJob, str, int]:
        seen: list[BisectJob] = []

        def listened(given: BisectJob, listener: object) -> Bisection:
            seen.append(given)
            BISECT.write(given.job.output.folder, found)
            return found

        monkeypatch.setitem(experiments.REGISTRY, "bisect", f"{__name__}:LISTENED")
        monkeypatch.setitem(globals(), "LISTENED", listened)
        given = [*(arguments or [str(folder)]), "--suite", "demo", "--out", str(tmp_path / "out"), "-q"]
        outcome = CliRunner().invoke(command.bisect_command, given, catch_exceptions=False, standalone_mode=False)
        return seen[0], outcome.output, outcome.return_value

    return run


def test_a_folder_is_its_checkpoints_in_the_order_of_steps(ask: Ask, folder: Path) -> None:
    given, output, code = ask()
    steps = tuple(str(folder / "checkpoints" / name) for name in ("step-9", "step-10"))
    assert given.job.models.candidates == (*steps, str(folder)) and given.unit is None and code == 3
    assert output.index("step-2") < output.index("step-3") and "● first that forgot" in output
    assert "rte (acc): −0.500 [−0.625, −0.375], −0.250 [−0.375, −0.125] before" in output
    (folder / "training.json").write_text(json.dumps({"validation": {"best_step": 9}}))
    assert ask()[0].job.models.candidates == (steps[0], str(folder), steps[1])


def test_stages_in_order_and_a_unit(ask: Ask, folder: Path) -> None:
    texts = ["--stage", f"b={folder}", "--stage", f"a={folder}", "--unit", "rte"]
    given, _, _ = ask(*texts)
    assert given.job.models.candidates == (f"b={folder}", f"a={folder}") and given.unit == "rte"


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"outcome": "nothing_forgotten", "first": None, "before": None}, 0, "no proof of retention"),
        ({"outcome": "undecided", "earlier": "step-1"}, 4, "step-1, which is earlier, is shown to have forgotten, too"),
        (
            {"outcome": "not_monotone", "returned": (Returned(unit="rte", forgotten="step-1", retained="step-2"),)},
            4,
            "rte is forgotten at step-1 and retained at step-2, which is later",
        ),
    ],
)
def test_outcomes(ask: Ask, changes: dict[str, object], code: int, message: str) -> None:
    _, output, ended = ask(found=replace(FOUND, **changes))  # type: ignore[arg-type]
    assert ended == code and message in output


def test_json_is_all_that_is_printed(ask: Ask, folder: Path) -> None:
    _, output, code = ask(str(folder), "--json")
    assert code == 3 and json.loads(output)["first"] == "step-3"


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (("nowhere", "--suite", "demo"), "no such directory"),
        ((".", "--suite", "demo"), "no checkpoints of a training"),
        (("--suite", "demo"), "no checkpoint"),
        ((".", "--stage", "x", "--suite", "demo"), "have no order"),
        ((".",), "name a --suite"),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EvalHarnessError, match=fix) as error:
        given = [*arguments, "--out", "O", "--policy", "none"]
        CliRunner().invoke(command.bisect_command, given, catch_exceptions=False, standalone_mode=False)
    assert error.value.exit_code == 2
