"""Recognise the checkpoints to merge, and refuse those that cannot be merged, by their files and without torch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.checkpoints import files, fingerprint
from evalharness.checkpoints.discover import base_named_in, expand_all
from evalharness.checkpoints.files import TensorFacts
from evalharness.checkpoints.naming import parse
from evalharness.checkpoints.precision import stored_twice
from evalharness.checkpoints.recognise import recognise
from evalharness.errors import ModelError, UsageError, did_you_mean
from evalharness.merging.job import ALONE, OF_ADAPTERS, OF_WEIGHTS, MergeJob
from evalharness.records.models import Checkpoint

COMBINABLE = {"LORA": OF_ADAPTERS, "IA3": ("linear",)}  # methods that peft's add_weighted_adapter computes correctly
ELSEWHERE = {  # keys of adapter_config.json whose parts add_weighted_adapter omits or computes anew from the base
    "use_dora": "DoRA's magnitudes",
    "modules_to_save": "modules trained whole",
    "trainable_token_indices": "trained tokens",
    "target_parameters": "parameters that are no module's weight (target_parameters)",
    "layer_replication": "replicated layers",
    "lora_bias": "LoRA's own biases",
}
FROM_BASE = "a start from the base's values (init_lora_weights {!r})"
NOT_EACH = "merge each into the base by itself, and the full weights then"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parents:
    """The checkpoints to merge, and their common base.

    `texts`: the checkpoints as the user named them. `weights`: one for each. `base_text`: the base as a text that names
    it.
    """

    checkpoints: tuple[Checkpoint, ...]
    texts: tuple[str, ...]
    weights: tuple[float, ...]
    base: Checkpoint
    base_text: str

    @property
    def adapters(self) -> bool:
        """Whether the checkpoints are adapters, and not full weights."""
        return bool(self.checkpoints[0].adapter)

    def base_for_peft(self) -> dict[str, str]:
        """Return the base for adapter_config.json: its id on the hub, else its absolute path, because peft reads a path
        relative to the working directory.
        """
        spec = parse(self.base_text)
        if not spec.on_hub:
            return {"base_model_name_or_path": str(self.base.path.resolve())}
        revision = {"revision": spec.revision} if spec.revision else {}
        return {"base_model_name_or_path": spec.location, **revision}


def parents_of(job: MergeJob) -> Parents:
    """Recognise the checkpoints of a job. Raises ModelError for those that cannot be merged, UsageError for options
    that do not fit them.
    """
    texts = expand_all(job.models)
    checkpoints = tuple(recognise(text, base=job.base) for text in texts)
    for checkpoint in checkpoints:
        refuse_unmergeable(checkpoint)
    if len({bool(each.adapter) for each in checkpoints}) > 1:
        raise UsageError("MODEL", "adapters and full weights together", "merge each adapter into the base first")
    weights, base = _weights(job, checkpoints), common_base(checkpoints)
    check = _check_adapters if checkpoints[0].adapter else check_full
    check(job, checkpoints, base)
    text = base_text(job.base, checkpoints[0], base)
    return Parents(checkpoints=checkpoints, texts=texts, weights=weights, base=base, base_text=text)


def base_text(text: str | None, checkpoint: Checkpoint, base: Checkpoint) -> str:
    """Return the text that names the base: the user's `text`, else the hub id that the checkpoint states, else the
    base's path.
    """
    own = base_named_in(checkpoint.path)
    return text or (own if own is not None and parse(own).on_hub else os.path.relpath(base.path))


def refuse_unmergeable(checkpoint: Checkpoint) -> None:
    """Raise ModelError for a checkpoint without weights of its own that could be merged."""
    if checkpoint.virtual_tokens:
        what = f"virtual tokens ({checkpoint.kind}) are no weights, and cannot be merged"
        raise ModelError(checkpoint.path, what, "give an adapter of layers, such as LoRA, or full weights")
    if checkpoint.precision:
        what = f"answers on weights that are quantised ({checkpoint.precision}), in which a merge would be lost"
        raise ModelError(checkpoint.path, what, "merge what was trained on weights that are not")
    if files.gguf_file(checkpoint.weights) is not None:
        raise ModelError(checkpoint.weights, "is a GGUF file", "merge the safetensors that it was made of")


def common_base(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """Return the base that all checkpoints name. Raises ModelError if one names none, or another one than the first
    does.
    """
    for checkpoint in checkpoints:
        if checkpoint.base is None:
            raise ModelError(checkpoint.path, "its files name no base that is there", "give --base PATH")
    first = Path(str(checkpoints[0].base))
    for checkpoint in checkpoints:
        base = Path(str(checkpoint.base))
        recorded = files.training_record(checkpoint.path)[0].get("base_weights")
        if fingerprint.of_tensors(base) != fingerprint.of_tensors(first):
            what = f"its base is {base}, and that of {checkpoints[0].path} is {first}"
            raise ModelError(checkpoint.path, what, "merge checkpoints of one base")
        if recorded and recorded != fingerprint.of_tensors(base):
            what = f"was trained on another base than {base}, as its record says"
            raise ModelError(checkpoint.path, what, "give the base that it was trained on with --base")
    return recognise(str(first), role="base")


def _weights(job: MergeJob, checkpoints: Sequence[Checkpoint]) -> tuple[float, ...]:
    """Return the weight of each checkpoint: the job's, else equal ones. These sum to 1, or are 1 each if the method
    averages by itself. Raises UsageError.
    """
    names = [each.name for each in checkpoints]
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise UsageError("MODEL", f"two are called {twice[0]!r}", "name them apart with NAME=")
    for name in job.weights:
        if name not in names:
            raise UsageError(f"--weight {name}", "no such checkpoint in this merge", did_you_mean(name, names))
    alike = 1.0 if job.elects else 1.0 / len(names)
    return tuple(float(job.weights.get(name, alike)) for name in names)


# ---- adapters --------------------------------------------------------------------------------------------------------


def _check_adapters(job: MergeJob, adapters: Sequence[Checkpoint], base: Checkpoint) -> None:
    if job.method is None:
        if len(adapters) > 1:
            fix = "cat and svd sum what LoRA adds to the weights, linear sums A and B one by one; see --help"
            raise UsageError("--method", "several adapters, and no method to combine them by", fix)
        if job.weights:
            raise UsageError("--weight", "one adapter goes into its base as it is", "--method linear weighs it")
        return
    if len(adapters) == 1 and job.method != "linear":  # peft would accept it silently
        raise UsageError("--method", f"{job.method} takes several adapters", "one is weighed by linear, or needs none")
    kinds = {each.adapter for each in adapters}
    if len(kinds) > 1 or not kinds <= COMBINABLE.keys():
        what = f"peft cannot combine adapters of type {' and '.join(sorted(kinds))}"
        raise UsageError("--method", what, f"adapters of one type, {' or '.join(COMBINABLE)}; or {NOT_EACH}")
    if job.method not in (methods := COMBINABLE[adapters[0].adapter]):
        raise UsageError("--method", f"{job.method} is not for {adapters[0].adapter}", f"{', '.join(methods)}")
    configs = {each.name: files.read_json(each.path / files.ADAPTER_CONFIG) for each in adapters}
    for adapter in adapters:
        _refuse_uncombinable(adapter, configs[adapter.name])
    if adapters[0].adapter == "LORA" and job.method in OF_WEIGHTS:
        _check_ranks(job, configs)


def beside_factors(config: Mapping[str, Any]) -> list[str]:
    """Return the names of what an adapter changes in addition to LoRA's A and B, by its adapter_config.json."""
    what = [words for key, words in ELSEWHERE.items() if config.get(key)]
    what += [f"biases ({config['bias']})"] if config.get("bias", "none") != "none" else []
    start = config.get("init_lora_weights")
    return what + (
        [FROM_BASE.format(start)] if isinstance(start, str) and start not in ("gaussian", "orthogonal") else []
    )


def _refuse_uncombinable(adapter: Checkpoint, config: Mapping[str, Any]) -> None:
    if what := beside_factors(config):
        raise ModelError(adapter.path, f"peft does not combine {' and '.join(what)} with other adapters", NOT_EACH)


def _check_ranks(job: MergeJob, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise UsageError if A and B, which are combined separately, have different ranks."""
    ranks = {
        name: sorted({int(config.get("r") or 0), *map(int, (config.get("rank_pattern") or {}).values())})
        for name, config in configs.items()
    }
    if len({rank for of_one in ranks.values() for rank in of_one}) > 1:
        which = ", ".join(f"{name} has {' and '.join(map(str, of_one))}" for name, of_one in ranks.items())
        raise UsageError(f"--method {job.method}", f"takes one rank, and {which}", "cat and svd take different ranks")


# ---- full weights ----------------------------------------------------------------------------------------------------


def check_full(job: MergeJob, models: Sequence[Checkpoint], base: Checkpoint) -> None:
    """Raise UsageError for a method that is not for full weights, ModelError for weights of other shapes than the
    base's.
    """
    if job.method is None:
        fix = f"{ALONE}s go into their base without one; of full weights: {', '.join(OF_WEIGHTS)}"
        raise UsageError("--method", "full weights, and no method to merge them by", fix)
    if job.method not in OF_WEIGHTS:
        raise UsageError("--method", f"{job.method} is for adapters", f"of full weights: {', '.join(OF_WEIGHTS)}")
    if job.into_base:
        raise UsageError("--into-base", "full weights are no adapter", "leave it out")
    kind = files.model_config(base.path).get("model_type")
    for model in models:
        other = files.model_config(model.path).get("model_type")
        if other != kind or model.architecture != base.architecture:
            what = f"is of another architecture ({other}) than its base {base.path} ({kind})"
            raise ModelError(model.path, what, "merge checkpoints of one base")
    own, *of_models = tensors_of([base, *models])
    for model, has in zip(models, of_models, strict=True):
        if wrong := sorted(name for name in has.keys() | own.keys() if _shape(has, name) != _shape(own, name)):
            name = wrong[0]
            what = f"{len(wrong)} tensors are not its base's: {name} {_shape(has, name)}, there {_shape(own, name)}"
            raise ModelError(model.path, what, "merge checkpoints of one base, none of them resized")


def tensors_of(models: Sequence[Checkpoint]) -> list[dict[str, TensorFacts]]:
    """Return the tensors of full weights for a merge, by name. Second copies of tied tensors that not all models store
    are left out.
    """
    facts = [files.all_tensors(files.weight_files(model.path)) for model in models]
    everywhere = set.intersection(*(set(each) for each in facts))
    copies = [
        stored_twice(each, files.model_config(model.path)) - everywhere
        for each, model in zip(facts, models, strict=True)
    ]
    return [
        {name: tensor for name, tensor in each.items() if name not in twice}
        for each, twice in zip(facts, copies, strict=True)
    ]


def _shape(facts: Mapping[str, TensorFacts], name: str) -> tuple[int, ...] | str:
    return facts[name].shape if name in facts else "missing"
