"""Escape text that may come from a model or a file, so that a terminal and a CI log show it and do not obey it."""

from __future__ import annotations

import re

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """`text` with control and bidirectional characters as escapes, and no line that a CI log takes for a command."""
    return CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text).replace("\n::", "\n ::")
