"""Lock the folder in which a candidate is made, and continue in it after a kill.

The folder also holds a record of the training. At the end the candidate moves from it to the path that the user named.
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
from evalharness.folder_lock import hold_folder
from evalharness.whole_file import write_whole

RECORD = "making.json"
STEP = "step-"  # prefix of the folders of kept checkpoints
HOPELESS = (UsageError, DataError, ModelError)  # the same command would fail again


class UnfinishedOutput:
    """The folder `.NAME.unfinished` beside `out` in which a candidate is made.

    `states`: the folder of the training's saved states. `best`: the file of the best validated weights. `checkpoints`:
    the folder of candidates of earlier steps. `candidate`: the folder of the candidate that is being written.
    `taken_up`: whether this training has begun in the folder.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out.parent / f".{out.name}.unfinished"
        self.states, self.candidate = self.folder / "states", self.folder / "candidate"
        self.best, self.checkpoints = self.folder / "best.safetensors", self.folder / CHECKPOINTS
        self.taken_up = False

    @property
    def has_states(self) -> bool:
        """Return whether a saved state exists from which training can go on."""
        return any(self.states.glob("checkpoint-*"))

    def take_up(self, record: Mapping[str, Any]) -> bool:
        """Prepare the folder for the training that `record` describes. Return whether it holds states of this very
        training; the files of another training are removed.
        """
        self.drop_candidate()
        try:
            same = bool(json.loads((self.folder / RECORD).read_text()) == json.loads(json.dumps(record)))
        except (OSError, ValueError):
            same = False
        if not same:
            self.forget_record()
            for folder in (self.states, self.checkpoints):
                if folder.exists():
                    shutil.rmtree(folder)
            self.best.unlink(missing_ok=True)
            write_whole(self.folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())
        self.states.mkdir(exist_ok=True)
        self.candidate.mkdir()
        self.taken_up = True
        return same

    def forget_record(self) -> None:
        """Remove the record before the files that it describes, so that after a kill nothing continues from half of
        them.
        """
        (self.folder / RECORD).unlink(missing_ok=True)

    def drop_candidate(self) -> None:
        """Remove the unfinished candidate, but keep its checkpoints."""
        with contextlib.suppress(OSError):
            (self.candidate / CHECKPOINTS).rename(self.checkpoints)
        shutil.rmtree(self.candidate, ignore_errors=True)

    def finish(self) -> None:
        """Move the candidate with its checkpoints to the path that the user named, in one step."""
        refuse_existing(self.out)
        for half in self.checkpoints.glob(".*"):
            shutil.rmtree(half)
        if self.checkpoints.exists():
            self.checkpoints.rename(self.candidate / CHECKPOINTS)
        self.candidate.rename(self.out)


@contextmanager
def locked_output(out: Path) -> Iterator[UnfinishedOutput]:
    """Lock the unfinished candidate's folder for this process, and clean up at the end of the block.

    After an error or an interrupt the folder is kept if the same command can go on from it: it has saved states, and
    the error is not one that the command would meet again (a UsageError, DataError or ModelError after this training
    began). Otherwise, and after success, it is removed.

    Raises UsageError if another process trains to the same path, StoreError if the folder cannot be made.
    """
    unfinished = UnfinishedOutput(out)
    with hold_folder(unfinished.folder, "--out", name=out):
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
    """Return the name of the folder of a step's checkpoint."""
    return f"{STEP}{step}"


def checkpoints_in(folder: Path) -> dict[int, Path]:
    """Find the complete checkpoints in a folder, by step."""
    return {int(path.name.removeprefix(STEP)): path for path in folder.glob(f"{STEP}*")}


def refuse_existing(out: Path) -> None:
    """Raise UsageError if the candidate's path exists already."""
    if out.exists() or out.is_symlink():
        raise UsageError("--out", f"{out} exists already", "remove it, or name another folder")
