"""Tell GitHub Actions what the gate decided: an annotation for each candidate, and a summary of the step.

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
from evalharness.report.gate_lines import GateText, headline, named

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
    """Whether this is a job of GitHub Actions."""
    return environment.get("GITHUB_ACTIONS") == "true"


def commands(text: GateText) -> Iterator[str]:
    """Lines that the runner takes for commands: one for each candidate, the last of many says how many more."""
    by_kind: dict[str, list[tuple[str, str]]] = {}
    for each in text.order.candidates:
        told = "\n".join((headline(each), *each.decision.reasons[:REASONS]))
        by_kind.setdefault(KINDS[each.standing], []).append((named(each.decision), told))
    if not text.decision.candidates:
        by_kind["error"] = [("gate", "\n".join(text.decision.reasons))]
    for kind, messages in by_kind.items():
        shown = messages if len(messages) <= MOST else messages[: MOST - 1]
        yield from (_command(kind, name, text) for name, text in shown)
        if len(messages) > len(shown):
            yield _command(kind, "more", f"{len(messages) - len(shown)} more candidates, see the log of this step")


def write_summary(text: str, environment: Mapping[str, str]) -> None:
    """Add Markdown to the summary of the step, where the runner names a file for it. Raises StoreError where that
    cannot be written.
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
    shown = "\n".join(map(plain, text.split("\n")))
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
