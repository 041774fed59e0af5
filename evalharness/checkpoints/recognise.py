"""`[NAME=]PATH` or `[NAME=]HUB_ID[@REV]` to a Checkpoint: what kind of model the files are (never the name), its base, sizes and identity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evalharness import registry
from evalharness.checkpoints import KNOWN, files, fingerprint
from evalharness.errors import ModelError
from evalharness.records import Checkpoint, Kind

Role = Literal["base", "candidate"]
ADAPTER_KINDS: dict[str, Kind] = {"LORA": "lora", "PROMPT_TUNING": "prompt"}
UNSAFE = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.gguf", "*.h5", "*.msgpack", "*.onnx")
WANTED = "a directory with config.json and model.safetensors, or with adapter_config.json and adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class _Named:
    """A checkpoint as the user wrote it: the name to show, and a path or hub id."""

    name: str | None
    place: str


def recognise(text: str, *, base: str | None = None, target: str | None = None, role: Role = "candidate") -> Checkpoint:
    """The checkpoint that `text` names. `base` and `target` win over what its files say; its own name is its directory's unless given.

    The base of full weights may stay unknown (None); an adapter's may not.
    Raises ModelError, saying what was found, for anything that cannot be evaluated.
    """
    named = _parse(text)
    directory = _directory(named.place)
    name = named.name or _default_name(named.place, directory)
    if (directory / files.ADAPTER_CONFIG).is_file():
        return _adapter(name, directory, base or _base_named_by(directory), target)
    return _full(name, directory, base or _base_named_by(directory), target, role)


def base_of(text: str) -> str | None:
    """The base that the checkpoint's own files name: training.json ("base") first, then adapter_config.json. A local one is made absolute."""
    return _base_named_by(_directory(_parse(text).place))


def _parse(text: str) -> _Named:
    name, equals, place = text.partition("=")
    if not equals or "/" in name or Path(text).exists():
        name, place = "", text
    if not place.strip() or (equals and not name.strip() and not Path(text).exists() and "/" not in text.partition("=")[0]):
        raise ModelError(repr(text), "names no checkpoint", "write [NAME=]PATH or [NAME=]HUB_ID[@REV]")
    return _Named(name.strip() or None, place)


def _is_path(place: str) -> bool:
    return place.startswith((".", "/", "~")) or place.count("/") > 1 or Path(place).exists()


def _directory(place: str) -> Path:
    """Where the files lie; fetched when `place` is a hub id."""
    if not _is_path(place):
        repository, _, revision = place.partition("@")
        return registry.find(KNOWN, "fetch", "checkpoint step")(repository, revision or None)
    directory = Path(place).expanduser()
    if not directory.exists():
        raise ModelError(place, "no such directory", "check the path; for a base, give --base PATH")
    if not directory.is_dir():
        raise ModelError(place, "is a file, not a directory", f"give {WANTED}")
    return directory.resolve()


def _default_name(place: str, directory: Path) -> str:
    return directory.name or "root" if _is_path(place) else place.partition("@")[0].rpartition("/")[2]


def _base_named_by(directory: Path) -> str | None:
    for file, key in ((files.TRAINING, "base"), (files.ADAPTER_CONFIG, "base_model_name_or_path")):
        named = files.read_json(directory / file).get(key) if (directory / file).is_file() else None
        if isinstance(named, str) and named:
            near = [path for path in (directory / named, Path(named).expanduser()) if path.is_dir()]
            return str(near[0].resolve()) if near else named
    return None


def _target_named_by(directory: Path) -> str | None:
    named = files.read_json(directory / files.TRAINING).get("target_task") if (directory / files.TRAINING).is_file() else None
    return named if isinstance(named, str) and named else None


# ---- full weights ----------------------------------------------------------------------------------------------------


def _full(name: str, directory: Path, base: str | None, target: str | None, role: Role) -> Checkpoint:
    config = _causal_config(directory)
    weights = files.weight_files(directory)
    if not weights:
        raise ModelError(directory, f"config.json without weights{_found(directory)}", f"safetensors only: give {WANTED}")
    parameters = files.parameter_count(files.all_tensors(weights), config)
    return Checkpoint(
        name=name,
        kind="base" if role == "base" else "full",
        path=directory,
        base=None if role == "base" else _base_directory(base, required=None),
        fingerprint=fingerprint.of_weights(directory),
        parameters=parameters,
        trainable=0 if role == "base" else parameters,
        bytes=sum(path.stat().st_size for path in weights),
        window=files.window_of(config),
        target_task=target or _target_named_by(directory),
    )


def _causal_config(directory: Path) -> dict[str, Any]:
    """config.json of a causal model that can be loaded without anybody else's code."""
    if not (directory / files.CONFIG).is_file():
        what = "an empty directory" if not any(directory.iterdir()) else f"no checkpoint: no config.json{_found(directory)}"
        raise ModelError(directory, what, f"give {WANTED}")
    config = files.read_json(directory / files.CONFIG)
    if not isinstance(config.get("model_type"), str):
        raise ModelError(directory / files.CONFIG, "no model_type", "give the directory of a transformers model")
    if "auto_map" in config:
        raise ModelError(
            directory / files.CONFIG,
            "asks to run code from the checkpoint (auto_map)",
            "remote code is never run: use an architecture that transformers has",
        )
    if config.get("transformers_weights"):
        what = f"transformers_weights names another file of weights ({config['transformers_weights']!r}), not supported"
        raise ModelError(directory / files.CONFIG, what, f"name the file {files.WEIGHTS} and take the key out")
    if config.get("is_encoder_decoder") is True:
        raise ModelError(directory, f"an encoder-decoder model ({config['model_type']}), not supported yet", "give a causal (decoder-only) model")
    if "quantization_config" in config:
        raise ModelError(directory, "quantised weights, not supported", "give the weights before quantisation")
    return config


def _found(directory: Path) -> str:
    """What lies there instead, for an error message."""
    unsafe = sorted(path.name for pattern in UNSAFE for path in directory.glob(pattern))
    if unsafe:
        return f", only {', '.join(unsafe[:3])}, which could run code or is of another library"
    names = sorted(path.name for path in directory.iterdir())
    return f", found {', '.join(names[:6])}{', …' if len(names) > 6 else ''}" if names else ""


def _base_directory(base: str | None, required: Path | None) -> Path | None:
    """The base's directory. `required` is the adapter that cannot do without; otherwise a base that is away stays unknown."""
    if base is None:
        if required:
            raise ModelError(required, "neither training.json nor adapter_config.json names its base", "give --base PATH")
        return None
    try:
        return _directory(_parse(base).place)
    except ModelError as error:
        if required:
            raise ModelError(required, f"its base {base!r} cannot be found ({error.what})", "give --base PATH") from None
        return None


# ---- adapters --------------------------------------------------------------------------------------------------------


def _adapter(name: str, directory: Path, base: str | None, target: str | None) -> Checkpoint:
    config = files.read_json(directory / files.ADAPTER_CONFIG)
    kind = _adapter_kind(directory, config)
    if not (directory / files.ADAPTER).is_file():
        raise ModelError(directory, f"adapter_config.json without {files.ADAPTER}{_found(directory)}", "safetensors only: save the adapter again")
    under = _base_directory(base, required=directory)
    assert under is not None  # `required` raises
    if (under / files.ADAPTER_CONFIG).is_file():
        raise ModelError(directory, f"its base {under} is an adapter itself", "merge that adapter first, or give --base with full weights")
    base_config, weights = _causal_config(under), files.weight_files(under)
    if not weights:
        raise ModelError(under, f"the base of {name} has no weights{_found(under)}", f"safetensors only: give {WANTED}")
    own = sum(facts.size for facts in files.tensors(directory / files.ADAPTER).values())
    return Checkpoint(
        name=name,
        kind=kind,
        path=directory,
        base=under,
        fingerprint=fingerprint.of_adapter(directory, fingerprint.of_weights(under)),
        parameters=files.parameter_count(files.all_tensors(weights), base_config) + own,
        trainable=own,
        bytes=(directory / files.ADAPTER).stat().st_size,
        window=files.window_of(base_config),
        virtual_tokens=_virtual_tokens(directory, config) if kind == "prompt" else 0,
        target_task=target or _target_named_by(directory),
        adapter=str(config["peft_type"]),
    )


def _adapter_kind(directory: Path, config: dict[str, Any]) -> Kind:
    where, peft_type, task = directory / files.ADAPTER_CONFIG, config.get("peft_type"), config.get("task_type")
    if peft_type not in ADAPTER_KINDS:
        raise ModelError(where, f"adapter of type {peft_type!r}, not supported", f"supported: {', '.join(ADAPTER_KINDS)}; or merge it into its base")
    if task not in (None, "CAUSAL_LM"):
        raise ModelError(where, f"an adapter for task type {task!r}, not supported", "give an adapter trained with task_type CAUSAL_LM")
    return ADAPTER_KINDS[peft_type]


def _virtual_tokens(directory: Path, config: dict[str, Any]) -> int:
    number = config.get("num_virtual_tokens")
    if not isinstance(number, int) or number < 1:
        raise ModelError(directory / files.ADAPTER_CONFIG, f"num_virtual_tokens is {number!r}", "a whole number above zero")
    return number
