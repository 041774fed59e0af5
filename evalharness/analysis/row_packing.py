"""Pack rows of sufficient statistics into short texts, with one bit for each 0/1 answer, and unpack them.

Numbers are stored in single precision. A column that is the product of two others (as in sums of squares) is not stored
but computed from these, so that sums stay consistent. If two models are compared, both models' rows must go through
`as_packed`, which gives the rows that unpacking would.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Derived = dict[int, tuple[int, int]]  # column -> the columns whose product it is
HEAD, BLOCK, PRODUCT = struct.Struct("<HIB"), struct.Struct("<HBI"), struct.Struct("<HHH")
COUNT = struct.Struct("<I")
MOST_ROWS = 64  # distinct rows that are packed as one table; with more, each column is packed alone
WIDEST = 16  # columns of rows in which products are looked for
AS_BYTES, AS_THEY_ARE = 0x8000, 0xFF  # of a block: its values are whole numbers below 256; there are no codes
MOST_NUMBERS = 100_000_000  # of a task; a file that says more is none of ours
SMALL, SINGLE = np.dtype("<u1"), np.dtype("<f4")


def as_packed(rows: Floats) -> Floats:
    """Return rows (n, k) as unpacking would give them: in single precision, with products computed again."""
    return _completed(rows.astype(SINGLE).astype(np.float64), _derived(rows))


def pack_rows(rows: Floats) -> str:
    """Pack rows (n, k) into a text without quotes or blanks."""
    return base64.b85encode(_bits(rows) if _is_binary(rows) else _table(rows)).decode()


def _is_binary(rows: Floats) -> bool:
    """Return whether these are 0/1 scores of single examples."""
    return rows.shape[1] == 2 and bool((rows[:, 1] == 1).all() and np.isin(rows[:, 0], (0, 1)).all())


def _bits(rows: Floats) -> bytes:
    bits = np.packbits(rows[:, 0].astype(np.uint8)).tobytes()
    return _smaller(b"b", b"B", COUNT.pack(len(rows)) + bits)


def _smaller(plain: bytes, compressed: bytes, content: bytes) -> bytes:
    """Return the content, compressed if that is shorter, after a letter that tells which."""
    smaller = zlib.compress(content, 9)
    return compressed + smaller if len(smaller) < len(content) else plain + content


def _table(rows: Floats) -> bytes:
    """Return rows of any kind as bytes."""
    n, width = rows.shape
    derived = _derived(rows)
    content = HEAD.pack(width, n, len(derived))
    content += b"".join(PRODUCT.pack(column, *factors) for column, factors in derived.items())
    stored = rows[:, [column for column in range(width) if column not in derived]].astype(SINGLE)
    content += b"".join(_blocks(stored))
    return _smaller(b"t", b"T", content)


def unpack_rows(text: str) -> Floats:
    """Return the rows that `pack_rows` packed. Raises ValueError for any other text."""
    try:
        kind, content = _opened(base64.b85decode(text))
        if kind == b"b":
            (n,) = COUNT.unpack_from(content)
            _check_count(n, 2)
            bits = np.unpackbits(np.frombuffer(content, np.uint8, offset=COUNT.size), count=n)
            return np.column_stack([bits[:n], np.ones(n)]).astype(np.float64)
        width, n, products = HEAD.unpack_from(content)
        _check_count(n, width)
        at, derived = HEAD.size, Derived()
        for _ in range(products):
            column, *factors = PRODUCT.unpack_from(content, at)
            derived[column], at = (factors[0], factors[1]), at + PRODUCT.size
        stored = [column for column in range(width) if column not in derived]
        rows, filled = np.zeros((n, width)), 0
        while filled < len(stored):
            block, at = _block(content, at, n)
            rows[:, stored[filled : filled + block.shape[1]]] = block
            filled += block.shape[1]
    except (struct.error, zlib.error, IndexError) as error:
        raise ValueError(f"rows cannot be unpacked ({error})") from error
    return _completed(rows, derived)


def _opened(content: bytes) -> tuple[bytes, bytes]:
    """Return the kind of packed rows, in small letters, and their content. Raises ValueError for another kind."""
    kind = content[:1]
    if kind not in (b"b", b"B", b"t", b"T"):
        raise ValueError("rows of an unknown kind")
    return kind.lower(), content[1:] if kind.islower() else zlib.decompress(content[1:])


def _check_count(n: int, width: int) -> None:
    if n * width > MOST_NUMBERS:
        raise ValueError(f"{n} rows of {width} numbers are more than any task has")


def pack_changes(rows: Floats, before: Floats) -> str:
    """Pack rows (n, k) as their differences from the rows `before` (n, k): which rows differ, and their values. Both
    must be as `as_packed` returns them.
    """
    differ = (rows != before).any(axis=1)
    return f"{pack_rows(differ[:, None].astype(np.float64))} {pack_rows(rows[differ])}"


def apply_changes(text: str, before: Floats) -> Floats:
    """Return the rows that `pack_changes` packed, from its text and the rows `before`. Raises ValueError for any other
    text.
    """
    mask, _, rest = text.partition(" ")
    rows, differ, others = before.copy(), unpack_rows(mask)[:, 0] > 0, unpack_rows(rest)
    rows[differ] = others
    return rows


def _derived(rows: Floats) -> Derived:
    """Return the columns that are exactly the product of two earlier columns; for each, these two."""
    derived = Derived()
    for column in range(2, rows.shape[1] if rows.shape[1] <= WIDEST else 0):
        pairs = [(a, b) for a in range(column) for b in range(a, column) if not {a, b} & derived.keys()]
        exact = ((a, b) for a, b in pairs if np.array_equal(rows[:, column], rows[:, a] * rows[:, b]))
        if len(np.unique(rows[:, column])) > MOST_ROWS and (factors := next(exact, None)):
            derived[column] = factors
    return derived


def _completed(rows: Floats, derived: Derived) -> Floats:
    for column, (a, b) in derived.items():
        rows[:, column] = rows[:, a] * rows[:, b]
    return rows


def _blocks(rows: NDArray[np.float32]) -> Iterator[bytes]:
    """Yield all columns together, as codes into a table of distinct rows, if these are few; else each column."""
    values, codes = np.unique(rows, axis=0, return_inverse=True)
    if len(values) <= MOST_ROWS or rows.shape[1] <= 1:
        yield _pack_block(values, codes.reshape(-1), rows)
        return
    for column in rows.T:
        values, codes = np.unique(column[:, None], axis=0, return_inverse=True)
        yield _pack_block(values, codes.reshape(-1), column[:, None])


def _pack_block(values: NDArray[np.float32], codes: NDArray[np.intp], rows: NDArray[np.float32]) -> bytes:
    """Return a table of values and the codes of the rows in it, or the rows themselves if that is shorter."""
    bits = max(int(len(values) - 1).bit_length(), 0) if len(values) else 0
    if values.nbytes + len(codes) * bits / 8 >= rows.nbytes and len(values) > 1:
        values, bits = rows, AS_THEY_ARE
    small = bool(((values >= 0) & (values < 256) & (values == np.floor(values))).all())
    head = BLOCK.pack(rows.shape[1] | (AS_BYTES if small else 0), bits, len(values))
    packed_values = head + values.astype(SMALL if small else SINGLE).tobytes()
    if bits == AS_THEY_ARE:
        return packed_values
    binary = (codes[:, None] >> np.arange(bits)) & 1
    return packed_values + np.packbits(binary.astype(np.uint8)).tobytes()


def _block(content: bytes, at: int, n: int) -> tuple[Floats, int]:
    """Return the rows of one block, and the position of the next one."""
    columns, bits, count = BLOCK.unpack_from(content, at)
    at, kind, columns = at + BLOCK.size, SMALL if columns & AS_BYTES else SINGLE, columns & ~AS_BYTES
    end = at + count * columns * kind.itemsize
    values = np.frombuffer(content[at:end], kind).reshape(count, columns).astype(np.float64)
    if bits == AS_THEY_ARE:
        return values, end
    stop = end + (n * bits + 7) // 8
    binary = np.unpackbits(np.frombuffer(content[end:stop], np.uint8), count=n * bits).reshape(n, bits)
    return values[(binary.astype(np.int64) << np.arange(bits)).sum(axis=1)], stop
