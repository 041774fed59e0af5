"""Parse the texts of options: pairs, paths, margins, ceilings, columns, statements about metrics."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from evalharness.data.sources import DataSource
from evalharness.errors import UsageError
from evalharness.imports.logged import MetricStatement, statement_of
from evalharness.json_text import number_in
from evalharness.paths import default_store
from evalharness.records.job_options import JobOptions
from evalharness.records.tasks import MetricSpec
from evalharness.training.methods import ALL_LINEAR, ATTENTION


def job_options(options: Mapping[str, Any]) -> JobOptions:
    """Select the parameters of a command that are options of a Job, and parse their texts. Raises UsageError."""
    margin, named_margins = margins(options["margin_texts"])
    ceiling, named_ceilings = ceilings(options.get("ceiling_texts", ()))
    target, named_targets = target_tasks(options.get("target_texts", ()))
    values = {
        **options,
        "margin": margin,
        "margins": named_margins,
        "target": target or options.get("target"),
        "targets": named_targets or None,  # a parameter `targets` is LoRA's
        "ceiling": ceiling,
        "ceilings": named_ceilings,
        "data": paths("--data", options["data"]),
        "columns": columns(options["column_texts"]),
        "describe_with": pairs("--describe-with", options.get("describe_with", ())),
        "engine_options": engine_options(options),
        "store": options.get("store") or default_store(os.environ),
    }
    names = [name for name in JobOptions.__annotations__ if values.get(name) is not None]
    return cast(JobOptions, {name: values[name] for name in names})


def engine_options(options: Mapping[str, Any]) -> dict[str, str]:
    """Parse `--engine-option`, and add the engine ray's address from `--ray-address`. Raises UsageError."""
    settings, address = pairs("--engine-option", options["engine_options"]), options.get("ray_address")
    if address is None:
        return settings
    if options["engine"] != "ray":
        raise UsageError("--ray-address", f"is for --engine ray, not {options['engine']}", "add --engine ray")
    return {**settings, "address": address}


def pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Parse NAME=VALUE texts. Raises UsageError naming the option."""
    by_name: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not (name and value):
            raise UsageError(option, f"{text!r} is not NAME=VALUE")
        if name in by_name:
            raise UsageError(option, f"{name!r} is given twice")
        by_name[name] = value
    return by_name


def paths(option: str, texts: Sequence[str]) -> dict[str, Path]:
    """Parse NAME=PATH texts; the paths must exist. Raises UsageError."""
    by_name = {name: Path(value) for name, value in pairs(option, texts).items()}
    for name, path in by_name.items():
        if not path.exists():
            raise UsageError(f"{option} {name}", f"{path} does not exist")
    return by_name


def columns(texts: Sequence[str]) -> dict[str, str]:
    """Parse `--columns question=q,answer=label`: the files' column names, by the task's names. Raises UsageError."""
    return pairs("--columns", [each for text in texts for each in text.split(",")])


def data_source(options: Mapping[str, Any], lock: Path | None = None) -> DataSource:
    """Return the source of rows that --data, --data-dir and --columns name. `lock`: of the hub's revisions. Raises
    UsageError.
    """
    overrides = paths("--data", options["data"])
    return DataSource(options["data_dir"], overrides, lock=lock, columns=columns(options["column_texts"]))


def weights(texts: Sequence[str]) -> dict[str, float]:
    """Parse `--mix TASK[=WEIGHT]`; a task without a weight has 1. Raises UsageError."""
    return shares("--mix", [text if "=" in text else f"{text}=1" for text in texts])


def shares(option: str, texts: Sequence[str]) -> dict[str, float]:
    """Parse TASK=NUMBER texts. Raises UsageError."""
    return {name: number(f"{option} {name}", text) for name, text in pairs(option, texts).items()}


def number(option: str, text: str) -> float:
    """Parse a number. Raises UsageError naming the option."""
    try:
        return float(text)
    except ValueError:
        raise UsageError(option, f"{text!r} is no number", "a number such as 0.2 would be right") from None


def targets(text: str | None) -> str | tuple[str, ...] | None:
    """Parse `--targets`: names become a tuple; a keyword or a regular expression stays a text."""
    if text is None or text in (ALL_LINEAR, ATTENTION) or set("*+?^$|()[]{}\\") & set(text):
        return text
    return tuple(name.strip() for name in text.split(","))


def target_tasks(texts: Sequence[str]) -> tuple[str | None, Mapping[str, str]]:
    """Parse `--target rte --target full=boolq`: the task of all candidates, and those of single ones. Raises
    UsageError.
    """
    return _one_and_named("--target", texts, ("a candidate's name", "NAME=TASK for single candidates"))


def _one_and_named(option: str, texts: Sequence[str], of: tuple[str, str]) -> tuple[str | None, dict[str, str]]:
    """Parse VALUE and NAME=VALUE texts: return the value for all, and those by name.

    `of`: two phrases for the error: what a name stands for, and how single values are written. Raises UsageError.
    """
    of_all = [text for text in texts if "=" not in text]
    if len(of_all) > 1:
        raise UsageError(option, f"several without {of[0]} ({', '.join(of_all)})", f"give one, and {of[1]}")
    return next(iter(of_all), None), pairs(option, [text for text in texts if "=" in text])


def margins(texts: Sequence[str]) -> tuple[float | None, Mapping[str, float]]:
    """Parse `--margin 0.02 --margin rte=0.05`: the margin of all 0-1 metrics, and those of single tasks. Raises
    UsageError.
    """
    return _losses("--margin", texts)


def ceilings(texts: Sequence[str]) -> tuple[float | None, Mapping[str, float]]:
    """Parse `--ceiling`, in the syntax of `--margin`. Raises UsageError."""
    return _losses("--ceiling", texts)


def _losses(option: str, texts: Sequence[str]) -> tuple[float | None, Mapping[str, float]]:
    of_all, by_task = _one_and_named(option, texts, ("a task name", "TASK=NUMBER for single tasks"))
    everywhere = None if of_all is None else _loss(option, of_all)
    return everywhere, {name: _loss(option, text) for name, text in by_task.items()}


def statements(texts: Sequence[str]) -> dict[str, MetricStatement]:
    """Parse `--metric wer:higher_is_better=no,high=2`: statements about metrics, by name. Raises UsageError."""
    by_name: dict[str, MetricStatement] = {}
    for text in texts:
        name, _, keys = text.rpartition(":")
        if not name:
            raise UsageError("--metric", f"{text!r} is not NAME:KEY=VALUE", "wer:higher_is_better=no would be right")
        statement = statement_of(f"--metric {name}", pairs(f"--metric {name}", keys.split(",")))
        by_name[name] = {**by_name.get(name, MetricStatement()), **statement}
    return by_name


def metric_specs(texts: Sequence[str]) -> list[MetricSpec]:
    """Parse `--metric bleu:tokenize=none,lowercase=true`: metrics with their options. Raises UsageError."""
    specs = []
    for text in texts:
        name, _, keys = text.partition(":")
        texts_by_key = pairs(f"--metric {name}", keys.split(",")) if keys else {}
        options = {key: _value(f"--metric {name}: {key}", value) for key, value in texts_by_key.items()}
        specs.append(MetricSpec(id=text, name=name, options=options))
    return specs


def _value(where: str, text: str) -> Any:
    """Parse a number, true or false, or a word as YAML does. Raises UsageError."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError(
            f"{where} is {text!r}", "which YAML cannot read", "a number or a word would be right"
        ) from None


def _loss(option: str, text: str) -> float:
    least, within = ("above 0", 0.0) if option == "--margin" else ("of at least 0", -1e-300)
    if within < (value := number_in(text)) < float("inf"):
        return value
    fix = f"give a number {least}, in the metric's unit, such as 0.02"
    raise UsageError(option, f"{text!r} is not a {option.removeprefix('--')}", fix)
