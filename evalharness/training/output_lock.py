"""Lock the folder in which a candidate is made, and take it up again after a kill: it carries the record of what is
being made, and the candidate is renamed into its place at the end.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalharness.errors import DataError, ModelError, UsageError
from evalharness.folder_lock import held
from evalharness.whole_file import write_whole

RECORD = "making.json"
HOPELESS = (UsageError, DataError, ModelError)  # the same again would end the same


class UnfinishedOutput:
    """The folder `.NAME.unfinished` beside `out`. `states`: what training saves on the way; `best`: the file of the
    best validated weights; `candidate`: the candidate that is being written.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out.parent / f".{out.name}.unfinished"
        self.states, self.candidate = self.folder / "states", self.folder / "candidate"
        self.best = self.folder / "best.safetensors"
        self.taken_up = False

    @property
    def has_states(self) -> bool:
        """Whether a state was saved from which training can go on."""
        return any(self.states.glob("checkpoint-*"))

    def take_up(self, record: Mapping[str, Any]) -> bool:
        """Make the folder ready. True where it holds states of the very same training; what another one left is
        removed.
        """
        shutil.rmtree(self.candidate, ignore_errors=True)
        try:
            same = bool(json.loads((self.folder / RECORD).read_text()) == json.loads(json.dumps(record)))
        except (OSError, ValueError):
            same = False
        if not same:
            self.forget_record()
            if self.states.exists():
                shutil.rmtree(self.states)
            self.best.unlink(missing_ok=True)
            write_whole(self.folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())
        self.states.mkdir(exist_ok=True)
        self.candidate.mkdir()
        self.taken_up = True
        return same

    def forget_record(self) -> None:
        """Remove the record, before anything that it tells of: after a kill nothing goes on from half of that."""
        (self.folder / RECORD).unlink(missing_ok=True)

    def finish(self) -> None:
        """Move the candidate to its place, in one step."""
        refuse_existing(self.out)
        self.candidate.rename(self.out)


@contextmanager
def locked_output(out: Path) -> Iterator[UnfinishedOutput]:
    """Hold the folder for this process alone. It stays behind where going on later makes sense: interrupted or short of
    room, with states saved, or refused before this training had begun.

    Raises UsageError where another process trains to the same place, StoreError where the folder cannot be made.
    """
    unfinished = UnfinishedOutput(out)
    with held(unfinished.folder, "--out", shown=out):
        keep = False
        try:
            refuse_existing(out)
            yield unfinished
        except BaseException as error:
            hopeless = unfinished.taken_up and isinstance(error, HOPELESS)
            keep = unfinished.has_states and not hopeless
            raise
        finally:
            if not keep:
                with contextlib.suppress(OSError):
                    unfinished.forget_record()
            shutil.rmtree(unfinished.candidate if keep else unfinished.folder, ignore_errors=True)


def refuse_existing(out: Path) -> None:
    """Raise UsageError where something lies in the candidate's place."""
    if out.exists() or out.is_symlink():
        raise UsageError("--out", f"{out} exists already", "remove it, or name another folder")
