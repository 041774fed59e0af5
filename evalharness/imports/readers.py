"""The table of readers of other tools' logs, and the errors for paths that none of them reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evalharness.errors import UsageError, some_of
from evalharness.imports import helm, inspect_ai, lighteval, lm_eval, nemo, nemo_files, opencompass, table
from evalharness.imports.logged import ModelLog

SHOWN = 5  # names of files that a message lists


@dataclass(frozen=True, slots=True)
class LogReader:
    """The reader of one tool's logs.

    `description` names these logs in a message. `is_log` says whether a path has them. `read` reads those of one
    model, as `read(path, name, library)`. `summaries` are patterns of the files of a run without logged samples, and
    `rerun` says what to do about it. `several`: one folder may have several models' logs, and `read` takes the
    `model`, too.
    """

    tool: str
    description: str
    is_log: Callable[[Path], bool]
    read: Callable[..., ModelLog]
    rerun: str = ""
    summaries: tuple[str, ...] = ()
    several: bool = False


READERS = (  # the first that recognises a path reads it
    LogReader("", "tables (CSV, TSV, JSONL, parquet)", table.is_log, table.read),
    LogReader(
        "lm-eval", "folders that lm-eval wrote with --log_samples", lm_eval.is_log, lm_eval.read,
        lm_eval.RERUN, ("results_*T*.json", "*/results_*T*.json"),
    ),
    LogReader(
        "inspect_ai", "inspect_ai's logs (.eval, JSON) or a folder of them", inspect_ai.is_log, inspect_ai.read,
        several=True,
    ),
    LogReader(
        "HELM", "run folders of HELM or a folder of them", helm.is_log, helm.read, several=True,
    ),
    LogReader(
        "lighteval", "what lighteval wrote with --save-details", lighteval.is_log, lighteval.read,
        lighteval.RERUN, ("results/**/results_*T*.json",), several=True,
    ),
    LogReader(
        "nemo-evaluator", "what nemo-evaluator wrote (0.2: with --save-predictions)", nemo.is_log, nemo.read,
        nemo_files.RERUN, tuple(f"{depth}{nemo_files.RESULTS}" for depth in ("", "*/")),
    ),
    LogReader(
        "opencompass", "opencompass's runs, with details of evaluation", opencompass.is_log, opencompass.read,
        opencompass.COPY, ("summary/summary_*.csv", "*/summary/summary_*.csv"), several=True,
    ),
)  # fmt: skip
WANTED = ", or ".join(("runs of evalharness", *(reader.description for reader in READERS[1:]), READERS[0].description))


def reader_of(path: Path) -> LogReader | None:
    """Find the reader of a path; None if it is no log."""
    return next((reader for reader in READERS if reader.is_log(path)), None)


def check_sampled(path: Path) -> None:
    """Raise UsageError for a folder that has only a tool's results and no samples. Results alone cannot be paired."""
    if not path.is_dir():
        return
    readers = [reader for reader in READERS if any(any(path.glob(pattern)) for pattern in reader.summaries)]
    if readers:
        tools = " or ".join(reader.tool for reader in readers)
        raise UsageError(path, f"holds {tools}'s results and no samples", ", or ".join(each.rerun for each in readers))


def no_log(path: Path) -> UsageError:
    """Return the error for a path that is neither a run nor a log."""
    fix = f"compare takes {WANTED}"
    if not path.exists():
        return UsageError(path, "does not exist", fix)
    if not path.is_dir():
        return UsageError(path, f"cannot be compared (a file {path.suffix or 'without suffix'})", fix)
    names = sorted(file.name + "/" * file.is_dir() for file in path.iterdir())
    return UsageError(path, f"holds no run and no log ({some_of(names, SHOWN) or 'it is empty'})", fix)
