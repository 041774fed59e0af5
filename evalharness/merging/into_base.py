"""Merge an adapter into its base, and prove by logits that the full weights answer like the adapter on the base."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel

from evalharness.checkpoints import files
from evalharness.checkpoints.devices import DTYPES
from evalharness.checkpoints.libraries import UNLOADABLE, without_warnings
from evalharness.checkpoints.load import LoadedModel, load
from evalharness.checkpoints.precision import common_dtype
from evalharness.checkpoints.recognise import recognise
from evalharness.errors import ModelError, first_line, pass_on_memory_error
from evalharness.merging import probes
from evalharness.merging.probes import LogitDifference, Logits
from evalharness.merging.tokenizer_files import carry_tokenizer
from evalharness.records.models import Checkpoint

EXACT, DEVICE = "float32", "cpu"


def into_base(adapter: Checkpoint, base: Checkpoint, folder: Path, dtype: str | None) -> dict[str, Any]:
    """Write the full weights of an adapter merged into its base, and return facts for merge.json.

    The facts are the difference of logits after merging, and the loss by rounding to `dtype` (None: the type of most
    values in the base's files). The merge and the comparison are in float32. Raises ModelError if peft cannot merge the
    adapter, or if the logits differ by more than rounding explains.
    """
    dtype = dtype or common_dtype(files.weight_files(base.path))
    loaded = load(adapter, EXACT, DEVICE)
    if why := loaded.unmergeable:
        raise ModelError(adapter.path, why, "it answers as an adapter only")
    ids = probes.token_ids(loaded.tokenizer)
    unmerged = probes.logits_of(loaded.model, ids)
    model = _merged(adapter, loaded)
    exact = probes.difference(unmerged, probes.logits_of(model, ids))
    _refuse_other_answers(adapter, "merged", exact)
    for parameter in model.parameters():
        parameter.data = parameter.data.to(DTYPES[dtype]).float()
    rounded = probes.logits_of(model, ids)
    _save(adapter, base, model, folder, dtype)
    del model, loaded
    _check_saved(adapter, folder, rounded, ids)
    facts = {"tolerance": exact.allowed, "merged": asdict(exact), "dtype": dtype}
    return facts | {"rounded": None if dtype == EXACT else asdict(probes.difference(unmerged, rounded))}


def _merged(adapter: Checkpoint, loaded: LoadedModel) -> PreTrainedModel:
    assert loaded.adapter is not None
    try:
        with without_warnings(), torch.no_grad():
            model: PreTrainedModel = loaded.adapter.merge_and_unload(safe_merge=True)
    except UNLOADABLE as error:
        pass_on_memory_error(error)
        raise ModelError(adapter.path, f"peft cannot merge it ({first_line(error)})", "") from None
    model.eval().requires_grad_(False)
    return model


def _refuse_other_answers(adapter: Checkpoint, what: str, difference: LogitDifference) -> None:
    if not difference.rounding:
        how = f"logits differ by up to {difference.largest:.2g}, and rounding explains {difference.allowed:.2g}"
        raise ModelError(adapter.path, f"{what}, it answers otherwise: {how}", "it answers as an adapter only")


def _save(adapter: Checkpoint, base: Checkpoint, model: PreTrainedModel, folder: Path, dtype: str) -> None:
    for parameter in model.parameters():
        parameter.data = parameter.data.to(DTYPES[dtype])
        if not torch.isfinite(parameter).all():
            raise ModelError(adapter.path, f"some merged weights are too large for {dtype}", f"--dtype {EXACT}")
    model.generation_config = GenerationConfig()  # the base's file is copied unchanged
    with without_warnings():
        model.save_pretrained(str(folder))
    (folder / files.GENERATION_CONFIG).unlink(missing_ok=True)
    if (base.path / files.GENERATION_CONFIG).is_file():
        shutil.copyfile(base.path / files.GENERATION_CONFIG, folder / files.GENERATION_CONFIG)
    carry_tokenizer((adapter, base), folder)


def _check_saved(adapter: Checkpoint, folder: Path, expected: Logits, ids: tuple[torch.Tensor, ...]) -> None:
    """Raise ModelError unless the saved files give the logits of the model that was saved."""
    saved = load(recognise(str(folder), role="base"), EXACT, DEVICE)
    difference = probes.difference(expected, probes.logits_of(saved.model, ids))
    _refuse_other_answers(adapter, "merged, saved and read again", difference)
