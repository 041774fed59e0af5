"""Read a file's bytes, text and lines within size limits: plain or gzip, UTF-8 or UTF-16, with any line ends."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from evalharness.errors import DataError, first_line

TEXT_FORMS = (".jsonl", ".json", ".csv", ".tsv")
FORMS = (*TEXT_FORMS, ".parquet", ".arrow")
SUFFIXES = (*FORMS, *(f"{form}.gz" for form in TEXT_FORMS))  # of files of rows
MARK = codecs.BOM_UTF8  # the byte order mark that some editors write before UTF-8 text
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
GZIP = b"\x1f\x8b"
MOST = 4 << 30  # bytes of a text that is read as a whole
MOST_LINE = 64 << 20  # bytes of a line of JSON, and characters of a cell
FREE, MOST_RATIO = 128 << 20, 100  # a packed file may unpack to FREE bytes, or to MOST_RATIO times its size
LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")


def form_of(path: Path) -> str:
    """Return the suffix of the file's format, in lower case: ".csv" of A.csv.gz."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def stem_of(path: Path) -> str:
    """Return the name without its suffixes: "dev" of dev.csv.gz."""
    return Path(path.name.removesuffix(".gz")).stem


def check_regular(path: Path) -> None:
    """Raise DataError for a path that is no regular file: opening a pipe would wait for ever."""
    try:
        regular, exists = path.is_file(), path.exists()
    except OSError as error:  # a name that is too long, a loop of links
        raise unreadable(path, error) from None
    if not regular:
        what = "is no regular file" if exists else "does not exist"
        raise DataError(path, what, f"a file of rows would be right ({', '.join(FORMS)})")


def unreadable(path: Path, error: OSError) -> DataError:
    """Return the error for a file that the system cannot open or read."""
    return DataError(path, f"cannot be read ({error.strerror or error})", "a readable file would be right")


def most_unpacked(size: int) -> int:
    """Return the largest number of bytes that a packed file of `size` bytes may unpack to."""
    return max(FREE, MOST_RATIO * size)


def too_large(path: Path, most: int) -> DataError:
    """Return the error for a file that unpacks to more than is read."""
    what = f"unpacks to more than {most >> 20} MiB, over {MOST_RATIO} times its size"
    return DataError(path, what, "rows that hold what they seem to hold would be right")


def read_bytes(path: Path) -> bytes:
    """Read a file's bytes, with gzip unpacked. Raises OSError, and DataError for damaged gzip and for more bytes than
    the limits.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size > MOST:
            raise DataError(path, f"is larger than {MOST >> 30} GiB", "JSON lines or Parquet would be right")
        file.seek(0)
        is_gzip = file.read(2) == GZIP
        file.seek(0)
        if not is_gzip:
            return file.read()
        most = most_unpacked(size)
        try:
            with gzip.GzipFile(fileobj=file) as packed:
                data = packed.read(most + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(path, f"is damaged gzip: {first_line(error)}", "a whole file would be right") from None
    if len(data) > most:
        raise too_large(path, most)
    return data


def read_text(path: Path) -> str:
    """Read a file's text, without a byte order mark. If all lines end alike, their ends become newlines.

    Raises OSError, and DataError for bytes that are neither UTF-8 nor UTF-16.
    """
    text = decode(read_bytes(path), path)
    if "\r" not in text:
        return text
    if "\n" not in text:
        return text.replace("\r", "\n")
    return text.replace("\r\n", "\n") if text.count("\r\n") == text.count("\n") else text


def lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file with their ends. Only packed and UTF-16 files are read as a whole.

    Raises OSError, and DataError naming the line for bytes that are no text and for a line longer than MOST_LINE.
    """
    with path.open("rb") as file:
        if file.read(2) in (GZIP, *UTF16):
            yield from LINE.findall(read_text(path))
            return
        file.seek(0)
        number = 0
        while line := file.readline(MOST_LINE + 1):
            if len(line) > MOST_LINE:
                what = f"is longer than {MOST_LINE >> 20} MiB"
                raise DataError(f"{path}:{number + 1}", what, "one row a line would be right")
            for text in LINE.findall(decode(line, path, number)):
                number += 1
                yield text


def decode(data: bytes, path: Path, lines_before: int = 0) -> str:
    """Decode bytes, without a byte order mark at the file's beginning. Raises DataError naming the line."""
    if not lines_before and data[:2] in UTF16:
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise DataError(path, f"is no UTF-16: {error.reason}", "save the file as UTF-8") from None
    if not lines_before:
        data = data.removeprefix(MARK)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = lines_before + 1 + data.count(b"\n", 0, error.start)
        raise DataError(
            f"{path}:{line}",
            f"holds bytes that are not UTF-8 ({data[error.start : error.start + 4].hex(' ')})",
            "save the file as UTF-8",
        ) from None
