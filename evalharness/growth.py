"""Compute in advance the largest size of the value that a template's filter, method or operator makes.

Sizes are in the units of work of budget.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import Any

from evalharness.budget import CONTAINERS, ITEM, LONGEST, MOST_DIGITS, TooMuch, digits, size

Arguments = Sequence[Any]
"""The arguments of a filter or method: the value itself first."""

DIRECTIVE = re.compile(r"%(?:\([^()]*\))?[-#0 +]*(\d+|\*)?(?:\.(\d+|\*))?")
MOST_PLACES = 400  # decimal places of a rounded number


def units_of_filter(name: str, arguments: Arguments, keywords: Mapping[str, Any]) -> int:
    """Return the largest size of the filter's value; 0 if it is no larger than its arguments. Raises TooMuch."""
    return _FILTERS[name]([*arguments], keywords) if name in _FILTERS else 0


def units_of_method(name: str, arguments: Arguments, keywords: Mapping[str, Any]) -> int:
    """Return the largest size of the built-in method's value; 0 if it is no larger than its arguments. Raises
    TooMuch.
    """
    return _METHODS[name]([*arguments], keywords) if name in _METHODS else 0


def units_of_operation(operator: str, first: Any, second: Any) -> int:
    """Return the largest size of the operation's value. Raises TooMuch."""
    whole = isinstance(first, int) and isinstance(second, int)
    if operator in ("*", "**") and whole:
        count = digits(first) + digits(second) if operator == "*" else (digits(first) + 1) * _times(second)
        if count > 2 * MOST_DIGITS:
            raise TooMuch(f"a number has more than {MOST_DIGITS} digits")
        return count
    if operator == "*":
        return max(size(first) * _times(second), size(second) * _times(first))
    if operator == "+" and not whole:
        return size(first) + size(second)
    return _interpolated([first, second], {}) if operator == "%" and isinstance(first, (str, bytes)) else 1


def _argument(arguments: list[Any], place: int, default: Any) -> Any:
    return arguments[place] if len(arguments) > place else default


def _times(value: Any) -> int:
    return min(abs(value), LONGEST + 1) if isinstance(value, int) else 1


def _widest(values: Arguments, keywords: Mapping[str, Any]) -> int:
    """Return the largest of these values, where a whole number counts as its value and a text as its length."""
    sizes = [_times(each) if isinstance(each, int) else size(each) for each in (*values, *keywords.values())]
    return max(sizes, default=0)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value) if size(value) <= LONGEST else ""


def _padded(arguments: list[Any], keywords: Mapping[str, Any]) -> int:
    return size(arguments[0]) + _widest(arguments[1:], keywords)


def _spread(arguments: list[Any], keywords: Mapping[str, Any]) -> int:
    """Return an upper bound: the size if the widest argument is between all characters, or before all lines
    and items.
    """
    return size(arguments[0]) * (1 + _widest(arguments[1:], keywords) // 8)


def _indented(arguments: list[Any], keywords: Mapping[str, Any]) -> int:
    text = _text(arguments[0])
    return len(text) + (1 + text.count("\n")) * _widest(arguments[1:], keywords)


def _json(arguments: list[Any], keywords: Mapping[str, Any]) -> int:
    """Return an upper bound: the size with `indent` before every value, repeated by its depth, and separators
    after it.
    """
    options = [
        value for value in (*arguments[1:], *keywords.values()) if not (value is None or isinstance(value, bool))
    ]
    return size(arguments[0]) + size(arguments[0]) // ITEM * (1 + _depth(arguments[0])) * _widest(options, {})


def _depth(value: Any) -> int:
    deepest, pending = 0, [(value, 1)]
    while pending:
        item, depth = pending.pop()
        deepest = max(deepest, depth)
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, (list, tuple)) else ()
        pending += [(each, depth + 1) for each in inner]
    return deepest


def _replaced(arguments: list[Any], keywords: Mapping[str, Any]) -> int:
    old, new = [*arguments[1:], *(keywords[key] for key in ("old", "new") if key in keywords), "", ""][:2]
    if isinstance(arguments[0], bytes):
        return len(arguments[0]) + arguments[0].count(old) * size(new)
    text = _text(arguments[0])
    return len(text) + text.count(_text(old)) * len(_text(new))


def _joined(items: Any, between: Any) -> int:
    texts = items if isinstance(items, CONTAINERS) else ()
    return sum(map(size, texts)) + len(texts) * size(_text(between))


def _interpolated(arguments: list[Any], keywords: Mapping[str, Any]) -> int:
    text = arguments[0].decode("latin-1") if isinstance(arguments[0], bytes) else _text(arguments[0])
    if re.search(r"%\([^)]*\(", text):
        raise TooMuch("a name in a format holds brackets")
    fields = [number for match in DIRECTIVE.finditer(text) for number in match.groups() if number]
    if "*" in fields:
        raise TooMuch("the width of a format is not written in it")
    width = max((int(number[:9]) for number in fields), default=0)
    return len(text) + text.count("%") * (width + size([*arguments[1:], *keywords.values()]))


def _formatted(arguments: list[Any], keywords: Mapping[str, Any]) -> int:
    fields = [spec or "" for _, name, spec, _ in Formatter().parse(arguments[0]) if name is not None]
    if any("{" in spec for spec in fields):
        raise TooMuch("the width of a format is not written in it")
    width = max((int(number[:9]) for spec in fields for number in re.findall(r"\d+", spec)), default=0)
    return len(arguments[0]) + len(fields) * (width + size([*arguments[1:], *keywords.values()]))


def _translated(arguments: list[Any], keywords: Mapping[str, Any]) -> int:
    table = _argument(arguments, 1, {})
    texts = table.values() if isinstance(table, dict) else table if isinstance(table, (list, tuple)) else ()
    return size(arguments[0]) * max([1, *map(size, texts)])


def _tabs(arguments: list[Any], keywords: Mapping[str, Any]) -> int:
    count: int = arguments[0].count("\t" if isinstance(arguments[0], str) else b"\t")
    return len(arguments[0]) + count * max(8, _widest(arguments[1:], keywords))


def _rounded(arguments: list[Any], keywords: Mapping[str, Any]) -> int:
    places = keywords.get("precision", _argument(arguments, 1, 0))
    if isinstance(places, int) and abs(places) > MOST_PLACES:
        raise TooMuch(f"a number is rounded to more than {MOST_PLACES} places")
    return 1


def _summed(arguments: list[Any], keywords: Mapping[str, Any]) -> int:
    """Return the units of a sum. A sum of lists is copied at every step."""
    start = keywords.get("start", _argument(arguments, 2, 0))
    return 1 if isinstance(start, (int, float)) else size(arguments[0]) * max(1, size(arguments[0]) // 64)


Foresight = Callable[[list[Any], Mapping[str, Any]], int]
_FILTERS: dict[str, Foresight] = {
    **dict.fromkeys(("center", "batch", "slice", "truncate"), _padded),
    **dict.fromkeys(("wordwrap", "urlize", "xmlattr", "pprint"), _spread),
    "indent": _indented,
    "tojson": _json,
    "replace": _replaced,
    "join": lambda arguments, keywords: _joined(arguments[0], keywords.get("d", _argument(arguments, 1, ""))),
    "format": _interpolated,
    "round": _rounded,
    "sum": _summed,
    "list": lambda arguments, keywords: ITEM * len(arguments[0]) if isinstance(arguments[0], (str, bytes)) else 0,
}
_METHODS: dict[str, Foresight] = {
    **dict.fromkeys(("center", "ljust", "rjust", "zfill", "to_bytes"), _padded),
    "expandtabs": _tabs,
    "replace": _replaced,
    "join": lambda arguments, keywords: _joined(_argument(arguments, 1, ()), arguments[0]),
    "translate": _translated,
    "format": _formatted,
    "format_map": _formatted,
}
