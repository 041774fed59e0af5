"""Find the directory in which a checkpoint lies, and the base that its own files name."""

from __future__ import annotations

from pathlib import Path

from evalharness import registry
from evalharness.checkpoints import REGISTRY, files
from evalharness.checkpoints.naming import CheckpointSpec, exists, parse
from evalharness.errors import ModelError

WANTED = "a directory with config.json and model.safetensors, or with adapter_config.json and adapter_model.safetensors"


def directory_of(spec: CheckpointSpec) -> Path:
    """Where the files lie; fetched when it is a hub id. Raises ModelError where there is no such directory."""
    if any(sign in spec.location for sign in "*?[") and not exists(spec.location):
        what = "no such directory, and no pattern but a whole folder's is understood"
        raise ModelError(spec.location, what, "write 'DIR/*' for every checkpoint in DIR")
    if spec.on_hub:
        return Path(registry.find(REGISTRY, "fetch", "checkpoint step")(spec.location, spec.revision))
    if not exists(spec.location):
        raise ModelError(spec.location, "no such directory", "check the path; for a base, give --base PATH")
    if not spec.path.is_dir():
        raise ModelError(spec.location, "is a file, not a directory", f"give {WANTED}")
    return spec.path.resolve()


def base_of(text: str) -> str | None:
    """The base that the checkpoint's own files name: training.json ("base") first, then adapter_config.json. A local
    one is made absolute.
    """
    return base_named_in(directory_of(parse(text)))


def base_named_in(directory: Path) -> str | None:
    """The same, of the checkpoint in a directory."""
    training, place = files.training_record(directory)
    adapter = files.read_json(directory / files.ADAPTER_CONFIG) if (directory / files.ADAPTER_CONFIG).is_file() else {}
    for base, beside in ((training.get("base"), place), (adapter.get("base_model_name_or_path"), directory)):
        if isinstance(base, str) and base:
            typed = Path(base).expanduser() if base.startswith("~/") else Path(base)
            local = next((path for path in (beside / base, typed) if exists(path) and path.is_dir()), None)
            return base if local is None else str(local.resolve())
    return None


def base_directory(base: str | None) -> Path | None:
    """The directory of a base of full weights; None where it is not named or is away."""
    try:
        return None if base is None else directory_of(parse(base))
    except ModelError:
        return None


def adapter_base_directory(adapter: Path, base: str | None) -> Path:
    """The directory of an adapter's base. Raises ModelError where it is not named or is away: an adapter cannot do
    without.
    """
    if base is None:
        what = "neither training.json nor adapter_config.json names its base"
        raise ModelError(adapter, what, "give --base PATH")
    try:
        return directory_of(parse(base))
    except ModelError as error:
        raise ModelError(adapter, f"its base {base!r} cannot be found ({error.what})", "give --base PATH") from None
