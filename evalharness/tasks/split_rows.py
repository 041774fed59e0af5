"""The rows of one split of a task, with errors that name the split and the row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from evalharness.data.columns import OPTION, columns_there, names_column
from evalharness.data.files import DataRow
from evalharness.data.grouping import group_rows
from evalharness.data.sources import DataSource, read_rows
from evalharness.errors import DataError, ModelError
from evalharness.records.tasks import Task
from evalharness.records.tokenizers import Unrenderable
from evalharness.tasks.examples import NoLabel
from evalharness.tasks.templates import TemplateProblem


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRows:
    """The rows of one split, and their origin, which errors name."""

    task: Task
    name: str
    rows: Sequence[DataRow]
    origin: str
    digest: str = ""

    @classmethod
    def read(cls, task: Task, name: str, source: DataSource) -> SplitRows:
        data = group_rows(read_rows(task, name, source), task)
        return cls(task=task, name=name, rows=data.rows, origin=data.origin, digest=data.digest)

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(column for row in self.rows for column in row)

    @contextmanager
    def errors_of(self, index: int) -> Iterator[None]:
        """Turn problems with row `index`, raised in the block, into errors that name the row."""
        where = f"{self.task.name}, split {self.name!r}, row {index}"
        try:
            yield
        except Unrenderable as problem:
            fix = "shots in one turn (--no-fewshot-as-multiturn) or no --apply-chat-template may be right"
            raise ModelError(where, f"the chat template refuses its turns ({problem})", fix) from None
        except TemplateProblem as problem:
            if label := self._label_of_no_row(problem):
                raise self._without_labels(label) from None
            what = f"column {problem.column!r}: {problem.what}" if problem.column else problem.what
            raise DataError(where, what, self._origin_of(problem.column)) from None

    def _origin_of(self, column: str) -> str:
        if _no_name(column) or column in self.columns or column.startswith("doc_to_") or not self.rows:
            return f"the rows come from {self.origin}"
        return f"{columns_there(sorted(self.columns))} in {self.origin}; {OPTION} {column}=NAME says which is meant"

    def _label_of_no_row(self, problem: TemplateProblem) -> str:
        """Return the column that is empty in every row and so explains the problem; "" if there is none."""
        columns = [problem.column] if isinstance(problem, NoLabel) else []
        for template in (self.task.doc_to_target, self.task.doc_to_text) if _no_name(problem.column) else ():
            columns += [
                name for name in sorted(self.columns) if isinstance(template, str) and names_column(template, name)
            ]
        return next((name for name in columns if len(self.rows) > 1 and self._is_empty(name)), "")

    def _is_empty(self, column: str) -> bool:
        return all(column in row and row[column] in (-1, None, "") for row in self.rows)

    def _without_labels(self, column: str) -> DataError:
        splits = (self.task.validation_split, self.task.training_split)
        other = next((f" ({name})" for name in splits if name and name != self.name), "")
        return DataError(
            f"{self.task.name}, split {self.name!r}",
            f"has no labels (column {column!r} is {self.rows[0].get(column)!r} in every row)",
            f"evaluate a split that has some{other}; the rows come from {self.origin}",
        )


def _no_name(column: str) -> bool:
    """Return whether a problem names a template or nothing, instead of a column."""
    return not column or "{" in column
