"""`evalharness checkpoint`: show what a checkpoint holds, and list the kinds of checkpoint that run here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from evalharness import checkpoints, registry
from evalharness.checkpoints import soft_prompt
from evalharness.checkpoints.describe import describe
from evalharness.checkpoints.discover import base_of, checkpoints_in, directory_of
from evalharness.checkpoints.kinds import BITSANDBYTES, BOTH, TYPES
from evalharness.checkpoints.lora_sizes import in_short, lora_matrices
from evalharness.checkpoints.naming import parse
from evalharness.checkpoints.recognise import holds_itself, recognise_model
from evalharness.cli.checkpoint_merge import merge_command
from evalharness.cli.checkpoint_served import served_facts, served_lines
from evalharness.cli.command import CommandGroup
from evalharness.cli.options import debug_option
from evalharness.cli.printing import print_json, print_line, print_lines
from evalharness.errors import EvalHarnessError, ModelError, some_of
from evalharness.merging.summary import merged_from
from evalharness.records.models import Architecture, Checkpoint, ModelKind
from evalharness.report.text_table import aligned

STEP = "checkpoint step"
WIDE = 6  # names that are listed before "and N more"
FULL = (
    ("base, full", "weights in model.safetensors, or in shards by its index", ""),
    (
        "base, full",
        "quantised weights (bitsandbytes; others as far as transformers supports them)",
        "needs the library that quantised them, and mostly a GPU",
    ),
)
REFUSED = (
    ("weights in .bin, .pt, .pth, .ckpt", "reading them can run code"),
    ("architectures whose code lies in the checkpoint (auto_map)", "remote code is never run"),
    ("encoder-only models and adapters for classification", "they neither generate text nor score it"),
)


@click.group("checkpoint", cls=CommandGroup)
def checkpoint_command() -> None:
    """Show what a checkpoint directory holds, list the kinds of checkpoint, merge several into one."""


checkpoint_command.add_command(merge_command)


# ---- show ------------------------------------------------------------------------------------------------------------


@checkpoint_command.command("show")
@click.argument("model", metavar="[NAME=]PATH[#TASK]|HUB_ID[@REV]|URL#MODEL")
@click.option("--base", metavar="PATH", help="Its base, where its own files name none.")
@click.option("--matrices", is_flag=True, help="Show every matrix that a LoRA changes, with the sizes of A and B.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@debug_option
def show_command(model: str, base: str | None, matrices: bool, as_json: bool, debug: bool) -> None:
    """Show a checkpoint's kind, base, fingerprint, sizes and training, and how its tokenizer differs from its base's.

    Its files are checked as `run` checks them: where `run` would refuse it, this shows what could be read and ends with
    2. Full weights whose files name no base are shown as a base. Of a directory of several checkpoints, each is listed.
    Of a model behind a server (URL#MODEL), this shows what the server says and how the model answers short prompts.
    """
    if parse(model).served is not None:
        checkpoint = _recognised(model, base)
        print_json(json.dumps(served_facts(checkpoint), indent=1)) if as_json else print_lines(served_lines(checkpoint))
        return
    directory = directory_of(parse(model))
    inside = () if holds_itself(directory) else checkpoints_in(directory)
    if inside:
        _show_several(directory, inside, base, as_json)
        return
    checkpoint = _recognised(model, base)
    facts, refused = _facts(checkpoint)
    if as_json:
        print_json(json.dumps(facts, indent=1))
    else:
        print_lines(_lines(checkpoint, facts))
        print_lines(f"  {each.module}: {each}" for each in (lora_matrices(checkpoint) if matrices else ()))
    if refused is not None:
        raise refused


def _recognised(model: str, base: str | None) -> Checkpoint:
    return recognise_model(model, base=base, role="candidate" if base or base_of(model) else "base")


def _facts(checkpoint: Checkpoint) -> tuple[dict[str, Any], EvalHarnessError | None]:
    """Collect everything to show as JSON values, and the error that `run` would raise for this checkpoint."""
    facts = asdict(checkpoint) | {"path": str(checkpoint.path), "base": checkpoint.base and str(checkpoint.base)}
    facts = {key: value for key, value in facts.items() if key not in ("endpoint", "probes")}
    facts |= {"made": describe(checkpoint), "differences": None, "notices": [], "refused": None}
    try:
        differences = registry.find(checkpoints.REGISTRY, "tokenizer_differences", STEP)(checkpoint)
        facts["differences"] = None if differences is None else asdict(differences)
        facts["notices"] = list(registry.find(checkpoints.REGISTRY, "verify", STEP)(checkpoint))
    except EvalHarnessError as error:
        return {**facts, "refused": str(error)}, error
    return facts, None


def _lines(checkpoint: Checkpoint, facts: Mapping[str, Any]) -> Iterable[str]:
    description, kind, size = facts["made"], str(checkpoint.kind), f"{checkpoint.bytes:,} bytes"
    if checkpoint.adapter:
        kind += f" (peft's {', '.join([checkpoint.adapter, *description.get('marks', ())])})"
    architecture = "encoder-decoder" if checkpoint.architecture == Architecture.SEQ2SEQ else "decoder-only"
    lines = {
        "kind": kind,
        "architecture": f"{architecture} ({description.get('model_type')})",
        "path": checkpoint.path,
        "base": checkpoint.base or "–",
        "fingerprint": checkpoint.fingerprint,
        "parameters": f"{checkpoint.parameters:,}",
        "trainable": f"{checkpoint.trainable:,} ({(checkpoint.trainable or 0) / (checkpoint.parameters or 1):.3%})",
        "size": size if checkpoint.kind == ModelKind.BASE else f"{size} beside its base",
        "dtype": ", ".join(f"{dtype} ({number} tensors)" for dtype, number in description["dtypes"].items()),
        "precision": checkpoint.precision or "not quantised",
        **_of_adapter(checkpoint, description),
        "window": f"{checkpoint.window or 'no limit known'}",
        "merged from": merged_from(description["merge"]) if "merge" in description else None,
        "trained for": checkpoint.target_task or "–",
        "trained by": ", ".join(f"{key} {_short(value)}" for key, value in checkpoint.training.items()) or "–",
        "tokenizer": _differences(facts["differences"]),
    }
    yield checkpoint.name
    yield from (f"  {key:15} {value}" for key, value in lines.items() if value is not None)
    yield from (f"  note: {notice}" for notice in facts["notices"])


def _of_adapter(checkpoint: Checkpoint, description: Mapping[str, Any]) -> dict[str, Any]:
    if not checkpoint.adapter:
        return {}
    stated, modules = description.get("targets"), description.get("modules", [])
    matrices = lora_matrices(checkpoint)
    targets = f"{', '.join(modules)} ({description['modules_count']} modules)" if modules else stated
    scale = (
        f"{description.get('rank', '–')}, {description.get('alpha', '–')}"
        if "rank" in description or "alpha" in description
        else None
    )
    return {
        "virtual tokens": checkpoint.virtual_tokens,
        **_of_soft_prompt(description.get("soft_prompt", {})),
        "rank, alpha": scale,
        "targets": f"{targets}; stated as {stated}" if modules and isinstance(stated, str) else targets,
        "matrices": in_short(matrices) if matrices else None,
        "task": checkpoint.adapter_task,
        "adapters inside": ", ".join(description["adapters_inside"]) if "adapters_inside" in description else None,
    }


def _of_soft_prompt(facts: Mapping[str, Any]) -> dict[str, Any]:
    if "nearest" not in facts:
        return {"nearest tokens": facts.get("reason")}
    near, alike = soft_prompt.in_short(facts, WIDE)
    return {"nearest tokens": near, "clusters": alike}


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _differences(differences: Mapping[str, Any] | None) -> str:
    """Describe in one line how the tokenizer differs from the base's."""
    if differences is None:
        return "nothing to compare it with"
    parts = [f"{word}: {_some(differences[word])}" for word in ("added", "dropped") if differences[word]]
    if differences["moved"]:
        moved = {token: f"{before} → {now}" for token, (before, now) in differences["moved"].items()}
        parts.append(f"moved: {_some(moved)}")
    parts += [f"{role} {before} → {now}" for role, (before, now) in differences["special"].items()]
    parts += ["splits text otherwise"] if differences["splits"] else []
    parts += [f"chat template {differences['template']}"] if differences["template"] else []
    return "; ".join(parts) or "as its base's"


def _some(tokens: Mapping[str, Any]) -> str:
    in_order = sorted(tokens.items(), key=lambda item: str(item[1]).zfill(12))
    return some_of([f"{token!r} ({index})" for token, index in in_order], WIDE)


def _show_several(directory: Path, paths: Sequence[Path], base: str | None, as_json: bool) -> None:
    sound, refused, rows = list[tuple[str, str, str]](), list[str](), list[dict[str, Any]]()
    for path in paths:
        row: dict[str, Any] = {"name": path.name, "kind": None, "bytes": None, "refused": None}
        try:
            checkpoint = _recognised(str(path), base)
            row |= {
                "kind": ModelKind.FULL if checkpoint.kind == ModelKind.BASE else checkpoint.kind,
                "bytes": checkpoint.bytes,
            }
            sound.append((path.name, row["kind"], f"{checkpoint.bytes:,} bytes"))
        except ModelError as error:
            row["refused"] = str(error)
            refused.append(f"  {path.name} cannot be evaluated: {error}")
        rows.append(row)
    if as_json:
        print_json(json.dumps({"path": str(directory), "inside": rows}, indent=1))
        return
    print_line(f"{directory}: no checkpoint itself, {len(rows)} inside")
    print_lines([*(f"  {line}" for line in aligned(sound, (2,))), *refused])
    print_line(f"Name one ({paths[-1]}), or all with '{directory}/*' in quotes.")


# ---- kinds -----------------------------------------------------------------------------------------------------------


@checkpoint_command.command("kinds")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@debug_option
def kinds_command(as_json: bool, debug: bool) -> None:
    """List every kind of checkpoint and every type of PEFT adapter, and why those that do not run here are refused."""
    adapters = [_adapter_row(name) for name in TYPES]
    if as_json:
        full = [{"kind": kind, "what": what, "note": note} for kind, what, note in FULL]
        refused = [{"what": what, "why_not": why} for what, why in REFUSED]
        print_json(json.dumps({"full": full, "adapters": adapters, "refused": refused}, indent=1))
        return
    print_line("Full weights, decoder-only or encoder-decoder:")
    for kind, what, note in FULL:
        print_line(f"  {kind}: {what}{f' ({note})' if note else ''}")
    print_line("\nPEFT adapters:")
    head = ("peft's type", "kind", "acts by", "decoder-only", "encoder-decoder", "on quantised weights", "")
    rows = [
        (a["type"], a["kind"], a["acts"], _yes(a["causal"]), _yes(a["seq2seq"]), _quantised(a["quantised"]), _why(a))
        for a in adapters
    ]
    for line in aligned([head, *map(tuple, rows)], ()):
        print_line(f"  {line}")
    print_line("\nRefused:")
    for what, why in REFUSED:
        print_line(f"  {what}: {why}")


def _adapter_row(name: str) -> dict[str, Any]:
    adapter = TYPES[name]
    return {
        "type": name,
        "kind": adapter.kind,
        "acts": adapter.acts,
        **{str(architecture): architecture in adapter.architectures for architecture in BOTH},
        "why_not": adapter.why_not,
        "quantised": list(adapter.quantised),
        "why_not_quantised": adapter.why_not_quantised,
    }


def _quantised(precisions: Sequence[str]) -> str:
    if "other" in precisions:
        return "yes"
    return "bitsandbytes" if set(precisions) == {*BITSANDBYTES} else ", ".join(precisions) or "no"


def _why(adapter: Mapping[str, Any]) -> str:
    return "; ".join(filter(None, (adapter["why_not"], adapter["why_not_quantised"])))


def _yes(supported: Any) -> str:
    return "yes" if supported else "no"
