"""Write the shell command that repeats a run, with PATH in place of local paths."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from evalharness.analysis.unit_rules import names_known
from evalharness.records.models import ModelKind
from evalharness.records.results import Results
from evalharness.report import wording

PLACE = "PATH"
VALUES = {  # of the signature, under the options that set them
    "limit": "--limit",
    "num_fewshot": "--num-fewshot",
    "split": "--split",
    "template": "--template",
    "precision": "--precision",
    "system_instruction": "--system-instruction",
}
DEFAULTS = {"alpha": 0.05, "seed": 1234}
SWITCHES = {"explain": "--explain", "until_decided": "--until-decided", "drift_only": "--drift-only"}


def command(results: Results) -> str:
    """Return the command as one shell line; "" if nothing was run."""
    if not results.models or not results.signature:
        return ""
    if any(model.kind == ModelKind.IMPORTED for model in results.models):
        words = ["evalharness", "compare", *(f"{model.name}={PLACE}" for model in results.models), *_judged(results)]
    else:
        words = ["evalharness", "run", *_run(results)]
    return " ".join(shlex.quote(wording.one_line(word)) for word in words)


def _run(results: Results) -> Iterator[str]:
    signature = results.signature
    for model in results.models:
        if model.base is None:
            yield from ("--base", f"{model.name}={PLACE}")
        elif model.judged:
            yield from ("--model", f"{model.name}={PLACE}")
    if signature.get("suite"):
        yield from ("--suite", str(signature["suite"]))
    else:
        units = (row for row in results.comparisons if row.is_gate_unit)
        for name in dict.fromkeys(names_known(row.task, row.variant)[-1] for row in units):
            yield from ("--task", name)
    yield from ("--data-dir", PLACE)
    for key, option in VALUES.items():
        if signature.get(key) is not None:
            yield from (option, str(signature[key]))
    if signature.get("seed", DEFAULTS["seed"]) != DEFAULTS["seed"]:
        yield from ("--seed", str(signature["seed"]))
    if signature.get("describe"):
        yield from ("--describe", ",".join(map(str, signature["describe"])))
    for name in signature.get("describe_with", ()):
        yield from ("--describe-with", f"{name}={PLACE}")
    yield from (option for key, option in SWITCHES.items() if signature.get(key))
    yield from _judged(results)


def _judged(results: Results) -> Iterator[str]:
    """Yield the options that decide verdicts: targets, the error rate, margins."""
    signature = results.signature
    for model in results.models:
        if model.judged and model.target_task is not None and not model.training:
            yield from ("--target", f"{model.name}={model.target_task}")
    if signature.get("alpha", DEFAULTS["alpha"]) != DEFAULTS["alpha"]:
        yield from ("--alpha", f"{signature['alpha']:g}")
    if signature.get("margin") is not None:
        yield from ("--margin", f"{signature['margin']:g}")
    for name, margin in (signature.get("margins") or {}).items():
        yield from ("--margin", f"{name}={margin:g}")
