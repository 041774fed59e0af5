"""Write a model that lies part of the way from a base to a candidate, with a scale for each block of layers.

A LoRA's B is scaled; full weights are interpolated tensor by tensor.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from evalharness.checkpoints import files
from evalharness.checkpoints.precision import common_dtype
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.errors import ModelError
from evalharness.merging.blocks import LayerBlocks
from evalharness.merging.job import MergeJob
from evalharness.merging.output import new_checkpoint
from evalharness.merging.parents import Parents, base_text, beside_factors, check_full, common_base, refuse_unmergeable
from evalharness.merging.record import merge_facts, write_record
from evalharness.merging.task_vectors import merge_weights
from evalharness.merging.tokenizer_files import carry_tokenizer
from evalharness.records.models import Checkpoint

LINEAR = "linear"
FACTOR_A, FACTOR_B = (".lora_A.", ".lora_embedding_A"), (".lora_B.", ".lora_embedding_B")
MERGE_FIRST = "merge it into its base with `evalharness checkpoint merge`, and take those full weights"


def ends_of(text: str, base: str | None) -> Parents:
    """Recognise a candidate and its base, the two ends of the path. Raises ModelError if models between them cannot be
    computed exactly.
    """
    candidate = recognise(text, base=base)
    refuse_unmergeable(candidate)
    own_base = common_base((candidate,))
    if candidate.adapter:
        _check_adapter(candidate)
    else:
        check_full(MergeJob(models=(text,), out=Path(), method=LINEAR), (candidate,), own_base)
    name = base_text(base, candidate, own_base)
    return Parents(checkpoints=(candidate,), texts=(text,), weights=(1.0,), base=own_base, base_text=name)


def blocks_of(candidate: Checkpoint, count: int) -> LayerBlocks:
    """Divide the layers in a candidate's own files into `count` blocks. Raises UsageError if there are fewer."""
    paths = (candidate.path / files.ADAPTER,) if candidate.adapter else files.weight_files(candidate.path)
    return LayerBlocks(files.all_tensors(paths), count)


def part_way(ends: Parents, scales: Sequence[float], out: Path, record: Mapping[str, Any]) -> Path:
    """Write base + scale × (candidate − base) to `out`, which must not exist, verify it, and return its path.

    `scales`: one for each block, from the first to the last. `record`: further facts for merge.json. An adapter's B is
    scaled in float32, and its other values stay; full weights are computed in float32 and saved in the base's type. At
    a scale of 0 or 1 a tensor is the base's or the candidate's own, bit for bit; an adapter with such scales in all
    blocks keeps its type. Raises ModelError, UsageError or StoreError.
    """
    candidate, blocks = ends.checkpoints[0], blocks_of(ends.checkpoints[0], len(scales))
    job = MergeJob(models=ends.texts, out=out, method=LINEAR, weights={candidate.name: scales[0]})
    with new_checkpoint(job) as folder:
        write = _scaled_adapter if candidate.adapter else merge_weights
        parents = replace(ends, weights=(scales[0],))
        results = write(job, parents, folder, lambda name: scales[blocks.block_of(name)])
        facts = merge_facts(job, parents, {**results, **record})
        if len(scales) > 1:
            facts["parents"][0]["weight"] = None
            facts["blocks"] = [
                {"layers": layers, "weight": scale} for layers, scale in zip(blocks.layer_names(), scales, strict=True)
            ]
        write_record(facts, folder)
        verify(recognise(str(folder), base=str(ends.base.path)))
    return out


def _check_adapter(adapter: Checkpoint) -> None:
    """Raise ModelError unless the adapter only adds scale × B·A to weights."""
    if adapter.adapter != "LORA":
        raise ModelError(adapter.path, f"{adapter.kind} has no factor that could be scaled exactly", MERGE_FIRST)
    what = beside_factors(files.read_json(adapter.path / files.ADAPTER_CONFIG))
    others = [name for name in files.tensors(adapter.path / files.ADAPTER) if not _is_factor(name, FACTOR_A + FACTOR_B)]
    what += [f"tensors that are no factor ({others[0]})"] if others and not what else []
    if what:
        raise ModelError(adapter.path, f"{' and '.join(what)} cannot be scaled exactly", MERGE_FIRST)


def _is_factor(name: str, parts: tuple[str, ...]) -> bool:
    return any(part in name for part in parts)


def _scaled_adapter(job: MergeJob, parents: Parents, folder: Path, scale_of: Callable[[str], float]) -> dict[str, Any]:
    adapter = parents.checkpoints[0]
    tensors = load_file(adapter.path / files.ADAPTER)
    if any(scale_of(name) not in (0, 1) for name in tensors):
        tensors = {name: tensor.float() for name, tensor in tensors.items()}
    tensors |= {name: tensor * scale_of(name) for name, tensor in tensors.items() if _is_factor(name, FACTOR_B)}
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise ModelError(adapter.path, "some of its values are not finite", "train it again")
    save_file(tensors, folder / files.ADAPTER, metadata={"format": "pt"})
    config = files.read_json(adapter.path / files.ADAPTER_CONFIG) | parents.base_for_peft()
    (folder / files.ADAPTER_CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    carry_tokenizer((adapter,), folder)
    return {"dtype": common_dtype((folder / files.ADAPTER,))}
