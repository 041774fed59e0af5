"""Cache costly results that depend only on the content of files, on our code and on library versions."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from evalharness import paths
from evalharness.checkpoints import fingerprint, memory
from evalharness.registry import versions_of

LIBRARIES = (
    *("torch", "transformers", "tokenizers", "peft", "safetensors", "huggingface_hub", "numpy", "accelerate"),
    *("bitsandbytes", "gguf", "sentencepiece", "protobuf", "tiktoken"),
)
CODE = ("checkpoints", "engines")  # our packages whose code computes such results


def conclude_once(what: str, files: Iterable[Path], inputs: Any, conclude: Callable[[], Any]) -> Any:
    """Return the value of `conclude`, which is JSON, and compute it only once for the same inputs.

    Inside `memory.remember_in` it is remembered for the same content of the files, `inputs`, code and library
    versions. It must depend on nothing else. None and exceptions are not remembered. Raises what `conclude` raises,
    and OSError.
    """
    store = memory.current()
    if store is None:
        return json.loads(json.dumps(conclude()))
    before = {path: fingerprint.state_of(path) for path in sorted(set(files))}
    content = [(str(path), fingerprint.of_file(path)) for path in before]
    key = [what, _code(), _versions(), inputs, content]
    value = store.recall(key)
    if value is None:
        stand = all(memory.may_stand(path.resolve(), state) for path, state in before.items())
        value = json.loads(json.dumps(conclude()))
        if stand and all(fingerprint.state_of(path) == state for path, state in before.items()):
            store.keep(key, value)
    return value


@functools.cache
def _versions() -> list[str]:
    libraries = [f"{name} {version}" for name, version in versions_of(LIBRARIES).items()]
    return [platform.python_version(), platform.machine(), *libraries]


@functools.cache
def _code() -> str:
    """Return the digest of the code of our packages."""
    texts = [path.read_bytes() for name in CODE for path in sorted((paths.PACKAGE / name).rglob("*.py"))]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()
