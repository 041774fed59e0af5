"""`evalharness run`: compare candidates with their base; leave a folder of results, print a table, write a page.

Here are its options; what is done with them is in run_steps.py, which help does without.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import click

from evalharness import registry
from evalharness.cli import completion
from evalharness.cli.gate_output import gate_output_options
from evalharness.cli.help import SectionedCommand
from evalharness.cli.options import (
    against_options,
    alpha_option,
    chat_options,
    data_options,
    debug_option,
    engine_options,
    example_options,
    margin_option,
    noop_option,
    policy_options,
    quiet_option,
    seed_option,
    store_option,
    task_options,
    verbose_option,
    with_options,
)

STEPS = {"run": "evalharness.cli.run_steps:run"}


class RunCommand(SectionedCommand):
    sections: ClassVar = {
        "Models": "--model --base --baseline --precision --placebo --allow-noop --allow-mixed-engines",
        "Tasks and data": "--suite --task --target --limit --num-fewshot --split --seed "
        "--data-dir --data --include-path --train-data",
        "Prompts": "--template --apply-chat-template --system-instruction --fewshot-as-multiturn "
        "--chat-template-mismatch",
        "Verdicts and gate": "--margin --alpha --until-decided "
        "--gate --policy --on-inconclusive --ceiling --against --junit --markdown --github",
        "Beside the verdicts": "--explain --drift --drift-text --drift-only --drift-table --describe --describe-with",
        "Engine": "--engine --engine-option --ray-address --device --dtype --batch-size --batch-tokens --strict",
        "Files": "--out --store",
    }
    examples = (
        "evalharness run --model lora=out/lora --suite forgetting",
        "evalharness run --model 'out/*' --base meta-llama/Llama-3.2-1B --task mmlu --limit 200 --gate",
        "evalharness run --model ckpt --suite forgetting --data-dir data --margin 0.03 --margin rte=0.05",
    )


@click.command("run", cls=RunCommand)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="[NAME=]PATH",
    help="A candidate: directory, hub id[@revision] or URL#MODEL; 'DIR/*': all in DIR. Repeatable.",
)
@click.option(
    "--base",
    metavar="[NAME=]PATH",
    help="What the candidates were trained from; found beside the weights where it is recorded.",
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="RUN|FILE",
    help="An earlier run, or a baseline file, whose base's scores are used; no base is run.",
)
@with_options(*task_options)
@click.option(
    "--target",
    "target_texts",
    multiple=True,
    metavar="[NAME=]TASK|none",
    shell_complete=completion.tasks,
    help="The task that the candidates (or candidate NAME) were trained for, where training.json does not say; none: "
    "for none of those that are asked. The gate wants to know.",
)
@with_options(*data_options)
@click.option(
    "--train-data",
    multiple=True,
    metavar="[NAME=]PATH",
    help="Rows that the candidates (or one) were fine-tuned on: overlap with what is asked is shown "
    "[default: what training.json names].",
)
@with_options(*example_options)
@click.option(
    "--template",
    "templates",
    metavar="NAME",
    help="Ask in this other wording; all: in every other one beside the task's own.",
)
@click.option(
    "--until-decided",
    is_flag=True,
    help="Ask in rounds, and a task no longer once its verdict is certain (docs/early.md).",
)
@click.option(
    "--drift",
    is_flag=True,
    help="Beside the verdicts: how far each candidate's predictions are from the base's (docs/drift.md).",
)
@click.option(
    "--drift-text",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="--drift on the paragraphs of this file instead of ours.",
)
@click.option(
    "--drift-only",
    is_flag=True,
    help="--drift and its forecast of the suite in a minute or two: no task is answered, nothing is judged.",
)
@click.option(
    "--drift-table",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="--drift with a forecast from this table of candidates instead of ours (docs/drift.md).",
)
@click.option(
    "--describe",
    metavar="WAY,…",
    help="Beside the verdicts: calibration, robustness, fairness, generation, toxicity, bias, efficiency "
    "(docs/describe.md).",
)
@click.option(
    "--describe-with",
    multiple=True,
    metavar="NAME=PATH",
    help="What --describe reads: dialect, names (lists of words), toxicity (PATH[#CLASS]: a text classifier, or a "
    "module of `evaluate`). Repeatable.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Where a choice task was lost, ask again: is it knowledge or the format? (docs/describe.md)",
)
@with_options(*chat_options)
@with_options(seed_option(), margin_option, alpha_option, *engine_options, store_option)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the results [default: runs/<time>-<suite>].",
)
@click.option(
    "--placebo", is_flag=True, help="Measure the base through an adapter that changes nothing, too: the noise floor."
)
@click.option(
    "--precision",
    type=click.Choice(["nf4", "fp4", "int8", "none"]),
    help="Of the base and adapters on it, instead of what the candidates were made for.",
)
@with_options(noop_option)
@click.option(
    "--allow-mixed-engines",
    is_flag=True,
    help="With --baseline: accept scores of the base that another engine answered, and say so beside every verdict.",
)
@click.option("--gate", is_flag=True, help="End with the gate's exit code (3 forgotten, 4 undecided).")
@with_options(*policy_options, *against_options, *gate_output_options)
@click.option(
    "--json", "as_json", is_flag=True, help="Print results.json (with --gate, the decision in it), and nothing else."
)
@with_options(quiet_option, verbose_option, debug_option)
def run_command(**given: Any) -> int:
    """Evaluate candidates against their base and say, task by task, what they forgot.

    Leaves results.json, measurements.parquet, samples/, run.json and report.html in --out. Interrupted, give the same
    command again: nothing is answered twice. Without --gate it ends with 0, or with 5 if something failed.
    """
    return int(registry.find(STEPS, "run", "stage")(given))
