"""`evalharness plan` as a user meets it: the table, the advice, the document, errors, and no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from evalharness.cli.plan import plan_command
from evalharness.errors import UsageError
from evalharness.experiments import power_forecast as campaign


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DRAWS", "FEWEST"):
        monkeypatch.setattr(campaign, name, 10)


def plan(world: Path, *arguments: str) -> Result:
    places = ["--include-path", str(world / "tasks"), "--data-dir", str(world / "data"), "-q"]
    return CliRunner().invoke(plan_command, [*places, *arguments], standalone_mode=False)


def test_a_table_with_advice_and_the_gate(small_world: Path, quick: None, tmp_path: Path) -> None:
    done = plan(
        small_world,
        "--task",
        "yes_no",
        "--task",
        "echo",
        "--flips",
        "0.5",
        "--margin",
        "yes_no=0.1",
        "--out",
        str(tmp_path),
    )
    assert done.exception is None, done.output
    head, assumption, titles, first, second = done.output.splitlines()[:5]
    assert (
        head == "suite: what 2 gate units can decide (power 0.8, error rate 0.05)"
        and "assumed, not known: 50% of the answers" in assumption
    )
    assert titles.split()[:4] == ["units", "of", "worth", "metric"]
    assert first.split()[:6] == ["yes_no", "30", "30", "30", "acc", "0.1"] and second.split()[:2] == ["echo", "30"]
    assert "yes_no: 30 units, all there are, certify 0." in done.output and "one unit loses 3 margins" in done.output
    document = json.loads((tmp_path / "plan.json").read_text())
    assert (
        [row["name"] for row in document["rows"]] == ["yes_no", "echo"]
        and document["gate"]["draws"] == 10
        and [each["margins"] for each in document["gate"]["losing"]] == [1.0, 2.0, 3.0]
        and document["advice"]
    )


def test_one_json_document(small_world: Path, quick: None) -> None:
    done = plan(small_world, "--task", "yes_no", "--flips", "0.5", "--limit", "12", "--json")
    document = json.loads(done.output)
    assert (document["rows"][0]["units"], document["rows"][0]["available"], document["flips"], document["earlier"]) == (
        12,
        30,
        0.5,
        None,
    )
    assert document["work"] == [] and document["loading"] is None


def test_what_is_wrong_is_said(small_world: Path, tmp_path: Path) -> None:
    for arguments, what in (
        ([], "nothing to plan"),
        (["--task", "yes_no", "--probe", "3"], "no model to answer"),
        (["--task", "yes_no", "--power", "1.5"], "--power"),
        (["--task", "yes_no", "--margin", "rte=0.1"], "no task or group 'rte' in what is compared"),
        (["--task", "yes_no", "--from", str(tmp_path)], "no measurements here"),
        (["--task", "yes_no", "--base", str(tmp_path / "none")], "none"),
    ):
        done = plan(small_world, *arguments)
        assert isinstance(done.exception, UsageError) or done.exception.exit_code == 2, arguments  # type: ignore[union-attr]
        assert what in str(done.exception)


def test_what_a_training_takes(small_world: Path, tmp_path: Path) -> None:
    def training(*arguments: str) -> Result:
        return CliRunner().invoke(plan_command, ["--training", *arguments], standalone_mode=False)

    base = str(Path(__file__).parents[2] / "fixtures" / "models" / "tiny-base")
    own = ["--method", "lora", "--method", "prompt", "--rank", "2", "--virtual-tokens", "5", "--out", str(tmp_path)]
    done = training("--base", base, *own, "--max-length", "32", "--batch-size", "2", "--answer-tokens", "8")
    assert done.exception is None, done.output
    head, titles, lora, prompt, *_ = done.output.splitlines()
    assert head.endswith("2 rows × 32 tokens, 8 of them learned, computed in float32")
    assert titles.split()[:5] == ["method", "trained", "weights", "adapter", "gradients"]
    assert lora.split()[0] == "lora" and prompt.split()[:2] == ["prompt", f"{5 * 128:,}"]
    document = json.loads((tmp_path / "training-plan.json").read_text())
    assert [row["trainable"] for row in document["training"]][1] == 5 * 128
    assert document["training"][0]["options"]["rank"] == 2 and document["length"] == 32
    for arguments, what in (
        ((), "--training needs a base"),
        (("--base", base, "--task", "rte"), "--task: is for a plan of answers"),
        (("--base", base, "--method", "full", "--rank", "2"), "--rank: is no option of full"),
        (("--base", base, "--rank", "0"), "--rank: 0; a whole number above zero"),
        (("--base", base, "--virtual-tokens", "0"), "--virtual-tokens: 0; a whole number above zero"),
        (("--base", str(tmp_path)), "config.json"),
    ):
        assert what in str(training(*arguments).exception)
    assert "--rank: is for --training" in str(plan(small_world, "--task", "yes_no", "--rank", "2").exception)


@pytest.mark.slow
def test_no_torch_without_a_base(small_world: Path) -> None:
    arguments = [
        "plan",
        "--include-path",
        str(small_world / "tasks"),
        "--data-dir",
        str(small_world / "data"),
        "--task",
        "echo",
        "-q",
    ]
    code = (
        "import sys\nfrom evalharness.experiments import power_forecast\n"
        "power_forecast.DRAWS = power_forecast.FEWEST = 2\nfrom evalharness.cli.main import main\n"
        f"try:\n    main({[*arguments, '--flips', '0.9']!r})\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "assert not {'torch', 'transformers', 'peft', 'datasets', 'evaluate'} & set(sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
