"""Summarise a training in a few lines, from training.json."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from evalharness.training.looks import look_text
from evalharness.training.methods import TRAINING_METHODS


def summary(out: Path, facts: Mapping[str, Any]) -> list[str]:
    """Return the lines that summarise a training."""
    trained, whole, losses, data = facts["trainable"], facts["parameters"], facts["losses"], facts["data"]
    counts = ", ".join(f"{number} {task}" for task, number in data["counts"].items())
    best, last = facts.get("validation"), facts["last_losses_mean"]
    mean = f"; mean of the last {last['steps']} steps {last['loss']:.4f}" if last["steps"] > 1 else ""
    lost = cut_notes(facts["truncated"], facts["left_out"], facts["recipe"]["too_long"])
    return [
        f"candidate:   {out}",
        f"trained:     {trained:,} of {whole:,} parameters ({trained / whole:.2%})",
        f"on disk:     {decimal(facts['bytes'])}, {_saved_as(facts)}",
        *_checkpoints(facts),
        *(f"read:        {line}" for line in form_notes(data)),
        f"examples:    {counts}; {data['seen']:,} seen in {len(losses):,} steps ({data['passes']:.2f} passes)",
        *(f"             {line}" for line in lost),
        f"loss:        {losses[0]:.4f} at step 1, {losses[-1]:.4f} at step {len(losses)}{mean}",
        *(
            [f"validation:  {best['best_loss']:.4f} at step {best['best_step']}, whose weights were kept"]
            if best
            else []
        ),
        *_watched(facts),
        f"time:        {facts['seconds']:.1f} s, {facts['tokens_per_second']:,.0f} tokens a second while training",
        f"memory:      {_memory(facts)}",
        f"evaluate it: evalharness run --model {shlex.quote(str(out))} --suite SUITE",
    ]


def _watched(facts: Mapping[str, Any]) -> list[str]:
    looks = facts.get("watch", {}).get("looks", [])
    lines = [f"step {look['step']}: {look_text(look)}" for look in looks]
    heads = [f"forgetting:  {facts['recipe']['watch']}, ", *[" " * 13] * len(lines)]
    return [head + line for head, line in zip(heads, lines, strict=False)]


def _checkpoints(facts: Mapping[str, Any]) -> list[str]:
    if not (checkpoints := facts.get("checkpoints")):
        return []
    steps = [f"step-{step}" for step in checkpoints["steps"]]
    names = ", ".join(steps if len(steps) < 5 else [steps[0], steps[1], "…", steps[-1]]) or "none before the last step"
    return [f"kept:        {names} in checkpoints, {decimal(checkpoints['bytes'])} in all"]


def _memory(facts: Mapping[str, Any]) -> str:
    device = facts["peak_memory_device"]
    on_device = "" if device is None else f"; device: at most {decimal(device)}"
    return f"process: at most {decimal(facts['peak_memory_process'])} since {facts['peak_memory_since']}{on_device}"


def _saved_as(facts: Mapping[str, Any]) -> str:
    kind, save_dtype = facts["saved_as"], facts["recipe"]["save_dtype"]
    if save_dtype or TRAINING_METHODS[facts["method"]].adapter:
        return f"saved as {kind}"
    other = "" if kind == "float32" else " (--save-dtype float32 rounds nothing)"
    return f"saved as {kind}, as its base is{other}"


def form_notes(data: Mapping[str, Any]) -> list[str]:
    """Return a note for every file on the forms of its rows, and how many have each."""
    files = [*data["sources"], *filter(None, [data.get("validation")])]
    return [
        f"{Path(source['path']).name}, rows by form: " + ", ".join(f"{form} {count}" for form, count in forms.items())
        for source in files
        if (forms := source.get("forms"))
    ]


def cut_notes(truncated: int, left_out: int, too_long: str) -> list[str]:
    """Return notes on how many examples lost their beginning, and how many were left out: those that did not fit, or
    conversations whose last question and answer did not.
    """
    notes = []
    if truncated:
        notes.append(f"examples that lost their beginning, to fit the window or --max-length: {truncated}")
    if left_out and too_long == "drop":
        notes.append(f"examples left out, which do not fit the window or --max-length: {left_out}")
    elif left_out:
        notes.append(f"conversations left out, whose last question and answer do not fit: {left_out}")
    return notes
