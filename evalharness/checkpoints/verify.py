"""A Checkpoint's files to a list of notices, or a refusal by name, before any answer is computed and without loading the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedTokenizerBase

from evalharness import registry
from evalharness.checkpoints import KNOWN, files, fingerprint
from evalharness.checkpoints.weights import first_line, from_pretrained, load_tokenizer, names, tokenizer_directory
from evalharness.errors import ModelError
from evalharness.records import Checkpoint

CHUNK = 1 << 24  # values looked at together
SHOWN = 5


def verify(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Is all there, of the right shape, finite, trained from this base, and does its tokenizer fit? Returns notices: allowed, and worth knowing.

    Raises ModelError naming the tensors, tokens or files that are wrong. An adapter's base is looked at for shapes only: verify it by itself.
    """
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
    files.all_tensors(weights)  # refuses files that were cut short
    empty = from_pretrained(checkpoint.path, device_map="meta")
    for path in weights:
        _refuse_nonfinite(path)
    return (), empty.get_input_embeddings().weight.shape[0]


def _adapter(checkpoint: Checkpoint) -> tuple[tuple[str, ...], int]:
    if checkpoint.base is None:
        raise ModelError(checkpoint.path, "an adapter without its base", "give --base PATH")
    path = checkpoint.path / files.ADAPTER
    found = files.tensors(path)
    empty = from_pretrained(checkpoint.base, device_map="meta")
    rows, hidden = empty.get_input_embeddings().weight.shape
    notices: tuple[str, ...] = ()
    if checkpoint.kind == "lora":
        layout = registry.find(KNOWN, "lora_layout", "checkpoint step")(checkpoint, empty)
        notices = layout.notices
        if layout.replaced:
            notices += (f"{checkpoint.name}: the adapter also replaces tensors of its base: {names(layout.replaced)}",)
    else:
        _soft_prompt(checkpoint, found, hidden)
    _refuse_nonfinite(path)
    return notices, rows


def _soft_prompt(checkpoint: Checkpoint, found: dict[str, files.TensorFacts], hidden: int) -> None:
    wanted = (checkpoint.virtual_tokens, hidden)
    has = {name: facts.shape for name, facts in found.items()}
    if has != {"prompt_embeddings": wanted}:
        what = f"holds {', '.join(f'{name} {shape}' for name, shape in sorted(has.items()))} where prompt_embeddings {wanted} belongs"
        raise ModelError(checkpoint.path / files.ADAPTER, what, f"its base {checkpoint.base} is another model: give --base")


def _trained_from(checkpoint: Checkpoint) -> tuple[str, ...]:
    """A notice where training.json records another base than the one given. Raises ModelError for an adapter: on other weights it means nothing."""
    if checkpoint.base is None or not (checkpoint.path / files.TRAINING).is_file():
        return ()
    recorded = files.read_json(checkpoint.path / files.TRAINING)
    tensors, whole = recorded.get("base_weights"), recorded.get("base_fingerprint")
    now = fingerprint.of_weights(checkpoint.base)
    other = tensors != fingerprint.of_tensors(checkpoint.base) if tensors else bool(whole) and whole != now
    if other and checkpoint.adapter:
        what = f"was trained on another base than {checkpoint.base} (training.json records {recorded.get('base_as_given') or recorded.get('base')!r})"
        raise ModelError(checkpoint.path, what, "give the base that it was trained on with --base")
    if other:
        return (f"{checkpoint.name}: training.json records another base than {checkpoint.base}, with which it is compared",)
    if whole and whole != now:
        return (f"{checkpoint.name}: its base has the weights of its training, but another configuration, tokenizer or chat template",)
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


def _refuse_nonfinite(path: Path) -> None:
    """Raises ModelError naming tensors with NaN or infinite values."""
    bad = []
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                if any(chunk.is_floating_point() and not bool(torch.isfinite(chunk).all()) for chunk in _chunks(file, name)):
                    bad.append(name)
    except (SafetensorError, OSError, RuntimeError) as error:
        raise ModelError(path, f"cannot be read ({first_line(error)})", "copy or save the file again") from None
    if bad:
        raise ModelError(path, f"NaN or infinite values in {names(bad)}", "the training run diverged: take an earlier checkpoint")


# ---- tokenizer -------------------------------------------------------------------------------------------------------


def _tokenizer(checkpoint: Checkpoint, rows: int) -> tuple[str, ...]:
    directory = tokenizer_directory(checkpoint)
    tokenizer = load_tokenizer(directory)
    outside = {token: index for token, index in tokenizer.get_vocab().items() if index >= rows}
    if outside:
        what = f"tokens outside the embedding matrix of {rows} rows: {_tokens(outside)}"
        raise ModelError(directory, what, "resize the embeddings to the tokenizer, or give the tokenizer that it was trained with")
    if checkpoint.base is None or checkpoint.base == directory or not files.has_tokenizer(checkpoint.base):
        return ()
    return _against_base(checkpoint, tokenizer, load_tokenizer(checkpoint.base))


def _against_base(checkpoint: Checkpoint, own: PreTrainedTokenizerBase, base: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Notices about tokens added or dropped. Raises ModelError where a token of the base has another id now."""
    now, before = own.get_vocab(), base.get_vocab()
    moved = [f"{token!r} from {before[token]} to {now[token]}" for token in sorted(now.keys() & before.keys()) if now[token] != before[token]]
    if moved:
        more = f" and {len(moved) - SHOWN} more" if len(moved) > SHOWN else ""
        what = f"token ids moved against its base {checkpoint.base}: {', '.join(moved[:SHOWN])}{more}"
        raise ModelError(checkpoint.path, what, "use the base's tokenizer, or name the right base with --base")
    added = {token: now[token] for token in now.keys() - before.keys()}
    dropped = {token: before[token] for token in before.keys() - now.keys()}
    notices = [f"{checkpoint.name}: tokens added to its base's tokenizer: {_tokens(added)}"] if added else []
    notices += [f"{checkpoint.name}: tokens of its base's tokenizer dropped: {_tokens(dropped)}"] if dropped else []
    probe = "Is 3.14 more than 2?\n\tYes, naïve – it is."
    if not added and not dropped and own(probe)["input_ids"] != base(probe)["input_ids"]:
        notices.append(f"{checkpoint.name}: its tokenizer splits text otherwise than its base's (BOS token, normalisation or merges)")
    return tuple(notices)


def _tokens(tokens: dict[str, int]) -> str:
    shown = [f"{token!r} ({index})" for token, index in sorted(tokens.items(), key=lambda item: item[1])]
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "")
