"""Define the errors that a user sees: one line "where: what is wrong; what would be right", and an exit code.

EvalHarnessError            1  (only its children are raised)
├── UsageError              2  the command line, the configuration
├── TaskError               2  a task or suite file
├── DataError               2  rows of a task
├── ModelError              2  a checkpoint
├── StoreError              2  the store or the output folder
├── MissingPackageError     2  a package that an extra of this one brings
└── NotComparableError      5  something failed during the run, or two runs cannot be paired
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "cublas_status_alloc_failed")


class EvalHarnessError(Exception):
    """An error that the user can correct. `str(error)` is the line that they read; no traceback is shown.

    `where`: the option, file or model. `what`: what is wrong. `fix`: what would be right.
    """

    exit_code = 1

    def __init__(self, where: object, what: str, fix: str = "") -> None:
        self.where, self.what, self.fix = str(where), what, fix
        super().__init__(f"{where}: {what}" + (f"; {fix}" if fix else ""))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the error's parts, so that another process can raise it."""
        return type(self), (self.where, self.what, self.fix), self.__dict__


class UsageError(EvalHarnessError):
    """The error that the command line or the configuration is wrong."""

    exit_code = 2


class TaskError(EvalHarnessError):
    """The error that a task or suite definition is wrong or unknown."""

    exit_code = 2


class DataError(EvalHarnessError):
    """The error that a task's rows are missing, empty, undecodable or of the wrong form."""

    exit_code = 2


class ModelError(EvalHarnessError):
    """The error that a checkpoint is missing, incomplete, of an unsupported kind, or does not answer."""

    exit_code = 2


class StoreError(EvalHarnessError):
    """The error that the store or the output folder cannot be read or written."""

    exit_code = 2


class MissingPackageError(EvalHarnessError):
    """The error that a package of one of our extras is not installed."""

    exit_code = 2


class NotComparableError(EvalHarnessError):
    """The error that two sets of scores cannot be paired, or that a run is incomplete."""

    exit_code = 5


def first_line(error: object) -> str:
    """Return the first line of an exception's text, or the name of its class if it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def out_of_memory(error: BaseException) -> bool:
    """Return whether the error says that the memory of the accelerator or of the machine does not suffice."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in OUT_OF_MEMORY)
    )


def pass_on_memory_error(error: Exception) -> None:
    """Raise MemoryError if the error says that memory does not suffice: then the input is not at fault."""
    if out_of_memory(error):
        raise MemoryError(first_line(error)) from error


def some_of(words: Sequence[str], most: int) -> str:
    """List the first `most` words, and the number of the others."""
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def did_you_mean(word: str, names: Iterable[str], most: int = 3) -> str:
    """Return a hint for a mistyped name: the nearest of `names`, or the first few if none is near."""
    names = sorted(names)
    near = difflib.get_close_matches(word, names, n=most, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    first = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"known: {first}" if names else "none is known"
