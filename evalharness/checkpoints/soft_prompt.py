"""Find the nearest vocabulary tokens of a soft prompt's virtual tokens, and cluster the virtual tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from evalharness.checkpoints import files
from evalharness.checkpoints.conclusions import conclude_once
from evalharness.checkpoints.files import TensorFacts
from evalharness.checkpoints.kinds import TYPES
from evalharness.checkpoints.special_tokens import tokenizer_directory
from evalharness.checkpoints.vocabulary import token_texts
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint

READ = ("PROMPT_TUNING", "P_TUNING")  # types whose file has the embeddings themselves
TABLE = "prompt_embeddings"
NEAREST = 5  # tokens
ALIKE = 0.5  # cosine similarity that any two of a cluster have at least
RULE = f"complete linkage: any two virtual tokens of a cluster have a cosine similarity of at least {ALIKE}"
MOST = 2000  # virtual tokens: a larger cluster tree takes too much memory
CHUNK = 1 << 25  # bytes of embeddings in float32 that are read together
PLACES = 4  # decimals, so that the same files give the same text in any order of summation
DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "F64": np.dtype("<f8"),
}
INPUTS = (  # ends of the names of input embeddings
    *("embed_tokens.weight", "wte.weight", "shared.weight", "word_embeddings.weight", "embed_in.weight"),
    *("tok_embeddings.weight", "embeddings.weight", "embedding.weight"),
)
Array = NDArray[np.float32]


def soft_prompt(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the nearest tokens and the clusters of virtual tokens, as JSON; {} without virtual tokens.

    `nearest` has for each virtual token the tokens of the base's input embeddings with the largest cosine similarity,
    and their Euclidean distance. `clusters` has lists of similar virtual tokens, numbered from 0; `rule` says when two
    are similar. There is only `reason` if they have no nearest tokens. The result is remembered for the same files.
    Raises ModelError if a file cannot be read.
    """
    if not checkpoint.virtual_tokens or not (checkpoint.path / files.ADAPTER).is_file():  # a model in memory has none
        return {}
    if TYPES[checkpoint.adapter].acts == "cache":
        return {"reason": "keys and values in every layer, no embeddings: it has no nearest tokens"}
    if checkpoint.adapter not in READ:
        return {"reason": f"peft's {checkpoint.adapter} computes its virtual tokens when it answers"}
    read = [checkpoint.path / files.ADAPTER, *files.weight_files(checkpoint.weights)]
    vocabulary = tokenizer_directory(checkpoint) / "tokenizer.json"
    read += [vocabulary] if vocabulary.is_file() else []
    inputs = [checkpoint.virtual_tokens, str(vocabulary)]
    try:
        return dict(conclude_once("soft prompt", read, inputs, lambda: _facts(checkpoint, vocabulary)))
    except OSError as error:
        raise ModelError(
            checkpoint.path, f"cannot be read ({error})", "check its permissions, and its base's"
        ) from None


def _facts(checkpoint: Checkpoint, vocabulary: Path) -> dict[str, Any]:
    path = checkpoint.path / files.ADAPTER
    table = files.tensors(path).get(TABLE)
    if table is None or table.dtype not in DTYPES or len(table.shape) != 2:
        return {"reason": f"its file holds no {TABLE}"}
    if checkpoint.virtual_tokens > MOST:
        return {"reason": f"more than {MOST:,} virtual tokens"}
    prompt = np.concatenate([*_rows(path, table, 1)])[: checkpoint.virtual_tokens]
    place = input_embeddings(checkpoint.weights, table.shape[1])
    if not len(prompt) or not np.isfinite(prompt).all() or place is None:
        return {"reason": f"no input embeddings of {table.shape[1]} values are known in its base"}
    ids, similarities, distances = nearest_tokens(prompt, _rows(*place, len(prompt)))
    texts = token_texts(vocabulary, {int(each) for each in ids.flat})
    near = [
        [
            {"id": int(i), "text": texts.get(int(i)), "cosine": _rounded(c), "distance": _rounded(d)}
            for i, c, d in zip(*of_one, strict=True)
        ]
        for of_one in zip(ids, similarities, distances, strict=True)
    ]
    return {"vocabulary": place[1].shape[0], "nearest": near, "rule": RULE, "clusters": clusters(prompt)}


def _rounded(value: np.floating[Any]) -> float:
    return round(float(value), PLACES)


def input_embeddings(directory: Path, width: int) -> tuple[Path, TensorFacts] | None:
    """Return the file of the base's input embeddings of this width, and their facts.

    Returns None if there are none, or if they are not stored as floats.
    """
    matches = {}
    for path in files.weight_files(directory):
        for name, facts in files.tensors(path).items():
            end = next((n for n, end in enumerate(INPUTS) if f".{name}".endswith(f".{end}")), None)
            if end is not None and len(facts.shape) == 2 and facts.shape[1] == width and facts.dtype in DTYPES:
                matches[end, "decoder" in name, name] = path, facts
    return matches[min(matches)] if matches and files.gguf_file(directory) is None else None


def _rows(path: Path, facts: TensorFacts, values_each: int) -> Iterator[Array]:
    """Read a matrix in float32 in pieces, with as many rows as fit into CHUNK together with `values_each` values for
    each row.
    """
    rows, width = facts.shape
    dtype = DTYPES[facts.dtype]
    step = max(1, CHUNK // (4 * max(1, width, values_each)))
    for start in range(0, rows, step):
        number = min(step, rows - start) * width
        values = np.fromfile(path, dtype, number, offset=facts.begin + start * width * dtype.itemsize)
        if facts.dtype == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        yield values.astype(np.float32, copy=False).reshape(-1, width)


def nearest_tokens(prompt: Array, embeddings: Iterator[Array]) -> tuple[NDArray[np.int64], Array, NDArray[np.float64]]:
    """Find the NEAREST rows of the embeddings for each virtual token of a prompt (tokens, width), by cosine
    similarity.

    Of equals the smaller id is first. Returns ids, similarities and Euclidean distances, each (tokens, NEAREST).
    """
    unit, lengths = _unit(prompt)
    ids = np.empty((len(prompt), 0), np.int64)
    similarities, sizes = np.empty((len(prompt), 0), np.float32), np.empty((len(prompt), 0))
    begin = 0
    for rows in embeddings:
        of_rows, row_lengths = _unit(rows)
        near = unit @ of_rows.T
        here = _best(near)
        ids = np.hstack([ids, begin + here])
        similarities = np.hstack([similarities, np.take_along_axis(near, here, 1)])
        sizes = np.hstack([sizes, row_lengths[here]])
        best = _best(similarities)
        ids, sizes = np.take_along_axis(ids, best, 1), np.take_along_axis(sizes, best, 1)
        similarities = np.take_along_axis(similarities, best, 1)
        begin += len(rows)
    own = lengths[:, None]
    squared = own**2 + sizes**2 - 2 * own * sizes * similarities
    return ids, similarities, np.sqrt(np.maximum(squared, 0))


def _best(similarities: Array) -> NDArray[np.int64]:
    """Return the indices of the NEAREST largest values of each row, the largest first."""
    return np.argsort(-similarities, axis=1, kind="stable")[:, :NEAREST]


def _unit(rows: Array) -> tuple[Array, NDArray[np.float64]]:
    """Return the rows scaled to length 1 (zeros stay), and their lengths."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    divisor = np.where(lengths > 0, lengths, 1.0)[:, None]
    return np.divide(rows, divisor, out=np.empty_like(rows), casting="same_kind"), lengths


def clusters(prompt: Array) -> list[list[int]]:
    """Cluster the virtual tokens of a prompt (tokens, width), so that any two of a cluster are similar.

    Two are similar if their cosine similarity is at least ALIKE. A cluster is the list of its tokens' indices in the
    prompt; the largest cluster is first.
    """
    if len(prompt) == 1:
        return [[0]]
    unit = _unit(prompt)[0].astype(np.float64)
    apart = np.clip(1 - unit @ unit.T, 0, 2)
    np.fill_diagonal(apart, 0)
    labels = fcluster(linkage(squareform(apart, checks=False), "complete"), 1 - ALIKE, "distance")
    grouped: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        grouped.setdefault(int(label), []).append(place)
    return sorted(grouped.values(), key=lambda places: (-len(places), places))


def in_short(facts: Mapping[str, Any], most: int) -> tuple[str, str]:
    """Describe the nearest tokens in one line and the clusters in another, the first `most` of either."""
    tokens_of_each = [
        [f"{name_of(token)} {token['cosine']:.2f}" for token in tokens[:3]] for tokens in facts["nearest"]
    ]
    near = [f"{place}: {' '.join(tokens)}" for place, tokens in enumerate(tokens_of_each)]
    several = [f"{{{', '.join(map(str, places))}}}" for places in facts["clusters"] if len(places) > 1]
    alone = sum(len(places) == 1 for places in facts["clusters"])
    parts = [*_some(several, most), *([f"{alone} alone"] if alone else [])]
    return f"{'; '.join(_some(near, most))} (cosine)", f"{', '.join(parts)} (cosine of any two ≥ {ALIKE})"


def name_of(token: Mapping[str, Any]) -> str:
    """Return a token's text in quotes, else its id."""
    return f"#{token['id']}" if token.get("text") is None else repr(token["text"])


def _some(words: list[str], most: int) -> list[str]:
    return words if len(words) <= most else [*words[:most], f"and {len(words) - most} more"]
