"""`evalharness checkpoint`: a directory or hub id to what it holds, and what kinds of checkpoints there are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from evalharness import checkpoints, registry
from evalharness.checkpoints.describe import describe
from evalharness.checkpoints.discover import base_of, checkpoints_in, directory_of
from evalharness.checkpoints.kinds import BITSANDBYTES, BOTH, TYPES
from evalharness.checkpoints.naming import parse
from evalharness.checkpoints.recognise import holds_itself, recognise
from evalharness.cli.options import debug_option
from evalharness.errors import EvalHarnessError, ModelError
from evalharness.records.models import Checkpoint
from evalharness.report.escape import plain
from evalharness.report.text_table import aligned

STEP = "checkpoint step"
WIDE = 6  # names that are listed before "and N more"
FULL = (
    ("base, full", "weights in model.safetensors, or in shards by its index", ""),
    (
        "base, full",
        "quantised weights (bitsandbytes; others as far as transformers has them)",
        "needs the library that quantised them, mostly a GPU",
    ),
)
REFUSED = (
    ("weights in .bin, .pt, .pth, .ckpt", "reading them can run code"),
    ("architectures whose code lies in the checkpoint (auto_map)", "remote code is never run"),
    ("encoder-only models and adapters for classification", "they write no text and give no text a likelihood"),
)


@click.group("checkpoint")
def checkpoint_command() -> None:
    """Say what a checkpoint directory holds, and what kinds there are."""


# ---- show ------------------------------------------------------------------------------------------------------------


@checkpoint_command.command("show")
@click.argument("model", metavar="[NAME=]PATH[#TASK]|HUB_ID[@REV]")
@click.option("--base", metavar="PATH", help="Its base, where its own files do not say.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@debug_option
def show_command(model: str, base: str | None, as_json: bool, debug: bool) -> None:
    """Kind, base, fingerprint, sizes and making of a checkpoint, and how its tokenizer differs from its base's.

    Its files are checked as `run` checks them: what `run` would refuse ends with 2 here, after what could be read. Full
    weights whose files name no base are shown as a base. A directory of several checkpoints is listed.
    """
    directory = directory_of(parse(model))
    several = () if holds_itself(directory) else checkpoints_in(directory)
    if several:
        _show_several(directory, several, base, as_json)
        return
    found = recognise(model, base=base, role="candidate" if base or base_of(model) else "base")
    facts, refused = _facts(found)
    click.echo(json.dumps(facts, indent=1) if as_json else "\n".join(_lines(found, facts)))
    if refused is not None:
        raise refused


def _facts(found: Checkpoint) -> tuple[dict[str, Any], EvalHarnessError | None]:
    """Everything to show, as JSON knows it, and the refusal of what `run` would refuse."""
    facts = {**asdict(found), "path": str(found.path), "base": found.base and str(found.base), "made": describe(found)}
    facts |= {"differences": None, "notices": [], "refused": None}
    try:
        different = registry.find(checkpoints.REGISTRY, "tokenizer_differences", STEP)(found)
        facts["differences"] = None if different is None else asdict(different)
        facts["notices"] = list(registry.find(checkpoints.REGISTRY, "verify", STEP)(found))
    except EvalHarnessError as error:
        return {**facts, "refused": str(error)}, error
    return facts, None


def _lines(found: Checkpoint, facts: Mapping[str, Any]) -> Iterable[str]:
    made = facts["made"]
    marks = "".join(f", {mark}" for mark in made.get("marks", ()))
    kind = f"{found.kind} (peft's {found.adapter}{marks})" if found.adapter else found.kind
    architecture = (
        f"{'encoder-decoder' if found.architecture == 'seq2seq' else 'decoder-only'} ({made.get('model_type')})"
    )
    lines = {
        "kind": kind,
        "architecture": architecture,
        "path": found.path,
        "base": found.base or "–",
        "fingerprint": found.fingerprint,
        "parameters": f"{found.parameters:,}",
        "trainable": f"{found.trainable:,} ({found.trainable / max(1, found.parameters):.3%})",
        "size": f"{found.bytes:,} bytes beside its base" if found.kind != "base" else f"{found.bytes:,} bytes",
        "dtype": ", ".join(f"{dtype} ({number} tensors)" for dtype, number in made["dtypes"].items()),
        "precision": found.precision or "not quantised",
        **_of_adapter(found, made),
        "window": f"{found.window or 'no limit known'}",
        "trained for": found.target_task or "–",
        "trained by": ", ".join(f"{key} {_short(value)}" for key, value in found.training.items()) or "–",
        "tokenizer": _difference(facts["differences"]),
    }
    yield plain(found.name)
    yield from (f"  {key:15} {plain(str(value))}" for key, value in lines.items() if value is not None)
    yield from (f"  note: {plain(notice)}" for notice in facts["notices"])


def _of_adapter(found: Checkpoint, made: Mapping[str, Any]) -> dict[str, Any]:
    if not found.adapter:
        return {}
    stated, modules = made.get("targets"), made.get("modules", [])
    targets = f"{', '.join(modules)} ({made['modules_count']} modules)" if modules else stated
    return {
        "virtual tokens": found.virtual_tokens,
        "rank, alpha": f"{made.get('rank', '–')}, {made.get('alpha', '–')}"
        if "rank" in made or "alpha" in made
        else None,
        "targets": f"{targets}; stated as {stated}" if modules and isinstance(stated, str) else targets,
        "task": found.adapter_task,
        "adapters inside": ", ".join(made["adapters_inside"]) if "adapters_inside" in made else None,
    }


def _short(value: Any) -> str:
    return (
        json.dumps(value)
        if isinstance(value, dict | list)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _difference(found: Mapping[str, Any] | None) -> str:
    """How it differs from the base's, in one line."""
    if found is None:
        return "nothing to compare it with"
    parts = [f"{word}: {_some(found[word])}" for word in ("added", "dropped") if found[word]]
    parts += (
        [f"moved: {_some({token: f'{before} → {now}' for token, (before, now) in found['moved'].items()})}"]
        if found["moved"]
        else []
    )
    parts += [f"{role} {before} → {now}" for role, (before, now) in found["special"].items()]
    parts += ["splits text otherwise"] if found["splits"] else []
    parts += [f"chat template {found['template']}"] if found["template"] else []
    return "; ".join(parts) or "as its base's"


def _some(tokens: Mapping[str, Any]) -> str:
    listed = [
        f"{token!r} ({index})" for token, index in sorted(tokens.items(), key=lambda item: str(item[1]).zfill(12))
    ]
    return ", ".join(listed[:WIDE]) + (f" and {len(listed) - WIDE} more" if len(listed) > WIDE else "")


def _show_several(directory: Path, several: Iterable[Path], base: str | None, as_json: bool) -> None:
    rows = []
    for path in several:
        try:
            found = recognise(str(path), base=base, role="candidate" if base or base_of(str(path)) else "base")
            rows.append(
                {
                    "name": path.name,
                    "kind": "full" if found.kind == "base" else found.kind,
                    "bytes": found.bytes,
                    "refused": None,
                }
            )
        except ModelError as error:
            rows.append({"name": path.name, "kind": None, "bytes": None, "refused": str(error)})
    if as_json:
        click.echo(json.dumps({"path": str(directory), "inside": rows}, indent=1))
        return
    click.echo(plain(f"{directory}: no checkpoint itself, {len(rows)} inside"))
    sound = [(plain(row["name"]), row["kind"], f"{row['bytes']:,} bytes") for row in rows if row["refused"] is None]
    for line in aligned(sound, (2,)):
        click.echo(f"  {line}")
    for row in rows:
        if row["refused"] is not None:
            click.echo(plain(f"  {row['name']} cannot be evaluated: {row['refused']}"))
    click.echo(plain(f"Name one ({directory / rows[-1]['name']}), or every one with '{directory}/*' in quotes."))


# ---- kinds -----------------------------------------------------------------------------------------------------------


@checkpoint_command.command("kinds")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@debug_option
def kinds_command(as_json: bool, debug: bool) -> None:
    """Every kind of checkpoint and every type of PEFT adapter: is it supported, and if not, why."""
    adapters = [_adapter_row(name) for name in TYPES]
    if as_json:
        full = [{"kind": kind, "what": what, "note": note} for kind, what, note in FULL]
        refused = [{"what": what, "why_not": why} for what, why in REFUSED]
        click.echo(json.dumps({"full": full, "adapters": adapters, "refused": refused}, indent=1))
        return
    click.echo("Full weights, decoder-only or encoder-decoder:")
    for kind, what, note in FULL:
        click.echo(f"  {kind}: {what}{f' ({note})' if note else ''}")
    click.echo("\nPEFT adapters:")
    head = ("peft's type", "kind", "acts by", "decoder-only", "encoder-decoder", "on quantised weights", "")
    rows = [
        (a["type"], a["kind"], a["acts"], _yes(a["causal"]), _yes(a["seq2seq"]), _quantised(a["quantised"]), _why(a))
        for a in adapters
    ]
    for line in aligned([head, *map(tuple, rows)], ()):
        click.echo(f"  {line}")
    click.echo("\nRefused:")
    for what, why in REFUSED:
        click.echo(f"  {what}: {why}")


def _adapter_row(name: str) -> dict[str, Any]:
    found = TYPES[name]
    supported = {str(architecture): architecture in found.architectures for architecture in BOTH}
    on = {"quantised": list(found.quantised), "why_not_quantised": found.why_not_quantised}
    return {"type": name, "kind": found.kind, "acts": found.acts, **supported, "why_not": found.why_not, **on}


def _quantised(precisions: Sequence[str]) -> str:
    if "other" in precisions:
        return "yes"
    return "bitsandbytes" if set(precisions) == {*BITSANDBYTES} else ", ".join(precisions) or "no"


def _why(adapter: Mapping[str, Any]) -> str:
    return "; ".join(filter(None, (adapter["why_not"], adapter["why_not_quantised"])))


def _yes(supported: Any) -> str:
    return "yes" if supported else "no"
