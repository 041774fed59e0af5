"""Runs over the same checkpoints, which are verified once."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _files_checked_once(files_checked_once: None) -> None: ...
