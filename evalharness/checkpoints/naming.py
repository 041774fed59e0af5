"""Parse a user's text for a checkpoint.

It is `[NAME=]PATH[#TASK]`, `[NAME=]DIR/*`, `[NAME=]HUB_ID[@REV]` or `[NAME=]URL#MODEL`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from evalharness.errors import ModelError
from evalharness.openai_api.location import ServedLocation, parse_served

EVERY = "/*"
ADDRESS = re.compile(r"(?:([^=/]*)=)?(https?://.*)", re.DOTALL | re.IGNORECASE)
TASK = re.compile(r"(.+)#(\d{1,9})", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSpec:
    """The parts of the text by which a user names a checkpoint.

    `name` is its name in the results, None if the text has none. `location` is a path as typed, a hub id, or the
    address of a model, whose parts are in `served`. `revision` is that of a hub id. `task` is the one to use of an
    adapter that learned several.
    """

    name: str | None
    location: str
    on_hub: bool = False
    revision: str | None = None
    task: int | None = None
    served: ServedLocation | None = None

    @property
    def path(self) -> Path:
        """Return the location as a path, with `~` expanded if possible."""
        try:
            return Path(self.location).expanduser()
        except RuntimeError:
            return Path(self.location)

    @property
    def names_several(self) -> bool:
        """Return whether the text is `DIR/*`, every checkpoint in a folder."""
        return self.served is None and self.location.endswith(EVERY) and not exists(self.location)

    def name_in(self, directory: Path) -> str:
        """Return the checkpoint's name in results.

        It is the stated name, else that of its directory or repository, with the task if one is chosen. For a served
        model it is the server's name for it, after the last slash.
        """
        if self.served is not None:
            return self.name or self.served.model.rpartition("/")[2] or self.served.model
        own = self.location.rpartition("/")[2] if self.on_hub else directory.name.removesuffix(".gguf") or "root"
        return self.name or (own if self.task is None else f"{own}-task{self.task}")


def exists(location: str | Path) -> bool:
    """Return whether there is such a file or directory; False for texts that cannot be a path."""
    try:
        return Path(location).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def parse(text: str) -> CheckpointSpec:
    """Parse the text. An existing path wins over every other reading of its `=`, `#` and `@`; a hub id has at most one
    slash. Raises ModelError if it names nothing.
    """
    if address := ADDRESS.fullmatch(text):
        served = parse_served(address[2])
        return CheckpointSpec(name=(address[1] or "").strip() or None, location=served.text, served=served)
    name, equals, location = text.partition("=")
    if not equals or "/" in name or exists(_without_task(text)[0]):
        name, location = "", text
    location, task = _without_task(location)
    on_hub = not (location.startswith((".", "/", "~")) or location.count("/") > 1 or exists(location))
    unnamed = text.startswith("=") and location == text[1:]
    location, _, revision = location.partition("@") if on_hub else (location, "", "")
    if not location.strip() or unnamed:
        raise ModelError(
            repr(text), "names no checkpoint", "write [NAME=]PATH, [NAME=]HUB_ID[@REV] or [NAME=]URL#MODEL"
        )
    return CheckpointSpec(
        name=name.strip() or None, location=location, on_hub=on_hub, revision=revision or None, task=task
    )


def _without_task(location: str) -> tuple[str, int | None]:
    match = None if exists(location) else TASK.fullmatch(location)
    return (match[1], int(match[2])) if match else (location, None)
