"""Compute a checkpoint's fingerprint from the content of all files that can change an answer."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from evalharness import fingerprint
from evalharness.checkpoints import files, memory
from evalharness.checkpoints.memory import State
from evalharness.errors import ModelError

NOT_CONTENT = {
    files.CONFIG: ("_name_or_path", "transformers_version"),
    files.GENERATION_CONFIG: ("transformers_version", "_from_model_config"),
    files.ADAPTER_CONFIG: (
        "base_model_name_or_path",
        "inference_mode",
        "revision",
        "peft_version",
        "auto_mapping",
        "tokenizer_name_or_path",
    ),
    files.TOKENIZER_CONFIG: ("name_or_path", "transformers_version", "is_local", "local_files_only"),
}


TEMPLATES = "additional_chat_templates"
CHANGED = "its files changed after they were read: its answers would be stored under another model's name"
ONCE_WRITTEN = "give the command again once they are all written"
SETTLED = 1_000_000_000  # nanoseconds after which a write changes a file's times, even with a coarse clock
_digests: dict[Path, tuple[State, str]] = {}
_doubted: set[Path] = set()  # files to hash again even if their state is the same


def state_of(path: Path) -> State:
    """Return the device, inode, size and times of a file. No program can set the last of these, the time of change.

    The file is opened, because only then a network file system asks its server.
    """
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def of_file(path: Path) -> str:
    """Return the file's digest.

    It is computed once while the file does not change: in this process, and in all runs that share a memory file.
    """
    path = path.resolve()
    state = state_of(path)
    old_state, digest = _digests.get(path, ((), ""))
    if old_state == state:
        return digest
    remembered, key = memory.current(), ["file", str(path), state]
    if remembered is not None and path not in _doubted and isinstance(stored := remembered.recall(key), str):
        _digests[path] = state, stored
        return stored
    stands = remembered is not None and memory.may_stand(path, state)  # before it is read
    now, digest = time.time_ns(), fingerprint.of_file(path)
    if now - state[-1] > SETTLED:  # else another write might not change its times
        _digests[path] = state, digest
        _doubted.discard(path)
    if remembered is not None and stands:
        remembered.keep(key, digest)
    return digest


@contextlib.contextmanager
def unchanged(paths: Iterable[Path], afresh: bool = True) -> Iterator[None]:
    """Raise ModelError if a file is written or replaced while the block runs.

    With `afresh` the file is hashed again the next time, even if its times are the same.
    """
    before = {path.resolve(): state_of(path) for path in paths}
    yield
    for path, state in before.items():
        if afresh:
            _digests.pop(path, None)
            _doubted.add(path)
        if state_of(path) != state:
            raise ModelError(path, CHANGED, ONCE_WRITTEN)


def covered(directory: Path) -> tuple[Path, ...]:
    """Return the files of a checkpoint that its fingerprint covers, without full weights."""
    names = (files.CONFIG, files.GENERATION_CONFIG, files.INDEX, files.ADAPTER_CONFIG, files.ADAPTER)
    small = [directory / name for name in (*names, *files.tokenizer_files(directory))]
    return (*(path for path in small if path.is_file()), *sorted((directory / TEMPLATES).glob("*.jinja")))


def _content(path: Path) -> Any:
    if path.name not in NOT_CONTENT:
        return of_file(path)
    values = {key: _finite(value) for key, value in files.read_json(path).items() if key not in NOT_CONTENT[path.name]}
    return (
        {key: _as_peft_reads(value) for key, value in values.items()} if path.name == files.ADAPTER_CONFIG else values
    )


def _finite(value: Any) -> Any:
    """Replace Infinity and NaN by their names: some configurations have them, and JSON does not allow them."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return f"{value}" if isinstance(value, float) and not math.isfinite(value) else value


def _as_peft_reads(value: Any) -> Any:
    """Sort lists of names, because peft writes its sets (such as target_modules) in a random order. Keep the order of
    keys, because peft uses the first pattern of a mapping (such as rank_pattern) that matches.
    """
    if isinstance(value, dict) and value:
        return list(value.items())
    return sorted(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else value


def _present(directory: Path, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _content(directory / name) for name in names if (directory / name).is_file()}


def _templates(directory: Path) -> dict[str, str]:
    return {path.name: of_file(path) for path in sorted((directory / TEMPLATES).glob("*.jinja"))}


def _tokenizer(directory: Path) -> dict[str, Any]:
    return {**_present(directory, files.tokenizer_files(directory)), "templates": _templates(directory)}


def of_tokenizer(directory: Path) -> str:
    """Return the fingerprint of the tokenizer in `directory`, in its own files or a GGUF file."""
    inside = None if files.has_vocabulary(directory) else files.gguf_file(directory)
    return fingerprint.of_value([_tokenizer(directory), inside and of_file(inside)])


def tokenizer_paths(directory: Path) -> tuple[Path, ...]:
    """Return the files that the fingerprint of the tokenizer in `directory` covers."""
    paths = [directory / name for name in files.tokenizer_files(directory) if (directory / name).is_file()]
    inside = None if files.has_vocabulary(directory) else files.gguf_file(directory)
    return (*paths, *sorted((directory / TEMPLATES).glob("*.jinja")), *([inside] if inside else []))


def of_tensors(directory: Path) -> str:
    """Return the fingerprint of full weights alone, without configuration and tokenizer."""
    return fingerprint.of_value([of_file(path) for path in files.weight_files(directory)])


def of_weights(directory: Path) -> str:
    """Return the fingerprint of a model with full weights.

    It covers weights, configuration, generation configuration, tokenizer and chat templates.
    """
    weights = [of_file(path) for path in files.weight_files(directory)]
    configs = _present(directory, (files.CONFIG, files.GENERATION_CONFIG))
    return fingerprint.of_value(["weights", weights, configs, _tokenizer(directory)])


def differences(one: Path, other: Path) -> tuple[str, ...]:
    """Return the names of the files, other than weights, that differ between two full models: configurations,
    tokenizer, chat templates.
    """
    configs = (files.CONFIG, files.GENERATION_CONFIG)
    first, second = ({**_present(place, configs), **_tokenizer(place)} for place in (one, other))
    return tuple(name for name in sorted({*first, *second}) if first.get(name) != second.get(name))


def of_adapter(directory: Path, base: str, task: int | None = None) -> str:
    """Return the fingerprint of an adapter on the base with the fingerprint `base`.

    `task` is the one used of an adapter that learned several.
    """
    adapter = [of_file(directory / files.ADAPTER), _content(directory / files.ADAPTER_CONFIG), _tokenizer(directory)]
    return fingerprint.of_value(["adapter", base, adapter, *([] if task is None else [task])])


def of_quantised(weights: str, precision: str) -> str:
    """Return the fingerprint of the model with the fingerprint `weights`, quantised on loading to `precision`.

    With "" it is not quantised.
    """
    return fingerprint.of_value(["quantised", weights, precision]) if precision else weights


def of_placebo(base: str) -> str:
    """Return the fingerprint of the base with the fingerprint `base` behind an adapter that changes nothing."""
    return fingerprint.of_value(["placebo", base])
