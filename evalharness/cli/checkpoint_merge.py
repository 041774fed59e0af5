"""`evalharness checkpoint merge`: merge an adapter into its base, several adapters into one, or full weights."""

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
    click.option("--base", metavar="PATH", help="The base of all, where their own files name none."),
    click.option("--into-base", is_flag=True, help="Merge the adapter that several make into the base, too."),
)
how_options = (
    click.option(
        "--method", type=click.Choice(OF_ADAPTERS), help="How several are merged; not needed for one adapter."
    ),
    click.option(
        "--weight",
        "weight_texts",
        multiple=True,
        metavar="NAME=NUMBER",
        help="Weight of one model  [default: 1/N each in sums, 1 each by ties]. Repeatable.",
    ),
    click.option("--density", type=float, help="Share of the values that methods which prune keep."),
    click.option("--rank", type=int, help="Rank of svd's result  [default: the largest rank of the adapters]."),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of the values that dare drops."),
    click.option("--dtype", type=click.Choice(DTYPES), help="Type to save the result in  [default: the files']."),
)


class MergeCommand(SectionedCommand):
    """The command `checkpoint merge`, whose help shows the options in sections."""

    sections: ClassVar = {"What": option_names(what_options), "How": option_names(how_options)}


@click.command("merge", cls=MergeCommand)
@click.argument("models", nargs=-1, required=True, metavar="[NAME=]MODEL…")
@with_options(*what_options, *how_options)
@click.option("--json", "as_json", is_flag=True, help="Print merge.json and nothing else.")
@debug_option
def merge_command(models: tuple[str, ...], weight_texts: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Merge models into one checkpoint that `run` takes as a candidate (docs/checkpoints.md).

    One adapter is merged into its base, and the logits are checked to stay the same. Several adapters are merged into
    one by peft's methods: cat and svd sum the updates of LoRA; linear, ties, dare_* and magnitude_prune merge A and B
    separately. Full weights of one base are merged by the same methods except cat and svd, applied to each model's
    difference from the base.
    """
    del options["debug"]
    facts = api.merge(models, weights=shares("--weight", weight_texts), notify=_tell, **options)
    if as_json:
        print_json(json.dumps(facts, indent=1))
    else:
        print_lines(summary(options["out"], facts))


def _tell(notice: str) -> None:
    print_line(f"note: {notice}", err=True)
