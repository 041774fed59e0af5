"""Read a task's data set from the hub through `datasets`, and fail fast if the hub does not answer.

After a failed connection the process does not try again. No scripts are run. The caller hashes the rows, so an old copy
in the cache of `datasets` shows as another data digest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import datasets
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

from evalharness.data.files import DataRow, json_form
from evalharness.errors import DataError, first_line
from evalharness.records.tasks import Task
from evalharness.waiting import call_within

PATIENCE = 4.0  # seconds for the facts of one data set
PASSED_ON = ("data_files", "data_dir")  # keys of dataset_kwargs for load_dataset; not trust_remote_code and others
HELP = "give the rows with --data NAME=PATH or --data-dir DIR"


@dataclass(slots=True, kw_only=True)
class DatasetsHub:
    """The hub, and what this process has learned of it.

    `away` says why the hub cannot be reached, "" as long as it answers. `revisions` maps (dataset_path, requested
    revision) to the commit.
    """

    away: str = ""
    revisions: dict[tuple[str, str | None], str] = field(default_factory=dict)

    @property
    def why_away(self) -> str:
        return f", and the hub is away ({self.away})" if self.away else ", and not on the hub"

    def read(self, task: Task, split: str, pinned: str | None = None) -> tuple[list[DataRow], str, str | None]:
        """Read the rows of a split, and return them with their origin and commit (None if the cache does not say).

        `pinned` is the commit to read, instead of the newest or the task's. Raises DataError, within seconds if the
        hub does not answer.
        """
        revision = self._revision(task, pinned)
        extra = {key: value for key, value in task.dataset_kwargs.items() if key in PASSED_ON}
        datasets.disable_progress_bars()
        try:
            table = datasets.load_dataset(task.dataset_path, task.dataset_name, split=split, revision=revision, **extra)
        except Exception as error:  # a builder of `datasets` may raise anything
            if isinstance(error, (ConnectionError, TimeoutError)):
                self.away = _reason(error)
            raise DataError(task.name, f"{_name(task)} cannot be loaded from the hub: {_reason(error)}", HELP) from None
        rows: list[DataRow] = [{key: json_form(value) for key, value in row.items()} for row in table.to_list()]
        if not rows:
            raise DataError(task.name, f"the split {split!r} of {_name(task)} has no rows", HELP)
        return rows, f"hub: {_name(task)} {split} @ {(revision or 'cache')[:12]}", revision

    def has(self, task: Task, pinned: str | None = None) -> bool:
        """Return whether the data set exists, as far as can be told without downloading it."""
        try:
            self._revision(task, pinned)
        except DataError:
            return False
        return not constants.is_offline_mode() or self._cached(task)

    def _revision(self, task: Task, pinned: str | None) -> str | None:
        """Return the commit to read; None in offline mode, when `datasets` reads its cache.

        Each data set's commit is requested from the hub only once.
        """
        if constants.is_offline_mode():
            self.away = "HF_HUB_OFFLINE is set"
            return None
        if self.away:
            raise DataError(task.name, f"{_name(task)} is in no file, and the hub is away ({self.away})", HELP)
        requested = pinned or task.dataset_kwargs.get("revision")
        if (task.dataset_path, requested) not in self.revisions:
            self.revisions[task.dataset_path, requested] = self._resolve(task, requested)
        return self.revisions[task.dataset_path, requested]

    def _resolve(self, task: Task, revision: str | None) -> str:
        """Ask the hub for the commit of a revision. Raises DataError."""
        answer = _commit(task.dataset_path, revision)
        if isinstance(answer, str):
            return answer
        if isinstance(answer, GatedRepoError):
            raise DataError(
                task.name, f"{_name(task)} is gated on the hub", f"accept its terms there and log in, or {HELP}"
            )
        if isinstance(answer, RepositoryNotFoundError):
            raise DataError(task.name, f"the hub has no data set {task.dataset_path}", HELP)
        status = (
            answer.response.status_code if isinstance(answer, HfHubHTTPError) and answer.response is not None else 500
        )
        if status < 500 or isinstance(answer, HFValidationError):
            raise DataError(
                task.name,
                f"the hub refuses {task.dataset_path}{f' @ {revision}' if revision else ''}: {_reason(answer)}",
                HELP,
            )
        self.away = _reason(answer)
        raise DataError(task.name, f"{_name(task)} is in no file, and the hub is away ({self.away})", HELP)

    def _cached(self, task: Task) -> bool:
        try:
            datasets.load_dataset_builder(task.dataset_path, task.dataset_name)
        except Exception:  # as above: not in the cache
            return False
        return True


def _commit(data_set: str, revision: str | None) -> str | Exception | None:
    """Ask the hub for the commit of a revision, and return it or the error."""
    try:
        return call_within(PATIENCE, lambda: HfApi().dataset_info(data_set, revision=revision, timeout=PATIENCE).sha)
    except Exception as error:
        return error


def _name(task: Task) -> str:
    return f"{task.dataset_path}/{task.dataset_name}" if task.dataset_name else task.dataset_path


def _reason(error: object) -> str:
    return first_line(error)[:200]


HUB = DatasetsHub()
