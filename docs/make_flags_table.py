"""Write the table of flags, from the report's words for them, into docs/results.md between its two marks.

python docs/make_flags_table.py        (tests/test_docs_tables.py holds that the committed page is what this writes)
"""

from __future__ import annotations

from pathlib import Path

from evalharness.records.comparison import Flag
from evalharness.report.flags import FLAGS

PAGE = Path(__file__).resolve().parent / "results.md"
BEGIN, END = "<!-- flags: written by make_flags_table.py -->\n", "<!-- /flags -->\n"
MORE = {  # pages that have more on a flag
    Flag.STOPPED_EARLY: "early.md",
    Flag.SUITE_NOT_TESTED: "early.md",
    Flag.PROMPTS_DIFFER: "chat.md",
    Flag.DECODED_DIFFERENTLY: "checkpoints.md#rules-of-decoding",
    Flag.NO_RANGE: "imports.md",
}


def page(text: str) -> str:
    """The page with the table as it is now. Raises ValueError where the page has lost its marks."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + table() + END + after


def table() -> str:
    """A line for each flag, in the order in which the report explains them."""
    lines = ["| flag | on the page | meaning | what to do |", "|---|---|---|---|"]
    for flag, (words, meaning, action) in FLAGS.items():
        more = f" ([more]({MORE[Flag(flag)]}))" if flag in MORE else ""
        lines.append(f"| `{flag}` | {words} | {meaning}{more} | {action} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
