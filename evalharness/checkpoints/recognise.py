"""Recognise a checkpoint from its files, not its name: kind, base, sizes and fingerprint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from evalharness.checkpoints import files, fingerprint, foreign
from evalharness.checkpoints.adapter_files import AdapterFacts, adapter_facts, check_base
from evalharness.checkpoints.discover import (
    STEP,
    WANTED,
    adapter_base_directory,
    base_directory,
    base_named_in,
    checkpoints_in,
    directory_of,
)
from evalharness.checkpoints.limits import check_sizes
from evalharness.checkpoints.naming import CheckpointSpec, parse
from evalharness.checkpoints.precision import ON_LOADING, parameter_count, precision_of
from evalharness.checkpoints.served import recognise_served
from evalharness.checkpoints.training_facts import trained_parameters, training_facts
from evalharness.errors import ModelError, UsageError, did_you_mean
from evalharness.openai_api.limits import RequestLimits
from evalharness.records.job import ModelSelection
from evalharness.records.models import Checkpoint, ModelKind

Role = Literal["base", "candidate"]
ELSEWHERE = (  # keys of config.json that make transformers read other files
    ("transformers_weights", "another file of weights", files.WEIGHTS),
    ("configuration_files", "other configurations", files.CONFIG),
)
SHOWN = 6


def recognise(text: str, *, base: str | None = None, role: Role = "candidate") -> Checkpoint:
    """Recognise the checkpoint that `text` names. `base` overrides the one in its files.

    The base of full weights may be unknown (None), an adapter's may not. Raises ModelError, naming the directory's
    content, for anything that cannot be evaluated. Raises UsageError for a model behind a server, which
    `recognise_model` recognises.
    """
    spec = parse(text)
    try:
        return _recognised(spec, base, role)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise ModelError(
            spec.location, f"cannot be read ({error})", "check its permissions and that nothing else writes there"
        ) from None


def recognise_model(
    text: str,
    *,
    base: str | None = None,
    role: Role = "candidate",
    limits: RequestLimits | None = None,
    by_chat: bool = False,
) -> Checkpoint:
    """Recognise the checkpoint or the model behind a server that `text` names.

    `by_chat`: the run uses the server's chat endpoint. Raises ModelError, and NotComparableError if that needs more
    requests than the limits allow.
    """
    spec = parse(text)
    if spec.served is not None:
        return recognise_served(spec, is_base=role == "base", limits=limits, by_chat=by_chat)
    return recognise(text, base=base, role=role)


def recognise_candidates(
    models: ModelSelection, base: str | None, limits: RequestLimits | None = None, by_chat: bool = False
) -> tuple[Checkpoint, ...]:
    """Recognise the candidates of a run, each with its target: the stated one, else that of its files.

    Raises ModelError, and UsageError for the target of an unknown candidate.
    """
    candidates = tuple(recognise_model(text, base=base, limits=limits, by_chat=by_chat) for text in models.candidates)
    names = [candidate.name for candidate in candidates]
    for name in models.targets:
        if name not in names:
            raise UsageError("--target", f"no candidate {name!r}", did_you_mean(name, names))
    return tuple(
        replace(candidate, target_task=models.target_of(candidate.name) or candidate.target_task)
        for candidate in candidates
    )


def holds_itself(directory: Path) -> bool:
    """Return whether the directory itself has weights or an adapter, even incomplete ones. If not, checkpoints can
    only be in its subfolders.
    """
    adapter = (directory / files.ADAPTER_CONFIG, directory / files.ADAPTER)
    weights = files.has_weights(directory) or files.gguf_file(directory) is not None
    return weights or any(path.is_file() for path in adapter)


def _recognised(spec: CheckpointSpec, base: str | None, role: Role) -> Checkpoint:
    directory = directory_of(spec)
    stated = files.training_record(directory)[0].get("target_task")
    base = base or base_named_in(directory)
    is_adapter = (directory / files.ADAPTER_CONFIG).is_file()
    if is_adapter and files.has_weights(directory):
        both = f"full weights and an adapter ({files.ADAPTER_CONFIG}) in one directory"
        raise ModelError(
            directory,
            f"{both}, so that it is unclear which of them answers",
            f"merged weights: take {files.ADAPTER_CONFIG} away; an adapter: move it into a directory of its own",
        )
    if not is_adapter and spec.task is not None:
        raise ModelError(
            spec.location,
            f"#{spec.task} asks for one task of several, and full weights have no such choice",
            f"leave out #{spec.task}",
        )
    checkpoint = _adapter(spec, directory, base) if is_adapter else _full_weights(spec, directory, base, role)
    target = stated if isinstance(stated, str) and stated else None
    return replace(checkpoint, target_task=target, training=training_facts(directory))


# ---- full weights ----------------------------------------------------------------------------------------------------


def _full_weights(spec: CheckpointSpec, directory: Path, base: str | None, role: Role) -> Checkpoint:
    config = _checked_config(directory)
    weights = files.weight_files(directory)
    if not weights:
        _refuse_folder_of_several(directory)
        raise _no_weights(directory, "config.json without weights")
    stored = files.all_tensors(weights)
    _refuse_names(directory, stored, adapter=False)
    check_sizes(directory, config, stored)
    parameters = parameter_count(stored, config)
    return Checkpoint(
        name=spec.name_in(directory),
        kind=ModelKind.BASE if role == "base" else ModelKind.FULL,
        path=directory,
        base=None if role == "base" else base_directory(base),
        fingerprint=fingerprint.of_weights(directory),
        parameters=parameters,
        trainable=0 if role == "base" else trained_parameters(directory, parameters) or parameters,
        bytes=sum(path.stat().st_size for path in weights),
        window=files.window_of(config),
        architecture=files.architecture_of(config),
        precision=precision_of(directory / files.CONFIG, config),
    )


def _checked_config(directory: Path) -> dict[str, Any]:
    """Read config.json. Raises ModelError unless the model can be loaded by transformers' own code."""
    where = directory / files.CONFIG
    if files.gguf_file(directory) is not None:
        return files.model_config(directory)
    if not where.is_file():
        _refuse_folder_of_several(directory)
        if (directory / files.ADAPTER).is_file():
            raise ModelError(directory, f"{files.ADAPTER} without {files.ADAPTER_CONFIG}", "save the adapter again")
        if files.has_weights(directory):
            _refuse_names(directory, files.all_tensors(files.weight_files(directory)), adapter=False)
            fix = f"copy {files.CONFIG} and the tokenizer's files of its base beside them"
            raise ModelError(directory, f"weights without {files.CONFIG}", fix)
        if not any(directory.iterdir()):
            raise ModelError(directory, "an empty directory", f"give {WANTED}")
        raise _no_weights(directory, "no checkpoint: no config.json")
    config = files.read_json(where)
    if not isinstance(config.get("model_type"), str):
        raise ModelError(where, "no model_type", "give the directory of a transformers model")
    if "auto_map" in config:
        raise ModelError(
            where,
            "asks to run code from the checkpoint (auto_map)",
            "remote code is never run: use an architecture that transformers has",
        )
    for key, what, name in ELSEWHERE:
        if config.get(key):
            raise ModelError(
                where, f"{key} names {what} ({config[key]!r}), not supported", f"name it {name} and take the key out"
            )
    precision_of(where, config)
    return config


def _refuse_folder_of_several(directory: Path) -> None:
    """Raise ModelError if the checkpoints are inside the folder.

    It is then a trainer's output folder without final weights, or a folder of named adapters.
    """
    names = [path.name for path in checkpoints_in(directory)]
    if names:
        listed = ", ".join(names[:SHOWN]) + (f", … {names[-1]}" if len(names) > SHOWN else "")
        steps = [name for name in names if STEP.fullmatch(name)]
        one = f"the newest ({directory / steps[-1]})" if steps else f"one ({directory / names[-1]})"
        trace = f"; `evalharness trace --model '{directory}/*'` says what was forgotten when" if len(steps) > 1 else ""
        raise ModelError(
            directory,
            f"no checkpoint itself, but {len(names) if len(names) > 1 else 'one'} inside: {listed}",
            f"name {one}, or every one with '{directory}/*' in quotes{trace}",
        )


def _no_weights(directory: Path, what: str) -> ModelError:
    """Return the error for a directory without readable weights: what it has, and how to make a checkpoint of it."""
    advice = foreign.advice(directory)
    if advice is None:
        return ModelError(directory, f"{what}{foreign.contents(directory)}", f"safetensors only: give {WANTED}")
    return ModelError(directory, f"{what}: {advice[0]}", advice[1])


def _refuse_names(directory: Path, names: Iterable[str], adapter: bool) -> None:
    advice = foreign.wrapped_names(directory, names, adapter)
    if advice is not None:
        raise ModelError(directory, *advice)


# ---- adapters --------------------------------------------------------------------------------------------------------


def _adapter(spec: CheckpointSpec, directory: Path, base: str | None) -> Checkpoint:
    facts = adapter_facts(directory, spec.task)
    if not (directory / files.ADAPTER).is_file():
        _refuse_folder_of_several(directory)
        raise _no_weights(directory, f"adapter_config.json without {files.ADAPTER}")
    _refuse_names(directory, files.tensors(directory / files.ADAPTER), adapter=True)
    under = adapter_base_directory(directory, base)
    config = _checked_base_config(directory, under, spec.name_in(directory), facts)
    weights, stored = files.weight_files(under), precision_of(under / files.CONFIG, config)
    on_loading = "" if stored else _precision_of_training(directory)
    stored_in_base = files.all_tensors(weights)
    check_sizes(under, config, stored_in_base)
    base_identity = fingerprint.of_quantised(fingerprint.of_weights(under), on_loading)
    trained = trained_parameters(directory, None, facts.kind) if facts.virtual_tokens else 0
    return Checkpoint(
        name=spec.name_in(directory),
        kind=facts.kind,
        path=directory,
        base=under,
        fingerprint=fingerprint.of_adapter(directory, base_identity, facts.task),
        parameters=parameter_count(stored_in_base, config) + facts.values,
        trainable=trained or facts.trained,
        bytes=(directory / files.ADAPTER).stat().st_size,
        window=files.window_of(config),
        virtual_tokens=facts.virtual_tokens,
        architecture=files.architecture_of(config),
        adapter=facts.peft_type,
        precision=stored or on_loading,
        adapter_task=facts.task,
    )


def _checked_base_config(adapter: Path, base: Path, name: str, facts: AdapterFacts) -> dict[str, Any]:
    """Read the configuration of an adapter's base. Raises ModelError if the adapter cannot be for it."""
    if (base / files.ADAPTER_CONFIG).is_file():
        raise ModelError(
            adapter,
            f"its base {base} is an adapter itself",
            "merge that adapter first, or give --base with full weights",
        )
    config = _checked_config(base)
    if not files.weight_files(base):
        raise _no_weights(base, f"the base of {name} has no weights")
    check_base(adapter, facts, base, files.architecture_of(config))
    return config


def _precision_of_training(directory: Path) -> str:
    """Return the precision of the base on which an adapter was trained, from training.json."""
    training, place = files.training_record(directory)
    stated = training.get("precision") or ""
    if stated not in ("", *ON_LOADING):
        raise ModelError(place / files.TRAINING, f"precision is {stated!r}", f"one of {', '.join(ON_LOADING)}, or none")
    return str(stated)
