"""Write over a checkpoint's files in place, as other programs do while one reads."""

from __future__ import annotations

import json
import os
from pathlib import Path

from safetensors.torch import load_file, save_file

CHANGES = {
    "config.json": {"rms_norm_eps": 0.1},
    "generation_config.json": {"repetition_penalty": 1.5},
    "tokenizer.json": {"normalizer": {"type": "Lowercase"}, "post_processor": None},
    "tokenizer_config.json": {"add_prefix_space": True},
    "adapter_config.json": {"lora_alpha": 64},
}


def overwrite(path: Path, content: bytes) -> None:
    """In place, its times put back, as `cp --preserve` or a synchronising tool does."""
    stat = path.stat()
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def scaled(path: Path) -> bytes:
    """Another file of the same size and header."""
    other = path.with_name("other.safetensors")
    save_file({name: tensor * 1.5 for name, tensor in load_file(path).items()}, other, metadata={"format": "pt"})
    content = other.read_bytes()
    other.unlink()
    assert len(content) == path.stat().st_size
    return content


def other_content(path: Path) -> bytes:
    if path.suffix == ".safetensors":
        return scaled(path)
    return json.dumps({**json.loads(path.read_text()), **CHANGES[path.name]}).encode()
