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

from evalharness.checkpoints.discover import CHECKPOINTS as CHECKPOINTS
from evalharness.errors import DataError, ModelError, UsageError
from evalharness.folder_lock import held
from evalharness.whole_file import write_whole

RECORD = "making.json"
STEP = "step-"  # how the folders of candidates kept on the way begin
HOPELESS = (UsageError, DataError, ModelError)  # the same again would end the same


class UnfinishedOutput:
    """The folder `.NAME.unfinished` beside `out`. `states`: what training saves on the way; `best`: the file of the
    best validated weights; `kept`: candidates kept on the way; `candidate`: the candidate that is being written.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out.parent / f".{out.name}.unfinished"
        self.states, self.candidate = self.folder / "states", self.folder / "candidate"
        self.best, self.kept = self.folder / "best.safetensors", self.folder / CHECKPOINTS
        self.taken_up = False

    @property
    def has_states(self) -> bool:
        """Whether a state was saved from which training can go on."""
        return any(self.states.glob("checkpoint-*"))

    def take_up(self, record: Mapping[str, Any]) -> bool:
        """Make the folder ready. True where it holds states of the very same training; what another one left is
        removed.
        """
        self.drop_candidate()
        try:
            same = bool(json.loads((self.folder / RECORD).read_text()) == json.loads(json.dumps(record)))
        except (OSError, ValueError):
            same = False
        if not same:
            self.forget_record()
            for folder in (self.states, self.kept):
                if folder.exists():
                    shutil.rmtree(folder)
            self.best.unlink(missing_ok=True)
            write_whole(self.folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())
        self.states.mkdir(exist_ok=True)
        self.candidate.mkdir()
        self.taken_up = True
        return same

    def forget_record(self) -> None:
        """Remove the record, before anything that it tells of: after a kill nothing goes on from half of that."""
        (self.folder / RECORD).unlink(missing_ok=True)

    def drop_candidate(self) -> None:
        """Remove the candidate that was being written, but not what was kept on the way."""
        with contextlib.suppress(OSError):
            (self.candidate / CHECKPOINTS).rename(self.kept)
        shutil.rmtree(self.candidate, ignore_errors=True)

    def finish(self) -> None:
        """Move the candidate to its place, in one step, what was kept on the way with it."""
        refuse_existing(self.out)
        for half in self.kept.glob(".*"):
            shutil.rmtree(half)
        if self.kept.exists():
            self.kept.rename(self.candidate / CHECKPOINTS)
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
                shutil.rmtree(unfinished.folder, ignore_errors=True)
            unfinished.drop_candidate()


def step_folder(step: int) -> str:
    """Name the folder of what was kept after a step."""
    return f"{STEP}{step}"


def kept_in(folder: Path) -> dict[int, Path]:
    """Find what was kept in a folder, whole, by its step."""
    return {int(path.name.removeprefix(STEP)): path for path in folder.glob(f"{STEP}*")}


def refuse_existing(out: Path) -> None:
    """Raise UsageError where something lies in the candidate's place."""
    if out.exists() or out.is_symlink():
        raise UsageError("--out", f"{out} exists already", "remove it, or name another folder")
