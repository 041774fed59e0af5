"""Report the gate's decision to GitHub Actions: an annotation for each candidate, and a summary of the step.

The runner reads a line that begins with `::` as a command; in what follows, `%`, line breaks and, in properties, `:`
and `,` are escaped (actions/toolkit, packages/core/src/command.ts). A step shows ten annotations of a kind, and takes a
summary of at most a mebibyte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from evalharness.analysis.candidate_order import Standing
from evalharness.errors import StoreError
from evalharness.report.escape import plain
from evalharness.report.gate_lines import GateText, full_name, headline

SUMMARY = "GITHUB_STEP_SUMMARY"
KINDS = {
    Standing.SHIPS: "notice",
    Standing.UNLEARNED: "warning",
    Standing.UNDECIDED: "warning",
    Standing.FORGOTTEN: "error",
    Standing.INCOMPLETE: "error",
}
MOST = 10  # annotations of a kind in a step
REASONS = 5  # of a candidate in its annotation


def is_runner(environment: Mapping[str, str]) -> bool:
    """Return whether this process is a job of GitHub Actions."""
    return environment.get("GITHUB_ACTIONS") == "true"


def commands(text: GateText) -> Iterator[str]:
    """Yield the runner's command lines: an annotation for each candidate; the last of many says how many more there
    are.
    """
    by_kind: dict[str, list[tuple[str, str]]] = {}
    for each in text.order.candidates:
        message = "\n".join((headline(each), *each.decision.reasons[:REASONS]))
        by_kind.setdefault(KINDS[each.standing], []).append((full_name(each.decision), message))
    if not text.decision.candidates:
        by_kind["error"] = [("gate", "\n".join(text.decision.reasons))]
    for kind, messages in by_kind.items():
        listed = messages if len(messages) <= MOST else messages[: MOST - 1]
        yield from (_command(kind, name, text) for name, text in listed)
        if len(messages) > len(listed):
            yield _command(kind, "more", f"{len(messages) - len(listed)} more candidates, see the log of this step")


def write_summary(text: str, environment: Mapping[str, str]) -> None:
    """Append Markdown to the step's summary file, if the runner names one. Raises StoreError if it cannot be
    written.
    """
    path = environment.get(SUMMARY)
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except (OSError, ValueError) as error:
        what = f"cannot be written ({error})"
        raise StoreError(SUMMARY, what, "a file that the job may write would be right") from error


def _command(kind: str, name: str, text: str) -> str:
    title = _escaped(f"evalharness gate: {name}").replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={title}::{_escaped(text)}"


def _escaped(text: str) -> str:
    escaped = "\n".join(map(plain, text.split("\n")))
    return escaped.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
