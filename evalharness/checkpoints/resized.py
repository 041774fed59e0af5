"""Handle adapters of a base with resized embeddings: second copies of tensors, and the base that the adapter needs."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import PreTrainedModel

from evalharness.checkpoints.files import tensors
from evalharness.checkpoints.open_model import CLASSES, architecture_of, embedding_shape
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint

SAVED = ".modules_to_save."
ORIGINAL = ".original_module.weight"
TOKENS = ".token_adapter.trainable_tokens_delta"
Shapes = dict[str, tuple[int, ...]]
BASE_VALUES = (".weight", ".base_layer.weight", ".original_module.weight", ".token_adapter.base_layer.weight")
RESIZE = (
    "import transformers as t; m = t.{loader}.from_pretrained({base!r}, dtype='auto'); "
    "m.resize_token_embeddings({rows}); m.save_pretrained({out!r}); "
    "t.AutoTokenizer.from_pretrained({base!r}).save_pretrained({out!r})"
)


def second_copies(file: Path, loaded: Collection[str]) -> frozenset[str]:
    """Return the names of tensors in an adapter's file that only repeat the values of a loaded one.

    peft stores a module that is trained whole a second time under `modules_to_save`, and trained tokens of tied
    embeddings for each module, and reads one of the two.
    """
    names = tensors(file).keys()
    with safe_open(file, framework="pt") as stored:
        return frozenset(
            name
            for name in names - set(loaded)
            for first in _first_copies(name, names & set(loaded))
            if torch.equal(stored.get_tensor(name), stored.get_tensor(first))
        )


def _first_copies(name: str, loaded: Iterable[str]) -> list[str]:
    if SAVED in name:
        return [first for first in loaded if first == name.replace(SAVED, ".")]
    end = next((end for end in (TOKENS, ORIGINAL) if name.endswith(end)), None)
    return [first for first in loaded if first.endswith(end)] if end else []


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRows:
    """The number of rows of a base's embeddings, one for each token, and the names of their modules, tied ones
    together.

    `loader` is the transformers class that loads the base.
    """

    number: int
    modules: tuple[tuple[str, ...], ...]
    loader: str


def embedding_rows(base: PreTrainedModel) -> EmbeddingRows:
    """Describe the embeddings of a base without adapter layers."""
    inputs, outputs = base.get_input_embeddings(), base.get_output_embeddings()
    tied = bool(getattr(base.config.get_text_config(), "tie_word_embeddings", False))
    groups = [[inputs, outputs]] if tied or outputs is None else [[inputs], [outputs]]
    return EmbeddingRows(
        number=embedding_shape(base)[0],
        modules=tuple(
            tuple(name for name, each in base.named_modules() if any(each is module for module in group))
            for group in groups
        ),
        loader=CLASSES[architecture_of(base)].__name__,
    )


def check_rows(checkpoint: Checkpoint, base: EmbeddingRows, stored: Shapes, places: Shapes) -> None:
    """Raise ModelError if an adapter was trained on embeddings with another number of rows and otherwise fits.

    The error has the command that resizes the base.
    """
    rows = _rows_of_training(stored, places, base.number)
    if rows is None:
        return
    what = f"trained with embeddings of {rows} rows (resize_token_embeddings), its base {checkpoint.base} has "
    lost = [
        tied[0]
        for tied in base.modules
        if not any(_holds(stored_name, name) for stored_name in stored for name in tied)
    ]
    if lost:
        only = f"the rows of {' and '.join(lost)} are not in its file, only in the model that was trained"
        fix = f"{only}: save that model's base (model.unload().save_pretrained(DIR)) and give it with --base"
    else:
        out = f"{checkpoint.path}-base"
        code = RESIZE.format(loader=base.loader, base=str(checkpoint.base), rows=rows, out=out)
        fix = f"resize it, too, and give --base {shlex.quote(out)}: python -c {shlex.quote(code)}"
    raise ModelError(checkpoint.path, f"{what}{base.number}", fix)


def check_tokens(checkpoint: Checkpoint, base: EmbeddingRows, indices: object) -> None:
    """Raise ModelError if an adapter trains tokens that have no row in its base.

    `indices` is a list of token ids, or such lists by module.
    """
    lists = list(indices.values()) if isinstance(indices, dict) else [indices]
    tokens = [token for each in lists if isinstance(each, list) for token in each if isinstance(token, int)]
    if max(tokens, default=0) >= base.number:
        what = f"trains the row of token {max(tokens)} (resize_token_embeddings), its base {checkpoint.base} has "
        fix = "give with --base the resized base that it was trained on (model.unload().save_pretrained(DIR))"
        raise ModelError(checkpoint.path, f"{what}{base.number} rows", fix)


def _holds(name: str, module: str) -> bool:
    return any(name.endswith(f"{module}{value}") for value in BASE_VALUES)


def _rows_of_training(stored: Shapes, places: Shapes, rows: int) -> int | None:
    """Return the number of rows that the embeddings had in training, from tensors of the wrong shape.

    It is None if no number explains them all.
    """
    if stored.keys() != places.keys():
        return None
    differ = [(stored[name], places[name]) for name in stored if stored[name] != places[name]]
    lengths = {
        has for pair in differ if len(pair[0]) == len(pair[1]) for has, wants in zip(*pair, strict=True) if has != wants
    }
    if len(lengths) != 1:
        return None
    (number,) = lengths
    explained = all(tuple(rows if length == number else length for length in has) == wants for has, wants in differ)
    return number if explained else None
