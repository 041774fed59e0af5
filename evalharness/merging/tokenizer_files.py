"""Copy the parents' tokenizer to a merged checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from evalharness.checkpoints import files, fingerprint
from evalharness.records.models import Checkpoint


def carry_tokenizer(sources: Sequence[Checkpoint], folder: Path) -> None:
    """Copy the tokenizer's files and chat templates of the first checkpoint that has any."""
    source = next((each.path for each in sources if files.has_tokenizer(each.path)), None)
    for path in () if source is None else _tokenizer(source):
        copy = folder / path.relative_to(str(source))
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, copy)


def other_tokenizers(checkpoints: Sequence[Checkpoint]) -> list[str]:
    """Name the checkpoints with a tokenizer whose files differ from those of the first one."""
    having = [each for each in checkpoints if files.has_tokenizer(each.path)]
    contents = [{path.name: fingerprint.of_file(path) for path in _tokenizer(each.path)} for each in having]
    return [each.name for each, content in zip(having, contents, strict=True) if content != contents[0]]


def _tokenizer(directory: Path) -> list[Path]:
    """List the files of a tokenizer among those that a checkpoint's fingerprint covers."""
    names = files.tokenizer_files(directory)
    return [path for path in fingerprint.covered(directory) if path.name in names or path.suffix == ".jinja"]
