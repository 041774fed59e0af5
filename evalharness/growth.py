"""Foresee how large the value will be that a filter, method or operator of a template makes, before it is made."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import Any

from evalharness.budget import CONTAINERS, ITEM, LONGEST, MOST_DIGITS, TooMuch, digits, size

Arguments = Sequence[Any]
"""What a filter or method is given: the value itself first."""

DIRECTIVE = re.compile(r"%(?:\([^()]*\))?[-#0 +]*(\d+|\*)?(?:\.(\d+|\*))?")
MOST_PLACES = 400  # to which a number is rounded


def units_of_filter(name: str, arguments: Arguments, named: Mapping[str, Any]) -> int:
    """Units of what the filter will make; 0 where it is no larger than what it is given. Raises TooMuch."""
    return _FILTERS[name]([*arguments], named) if name in _FILTERS else 0


def units_of_method(name: str, arguments: Arguments, named: Mapping[str, Any]) -> int:
    """Units of what the built-in method will make; 0 where it is no larger than what it is given. Raises TooMuch."""
    return _METHODS[name]([*arguments], named) if name in _METHODS else 0


def units_of_operation(operator: str, left: Any, right: Any) -> int:
    """Units of what the operation will make. Raises TooMuch."""
    whole = isinstance(left, int) and isinstance(right, int)
    if operator in ("*", "**") and whole:
        count = digits(left) + digits(right) if operator == "*" else (digits(left) + 1) * _times(right)
        if count > 2 * MOST_DIGITS:
            raise TooMuch(f"a number has more than {MOST_DIGITS} digits")
        return count
    if operator == "*":
        return max(size(left) * _times(right), size(right) * _times(left))
    if operator == "+" and not whole:
        return size(left) + size(right)
    return _interpolated([left, right], {}) if operator == "%" and isinstance(left, (str, bytes)) else 1


def _times(value: Any) -> int:
    return min(abs(value), LONGEST + 1) if isinstance(value, int) else 1


def _widest(values: Arguments, named: Mapping[str, Any]) -> int:
    """The largest whole number or longest text among values."""
    sizes = [_times(each) if isinstance(each, int) else size(each) for each in (*values, *named.values())]
    return max(sizes, default=0)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value) if size(value) <= LONGEST else ""


def _padded(given: list[Any], named: Mapping[str, Any]) -> int:
    return size(given[0]) + _widest(given[1:], named)


def _spread(given: list[Any], named: Mapping[str, Any]) -> int:
    """As if the widest argument stood between all characters, or before all lines and items."""
    return size(given[0]) * (1 + _widest(given[1:], named) // 8)


def _indented(given: list[Any], named: Mapping[str, Any]) -> int:
    text = _text(given[0])
    return len(text) + (1 + text.count("\n")) * _widest(given[1:], named)


def _json(given: list[Any], named: Mapping[str, Any]) -> int:
    """`indent` before every value as often as it is deep, and separators after it."""
    options = [value for value in (*given[1:], *named.values()) if not (value is None or isinstance(value, bool))]
    return size(given[0]) + size(given[0]) // ITEM * (1 + _depth(given[0])) * _widest(options, {})


def _depth(value: Any) -> int:
    deepest, pending = 0, [(value, 1)]
    while pending:
        item, depth = pending.pop()
        deepest = max(deepest, depth)
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, (list, tuple)) else ()
        pending += [(each, depth + 1) for each in inner]
    return deepest


def _replaced(given: list[Any], named: Mapping[str, Any]) -> int:
    old, new = [*given[1:], *(named[key] for key in ("old", "new") if key in named), "", ""][:2]
    if isinstance(given[0], bytes):
        return len(given[0]) + given[0].count(old) * size(new)
    text = _text(given[0])
    return len(text) + text.count(_text(old)) * len(_text(new))


def _joined(items: Any, between: Any) -> int:
    texts = items if isinstance(items, CONTAINERS) else ()
    return sum(map(size, texts)) + len(texts) * size(_text(between))


def _interpolated(given: list[Any], named: Mapping[str, Any]) -> int:
    text = given[0].decode("latin-1") if isinstance(given[0], bytes) else _text(given[0])
    if re.search(r"%\([^)]*\(", text):
        raise TooMuch("a name in a format holds brackets")
    fields = [number for match in DIRECTIVE.finditer(text) for number in match.groups() if number]
    if "*" in fields:
        raise TooMuch("the width of a format is not written in it")
    width = max((int(number[:9]) for number in fields), default=0)
    return len(text) + text.count("%") * (width + size([*given[1:], *named.values()]))


def _formatted(given: list[Any], named: Mapping[str, Any]) -> int:
    fields = [spec or "" for _, name, spec, _ in Formatter().parse(given[0]) if name is not None]
    if any("{" in spec for spec in fields):
        raise TooMuch("the width of a format is not written in it")
    width = max((int(number[:9]) for spec in fields for number in re.findall(r"\d+", spec)), default=0)
    return len(given[0]) + len(fields) * (width + size([*given[1:], *named.values()]))


def _translated(given: list[Any], named: Mapping[str, Any]) -> int:
    table = given[1] if len(given) > 1 else {}
    texts = table.values() if isinstance(table, dict) else table if isinstance(table, (list, tuple)) else ()
    return size(given[0]) * max([1, *map(size, texts)])


def _tabs(given: list[Any], named: Mapping[str, Any]) -> int:
    count: int = given[0].count("\t" if isinstance(given[0], str) else b"\t")
    return len(given[0]) + count * max(8, _widest(given[1:], named))


def _rounded(given: list[Any], named: Mapping[str, Any]) -> int:
    places = named.get("precision", given[1] if len(given) > 1 else 0)
    if isinstance(places, int) and abs(places) > MOST_PLACES:
        raise TooMuch(f"a number is rounded to more than {MOST_PLACES} places")
    return 1


def _summed(given: list[Any], named: Mapping[str, Any]) -> int:
    """Sums of lists copy what they have at every step."""
    start = named.get("start", given[2] if len(given) > 2 else 0)
    return 1 if isinstance(start, (int, float)) else size(given[0]) * max(1, size(given[0]) // 64)


Foresight = Callable[[list[Any], Mapping[str, Any]], int]
_FILTERS: dict[str, Foresight] = {
    **dict.fromkeys(("center", "batch", "slice", "truncate"), _padded),
    **dict.fromkeys(("wordwrap", "urlize", "xmlattr", "pprint"), _spread),
    "indent": _indented,
    "tojson": _json,
    "replace": _replaced,
    "join": lambda given, named: _joined(given[0], named.get("d", given[1] if len(given) > 1 else "")),
    "format": _interpolated,
    "round": _rounded,
    "sum": _summed,
    "list": lambda given, named: ITEM * len(given[0]) if isinstance(given[0], (str, bytes)) else 0,
}
_METHODS: dict[str, Foresight] = {
    **dict.fromkeys(("center", "ljust", "rjust", "zfill", "to_bytes"), _padded),
    "expandtabs": _tabs,
    "replace": _replaced,
    "join": lambda given, named: _joined(given[1] if len(given) > 1 else (), given[0]),
    "translate": _translated,
    "format": _formatted,
    "format_map": _formatted,
}
