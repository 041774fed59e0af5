"""A text file to its paragraphs: what stands between empty lines, on one line each."""

from __future__ import annotations

from pathlib import Path

from evalharness.data.files import MARK, decode, unreadable
from evalharness.errors import DataError

RIGHT = "a file of running text (UTF-8), paragraphs parted by empty lines, would be right"


def paragraphs(path: Path) -> list[str]:
    """Distinct paragraphs in their order. Raises DataError naming file and line for bytes that are no UTF-8, and where
    there is no text.
    """
    if not path.is_file():
        raise DataError(path, "is no regular file" if path.exists() else "does not exist", RIGHT)
    try:
        text = decode(path.read_bytes().removeprefix(MARK), path)
    except OSError as error:
        raise unreadable(path, error) from None
    found, lines = dict[str, None](), list[str]()
    for line in (*text.splitlines(), ""):
        if line.strip():
            lines.append(line.strip())
        elif lines:
            found[" ".join(lines)] = None
            lines = []
    if not found:
        raise DataError(path, "holds no text", RIGHT)
    return list(found)
