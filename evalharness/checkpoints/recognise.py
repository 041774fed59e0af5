"""`[NAME=]PATH[#TASK]` or `[NAME=]HUB_ID[@REV]` to a Checkpoint: what kind of model the files are (never the name), its
base, sizes and identity.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from evalharness import registry
from evalharness.checkpoints import REGISTRY, files, fingerprint
from evalharness.checkpoints.adapterfiles import adapter_facts, check_base
from evalharness.checkpoints.discover import inside
from evalharness.checkpoints.kinds import PLACEBO
from evalharness.checkpoints.naming import Named, default_name, exists, is_path, parse
from evalharness.checkpoints.precision import ON_LOADING, parameter_count, precision_of
from evalharness.checkpoints.training_facts import history, trained_of
from evalharness.errors import ModelError
from evalharness.records.models import Architecture, Checkpoint

Role = Literal["base", "candidate"]
UNSAFE = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.gguf", "*.h5", "*.msgpack", "*.onnx")
WANTED = "a directory with config.json and model.safetensors, or with adapter_config.json and adapter_model.safetensors"
SHOWN = 6


def recognise(
    text: str,
    *,
    base: str | None = None,
    target: str | None = None,
    role: Role = "candidate",
    precision: str | None = None,
) -> Checkpoint:
    """The checkpoint that `text` names. `base` and `target` win over what its files say; its own name is its
    directory's unless given.

    `precision`: None is what the files say (config.json, or training.json of an adapter that was trained on a quantised
    base), else the base's weights are to be quantised so on loading ("": not at all). The base of full weights may stay
    unknown (None); an adapter's may not. Raises ModelError, saying what was found, for anything that cannot be
    evaluated.
    """
    named = parse(text)
    try:
        found = _recognised(named, base, target, role)
        return found if precision is None else at_precision(found, precision)
    except (OSError, RuntimeError) as error:  # what cannot be read, or vanished in between; links that go round
        raise ModelError(
            named.place, f"cannot be read ({error})", "check its permissions and that nothing else writes there"
        ) from None


def base_of(text: str) -> str | None:
    """The base that the checkpoint's own files name: training.json ("base") first, then adapter_config.json. A local
    one is made absolute.
    """
    return _base_named_by(directory_of(parse(text)))


def directory_of(named: Named) -> Path:
    """Where the files lie; fetched when it is a hub id. Raises ModelError where there is no such directory."""
    place = named.place
    if any(sign in place for sign in "*?[") and not exists(place):
        what = "no such directory, and no pattern but a whole folder's is understood"
        raise ModelError(place, what, "write 'DIR/*' for every checkpoint in DIR")
    if not is_path(place):
        repository, _, revision = place.partition("@")
        return Path(registry.find(REGISTRY, "fetch", "checkpoint step")(repository, revision or None))
    directory = Path(place).expanduser() if place.startswith("~/") else Path(place)
    if not exists(directory):
        raise ModelError(place, "no such directory", "check the path; for a base, give --base PATH")
    if not directory.is_dir():
        raise ModelError(place, "is a file, not a directory", f"give {WANTED}")
    return directory.resolve()


def holds_itself(directory: Path) -> bool:
    """Is there something at its top to recognise, and be it broken? Else checkpoints can only lie inside."""
    return (
        (directory / files.ADAPTER_CONFIG).is_file()
        or files.has_weights(directory)
        or (directory / files.ADAPTER).is_file()
    )


def _recognised(named: Named, base: str | None, target: str | None, role: Role) -> Checkpoint:
    directory = directory_of(named)
    facts, _ = files.training_of(directory)
    under, own = base or _base_named_by(directory), facts.get("target_task")
    target = target or (own if isinstance(own, str) and own else None)
    adapter = (directory / files.ADAPTER_CONFIG).is_file()
    if adapter and files.has_weights(directory):
        what = f"full weights and an adapter ({files.ADAPTER_CONFIG}) in one directory, so that it is unclear which of them answers"
        fix = f"merged weights: take {files.ADAPTER_CONFIG} away; an adapter: move it into a directory of its own"
        raise ModelError(directory, what, fix)
    if not adapter and named.task is not None:
        raise ModelError(
            named.place,
            f"#{named.task} asks for one task of several, and full weights have no such choice",
            f"leave out #{named.task}",
        )
    found = _adapter(named, directory, under) if adapter else _full(named, directory, under, role)
    return replace(found, target_task=target, training=history(directory))


def _base_named_by(directory: Path) -> str | None:
    training, place = files.training_of(directory)
    adapter = files.read_json(directory / files.ADAPTER_CONFIG) if (directory / files.ADAPTER_CONFIG).is_file() else {}
    for named, near in ((training.get("base"), place), (adapter.get("base_model_name_or_path"), directory)):
        if isinstance(named, str) and named:
            local = [
                path
                for path in (near / named, Path(named).expanduser() if named.startswith("~/") else Path(named))
                if _is_directory(path)
            ]
            return str(local[0].resolve()) if local else named
    return None


def _is_directory(path: Path) -> bool:
    return exists(path) and path.is_dir()


# ---- full weights ----------------------------------------------------------------------------------------------------


def _full(named: Named, directory: Path, base: str | None, role: Role) -> Checkpoint:
    config = _config(directory)
    weights = files.weight_files(directory)
    if not weights:
        _refuse_folder_of_several(directory)
        raise ModelError(
            directory, f"config.json without weights{_found(directory)}", f"safetensors only: give {WANTED}"
        )
    parameters = parameter_count(files.all_tensors(weights), config)
    return Checkpoint(
        name=default_name(named, directory),
        kind="base" if role == "base" else "full",
        path=directory,
        base=None if role == "base" else _base_directory(base, required=None),
        fingerprint=fingerprint.of_weights(directory),
        parameters=parameters,
        trainable=0 if role == "base" else trained_of(directory, parameters) or parameters,
        bytes=sum(path.stat().st_size for path in weights),
        window=files.window_of(config),
        architecture=architecture_of(config),
        precision=precision_of(directory / files.CONFIG, config),
    )


def architecture_of(config: dict[str, Any]) -> Architecture:
    """What config.json says: an encoder-decoder model or a decoder-only one."""
    return Architecture.SEQ2SEQ if config.get("is_encoder_decoder") is True else Architecture.CAUSAL


def _config(directory: Path) -> dict[str, Any]:
    """config.json of a model that can be loaded without anybody else's code."""
    where = directory / files.CONFIG
    if not where.is_file():
        _refuse_folder_of_several(directory)
        if (directory / files.ADAPTER).is_file():
            raise ModelError(directory, f"{files.ADAPTER} without {files.ADAPTER_CONFIG}", "save the adapter again")
        what = (
            "an empty directory"
            if not any(directory.iterdir())
            else f"no checkpoint: no config.json{_found(directory)}"
        )
        raise ModelError(directory, what, f"give {WANTED}")
    config = files.read_json(where)
    if not isinstance(config.get("model_type"), str):
        raise ModelError(where, "no model_type", "give the directory of a transformers model")
    if "auto_map" in config:
        fix = "remote code is never run: use an architecture that transformers has"
        raise ModelError(where, "asks to run code from the checkpoint (auto_map)", fix)
    if config.get("transformers_weights"):
        what = f"transformers_weights names another file of weights ({config['transformers_weights']!r}), not supported"
        raise ModelError(where, what, f"name the file {files.WEIGHTS} and take the key out")
    precision_of(where, config)
    return config


def _refuse_folder_of_several(directory: Path) -> None:
    """Raises ModelError where the checkpoints lie inside: a trainer's output folder without final weights, or adapters
    under their names.
    """
    names = [path.name for path in inside(directory)]
    if names:
        listed = ", ".join(names[:SHOWN]) + (f", … {names[-1]}" if len(names) > SHOWN else "")
        what = (
            f"no checkpoint itself, but {len(names)} inside: {listed}"
            if len(names) > 1
            else f"no checkpoint itself, but one inside: {listed}"
        )
        raise ModelError(
            directory, what, f"name one ({directory / names[-1]}), or every one with '{directory}/*' in quotes"
        )


def _found(directory: Path) -> str:
    """What lies there instead, for an error message."""
    unsafe = sorted(path.name for pattern in UNSAFE for path in directory.glob(pattern))
    if unsafe:
        return f", only {', '.join(unsafe[:3])}, which could run code or is of another library"
    names = sorted(path.name for path in directory.iterdir())
    return f", found {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}" if names else ""


def _base_directory(base: str | None, required: Path | None) -> Path | None:
    """The base's directory. `required` is the adapter that cannot do without; otherwise a base that is away stays
    unknown.
    """
    if base is None:
        if required:
            raise ModelError(
                required, "neither training.json nor adapter_config.json names its base", "give --base PATH"
            )
        return None
    try:
        return directory_of(parse(base))
    except ModelError as error:
        if required:
            raise ModelError(
                required, f"its base {base!r} cannot be found ({error.what})", "give --base PATH"
            ) from None
        return None


# ---- adapters --------------------------------------------------------------------------------------------------------


def _adapter(named: Named, directory: Path, base: str | None) -> Checkpoint:
    facts = adapter_facts(directory, named.task)
    if not (directory / files.ADAPTER).is_file():
        raise ModelError(
            directory,
            f"adapter_config.json without {files.ADAPTER}{_found(directory)}",
            "safetensors only: save the adapter again",
        )
    under = _base_directory(base, required=directory)
    assert under is not None  # `required` raises
    if (under / files.ADAPTER_CONFIG).is_file():
        raise ModelError(
            directory,
            f"its base {under} is an adapter itself",
            "merge that adapter first, or give --base with full weights",
        )
    config, weights = _config(under), files.weight_files(under)
    if not weights:
        raise ModelError(
            under,
            f"the base of {default_name(named, directory)} has no weights{_found(under)}",
            f"safetensors only: give {WANTED}",
        )
    architecture = architecture_of(config)
    check_base(directory, facts, under, architecture)
    precision = precision_of(under / files.CONFIG, config)
    learned_on = "" if precision else _trained_at(directory)
    return Checkpoint(
        name=default_name(named, directory),
        kind=facts.kind,
        path=directory,
        base=under,
        fingerprint=fingerprint.of_adapter(
            directory, fingerprint.of_quantised(fingerprint.of_weights(under), learned_on), facts.task
        ),
        parameters=parameter_count(files.all_tensors(weights), config) + facts.values,
        trainable=(facts.virtual_tokens and trained_of(directory, None, facts.kind)) or facts.trained,
        bytes=(directory / files.ADAPTER).stat().st_size,
        window=files.window_of(config),
        virtual_tokens=facts.virtual_tokens,
        architecture=architecture,
        adapter=facts.peft_type,
        precision=precision or learned_on,
        adapter_task=facts.task,
    )


def _trained_at(directory: Path) -> str:
    """How the base was quantised that an adapter was trained on, as training.json records it."""
    training, place = files.training_of(directory)
    stated = training.get("precision") or ""
    if stated not in ("", *ON_LOADING):
        raise ModelError(place / files.TRAINING, f"precision is {stated!r}", f"one of {', '.join(ON_LOADING)}, or none")
    return str(stated)


# ---- the same at another precision, and what is measured beside a base -----------------------------------------------


def at_precision(checkpoint: Checkpoint, precision: str) -> Checkpoint:
    """The same checkpoint, its full weights (an adapter's base's) quantised to `precision` on loading; "" is as the
    files hold them.

    Raises ModelError for an unknown precision, and where the files themselves are quantised in another way.
    """
    where = checkpoint.weights / files.CONFIG
    stored = precision_of(where, files.read_json(where))
    if stored and precision != stored:
        raise ModelError(
            checkpoint.weights, f"its files hold weights quantised to {stored}", "give the weights before quantisation"
        )
    if precision and not stored and precision not in ON_LOADING:
        raise ModelError(
            checkpoint.weights, f"cannot be quantised to {precision!r} on loading", f"one of {', '.join(ON_LOADING)}"
        )
    under = fingerprint.of_quantised(fingerprint.of_weights(checkpoint.weights), "" if stored else precision)
    if checkpoint.adapter == PLACEBO:
        under = fingerprint.of_placebo(under)
    elif checkpoint.adapter:
        under = fingerprint.of_adapter(checkpoint.path, under, checkpoint.adapter_task)
    return replace(checkpoint, precision=precision, fingerprint=under)


def unquantised_of(base: Checkpoint) -> Checkpoint:
    """The base as its files hold it, to be measured beside the base that is quantised on loading. Raises ModelError
    where the files are quantised.
    """
    return replace(at_precision(base, ""), name="unquantised", kind="unquantised", base=base.path)


def placebo_of(base: Checkpoint) -> Checkpoint:
    """The base behind an adapter that changes nothing: what differs from the base then is noise of the measurement."""
    mark = fingerprint.of_placebo(base.fingerprint)
    return replace(
        base, name="placebo", kind="placebo", base=base.path, fingerprint=mark, adapter=PLACEBO, trainable=0, bytes=0
    )
