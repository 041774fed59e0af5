"""Read a checkpoint's JSON files, the list of its weight files, and names and shapes of its tensors."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalharness import registry
from evalharness.checkpoints import REGISTRY
from evalharness.errors import ModelError
from evalharness.json_text import parse_json
from evalharness.records.models import Architecture

CONFIG, ADAPTER_CONFIG, GENERATION_CONFIG = "config.json", "adapter_config.json", "generation_config.json"
WEIGHTS, INDEX, ADAPTER = "model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors"
TRAINING, MERGE = "training.json", "merge.json"
RECORDS = (TRAINING, MERGE)  # say how a checkpoint was made
TOKENIZER_CONFIG = "tokenizer_config.json"
VOCABULARIES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
TOKENIZER_PARTS = (
    *VOCABULARIES,
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    *("sentencepiece.model", "spm.model", "spm_char.model", "source.spm", "target.spm", "target_vocab.json"),
    *("dict.txt", "byte_maps.json", "emoji.json", "entity_vocab.json", "prophetnet.tokenizer", "tekken.json"),
)
VERSIONS = "tokenizer.*.json"  # of tokenizer.json, for versions of transformers (`fast_tokenizer_files`)
WINDOW_KEYS = ("n_positions", "max_position_embeddings", "n_ctx", "max_sequence_length", "max_seq_len", "seq_length")
GGUF, PART, SHOWN = ".gguf", re.compile(r"-\d+-of-\d+\.gguf$"), 6
LIMIT = 32_000_000  # bytes of a JSON file or a header: over 200,000 tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorFacts:
    """The type and shape of one tensor, and the place of its bytes (from `begin` to `end`) in a safetensors file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)

    @property
    def size(self) -> int:
        """Return the number of values in the tensor."""
        return math.prod(self.shape)


def read_json(path: Path) -> dict[str, Any]:
    """Read the JSON object in a file. Raises ModelError if it is missing, too large, undecodable, or no object."""
    try:
        if (size := path.stat().st_size) > LIMIT:
            raise ModelError(path, f"holds {size} bytes, and at most {LIMIT} are read", "save the checkpoint again")
        value = parse_json(path.read_text(encoding="utf-8"), finite=False)
    except FileNotFoundError:
        raise ModelError(path, "missing", "give a complete checkpoint directory") from None
    except (OSError, ValueError) as error:
        raise ModelError(path, f"cannot be read as JSON ({error})", "save the checkpoint again") from None
    if not isinstance(value, dict):
        raise ModelError(path, "holds no JSON object", "save the checkpoint again")
    return value


def weight_files(directory: Path) -> tuple[Path, ...]:
    """Return the files of full weights, in order of name; () if there are none. Raises ModelError if a shard of the
    index is missing.

    One file wins over an index beside it, as in transformers: the files verified must be the files loaded.
    """
    if (directory / WEIGHTS).is_file():
        return (directory / WEIGHTS,)
    if (directory / INDEX).is_file():
        shards = read_json(directory / INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
            raise ModelError(directory / INDEX, "names no shards", "save the checkpoint again")
        names = sorted(set(shards.values()))
        if elsewhere := [name for name in names if Path(name).name != name]:
            what = f"names files that do not lie beside it: {', '.join(elsewhere)}"
            raise ModelError(directory / INDEX, what, "put every shard into the checkpoint's folder")
        paths = tuple(directory / name for name in names)
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            raise ModelError(directory, f"shards missing: {', '.join(missing)}", f"copy every file that {INDEX} names")
        return paths
    path = gguf_file(directory)
    return () if path is None else (path,)


def gguf_file(place: Path) -> Path | None:
    """Return the GGUF file at a path: the file itself, or the one in a directory without other weights; else None.

    Raises ModelError if there are several.
    """
    if place.is_file():
        return place if place.suffix == GGUF else None
    if has_weights(place) or any(place.glob("pytorch_model*.bin")):
        return None
    inside = sorted(place.glob(f"*{GGUF}"))
    if len(inside) < 2:
        return inside[0] if inside else None
    names = ", ".join(path.name for path in inside[:SHOWN]) + (", …" if len(inside) > SHOWN else "")
    parts = all(PART.search(path.name) for path in inside)
    fix = "make one file of the parts (llama-gguf-split --merge)" if parts else f"name one ({inside[0]})"
    raise ModelError(place, f"{len(inside)} GGUF files: {names}", fix)


def model_config(place: Path) -> dict[str, Any]:
    """Read the configuration of full weights, from config.json or a GGUF file. Raises ModelError if it cannot be read,
    and MissingPackageError if that needs the extra [gguf].
    """
    path = gguf_file(place)
    return read_json(place / CONFIG) if path is None else dict(_gguf_header(path).config)


def _gguf_header(path: Path) -> Any:
    return registry.find(REGISTRY, "gguf_header", "GGUF reader")(path)


def tensors(path: Path) -> dict[str, TensorFacts]:
    """Read dtype and shape of every tensor in a safetensors file, by name, from its header.

    The layout: 8 bytes little-endian header length, JSON header with offsets relative to its end, data.
    Raises ModelError if the header cannot be read or the data is cut short.
    """
    if path.suffix == GGUF:
        return dict(_gguf_header(path).tensors)
    again = "copy or save the file again"
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > LIMIT:
                raise ValueError(f"a header of {length} bytes, and at most {LIMIT} are read")
            header = parse_json(file.read(length), finite=False)
        header.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        facts = {name: _facts(entry, 8 + length) for name, entry in header.items()}
    except OSError as error:
        raise ModelError(path, f"cannot be read ({error.strerror})", again) from None
    except (ValueError, struct.error, AttributeError, KeyError, IndexError, TypeError) as error:
        raise ModelError(path, f"not a readable safetensors file ({error})", again) from None
    promised, size = 8 + length + end, path.stat().st_size
    if size != promised:
        state = "cut short" if size < promised else "longer than it should be"
        raise ModelError(path, f"{state}: {size} bytes, its header promises {promised}", again)
    if not facts:
        raise ModelError(path, "holds no tensors", again)
    return facts


def _facts(entry: dict[str, Any], data: int) -> TensorFacts:
    """Read the facts of one entry in a header. `data` is the place in the file at which the tensors' bytes begin."""
    dtype, shape = entry["dtype"], entry["shape"]
    if not isinstance(dtype, str) or not all(isinstance(length, int) and length >= 0 for length in shape):
        raise ValueError(f"a tensor of type {dtype!r} and shape {shape!r}")
    begin, end = entry["data_offsets"]
    return TensorFacts(dtype=dtype, shape=tuple(shape), begin=data + begin, end=data + end)


def all_tensors(paths: tuple[Path, ...]) -> dict[str, TensorFacts]:
    """Read dtype and shape of every tensor in several shards."""
    return {name: facts for path in paths for name, facts in tensors(path).items()}


def architecture_of(config: dict[str, Any]) -> Architecture:
    """Return the architecture that config.json states."""
    return Architecture.SEQ2SEQ if config.get("is_encoder_decoder") is True else Architecture.CAUSAL


def window_of(config: dict[str, Any]) -> int | None:
    """Return the number of positions that the model's configuration states; None if it states none."""
    inner = config.get("text_config")
    inner = inner if isinstance(inner, dict) else config
    for key in WINDOW_KEYS:
        if isinstance(inner.get(key), int) and inner[key] > 0:
            return int(inner[key])
    return None


def tokenizer_files(directory: Path) -> tuple[str, ...]:
    """Return the names of the files that a tokenizer in the directory may be read from, without its folder of chat
    templates.
    """
    versions = sorted(path.name for path in directory.glob(VERSIONS))
    return (*TOKENIZER_PARTS, *versions, TOKENIZER_CONFIG)


def has_tokenizer(directory: Path) -> bool:
    """Return whether the directory has a tokenizer's vocabulary, in its own file or in a GGUF file."""
    return has_vocabulary(directory) or gguf_file(directory) is not None


def has_vocabulary(directory: Path) -> bool:
    """Return whether the directory has a tokenizer's vocabulary in its own file."""
    return any((directory / name).is_file() for name in VOCABULARIES)


def has_weights(directory: Path) -> bool:
    """Return whether the directory has full weights, in one file or in the files that an index lists."""
    return (directory / WEIGHTS).is_file() or (directory / INDEX).is_file()


def training_record(directory: Path) -> tuple[dict[str, Any], Path]:
    """Return how a checkpoint was made (its training.json, else its merge.json) and the directory that has the file.

    {} and `directory` if there is none. For a trainer's checkpoint-N folder the directory may be the one above.
    """
    above = [directory.parent] if directory.name.startswith("checkpoint-") else []
    for place in (directory, *above):
        for name in RECORDS:
            if (place / name).is_file():
                return read_json(place / name), place
    return {}, directory
