"""Escape text that may come from a model or a file, so that a terminal and a CI log show it and do not obey it.

Runners of CI jobs read commands out of what a job prints: GitHub Actions takes a line that begins, after white space,
with `::`, and `##[NAME]` anywhere in a line (actions/runner, ActionCommand.cs); Azure Pipelines `##vso[NAME]`, TeamCity
`##teamcity[NAME]`. GitLab's sections need control characters.
"""

from __future__ import annotations

import re

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
AT_BEGIN = re.compile(r"^([^\S\n]*):(?=:)", re.MULTILINE)
WITHIN = re.compile(r"#(#)(?=\w*\[)")


def plain(text: str) -> str:
    """`text` with control and bidirectional characters as escapes, and nothing that a CI runner takes for a command.
    Lines stay lines.
    """
    return AT_BEGIN.sub(r"\1\\u003a", within_json(text))


def within_json(text: str) -> str:
    """The same for a JSON document, which stays the same document: its lines begin with brackets, quotes or numbers."""
    shown = CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return WITHIN.sub(r"#\\u0023", shown)
