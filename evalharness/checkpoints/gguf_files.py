"""Read GGUF files through transformers and gguf: configuration, names and shapes of tensors, values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, dequantize
from transformers import AutoConfig, PreTrainedConfig

from evalharness.checkpoints.files import TensorFacts
from evalharness.checkpoints.libraries import UNLOADABLE, quiet
from evalharness.checkpoints.limits import check_sizes
from evalharness.errors import ModelError, first_line


@dataclass(frozen=True, slots=True, kw_only=True)
class GGUFHeader:
    """The header of a GGUF file: its configuration, in the form of config.json, and its tensors by name."""

    config: dict[str, Any]
    tensors: dict[str, TensorFacts]


def header(path: Path) -> GGUFHeader:
    """Read the header of a GGUF file, once while it does not change. Raises ModelError if it cannot be read, or if
    transformers does not support its architecture.
    """
    stat = path.stat()
    return _header(path, (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))


@lru_cache(maxsize=8)
def _header(path: Path, _: tuple[int, ...]) -> GGUFHeader:
    """Read the header. The second argument is the file's state, so that a changed file has another key in the cache."""
    with quiet():
        try:
            tensors = {each.name: _facts(each) for each in GGUFReader(path).tensors}
            stated, _unused = PreTrainedConfig.get_config_dict(path.parent, gguf_file=path.name, local_files_only=True)
            check_sizes(path, stated, tensors)
            config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True).to_dict()
        except UNLOADABLE as error:
            what = f"not a GGUF file that transformers can open ({first_line(error)})"
            raise ModelError(path, what, "copy or convert it again, or give safetensors") from None
    return GGUFHeader(config=config, tensors=tensors)


def _facts(tensor: Any) -> TensorFacts:
    begin = int(tensor.data_offset)
    shape = tuple(int(length) for length in reversed(tensor.shape))
    return TensorFacts(dtype=tensor.tensor_type.name, shape=shape, begin=begin, end=begin + int(tensor.n_bytes))


def nonfinite(path: Path) -> list[str]:
    """Return the names of tensors with NaN or infinite values."""
    with np.errstate(all="ignore"):
        each = ((tensor.name, dequantize(tensor.data, tensor.tensor_type)) for tensor in GGUFReader(path).tensors)
        return [name for name, values in each if not np.isfinite(values).all()]
