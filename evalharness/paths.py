"""Find the folders shipped with the code, and the default paths of the store and of a run."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

from evalharness.errors import StoreError

PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """Return the path of a shipped folder ("tasks", "reports", "fixtures/…"), in a source tree or an installed wheel.

    Raises FileNotFoundError if it is missing.
    """
    for root in (PACKAGE / "shipped", PACKAGE.parent):
        if (root / folder).is_dir():
            return root / folder
    raise FileNotFoundError(f"{folder}: not there beside {PACKAGE}; install evalharness again, this one is incomplete")


def default_store(environ: Mapping[str, str]) -> Path:
    """Return the path of the store of answers: `$EVALHARNESS_STORE`, else a file in the user's cache directory. Raises
    StoreError without a home directory.
    """
    if path := environ.get("EVALHARNESS_STORE"):
        return Path(path)
    cache = environ.get("XDG_CACHE_HOME")
    try:
        folder = Path(cache) if cache else Path.home() / ".cache"
    except RuntimeError as error:
        fix = "set HOME, or name a file in EVALHARNESS_STORE or with --store"
        raise StoreError("store", "this user has no home directory to keep answers in", fix) from error
    return folder / "evalharness" / "store.sqlite"


def run_folder(suite: str | None) -> Path:
    """Return the default folder of a run: runs/<time>-<suite>, with the time in UTC."""
    harmless = re.sub(r"[^A-Za-z0-9._+@-]", "_", suite or "tasks")[:80]
    return Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{harmless}"
