"""`evalharness checkpoint merge`: merge adapters into their base or with one another, or full weights of one base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import click

from evalharness import api
from evalharness.checkpoints.device_names import DTYPES
from evalharness.cli.help import SectionedCommand, option_names
from evalharness.cli.option_texts import shares
from evalharness.cli.options import debug_option, with_options
from evalharness.cli.printing import print_json, print_line, print_lines
from evalharness.merging.job import OF_ADAPTERS
from evalharness.merging.summary import summary

what_options = (
    click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the result; must not exist."),
    click.option("--base", metavar="PATH", help="Their base, where their own files do not say."),
    click.option("--into-base", is_flag=True, help="Merge what several adapters make into the base, too."),
)
how_options = (
    click.option("--method", type=click.Choice(OF_ADAPTERS), help="How several are merged; one adapter needs none."),
    click.option(
        "--weight",
        "weight_texts",
        multiple=True,
        metavar="NAME=NUMBER",
        help="How much one weighs. Without: 1/N each in sums, 1 each by ties. Repeatable.",
    ),
    click.option("--density", type=float, help="Share of the values that are kept, for methods that prune (not sums)."),
    click.option("--rank", type=int, help="Rank of what svd leaves  [default: the largest of the adapters]."),
    click.option("--seed", type=int, default=0, show_default=True, help="Of what dare drops."),
    click.option("--dtype", type=click.Choice(DTYPES), help="Type that the result is saved in  [default: the files']."),
)


class MergeCommand(SectionedCommand):
    """Shows the options in sections."""

    sections: ClassVar = {"What": option_names(what_options), "How": option_names(how_options)}


@click.command("merge", cls=MergeCommand)
@click.argument("models", nargs=-1, required=True, metavar="[NAME=]MODEL…")
@with_options(*what_options, *how_options)
@click.option("--json", "as_json", is_flag=True, help="Print merge.json and nothing else.")
@debug_option
def merge_command(models: tuple[str, ...], weight_texts: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Merge into a checkpoint that `run` takes as a candidate (docs/checkpoints.md).

    One adapter goes into its base, which its logits have to prove. Several adapters make one, by peft's methods: cat
    and svd sum what LoRA adds; linear, ties, dare_* and magnitude_prune go through A and B one by one. Full weights of
    one base: the methods without cat and svd, on what each model added to the base.
    """
    del given["debug"]
    facts = api.merge(models, weights=shares("--weight", weight_texts), notify=_tell, **given)
    if as_json:
        print_json(json.dumps(facts, indent=1))
    else:
        print_lines(summary(given["out"], facts))


def _tell(notice: str) -> None:
    print_line(f"note: {notice}", err=True)
