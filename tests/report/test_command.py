"""The command that makes a run again."""

from __future__ import annotations

import shlex
from dataclasses import replace

from evalharness.cli.run import run_command
from evalharness.records.results import Results
from evalharness.report.command import command


def test_the_command_is_one_that_the_tool_takes(run: Results) -> None:
    signature = {
        **run.signature, "limit": 50, "num_fewshot": 2, "seed": 7, "alpha": 0.1, "margin": 0.03,
        "margins": {"rte": 0.05}, "describe": ["calibration"], "explain": True, "until_decided": {"rounds": 8},
        "template": "all",
    }  # fmt: skip
    words = shlex.split(command(replace(run, signature=signature)))
    assert words[:2] == ["evalharness", "run"]
    given = run_command.make_context("run", words[2:], resilient_parsing=True).params
    assert given["limit"] == 50 and given["seed"] == 7 and given["alpha"] == 0.1
    assert "--margin 0.03 --margin rte=0.05" in " ".join(words) and "--model lora-r8=PATH" in " ".join(words)


def test_tasks_are_named_where_no_suite_is(run: Results) -> None:
    words = command(replace(run, signature={**run.signature, "suite": None}))
    assert (
        "--task sst2" in words and "--task mmlu " in words and "mmlu_virology" not in words and "--suite" not in words
    )


def test_logs_are_compared_and_hostile_names_are_quoted(run: Results) -> None:
    models = tuple(replace(model, kind="imported", name=f"$(rm {i})") for i, model in enumerate(run.models))
    words = command(replace(run, models=models))
    assert shlex.split(words)[:3] == ["evalharness", "compare", "$(rm 0)=PATH"] and "'$(rm 0)=PATH'" in words
    assert command(replace(run, models=())) == ""
