"""A Checkpoint's files to a list of notices, or a refusal by name, before any answer is computed and without loading
the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from evalharness import registry
from evalharness.checkpoints import REGISTRY, files, fingerprint
from evalharness.checkpoints.differences import Differences, between
from evalharness.checkpoints.kinds import PLACEBO
from evalharness.checkpoints.precision import QUANTISED, otherwise
from evalharness.checkpoints.quantised_check import empty_model, fits_quantised
from evalharness.checkpoints.weights import first_line, from_pretrained, load_tokenizer, names, tokenizer_directory
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint

CHUNK = 1 << 24  # values looked at together
SHOWN = 5
SHAPE = (
    "model_type",
    "hidden_size",
    "d_model",
    "n_embd",
    "num_hidden_layers",
    "num_layers",
    "n_layer",
    "num_attention_heads",
    "num_heads",
    "n_head",
)
TEMPLATES = {
    "added": "its tokenizer has a chat template, its base's has none",
    "dropped": "its tokenizer has no chat template, its base's has one",
    "changed": "its chat template is another than its base's",
}


def verify(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Is all there, of the right shape, finite, trained from this base, and does its tokenizer fit? Returns notices:
    allowed, and worth knowing.

    Raises ModelError naming the tensors, tokens or files that are wrong. An adapter's base is looked at for shapes
    only: verify it by itself.
    """
    if checkpoint.adapter == PLACEBO:
        return ()  # it has no files but its base's
    if checkpoint.adapter:
        notices, rows = _adapter(checkpoint)
    else:
        notices, rows = _full(checkpoint)
    return (*notices, *_trained_from(checkpoint), *_tokenizer(checkpoint, rows))


def _full(checkpoint: Checkpoint) -> tuple[tuple[str, ...], int]:
    """Notices, and the rows of the embedding matrix."""
    weights = files.weight_files(checkpoint.path)
    if not weights:
        raise ModelError(checkpoint.path, "its weights are gone", "give a complete checkpoint directory")
    found, notices = files.all_tensors(weights), ()  # refuses files that were cut short
    if QUANTISED in files.read_json(checkpoint.path / files.CONFIG):
        empty, notices = fits_quantised(checkpoint, found)
    else:
        empty = from_pretrained(checkpoint.path, device_map="meta")
    for path in weights:
        _refuse_nonfinite(path)
    return (
        *notices,
        *_of_another_shape(checkpoint),
        *_quantised_otherwise(checkpoint),
    ), empty.get_input_embeddings().weight.shape[0]


def _adapter(checkpoint: Checkpoint) -> tuple[tuple[str, ...], int]:
    if checkpoint.base is None:
        raise ModelError(checkpoint.path, "an adapter without its base", "give --base PATH")
    path = checkpoint.path / files.ADAPTER
    files.tensors(path)
    empty = empty_model(checkpoint.base)
    rows = empty.get_input_embeddings().weight.shape[0]
    layout = registry.find(REGISTRY, "layout", "checkpoint step")(checkpoint, empty)
    notices: tuple[str, ...] = layout.notices
    if layout.replaced:
        notices += (f"{checkpoint.name}: the adapter also replaces tensors of its base: {names(layout.replaced)}",)
    _refuse_nonfinite(path)
    return notices, rows


def _of_another_shape(checkpoint: Checkpoint) -> tuple[str, ...]:
    """A notice where full weights cannot have been fine-tuned from this base. Raises ModelError where the two cannot
    even be asked the same way.
    """
    if checkpoint.base is None or checkpoint.base == checkpoint.path:
        return ()
    own, base = (files.read_json(place / files.CONFIG) for place in (checkpoint.path, checkpoint.base))
    if (own.get("is_encoder_decoder") is True) != (base.get("is_encoder_decoder") is True):
        kinds = f"{own.get('model_type')}, its base {checkpoint.base} {base.get('model_type')}"
        what = f"encoder-decoder and decoder-only do not go together: it is {kinds}"
        raise ModelError(checkpoint.path, what, "give the base that it was trained from with --base")
    other = [f"{key} {base[key]} → {own[key]}" for key in SHAPE if key in own and key in base and own[key] != base[key]]
    return (
        (f"{checkpoint.name}: no fine-tuned copy of {checkpoint.base}, with which it is compared: {', '.join(other)}",)
        if other
        else ()
    )


def _quantised_otherwise(checkpoint: Checkpoint) -> tuple[str, ...]:
    """A notice where weights that their files hold quantised are so in another way than the base with which they are
    compared.
    """
    if checkpoint.base is None or checkpoint.base == checkpoint.path:
        return ()
    own, base = (files.read_json(place / files.CONFIG).get(QUANTISED) for place in (checkpoint.path, checkpoint.base))
    found = otherwise(own, base)
    what = "quantised otherwise than its base, which is part of every difference between them"
    return (f"{checkpoint.name}: {what}: {'; '.join(found)}",) if found else ()


def _trained_from(checkpoint: Checkpoint) -> tuple[str, ...]:
    """A notice where training.json records another base than the one given. Raises ModelError for an adapter: on other
    weights it means nothing.
    """
    recorded = files.training_of(checkpoint.path)[0]
    if checkpoint.base is None or not recorded:
        return ()
    tensors, whole = recorded.get("base_weights"), recorded.get("base_fingerprint")
    now = fingerprint.of_weights(checkpoint.base)
    other = tensors != fingerprint.of_tensors(checkpoint.base) if tensors else bool(whole) and whole != now
    if other and checkpoint.adapter:
        what = f"was trained on another base than {checkpoint.base} (training.json records {recorded.get('base_as_given') or recorded.get('base')!r})"
        raise ModelError(checkpoint.path, what, "give the base that it was trained on with --base")
    if other:
        return (
            f"{checkpoint.name}: training.json records another base than {checkpoint.base}, with which it is compared",
        )
    if whole and whole != now:
        return (
            f"{checkpoint.name}: its base has the weights of its training, but another configuration, tokenizer or chat template",
        )
    return ()


# ---- values ----------------------------------------------------------------------------------------------------------


def _chunks(file: safe_open, name: str) -> Iterator[torch.Tensor]:
    """A tensor a few rows at a time."""
    view = file.get_slice(name)
    shape = view.get_shape()
    if not shape:
        yield file.get_tensor(name)
        return
    step = max(1, CHUNK // max(1, torch.Size(shape[1:]).numel()))
    for start in range(0, shape[0], step):
        yield view[start : start + step]


def _wide(chunk: torch.Tensor) -> torch.Tensor:
    """Torch cannot ask a float of eight bits whether it is finite."""
    return chunk.float() if chunk.element_size() == 1 else chunk


def _refuse_nonfinite(path: Path) -> None:
    """Raises ModelError naming tensors with NaN or infinite values."""
    bad = []
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                if any(
                    chunk.is_floating_point() and not bool(torch.isfinite(_wide(chunk)).all())
                    for chunk in _chunks(file, name)
                ):
                    bad.append(name)
    except (SafetensorError, OSError, RuntimeError) as error:
        raise ModelError(path, f"cannot be read ({first_line(error)})", "copy or save the file again") from None
    if bad:
        raise ModelError(
            path, f"NaN or infinite values in {names(bad)}", "the training run diverged: take an earlier checkpoint"
        )


# ---- tokenizer -------------------------------------------------------------------------------------------------------


def _tokenizer(checkpoint: Checkpoint, rows: int) -> tuple[str, ...]:
    directory = tokenizer_directory(checkpoint)
    tokenizer = load_tokenizer(directory)
    outside = {token: index for token, index in tokenizer.get_vocab().items() if index >= rows}
    if outside:
        what = f"tokens outside the embedding matrix of {rows} rows: {_tokens(outside)}"
        raise ModelError(
            directory, what, "resize the embeddings to the tokenizer, or give the tokenizer that it was trained with"
        )
    if checkpoint.base is None or checkpoint.base == directory or not files.has_tokenizer(checkpoint.base):
        return ()
    return _against_base(checkpoint, between(tokenizer, load_tokenizer(checkpoint.base)))


def _against_base(checkpoint: Checkpoint, found: Differences) -> tuple[str, ...]:
    """Notices about tokens and templates that changed. Raises ModelError where a token of the base has another id
    now.
    """
    name = checkpoint.name
    if found.moved:
        moved = [f"{token!r} from {before} to {now}" for token, (before, now) in found.moved.items()]
        more = f" and {len(moved) - SHOWN} more" if len(moved) > SHOWN else ""
        what = f"token ids moved against its base {checkpoint.base}: {', '.join(moved[:SHOWN])}{more}"
        raise ModelError(checkpoint.path, what, "use the base's tokenizer, or name the right base with --base")
    notices = [f"{name}: tokens added to its base's tokenizer: {_tokens(found.added)}"] if found.added else []
    notices += [f"{name}: tokens of its base's tokenizer dropped: {_tokens(found.dropped)}"] if found.dropped else []
    if found.splits:
        notices.append(
            f"{name}: its tokenizer splits text otherwise than its base's (BOS token, normalisation or merges)"
        )
    for role in ("bos_token", "eos_token"):
        if role in found.special:
            before, now = found.special[role]
            notices.append(f"{name}: its {role} is {now!r}, its base's {before!r}")
    if found.template:
        notices.append(f"{name}: {TEMPLATES[found.template]}")
    return tuple(notices)


def _tokens(tokens: Mapping[str, int]) -> str:
    shown = [f"{token!r} ({index})" for token, index in sorted(tokens.items(), key=lambda item: item[1])]
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "")
