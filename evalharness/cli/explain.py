"""`evalharness tasks explain`: show how a metric scores a text, by its n-grams or by the properties it checks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from evalharness.cli import completion
from evalharness.cli.command import Command
from evalharness.cli.option_texts import metric_specs
from evalharness.cli.options import debug_option, include_option, json_option, with_options
from evalharness.cli.printing import print_json, print_lines
from evalharness.errors import TaskError, UsageError
from evalharness.metrics import OBSERVED
from evalharness.metrics.explanation import EXPLAINED, Explanation, explain
from evalharness.records.tasks import MetricSpec
from evalharness.report.text_table import aligned
from evalharness.report.wording import one_line
from evalharness.results.documents import read_results
from evalharness.results.samples import find_sample
from evalharness.tasks.library import Library

USUAL = ("rouge1", "rouge2", "rougeL", "bleu")
TITLES = ("n-gram of the output", "in the output", "in the reference", "counted")
LOOKS = ("looked for", "there", "seen")


@click.command("explain", cls=Command)
@click.argument("name", required=False, metavar="[TASK]", shell_complete=completion.tasks)
@click.option("--output", metavar="TEXT", help="The text to score.")
@click.option("--reference", "references", multiple=True, metavar="TEXT", help="A correct text. Repeatable.")
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Read output and references from this run's samples instead.",
)
@click.option("--example", metavar="ID", help="With --run: the example, by its id in samples/TASK/MODEL.jsonl.")
@click.option("--model", metavar="NAME", help="With --run: the model that wrote it  [default: the first candidate].")
@click.option(
    "--metric",
    "metric_texts",
    multiple=True,
    metavar="NAME[:KEY=VALUE,…]",
    help="rouge1 to rouge9, rougeL, rougeLsum, bleu (bleu:tokenize=none), "
    f"{', '.join(OBSERVED)} [default: TASK's, else {', '.join(USUAL)}]. "
    "Repeatable.",
)
@with_options(include_option, json_option, debug_option)
def explain_command(name: str | None, **options: Any) -> None:
    """Show which n-grams of a text match its references, and how ROUGE and BLEU score the counts; or which properties
    that a metric checks (instructions, a refusal, a language) the text has.

    The text is --output, compared with --reference, or an output of a finished run: TASK --run RUN --example ID. There
    " | " separates several references, as in the samples.
    """
    output, references = _texts(name, options)
    specs = _specs(name, options)
    explanations = [explain(spec, output, references) for spec in specs]
    if options["as_json"]:
        print_json(json.dumps([asdict(each) for each in explanations], indent=1))
    else:
        print_lines([f"output: {output}", *(f"reference: {reference}" for reference in references)])
        print_lines(line for each in explanations for line in _lines(each, len(references)))


def _texts(name: str | None, options: dict[str, Any]) -> tuple[str, Sequence[str]]:
    """Return the output to explain and its references. Raises UsageError if options do not go together."""
    folder, output, references = options["folder"], options["output"], options["references"]
    if folder is None:
        if output is None or not references or options["example"] or options["model"]:
            what = "needs --output and --reference, or TASK with --run and --example"
            raise UsageError("tasks explain", what, '--output "a b" --reference "a c" would be right')
        return output, references
    if output is not None or references or not (name and options["example"]):
        what = "--run takes the texts of one example of TASK, and no others"
        raise UsageError("tasks explain", what, "TASK --run RUN --example ID would be right")
    sample = find_sample(folder, read_results(folder), name, options["model"], options["example"])
    return sample.output, sample.reference.split(" | ")


def _specs(name: str | None, options: dict[str, Any]) -> Sequence[MetricSpec]:
    """Return the metrics that explain the output. Raises TaskError if the task has none that can explain one."""
    if options["metric_texts"]:
        return metric_specs(options["metric_texts"])
    if name is None:
        return metric_specs(USUAL)
    specs = [spec for spec in Library(options["include"]).task(name).metrics if spec.name in EXPLAINED]
    if not specs:
        raise TaskError(name, "has no metric that can be explained", f"give --metric: {', '.join(EXPLAINED)}")
    return specs


def _lines(explanation: Explanation, references: int) -> Iterator[str]:
    yield f"\n{explanation.metric} ({explanation.signature})"
    if explanation.reference is not None and references > 1:
        yield f"  against the reference of the best F1: {explanation.reference}"
    yield "  " + ", ".join(f"{name} {_number(value)}" for name, value in explanation.measures.items())
    rows = [(each.gram, str(each.output), str(each.reference), str(each.counted)) for each in explanation.matches]
    yield from (f"  {line}" for line in (aligned([TITLES, *rows], (1, 2, 3)) if rows else ()))
    observations = [
        (each.check, "yes" if each.held else "no", one_line(each.seen)) for each in explanation.observations
    ]
    yield from (f"  {line}" for line in (aligned([LOOKS, *observations]) if observations else ()))
    if explanation.subsequence:
        yield f"  longest common subsequence: {' '.join(explanation.subsequence)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and value > 1 else f"{value:.4g}"
