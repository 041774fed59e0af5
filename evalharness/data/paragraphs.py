"""Split a text file into paragraphs, which are separated by empty lines; each becomes one line."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from evalharness.data.contents import read_text, unreadable
from evalharness.errors import DataError

RIGHT = "a file of running text (UTF-8), paragraphs parted by empty lines, would be right"


def paragraphs(path: Path) -> list[str]:
    """Return the distinct paragraphs of a file, in their order.

    Raises DataError naming file and line for bytes that are no UTF-8, and for a file without text.
    """
    if not path.is_file():
        raise DataError(path, "is no regular file" if path.exists() else "does not exist", RIGHT)
    try:
        text = read_text(path)
    except OSError as error:
        raise unreadable(path, error) from None
    lines = (line.strip() for line in text.splitlines())
    distinct = dict.fromkeys(" ".join(block) for is_text, block in groupby(lines, key=bool) if is_text)
    if not distinct:
        raise DataError(path, "holds no text", RIGHT)
    return list(distinct)
