"""Describe a checkpoint for `checkpoint show`: its adapter's settings, types of tensors, and checkpoints inside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evalharness.checkpoints import files
from evalharness.checkpoints.discover import checkpoints_in
from evalharness.checkpoints.lora_sizes import lora_facts, lora_matrices
from evalharness.checkpoints.precision import is_auxiliary
from evalharness.checkpoints.soft_prompt import soft_prompt
from evalharness.records.models import Checkpoint

RANKS = ("r", "num_ranks", "effective_rank")
ALPHAS = ("lora_alpha", "alpha", "randlora_alpha", "psoft_alpha", "shadow_alpha")
MARKS = {
    "use_dora": "DoRA",
    "use_rslora": "rsLoRA",
    "modules_to_save": "modules trained whole",
    "trainable_token_indices": "trained tokens",
}
LEAVES = ("weight", "bias")


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the facts of a checkpoint by name, as JSON; those that do not apply are left out.

    Raises ModelError if a file cannot be read.
    """
    facts: dict[str, Any] = {"dtypes": dict(_dtypes(_files(checkpoint))), **_merge(checkpoint.path)}
    if not checkpoint.adapter:
        model_type = files.model_config(checkpoint.path).get("model_type")
        return {"model_type": model_type, "files": len(files.weight_files(checkpoint.path)), **facts}
    config = files.read_json(checkpoint.path / files.ADAPTER_CONFIG)
    model_type = files.model_config(checkpoint.weights).get("model_type")
    facts = {"model_type": model_type, **facts, "marks": _marks(config)}
    facts |= {"rank": _first(config, RANKS), "alpha": _first(config, ALPHAS), "targets": config.get("target_modules")}
    names, number = _modules(
        files.tensors(checkpoint.path / files.ADAPTER), files.all_tensors(files.weight_files(checkpoint.weights))
    )
    facts["soft_prompt"] = soft_prompt(checkpoint)
    if matrices := lora_matrices(checkpoint):
        facts["lora"] = lora_facts(matrices)
    facts |= {"modules": names, "modules_count": number} if number else {}
    facts["tasks"] = _first(config, ("num_tasks", "n_tasks"))
    facts["adapters_inside"] = [
        path.name for path in checkpoints_in(checkpoint.path) if (path / files.ADAPTER_CONFIG).is_file()
    ]
    return {key: value for key, value in facts.items() if value not in (None, [], {}, "")}


def _merge(directory: Path) -> dict[str, Any]:
    """Return the content of a merged checkpoint's merge.json: how it was merged, and its parents with their
    fingerprints.
    """
    record = files.training_record(directory)[0]
    parents = record.get("parents")
    if not (isinstance(record.get("combination"), str) and isinstance(parents, list)):
        return {}
    entries = [each for each in parents if isinstance(each, dict) and isinstance(each.get("name"), str)]
    facts = [{key: each.get(key) for key in ("name", "path", "kind", "fingerprint")} for each in entries]
    weights = [_first(each, ("weight",)) for each in entries]
    numbers = {key: _first(record, (key,)) for key in ("density", "seed")}
    merge = {"combination": record["combination"], "into_base": record.get("into_base") is True, **numbers}
    return {"merge": merge | {"parents": [each | {"weight": w} for each, w in zip(facts, weights, strict=True)]}}


def _files(checkpoint: Checkpoint) -> tuple[Path, ...]:
    return (checkpoint.path / files.ADAPTER,) if checkpoint.adapter else files.weight_files(checkpoint.path)


def _dtypes(paths: Iterable[Path]) -> list[tuple[str, int]]:
    """Return the types of tensors and their numbers, the commonest first."""
    return Counter(facts.dtype for path in paths for facts in files.tensors(path).values()).most_common()


def _marks(config: dict[str, Any]) -> list[str]:
    marks = [mark for key, mark in MARKS.items() if config.get(key)]
    bias = config.get("bias")
    return marks + ([f"biases: {bias}"] if isinstance(bias, str) and bias != "none" else [])


def _first(config: dict[str, Any], keys: tuple[str, ...]) -> int | float | None:
    return next(
        (config[key] for key in keys if isinstance(config.get(key), int | float) and not isinstance(config[key], bool)),
        None,
    )


def _modules(adapter: Iterable[str], base: Iterable[str]) -> tuple[list[str], int]:
    """Return the last names of the base's modules that an adapter's tensors belong to, and the number of these
    modules.

    Files name the base's tensors with and without a model's prefix, so only the last name of a module can be compared.
    """
    leaves = {part for name in base if not is_auxiliary(name) for part in name.split(".")[-2:-1]} - {*LEAVES}
    modules = set()
    for name in adapter:
        parts = name.split(".")
        last = max((i for i, part in enumerate(parts) if part in leaves), default=None)
        if last is not None:
            modules.add(tuple(parts[: last + 1]))
    return sorted({parts[-1] for parts in modules}), len(modules)
