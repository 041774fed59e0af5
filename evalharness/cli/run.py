"""Define the options of `evalharness run`, which compares candidates with their base.

run_steps.py executes the command, so that `--help` need not import its packages.
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
    """The command `run`, whose help shows the options in sections, and examples."""

    sections: ClassVar = {
        "Models": "--model --base --baseline --precision --placebo --allow-noop --allow-mixed-engines",
        "Tasks and data": "--suite --task --target --limit --num-fewshot --split --seed "
        "--data-dir --data --columns --include-path --train-data",
        "Prompts": "--template --apply-chat-template --system-instruction --fewshot-as-multiturn "
        "--chat-template-mismatch",
        "Verdicts and gate": "--margin --alpha --until-decided "
        "--gate --policy --on-inconclusive --ceiling --against --junit --markdown --github",
        "Beside the verdicts": "--explain --drift --drift-text --drift-only --drift-table --describe --describe-with",
        "Engine": "--engine --engine-option --ray-address --device --dtype --generation-config "
        "--batch-size --batch-tokens --strict",
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
    help="Candidate: directory, hub id[@revision] or URL#MODEL; 'DIR/*': all in DIR. Repeatable.",
)
@click.option(
    "--base",
    metavar="[NAME=]PATH",
    help="Model that the candidates were trained from  [default: what their files name].",
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="RUN|FILE",
    help="Earlier run, or baseline file, whose base's scores are used instead of running the base.",
)
@with_options(*task_options)
@click.option(
    "--target",
    "target_texts",
    multiple=True,
    metavar="[NAME=]TASK|none",
    shell_complete=completion.tasks,
    help="Task that the candidates (or candidate NAME) were trained for, where training.json names none; none: no task "
    "of this run. The gate needs it. Repeatable.",
)
@with_options(*data_options)
@click.option(
    "--train-data",
    multiple=True,
    metavar="[NAME=]PATH",
    help="Rows that the candidates (or candidate NAME) were fine-tuned on: their overlap with the examples is shown. "
    "Repeatable  [default: what training.json names].",
)
@with_options(*example_options)
@click.option(
    "--template",
    "templates",
    metavar="NAME",
    help="Use this other wording of the prompts; all: every wording, the task's own included.",
)
@click.option(
    "--until-decided",
    is_flag=True,
    help="Evaluate in rounds, and stop each task once its verdict is certain (docs/early.md).",
)
@click.option(
    "--drift", is_flag=True, help="Measure how far each candidate's predictions are from the base's (docs/drift.md)."
)
@click.option(
    "--drift-text",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Measure --drift on the paragraphs of this file instead of the built-in ones.",
)
@click.option(
    "--drift-only",
    is_flag=True,
    help="Only measure --drift and forecast the suite from it, in a minute or two: no task is evaluated.",
)
@click.option(
    "--drift-table",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Forecast from --drift with this table of candidates instead of the built-in one (docs/drift.md).",
)
@click.option(
    "--describe",
    metavar="WAY,…",
    help="Describe the models' calibration, robustness, fairness, generation, toxicity, bias, efficiency "
    "(docs/describe.md).",
)
@click.option(
    "--describe-with",
    multiple=True,
    metavar="NAME=PATH",
    help="Input of --describe: dialect, names (lists of words), toxicity (PATH[#CLASS]: a text classifier, or a module "
    "of `evaluate`). Repeatable.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Where a choice task was forgotten, ask again to tell lost knowledge from a lost format (docs/describe.md).",
)
@with_options(*chat_options)
@with_options(seed_option(), margin_option, alpha_option, *engine_options, store_option)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the results  [default: runs/<time>-<suite>].",
)
@click.option(
    "--placebo",
    is_flag=True,
    help="Evaluate the base through an adapter that changes nothing, too, to measure the numerical noise.",
)
@click.option(
    "--precision",
    type=click.Choice(["nf4", "fp4", "int8", "none"]),
    help="Quantisation of the base, with and without adapters  [default: what the candidates were trained with].",
)
@with_options(noop_option)
@click.option(
    "--allow-mixed-engines",
    is_flag=True,
    help="With --baseline: accept a base's scores from another engine, and flag every verdict.",
)
@click.option("--gate", is_flag=True, help="End with the gate's exit code (3 forgotten, 4 undecided).")
@with_options(*policy_options, *against_options, *gate_output_options)
@click.option(
    "--json", "as_json", is_flag=True, help="Print results.json (with --gate, the decision in it) and nothing else."
)
@with_options(quiet_option, verbose_option, debug_option)
def run_command(**options: Any) -> int:
    """Evaluate candidates against their base and say, task by task, what they forgot.

    Writes results.json, measurements.parquet, samples/, run.json and report.html to --out. After an interruption give
    the same command again: nothing is answered twice. Without --gate it ends with 0, or with 5 if examples got no
    answer.
    """
    return int(registry.find(STEPS, "run", "stage")(options))
