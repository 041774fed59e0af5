"""Keep answers on disk, each under (checkpoint fingerprint, engine fingerprint, request id): one SQLite file, one
transaction a block.
"""

from __future__ import annotations

from evalharness.store.answers import Store
from evalharness.store.contents import SourceFacts, StoreFacts, export, facts, repair, repair_command, verify
from evalharness.store.database import check
from evalharness.store.removal import RemovalRule, chosen, remove

__all__ = [
    "RemovalRule",
    "SourceFacts",
    "Store",
    "StoreFacts",
    "check",
    "chosen",
    "export",
    "facts",
    "remove",
    "repair",
    "repair_command",
    "verify",
]
