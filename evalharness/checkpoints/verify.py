"""Verify a checkpoint's files before a run, without loading the model: raise an error that names the problem, or return
notices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel

from evalharness import registry
from evalharness.checkpoints import REGISTRY, files, fingerprint
from evalharness.checkpoints.derived import check_unchanged
from evalharness.checkpoints.kinds import PLACEBO
from evalharness.checkpoints.libraries import SHOWN, first_names
from evalharness.checkpoints.open_model import embedding_shape, empty_model
from evalharness.checkpoints.precision import QUANTISED, quantisation_differences
from evalharness.checkpoints.quantised import fits_quantised
from evalharness.checkpoints.special_tokens import added_tokens, text_between, tokenizer_directory
from evalharness.checkpoints.tokenizer import (
    TokenizerDifferences,
    compare_tokenizers,
    load_tokenizer,
    shared_prompt_tokens,
)
from evalharness.errors import ModelError, first_line, some_of
from evalharness.records.models import Checkpoint

SHAPE_KEYS = (
    *("model_type", "hidden_size", "d_model", "n_embd", "num_hidden_layers", "num_layers", "n_layer"),
    *("num_attention_heads", "num_heads", "n_head"),
)
TEMPLATES = {
    "added": "its tokenizer has a chat template, its base's has none",
    "dropped": "its tokenizer has no chat template, its base's has one",
    "changed": "its chat template is another than its base's",
}


def verify(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Check that all tensors are there, of the right shape, finite and trained from this base, and that the tokenizer
    fits.

    Returns notices about allowed oddities. Raises ModelError naming the wrong tensors, tokens or files, and if the
    files changed since they were recognised. Of an adapter's base only shapes are checked: verify it by itself.
    """
    if checkpoint.adapter == PLACEBO:
        return ()  # all its files are its base's
    places = {checkpoint.path, checkpoint.weights}
    read = [path for place in places for path in (*fingerprint.covered(place), *files.weight_files(place))]
    with fingerprint.unchanged(read, afresh=False):
        notices, rows = _adapter(checkpoint) if checkpoint.adapter else _full_weights(checkpoint)
        notices = (*notices, *_trained_from(checkpoint), *_tokenizer(checkpoint, rows))
    check_unchanged(checkpoint)
    return notices


def _full_weights(checkpoint: Checkpoint) -> tuple[tuple[str, ...], int]:
    """Check full weights, and return notices and the number of rows of the embedding matrix."""
    weights = files.weight_files(checkpoint.path)
    if not weights:
        raise ModelError(checkpoint.path, "its weights are gone", "give a complete checkpoint directory")
    stored = files.all_tensors(weights)  # refuses files that were cut short
    notices: tuple[str, ...] = ()
    if weights[0].suffix == files.GGUF:
        empty, notices = empty_model(checkpoint.path), _unpacked(checkpoint, stored)
    elif QUANTISED in files.read_json(checkpoint.path / files.CONFIG):
        empty, notices = fits_quantised(checkpoint, stored)
    else:
        empty = empty_model(checkpoint.path)
        notices = _untied(checkpoint, empty, weights)
    for path in weights:
        refuse_nonfinite(path)
    if checkpoint.base is not None and checkpoint.base != checkpoint.path:
        own, base = (files.model_config(place) for place in (checkpoint.path, checkpoint.base))
        notices += (*_shape_differences(checkpoint, own, base), *_quantisation_differences(checkpoint, own, base))
    return notices, embedding_shape(empty)[0]


def _unpacked(checkpoint: Checkpoint, stored: Mapping[str, files.TensorFacts]) -> tuple[str, ...]:
    """Return a notice if the weights of a GGUF file have few bits, which is part of every difference."""
    types = sorted({facts.dtype for facts in stored.values()} - {"F32", "F16", "BF16", "F64"})
    return (f"{checkpoint.name}: weights unpacked from a GGUF file's {', '.join(types)}",) if types else ()


def _untied(checkpoint: Checkpoint, empty: PreTrainedModel, weights: tuple[Path, ...]) -> tuple[str, ...]:
    """Return a notice about tensors that config.json ties and that differ in the files: transformers does not tie
    these.
    """
    places = {name: path for path in weights for name in files.tensors(path)}
    pairs = empty.get_expanded_tied_weights_keys(all_submodels=True).items()
    apart = [
        f"{one} and {other}" for one, other in pairs if {one, other} <= places.keys() and _differ(places, one, other)
    ]
    what = (
        "config.json ties tensors that differ in its files, each of which is used as it is stored, as by transformers"
    )
    return (f"{checkpoint.name}: {what}: {first_names(apart)}",) if apart else ()


def _differ(places: Mapping[str, Path], one: str, other: str) -> bool:
    with safe_open(places[one], framework="pt") as first, safe_open(places[other], framework="pt") as second:
        chunks = zip(_chunks(first, one), _chunks(second, other), strict=True)
        return not all(torch.equal(*pair) for pair in chunks)


def _adapter(checkpoint: Checkpoint) -> tuple[tuple[str, ...], int]:
    """Check an adapter, and return notices and the number of rows of the base's embedding matrix."""
    if checkpoint.base is None:
        raise ModelError(checkpoint.path, "an adapter without its base", "give --base PATH")
    path = checkpoint.path / files.ADAPTER
    files.tensors(path)  # refuses a file that was cut short
    empty = empty_model(checkpoint.base)
    rows = embedding_shape(empty)[0]
    fit = registry.find(REGISTRY, "adapter_fit", "checkpoint step")(checkpoint, empty)
    notices: tuple[str, ...] = fit.notices
    if fit.replaced:
        replaced = first_names(fit.replaced)
        notices += (f"{checkpoint.name}: the adapter also replaces tensors of its base: {replaced}",)
    refuse_nonfinite(path)
    return notices, rows


def _shape_differences(checkpoint: Checkpoint, own: Mapping[str, object], base: Mapping[str, object]) -> list[str]:
    """Return a notice if full weights cannot have been fine-tuned from this base. Raises ModelError if the two have
    different architectures.
    """
    if (own.get("is_encoder_decoder") is True) != (base.get("is_encoder_decoder") is True):
        kinds = f"{own.get('model_type')}, its base {checkpoint.base} {base.get('model_type')}"
        raise ModelError(
            checkpoint.path,
            f"encoder-decoder and decoder-only do not go together: it is {kinds}",
            "give the base that it was trained from with --base",
        )
    keys = [key for key in SHAPE_KEYS if key in own and key in base and own[key] != base[key]]
    other = ", ".join(f"{key} {base[key]} → {own[key]}" for key in keys)
    what = f"no fine-tuned copy of {checkpoint.base}, with which it is compared"
    return [f"{checkpoint.name}: {what}: {other}"] if other else []


def _quantisation_differences(
    checkpoint: Checkpoint, own: Mapping[str, object], base: Mapping[str, object]
) -> list[str]:
    """Return a notice if the files' weights are quantised in another way than the base's."""
    different = quantisation_differences(own.get(QUANTISED), base.get(QUANTISED))
    what = "quantised otherwise than its base, which is part of every difference between them"
    return [f"{checkpoint.name}: {what}: {'; '.join(different)}"] if different else []


def _trained_from(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return a notice if training.json records another base. Raises ModelError for an adapter, which is meaningless on
    other weights.
    """
    name, recorded = checkpoint.name, files.training_record(checkpoint.path)[0]
    if checkpoint.base is None or not recorded:
        return ()
    tensors, whole = recorded.get("base_weights"), recorded.get("base_fingerprint")
    now = fingerprint.of_weights(checkpoint.base)
    other = tensors != fingerprint.of_tensors(checkpoint.base) if tensors else bool(whole) and whole != now
    if other and checkpoint.adapter:
        stated = recorded.get("base_as_given") or recorded.get("base")
        raise ModelError(
            checkpoint.path,
            f"was trained on another base than {checkpoint.base} (training.json records {stated!r})",
            "give the base that it was trained on with --base",
        )
    if other:
        what = f"training.json records another base than {checkpoint.base}, with which it is compared"
        return (f"{name}: {what}",)
    if whole and whole != now:
        what = "its base has the weights of its training, but another configuration, tokenizer or chat template"
        return (f"{name}: {what}",)
    return ()


def _tokenizer(checkpoint: Checkpoint, rows: int) -> tuple[str, ...]:
    """Check the tokenizer, and return notices.

    Raises ModelError for tokens that have no row in the embedding matrix, or another id than the base's.
    """
    directory = tokenizer_directory(checkpoint)
    tokenizer = load_tokenizer(directory)
    outside = {token: index for token, index in tokenizer.get_vocab().items() if index >= rows}
    if outside:
        raise ModelError(
            directory,
            f"tokens outside the embedding matrix of {rows} rows: {_tokens(outside)}",
            "resize the embeddings to the tokenizer, or give the tokenizer that it was trained with",
        )
    own, shared = added_tokens(tokenizer), shared_prompt_tokens(checkpoint)
    if any(index >= rows for index in (*shared.before, *shared.after, shared.prefix or 0)):
        what = f"its base's tokenizer begins texts with {text_between(shared, tokenizer)}, which it has no rows for"
        raise ModelError(directory, what, "name the right base with --base")
    notices = (
        (
            f"{checkpoint.name}: its tokenizer makes {text_between(own, tokenizer)} of a text; prompts of base and "
            f"candidates are {text_between(shared, tokenizer)}",
        )
        if (own.before, own.after) != (shared.before, shared.after)
        else ()
    )
    if checkpoint.base is None or checkpoint.base == directory or not files.has_tokenizer(checkpoint.base):
        return notices
    return *notices, *_against_base(checkpoint, compare_tokenizers(tokenizer, load_tokenizer(checkpoint.base)))


def _against_base(checkpoint: Checkpoint, differences: TokenizerDifferences) -> tuple[str, ...]:
    """Compare the tokenizer with the base's, and return notices about changed tokens and templates.

    Raises ModelError if a token of the base has another id.
    """
    if differences.moved:
        moved = [f"{token!r} from {before} to {now}" for token, (before, now) in differences.moved.items()]
        raise ModelError(
            checkpoint.path,
            f"token ids moved against its base {checkpoint.base}: {some_of(moved, SHOWN)}",
            "use the base's tokenizer, or name the right base with --base",
        )
    notices = []
    if differences.added:
        notices.append(f"tokens added to its base's tokenizer: {_tokens(differences.added)}")
    if differences.dropped:
        notices.append(f"tokens of its base's tokenizer dropped: {_tokens(differences.dropped)}")
    if differences.splits:
        notices.append("its tokenizer splits text otherwise than its base's (normalisation or merges)")
    for role in ("bos_token", "eos_token"):
        if role in differences.special:
            before, now = differences.special[role]
            notices.append(f"its {role} is {now!r}, its base's {before!r}")
    if differences.template:
        notices.append(TEMPLATES[differences.template])
    return tuple(f"{checkpoint.name}: {notice}" for notice in notices)


def _tokens(tokens: Mapping[str, int]) -> str:
    return some_of([f"{token!r} ({index})" for token, index in sorted(tokens.items(), key=lambda item: item[1])], SHOWN)


# ---- values ----------------------------------------------------------------------------------------------------------

CHUNK = 1 << 24  # values read together


def refuse_nonfinite(path: Path) -> None:
    """Raise ModelError naming tensors of a file of weights with NaN or infinite values."""
    try:
        if path.suffix == files.GGUF:
            names = registry.find(REGISTRY, "gguf_nonfinite", "GGUF reader")(path)
        else:
            names = _nonfinite(path)
    except (SafetensorError, OSError, RuntimeError) as error:
        raise ModelError(path, f"cannot be read ({first_line(error)})", "copy or save the file again") from None
    if names:
        raise ModelError(
            path,
            f"NaN or infinite values in {first_names(names)}",
            "the training run diverged: take an earlier checkpoint",
        )


def _nonfinite(path: Path) -> list[str]:
    with safe_open(path, framework="pt") as file:
        return [name for name in file.keys() if not all(map(_is_finite, _chunks(file, name)))]  # noqa: SIM118 - no mapping


def _chunks(file: safe_open, name: str) -> Iterator[torch.Tensor]:
    """Return the values of a tensor, a few rows at a time."""
    view = file.get_slice(name)
    shape = view.get_shape()
    if not shape:
        yield file.get_tensor(name)
        return
    step = max(1, CHUNK // max(1, torch.Size(shape[1:]).numel()))
    for start in range(0, shape[0], step):
        yield view[start : start + step]


def _is_finite(chunk: torch.Tensor) -> bool:
    """Return whether all values are finite. torch cannot test floats of eight bits."""
    wide = chunk.float() if chunk.element_size() == 1 else chunk
    return not chunk.is_floating_point() or bool(torch.isfinite(wide).all())
