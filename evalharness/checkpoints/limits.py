"""Refuse checkpoint configurations that would take excessive memory or time, before a model is built."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from evalharness.checkpoints.files import ADAPTER_CONFIG, CONFIG, TensorFacts
from evalharness.errors import ModelError

LAYERS, SIZE, POSITIONS = 256, 1 << 20, 1 << 24  # allowed with any weights
COUNTED = re.compile(r"^(?!.*(size|dim|width|capacity)).*(layers?|experts?|blocks)(_|$)")
SIZED = re.compile(r"dim|size|width|head|rank|(^|_)d_|n_embd|hidden", re.IGNORECASE)
PLACED = re.compile(r"position|n_ctx|seq|window|context", re.IGNORECASE)
NO_COUNT = ("max_window_layers",)  # only compared with a layer's number
PATIENCE = 3.0  # seconds for all matches of an adapter's patterns; they take milliseconds
QUANTIFIERS = re.compile(r"[*+{]")
MATCH = """
import json, re, sys
patterns, names = json.load(sys.stdin)
for pattern in patterns:
    try:
        compiled = re.compile(pattern)
    except Exception:
        continue
    for name in names:
        compiled.match(name)
"""


def check_sizes(directory: Path, config: Mapping[str, Any], stored: Mapping[str, TensorFacts]) -> None:
    """Raise ModelError for a number in config.json far beyond the stored tensors, naming its key and the limit."""
    longest = max((length for facts in stored.values() for length in facts.shape), default=1)
    limits = (
        (COUNTED, max(LAYERS, len(stored)), f"{len(stored)} tensors are stored"),
        (SIZED, max(SIZE, 16 * longest), f"no stored tensor is longer than {longest}"),
        (PLACED, POSITIONS, "no model has so many positions"),
    )
    for key, value in _numbers(config):
        for pattern, limit, why in limits:
            if pattern.search(key) and value > limit and key not in NO_COUNT:
                what = f"{key} is {value}, and at most {limit} is read ({why})"
                raise ModelError(directory / CONFIG, what, "give the config.json that belongs to these weights")


def _numbers(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Return every whole number in a configuration, and in those inside it, each with its key."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _numbers(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            yield key, value


def check_adapter(directory: Path, config: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise ModelError for an adapter that would take too much memory or time.

    It does if it replicates too many layers, or if its patterns take too long to match the names of its base's
    modules.
    """
    replicated = sum(end - start for start, end in config.get("layer_replication") or ())
    if replicated > 4 * LAYERS:
        what = f"layer_replication makes {replicated} layers, and at most {4 * LAYERS} are built"
        raise ModelError(directory / ADAPTER_CONFIG, what, "give full weights with the layers in them")
    patterns = tuple(pattern for pattern in _patterns(config) if len(QUANTIFIERS.findall(pattern)) > 1)
    if patterns and not _match_in_time(patterns, tuple(names), PATIENCE):
        what = f"its patterns ({', '.join(patterns)[:80]}) take over {PATIENCE:g} seconds to match the base's modules"
        raise ModelError(directory / ADAPTER_CONFIG, what, "list the modules by name in target_modules")


def _patterns(config: Mapping[str, Any]) -> Iterator[str]:
    """Return the values that peft uses as regular expressions."""
    for key in ("target_modules", "exclude_modules", "target_parameters"):
        if isinstance(config.get(key), str):
            yield config[key]
    for key in ("modules_to_save", "layers_pattern", "rank_pattern", "alpha_pattern"):
        inner = config.get(key) or ()
        for each in (inner,) if isinstance(inner, str) else inner:
            yield rf"(.*\.)?({each})$"


@lru_cache(maxsize=64)
def _match_in_time(patterns: tuple[str, ...], names: tuple[str, ...], patience: float) -> bool:
    """Return whether all patterns match or fail in time. They run in a process of their own, because a match cannot be
    interrupted.
    """
    text = json.dumps([patterns, names])
    try:
        subprocess.run([sys.executable, "-I", "-c", MATCH], input=text, text=True, timeout=patience, check=True)
    except subprocess.TimeoutExpired:
        return False
    return True
