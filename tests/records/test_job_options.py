"""A Job is made of options in one place, whoever gives them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from evalharness.api import compare, evaluate
from evalharness.cli import plan, run, run_steps, sweep, trace
from evalharness.errors import UsageError
from evalharness.paths import shipped
from evalharness.records.job import Job
from evalharness.records.job_options import JobOptions, job_with, make_job

CALLS = """import evalharness

evalharness.evaluate("lora", suite="demo", data_dir="rows", margins={"rte": 0.1}, limit=3)
evalharness.evaluate("lora", suite="demo", limits=3)
"""


def test_texts_are_as_good_as_paths_and_one_as_a_list_of_one() -> None:
    places = {"out": "out", "store": "answers.sqlite"}
    texts = make_job(
        "lora", "demo", base="base", tasks="rte", include="more", data_dir="rows", data={"rte": "rte.jsonl"},
        train_data={"": "seen.jsonl"}, describe="bias", baseline="before", drift_text="text.txt", **places,
    )  # fmt: skip
    paths = make_job(
        [Path("lora")], "demo", base=Path("base"), tasks=["rte"], include=[Path("more")], data_dir=Path("rows"),
        data={"rte": Path("rte.jsonl")}, train_data={"": Path("seen.jsonl")}, describe=("bias",),
        baseline=Path("before"), drift_text=Path("text.txt"), out=Path("out"), store=Path("answers.sqlite"),
    )  # fmt: skip
    assert texts == paths
    assert (texts.models.candidates, texts.tasks.names, texts.tasks.include) == (("lora",), ("rte",), (Path("more"),))
    assert (texts.output.folder, texts.models.train_data) == (Path("out"), {"": Path("seen.jsonl")})


def test_a_misspelt_option_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="limits: there is no such option; did you mean limit") as refused:
        evaluate("lora", "demo", limits=5)  # type: ignore[call-arg]
    assert refused.value.exit_code == 2
    with pytest.raises(UsageError, match="tsaks: there is no such option; did you mean tasks"):
        job_with(make_job("lora"), tsaks=("rte",))  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("option", "value", "right"),
    [
        ("limit", "5", "a whole number or None"),
        ("limit", True, "a whole number or None"),
        ("limit", 0, "a whole number of at least 1"),
        ("num_fewshot", -1, "a whole number of at least 0"),
        ("seed", -1, "a whole number of at least 0"),
        ("batch_size", 0, "a whole number of at least 1"),
        ("alpha", "x", "a number"),
        ("margins", {"sst2": "x"}, "a mapping from names, to a number each"),
        ("data", "x", "a mapping from names, to a text or a path each"),
        ("tasks", [3], "a text or a list of which each is a text"),
        ("placebo", 1, "True or False"),
        ("device", None, "a text"),
        ("out", 3, "a text or a path or None"),
        ("chat_template_mismatch", "warn", "'refuse' or 'allow'"),
    ],
)
def test_a_value_of_another_type_is_refused(option: str, value: object, right: str) -> None:
    with pytest.raises(UsageError, match=f"^{option}: .*; {re.escape(right)} would be right$"):
        evaluate("lora", "demo", **{option: value})  # type: ignore[arg-type]


def test_compare_and_the_engine_of_evaluate_are_checked_as_well(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^alpha: 'x'"):
        compare(["a"], alpha="x")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^runs: 3 "):
        compare(3)  # type: ignore[arg-type]
    base = str(shipped("fixtures/models") / "tiny-base")
    with pytest.raises(UsageError, match=r"^factory: object has no methods `describe` and `open`"):
        evaluate(base, "demo", out=tmp_path, factory=object())  # type: ignore[arg-type]


@pytest.mark.parametrize("metrics", [{"acc": {"up": True}}, {"acc": {"higher_is_better": "no"}}, {"acc": 0.25}])
def test_a_statement_on_a_metric_that_is_none_is_refused(tmp_path: Path, metrics: Any) -> None:
    with pytest.raises(UsageError, match=r"^metrics: .* would be right"):
        compare([tmp_path / "a.csv", tmp_path / "b.csv"], metrics=metrics)


@pytest.mark.slow
def test_a_type_checker_refuses_a_misspelt_option_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "calls.py"
    file.write_text(CALLS)
    checks = ("--strict", "--follow-imports=silent", "--no-error-summary", "--cache-dir", str(tmp_path / "cache"))
    process = subprocess.run([sys.executable, "-m", "mypy", *checks, str(file)], capture_output=True, text=True)
    errors = [line for line in process.stdout.splitlines() if ": error: " in line]
    assert len(errors) == 1 and "calls.py:4:" in errors[0] and '"limits" for "evaluate"' in errors[0], process.stdout


def test_a_change_leaves_the_rest_as_it_is() -> None:
    job = make_job(["lora", "full"], "demo", limit=5, margins={"rte": 0.1}, device="cpu", engine_options={"a": "b"})
    assert job_with(job) == job
    other = job_with(job, limit=None, device="cuda", models="other")
    assert job_with(other, limit=5, device="cpu", models=("lora", "full")) == job
    assert job_with(job, alpha=0.1).statistics.margins == {"rte": 0.1}


def test_every_option_changes_a_job_and_is_in_the_documentation_of_evaluate() -> None:
    flags = (
        "placebo",
        "allow_noop",
        "allow_mixed_engines",
        "strict",
        "until_decided",
        "explain",
        "drift",
        "drift_only",
        "apply_chat_template",
    )
    values: dict[str, object] = dict.fromkeys(JobOptions.__annotations__, "text") | dict.fromkeys(flags, True)
    values |= dict.fromkeys(("limit", "num_fewshot", "seed", "batch_size", "batch_tokens"), 7)
    values |= {
        name: {"of": "text"} for name in ("data", "train_data", "engine_options", "columns", "describe_with", "targets")
    }
    values |= {"margin": 0.5, "margins": {"of": 0.5}, "alpha": 0.2}
    values |= {"on_inconclusive": "pass", "ceiling": 0.1, "ceilings": {"of": 0.1}, "against": "both"}
    values |= {"fewshot_as_multiturn": False, "chat_template_mismatch": "allow"}
    values["generation_config"] = "own"
    job, words = make_job("lora"), (evaluate.__doc__ or "").replace(",", " ").split()
    for name, value in values.items():
        assert job_with(job, **{name: value}) != job, name  # type: ignore[arg-type]
        assert name in words, name


def test_the_command_line_and_python_make_equal_jobs_of_equal_options() -> None:
    shared = (
        "--base B --suite demo --data-dir D --include-path I --limit 3 --margin 0.1 --margin rte=0.2 "
        "--device cpu --dtype bfloat16 --engine scripted --engine-option replies=R"
    ).split()
    job = make_job(
        (), "demo", base="B", data_dir="D", include="I", limit=3, margin=0.1, margins={"rte": 0.2}, device="cpu",
        dtype="bfloat16", engine="scripted", engine_options={"replies": "R"}, store="S", out="O",
    )  # fmt: skip
    swept = job_with(job, target="rte", store="O/store.sqlite", batch_size=2)
    of_sweep = ("--task", "rte", "--eval-batch-size", "2", "--alpha", "32", "--batch-size", "4", "--out", "O")
    assert job_of(sweep.sweep_command, sweep._job, *shared, *of_sweep) == swept

    shared += "--task rte --task cola --num-fewshot 2 --split dev --seed 7 --alpha 0.1 --batch-size 4".split()
    job = job_with(job, tasks=("rte", "cola"), num_fewshot=2, split="dev", seed=7, alpha=0.1, batch_size=4)
    planned = job_of(plan.plan_command, plan._job, *shared, "--out", "O")
    assert job_with(planned, store="S") == job

    shared += "--precision nf4 --allow-noop --apply-chat-template=candidates --system-instruction Go".split()
    shared += "--no-fewshot-as-multiturn --chat-template-mismatch allow --store S --out O".split()
    job = job_with(
        job, precision="nf4", allow_noop=True, apply_chat_template="candidates", system_instruction="Go",
        fewshot_as_multiturn=False, chat_template_mismatch="allow", models=("a", "x=b"),
    )  # fmt: skip
    assert job_of(trace.trace_command, trace._job, *shared, "--stage", "a", "--stage", "x=b") == job

    shared += "--model a --model x=b --baseline L --target rte --template claim --placebo --until-decided".split()
    shared += ["--allow-mixed-engines"]
    shared += "--drift --drift-text F --describe bias,efficiency --explain --train-data a=.".split()
    shared += "--on-inconclusive pass --ceiling 0.1 --ceiling rte=0.2".split()
    job = job_with(
        job, on_inconclusive="pass", ceiling=0.1, ceilings={"rte": 0.2}, baseline="L",
        target="rte", templates="claim", placebo=True, until_decided=True, drift=True, allow_mixed_engines=True,
        drift_text="F", describe=("bias", "efficiency"), explain=True, train_data={"a": "."},
    )  # fmt: skip
    assert job_of(run.run_command, run_steps._job, *shared) == job


def job_of(command: click.Command, make: Callable[[dict[str, Any]], Job], *arguments: str) -> Job:
    """The Job that a command makes of its arguments."""
    return make(command.make_context(str(command.name), list(arguments)).params)
