"""Store answers on disk in one SQLite file, by checkpoint fingerprint, engine fingerprint and request id.

The answers to one block (a part of a task's requests that an engine gets at once) are stored in one transaction.
"""

from __future__ import annotations

from evalharness.store.answers import Store
from evalharness.store.contents import SourceFacts, StoreFacts, export, facts, repair, repair_command, verify
from evalharness.store.database import check
from evalharness.store.removal import RemovalRule, matching_sources, remove

__all__ = [
    "RemovalRule",
    "SourceFacts",
    "Store",
    "StoreFacts",
    "check",
    "export",
    "facts",
    "matching_sources",
    "remove",
    "repair",
    "repair_command",
    "verify",
]
