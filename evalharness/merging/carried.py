"""Carry to a merged checkpoint what lies beside the weights that it was made of."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from evalharness.checkpoints import files, fingerprint
from evalharness.records.models import Checkpoint


def carry_tokenizer(sources: Sequence[Checkpoint], folder: Path) -> None:
    """Copy the tokenizer's files, chat templates with them, of the first that has a tokenizer."""
    source = next((each.path for each in sources if files.has_tokenizer(each.path)), None)
    for path in () if source is None else _tokenizer(source):
        copy = folder / path.relative_to(str(source))
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, copy)


def other_tokenizers(checkpoints: Sequence[Checkpoint]) -> list[str]:
    """Names of those whose tokenizer's files are not the first's, among those that have a tokenizer."""
    having = [each for each in checkpoints if files.has_tokenizer(each.path)]
    contents = [{path.name: fingerprint.of_file(path) for path in _tokenizer(each.path)} for each in having]
    return [each.name for each, content in zip(having, contents, strict=True) if content != contents[0]]


def _tokenizer(directory: Path) -> list[Path]:
    """The files of a tokenizer among those that a checkpoint's identity covers."""
    named = files.tokenizer_files(directory)
    return [path for path in fingerprint.covered(directory) if path.name in named or path.suffix == ".jinja"]
