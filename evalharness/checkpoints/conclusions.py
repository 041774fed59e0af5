"""Conclude from the content of files what is costly to find out, once for as long as content, code and libraries stay
the same.
"""

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
CODE = ("checkpoints", "engines")  # packages of ours that conclude


def concluded(what: str, files: Iterable[Path], given: Any, conclude: Callable[[], Any]) -> Any:
    """What `conclude` returns, as JSON gives it back; remembered, where something remembers, for these files' content
    and for `given`, and found out again where either, our code or a library is another.

    It may depend on nothing else, be None, or be kept where it raises. Raises what `conclude` raises, and OSError.
    """
    known = memory.current()
    if known is None:
        return json.loads(json.dumps(conclude()))
    before = {path: fingerprint.state_of(path) for path in sorted(set(files))}
    content = [(str(path), fingerprint.of_file(path)) for path in before]
    key = [what, _code(), _versions(), given, content]
    value = known.recall(key)
    if value is None:
        stand = all(memory.may_stand(path.resolve(), state) for path, state in before.items())
        value = json.loads(json.dumps(conclude()))
        if stand and all(fingerprint.state_of(path) == state for path, state in before.items()):
            known.keep(key, value)
    return value


@functools.cache
def _versions() -> list[str]:
    libraries = [f"{name} {version}" for name, version in versions_of(LIBRARIES).items()]
    return [platform.python_version(), platform.machine(), *libraries]


@functools.cache
def _code() -> str:
    """The digest of what concludes: the files of our packages."""
    texts = [path.read_bytes() for name in CODE for path in sorted((paths.PACKAGE / name).rglob("*.py"))]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()
