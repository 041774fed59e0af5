"""Find the directory of a checkpoint, the base that its files name, and the checkpoints inside a folder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from evalharness import openai_api, registry
from evalharness.checkpoints import REGISTRY, files
from evalharness.checkpoints.naming import EVERY, CheckpointSpec, exists, parse
from evalharness.errors import ModelError, UsageError

CHECKPOINTS = "checkpoints"  # the folder of a training's intermediate checkpoints
STEP = re.compile(r"(?:checkpoint|step)-(\d+)")
STEPS_WANTED = "name a folder with step-N or checkpoint-N inside, or the checkpoints in order with --stage"
SIGNS = (files.CONFIG, files.ADAPTER_CONFIG, files.WEIGHTS, files.INDEX, files.ADAPTER)


def checkpoints_in(directory: Path) -> tuple[Path, ...]:
    """Return the checkpoints directly inside a folder: checkpoint-N (or step-N) in the order of N, then the others by
    name.

    Incomplete ones are included, so that they are refused by name and not left out silently.
    """
    try:
        folders = [path for path in directory.iterdir() if path.is_dir() and not path.name.startswith(".")]
        checkpoints = [
            path for path in folders if STEP.fullmatch(path.name) or any((path / sign).is_file() for sign in SIGNS)
        ]
    except OSError as error:
        raise ModelError(directory, f"cannot be read ({error.strerror})", "check its permissions") from None
    return tuple(sorted(checkpoints, key=lambda path: _order(path.name)))


def steps_of(folder: Path) -> tuple[Path, ...]:
    """Return the checkpoints of one training in the order of its steps.

    They are the checkpoint-N or step-N folders directly inside, or those that `train --keep-checkpoints` wrote, and
    `folder` itself. The folder comes last, unless its training.json says that it has the weights of an earlier step.
    Raises ModelError without checkpoints.
    """
    if not folder.is_dir():
        raise ModelError(folder, "no such directory", STEPS_WANTED)
    parent = folder / CHECKPOINTS if (folder / CHECKPOINTS).is_dir() else folder
    steps = [path for path in checkpoints_in(parent) if STEP.fullmatch(path.name)]
    if not steps:
        raise ModelError(folder, "no checkpoints of a training inside", STEPS_WANTED)
    if parent == folder or not any((folder / sign).is_file() for sign in SIGNS):
        return tuple(steps)
    validation = files.training_record(folder)[0].get("validation")
    best = validation.get("best_step") if isinstance(validation, dict) else None
    place = len(steps) if not isinstance(best, int) else sum(_order(path.name)[1] <= best for path in steps)
    return (*steps[:place], folder, *steps[place:])


def _order(name: str) -> tuple[int, int, str]:
    match = STEP.fullmatch(name)
    return (0, int(match[1]), name) if match else (1, 0, name)


def expand(text: str) -> tuple[str, ...]:
    """Expand `[NAME=]DIR/*` to one text for each checkpoint inside, with the name NAME-<folder> if there is a NAME;
    any other text is returned unchanged.

    Raises ModelError if there is no such directory, or no checkpoint inside.
    """
    spec = parse(text)
    if not spec.names_several:
        return (text,)
    directory = Path(spec.location.removesuffix(EVERY) or "/").expanduser()
    if not exists(directory) or not directory.is_dir():
        raise ModelError(text, f"no directory {directory}", "name a directory with checkpoints inside")
    paths = checkpoints_in(directory)
    if not paths:
        raise ModelError(
            directory, "no checkpoint inside", "name a directory with checkpoint-N folders or adapters inside"
        )
    return tuple(_text(f"{spec.name}-{path.name}", path) if spec.name else str(path) for path in paths)


def expand_all(texts: Sequence[str]) -> tuple[str, ...]:
    """Expand every text. Checkpoints without a NAME in folders of the same name get the name PARENT-<folder>."""
    expanded = [one for text in texts for one in expand(text)]
    specs = [parse(text) for text in expanded]
    paths = [spec.path.absolute() for spec in specs]
    names = [spec.name_in(path) for spec, path in zip(specs, paths, strict=True)]
    times = Counter(names)
    return tuple(
        text
        if times[name] == 1 or spec.name or spec.on_hub or spec.served or not path.parent.name
        else _text(f"{path.parent.name}-{name}", text)
        for text, spec, path, name in zip(expanded, specs, paths, names, strict=True)
    )


def _text(name: str, location: Path | str) -> str:
    return f"{name.replace('=', '-')}={location}"


# ---- where it lies, and on what --------------------------------------------------------------------------------------

WANTED = "a directory with config.json and model.safetensors, or with adapter_config.json and adapter_model.safetensors"


def directory_of(spec: CheckpointSpec) -> Path:
    """Return the directory of a checkpoint's files. The files of a hub id are fetched.

    Raises ModelError if there is no such directory, and UsageError for a model behind a server.
    """
    refuse_served(spec)
    if any(sign in spec.location for sign in "*?[") and not exists(spec.location):
        raise ModelError(
            spec.location,
            "no such directory, and no pattern but a whole folder's is understood",
            "write 'DIR/*' for every checkpoint in DIR",
        )
    if spec.on_hub:
        return Path(registry.find(REGISTRY, "fetch", "checkpoint step")(spec.location, spec.revision))
    if not exists(spec.location):
        raise ModelError(spec.location, "no such directory", "check the path; for a base, give --base PATH")
    if not spec.path.is_dir() and files.gguf_file(spec.path) is None:
        inside = spec.path.suffix in (".safetensors", ".bin", ".json")
        fix = f"give its directory ({spec.path.parent})" if inside else f"give {WANTED}"
        raise ModelError(spec.location, "is a file, not a directory", fix)
    if (spec.path / "snapshots").is_dir() and (spec.path / "refs").is_dir():  # huggingface_hub's layout
        raise ModelError(spec.location, "is the cache of a hub model, not a checkpoint", _snapshot_advice(spec.path))
    return spec.path.resolve()


def refuse_served(spec: CheckpointSpec) -> None:
    """Raise UsageError for a model behind a server, which has no files."""
    if spec.served is not None:
        what = "a model behind a server has no files, which are needed here"
        raise UsageError(spec.location, what, "give the checkpoint's directory")


def _snapshot_advice(cache: Path) -> str:
    """Name the snapshots in a cache of huggingface_hub."""
    snapshots = sorted(str(path) for path in (cache / "snapshots").iterdir() if path.is_dir())
    return f"give {' or '.join(snapshots[:3])}" if snapshots else "it holds no snapshot: download the model again"


def base_of(text: str) -> str | None:
    """Return the base that the checkpoint's files name: training.json ("base") first, then adapter_config.json.

    A local path is made absolute. For a model behind a server it is the parent that the server states. None if no base
    is named.
    """
    spec = parse(text)
    if spec.served is not None:
        parent = registry.find(openai_api.REGISTRY, "parent_of", "served model")(spec.served)
        return parent and f"{spec.served.url}#{parent}"
    return base_named_in(directory_of(spec))


def base_named_in(directory: Path) -> str | None:
    """Return the base that the files in a directory name; None if they name none."""
    training, place = files.training_record(directory)
    adapter = files.read_json(directory / files.ADAPTER_CONFIG) if (directory / files.ADAPTER_CONFIG).is_file() else {}
    for base, beside in ((training.get("base"), place), (adapter.get("base_model_name_or_path"), directory)):
        if isinstance(base, str) and base:
            typed = Path(base).expanduser() if base.startswith("~/") else Path(base)
            local = next((path for path in (beside / base, typed) if exists(path) and _is_place(path)), None)
            if local is not None:
                return str(local.resolve())
            revision = adapter.get("revision") if beside is directory and "base" not in training else None
            return f"{base}@{revision}" if revision and parse(base).on_hub and "@" not in base else base
    return None


def _is_place(path: Path) -> bool:
    return path.is_dir() or path.suffix == files.GGUF


def base_directory(base: str | None) -> Path | None:
    """Return the directory of the base of full weights; None if no base is named, or if it is missing."""
    try:
        return None if base is None else directory_of(parse(base))
    except ModelError:
        return None


def adapter_base_directory(adapter: Path, base: str | None) -> Path:
    """Return the directory of an adapter's base. Raises ModelError if no base is named, or if it is missing."""
    if base is None:
        raise ModelError(adapter, "neither training.json nor adapter_config.json names its base", "give --base PATH")
    try:
        return directory_of(parse(base))
    except ModelError as error:
        raise ModelError(adapter, f"its base {base!r} cannot be found ({error.what})", "give --base PATH") from None
