"""Merge full weights of one base, tensor by tensor, with peft's functions on their differences from the base."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_state_dict_into_shards_factory
from peft.utils import merge_utils
from safetensors import safe_open
from safetensors.torch import save_file

from evalharness.checkpoints import files, fingerprint
from evalharness.checkpoints.devices import DTYPES
from evalharness.checkpoints.files import TensorFacts
from evalharness.checkpoints.libraries import without_warnings
from evalharness.checkpoints.precision import BITS, common_dtype
from evalharness.errors import ModelError
from evalharness.merging.job import MergeJob
from evalharness.merging.parents import Parents, tensors_of
from evalharness.merging.tokenizer_files import carry_tokenizer
from evalharness.records.models import Checkpoint

SHARD = 2_000_000_000  # bytes of a file, and of the result in memory at one time
Read = Callable[[str], torch.Tensor]


def merge_weights(
    job: MergeJob, parents: Parents, folder: Path, scale_of: Callable[[str], float] | None = None
) -> dict[str, Any]:
    """Write base + merged(model − base), and return facts for merge.json.

    Tensors are in the job's dtype (None: that of the base); the fact `lost` is the norm of the rounding error relative
    to the norm of the merged difference. `scale_of`: returns the weight of one model in a tensor; at 0 or 1 the base's
    or the model's own tensor is copied, bit for bit. Values are computed in float32; one tensor of each model is in
    memory, and one file of the result. Random choices follow the seed in the order of names. Raises ModelError for
    integers that differ from the base's.
    """
    facts = tensors_of([parents.base, *parents.checkpoints])[0]
    lost = added = 0.0
    with _opened(parents) as (of_base, of_models), without_warnings(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        for path, names in _shards(folder, facts, job.dtype):
            tensors = {}
            for name in names:
                base = of_base(name)
                if not base.is_floating_point():
                    _refuse_other_integers(parents.checkpoints, name, base, [read(name) for read in of_models])
                    tensors[name] = base
                    continue
                weights = parents.weights if scale_of is None else (scale_of(name),)
                if scale_of is not None and weights[0] in (0, 1):
                    exact = (of_models[0](name) if weights[0] else base).contiguous()
                    tensors[name] = exact
                else:
                    exact = combined(job, base.float(), [read(name).float() for read in of_models], weights)
                    tensors[name] = _rounded(name, exact, base.dtype if job.dtype is None else DTYPES[job.dtype], job)
                lost += float((tensors[name].float() - exact.float()).double().square().sum())
                added += float((exact.float() - base.float()).double().square().sum())
            save_file(tensors, path, metadata={"format": "pt"})
    whole = scale_of is not None and all(scale_of(name) == 1 for name in facts)
    _write_rest(job, parents, folder, parents.checkpoints[0] if whole else parents.base)
    dtype = job.dtype or common_dtype(files.weight_files(folder))
    return {"dtype": dtype, "lost": math.sqrt(lost / added) if added else None}


def combined(
    job: MergeJob, base: torch.Tensor, models: Sequence[torch.Tensor], weights: Sequence[float]
) -> torch.Tensor:
    """Merge one tensor by applying peft's function of the method to each model's difference from the base."""
    vectors, scale = [model - base for model in models], torch.tensor(weights)
    if job.method == "linear":
        return base + merge_utils.task_arithmetic(vectors, scale)
    merge: Callable[..., torch.Tensor] = getattr(merge_utils, str(job.method))
    return base + merge(vectors, scale, job.density)


def _rounded(name: str, exact: torch.Tensor, dtype: torch.dtype, job: MergeJob) -> torch.Tensor:
    rounded = exact.to(dtype).contiguous()
    if not torch.isfinite(rounded).all():
        fix = "see that the models are finite, or give --dtype float32"
        raise ModelError(job.out, f"merged values of {name} are too large for {dtype}, or none at all", fix)
    return rounded


@contextmanager
def _opened(parents: Parents) -> Iterator[tuple[Read, list[Read]]]:
    """Yield functions that return a tensor's values by its name, for the base and for each model. Raises ModelError if
    a file changes meanwhile.
    """
    places = [parents.base.path, *(each.path for each in parents.checkpoints)]
    paths = [files.weight_files(place) for place in places]
    with fingerprint.unchanged(path for of_one in paths for path in of_one), ExitStack() as stack:
        readers = [_reader(stack, of_one) for of_one in paths]
        yield readers[0], readers[1:]


def _reader(stack: ExitStack, paths: Sequence[Path]) -> Read:
    places: dict[str, Any] = {}
    for path in paths:
        file = stack.enter_context(safe_open(path, framework="pt", backend="pread"))
        places |= dict.fromkeys(file.keys(), file)
    return lambda name: places[name].get_tensor(name)


def _shards(folder: Path, facts: Mapping[str, TensorFacts], dtype: str | None) -> Iterator[tuple[Path, list[str]]]:
    """Yield the files of the result, each with the names of its tensors; write the index if there are several files."""

    def size(tensor: TensorFacts) -> int:
        bits = BITS.get(tensor.dtype, 8)
        return tensor.size * (bits if dtype is None else 8 * DTYPES[dtype].itemsize) // 8

    split = split_state_dict_into_shards_factory(
        dict(sorted(facts.items())),
        get_storage_size=size,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=SHARD,
    )
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        (folder / files.INDEX).write_text(json.dumps(index, indent=2) + "\n")
    for name, tensors in split.filename_to_tensors.items():
        yield folder / name, tensors


def _refuse_other_integers(
    models: Sequence[Checkpoint], name: str, base: torch.Tensor, others: Sequence[torch.Tensor]
) -> None:
    for model, other in zip(models, others, strict=True):
        if not torch.equal(base, other):
            raise ModelError(model.path, f"{name} holds whole numbers other than its base's", "they cannot be merged")


def _write_rest(job: MergeJob, parents: Parents, folder: Path, typed: Checkpoint) -> None:
    """Copy tokenizer and generation configuration of the first model, and its configuration with the job's dtype, else
    that in the configuration of `typed`.
    """
    first, base = parents.checkpoints[0].path, files.read_json(typed.path / files.CONFIG)
    config = files.read_json(first / files.CONFIG)
    dtype = job.dtype or base.get("dtype") or base.get("torch_dtype")
    config = {key: value for key, value in config.items() if key not in ("dtype", "torch_dtype")}
    (folder / files.CONFIG).write_text(json.dumps(config | ({"dtype": dtype} if dtype else {}), indent=2) + "\n")
    if (first / files.GENERATION_CONFIG).is_file():
        shutil.copyfile(first / files.GENERATION_CONFIG, folder / files.GENERATION_CONFIG)
    carry_tokenizer((*parents.checkpoints, parents.base), folder)
