"""Escape text from models and files, so that a terminal or a CI log shows it and does not execute it.

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
    """Escape control and bidirectional characters, and everything that a CI runner would read as a command. Line breaks
    stay.
    """
    return AT_BEGIN.sub(r"\1\\u003a", within_json(text))


def within_json(text: str) -> str:
    """Escape a JSON document for a terminal or a CI log without changing its value. No line of JSON is a CI command."""
    escaped = CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return WITHIN.sub(r"#\\u0023", escaped)
