"""Write the table of adapter types, from the code's own, into docs/checkpoints.md between its two marks.

python docs/make_kinds_table.py        (tests/cli/test_checkpoint.py holds that the committed page is what this writes)
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from evalharness.checkpoints.kinds import BITSANDBYTES, BOTH, TYPES, AdapterType

PAGE = Path(__file__).resolve().parent / "checkpoints.md"
BEGIN, END = "<!-- kinds: written by make_kinds_table.py -->\n", "<!-- /kinds -->\n"
WORDS = {
    "layers": "layers put into the base",
    "embeddings": "vectors before the text",
    "cache": "a cached prefix in every layer",
}


def page(text: str) -> str:
    """The page with the table as it is now. Raises ValueError where the page has lost its marks."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + table() + END + after


def table() -> str:
    """A line for all types that act alike and are supported alike, with the reason where they are not."""
    head = ("peft's types", "act by", "decoder-only", "encoder-decoder", "on quantised weights", "why not")
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, kind in TYPES.items():
        reasons = "; ".join(filter(None, (kind.why_not, kind.why_not_quantised)))
        alike.setdefault((WORDS[kind.acts], *_supported(kind), reasons), []).append(name)
    rows = [(", ".join(f"`{name}`" for name in names), *facts) for facts, names in alike.items()]
    return _lines([head, ("---",) * len(head), *rows])


def _supported(kind: AdapterType) -> tuple[str, ...]:
    return (*(_mark(a in kind.architectures) for a in BOTH), _quantised(kind))


def _mark(supported: bool) -> str:
    return "yes" if supported else "no"


def _quantised(kind: AdapterType) -> str:
    if "other" in kind.quantised:
        return "yes"
    return "bitsandbytes'" if set(kind.quantised) == {*BITSANDBYTES} else ", ".join(kind.quantised) or "no"


def _lines(rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
