"""Where things lie: the folders shipped beside the code, and the store and the run's folder when nobody names one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """Where the shipped `folder` ("tasks", "reports", "fixtures/…") lies, in a source tree or in an installed wheel.

    Raises FileNotFoundError where it is missing.
    """
    for root in (PACKAGE / "shipped", PACKAGE.parent):
        if (root / folder).is_dir():
            return root / folder
    raise FileNotFoundError(
        f"{folder}: not found beside {PACKAGE}; the installation is incomplete, install evalharness again"
    )


def default_store(environ: Mapping[str, str]) -> Path:
    """`$EVALHARNESS_STORE`, else a file in the user's cache directory."""
    if named := environ.get("EVALHARNESS_STORE"):
        return Path(named)
    cache = environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "evalharness" / "store.sqlite"


def run_folder(suite: str | None) -> Path:
    """runs/<time>-<suite>, in UTC."""
    return Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{suite or 'tasks'}"
