"""Read and store the answers of a run, and the proofs that adapters have an effect. A damaged answer is never
returned.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from evalharness.records.requests import Response
from evalharness.store import rows
from evalharness.store.database import Database, Notify
from evalharness.store.schema import ANSWERS, PROOFS, DamageError

MOST_VARIABLES = 500  # of one SQL statement; SQLite's own limit is higher
QUARANTINE = "INSERT INTO quarantine SELECT * FROM answers WHERE model=? AND engine=? AND request=?"


class Store:
    """A store of answers that a run reads and writes. `notify` gets a message when a damaged file is replaced.

    Every row has a digest of its key and body, because SQLite has no page checksums. A damaged answer is recognised on
    reading, counts as absent, is computed again, and is moved to quarantine. Raises StoreError if the file cannot be
    opened, read or written, or is no store.
    """

    def __init__(self, path: Path, notify: Notify = lambda notice: None) -> None:
        self._database = Database(path, notify)
        self.path = self._database.path

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, model: str, engine: str, requests: Sequence[str]) -> dict[str, Response]:
        """Return the intact answers among `requests`, by request id."""
        return self._database.read(lambda db: _answers(db, model, engine, requests))

    def add(self, model: str, engine: str, responses: Iterable[Response]) -> None:
        """Store the answers of one block of requests in one transaction.

        An intact answer that is there already does not change; a damaged one goes into quarantine.
        """
        bodies = {response.request_id: rows.encode(response) for response in responses}

        def change(db: sqlite3.Connection) -> None:
            before = {values[2]: values for values in _rows(db, model, engine, list(bodies))}
            intact = {key: values for key, values in before.items() if rows.answer(values) is not None}
            new = [rows.row(model, engine, key, body) for key, body in bodies.items() if key not in intact]
            db.executemany(QUARANTINE, [(model, engine, key) for key in before if key not in intact])
            db.executemany("INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?)", new)
            _note(db, model, engine)
            if not {*intact.values(), *new} <= set(_rows(db, model, engine, list(bodies))):
                raise DamageError("rows of it are not found where they were written")

        self._database.write(change)

    def note_use(self, model: str, engine: str, name: str, task: str) -> None:
        """Store the name that a run gives a model, and the task that it answers, for `store info`."""
        self._database.write(lambda db: _note(db, model, engine, name, task))

    def proof(self, model: str, engine: str) -> dict[str, float] | None:
        """Return the stored proof that the model's adapter has an effect in this engine, or None."""
        query = f"{PROOFS} WHERE model=? AND engine=?"
        for values in self._database.read(lambda db: db.execute(query, (model, engine)).fetchall()):
            if rows.intact(values):
                return dict(json.loads(values[3]))
        return None

    def add_proof(self, model: str, engine: str, proof: dict[str, float]) -> None:
        body, digest = rows.row(model, engine, "proof", json.dumps(proof, sort_keys=True))[3:]
        values = (model, engine, body, digest)
        self._database.write(lambda db: db.execute("INSERT OR REPLACE INTO proofs VALUES (?,?,?,?)", values))


def _answers(db: sqlite3.Connection, model: str, engine: str, requests: Sequence[str]) -> dict[str, Response]:
    answers = map(rows.answer, _rows(db, model, engine, requests))
    return {answer.request_id: answer for answer in answers if answer is not None}


def _rows(db: sqlite3.Connection, model: str, engine: str, requests: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Return the stored rows, including damaged ones."""
    for start in range(0, len(requests), MOST_VARIABLES):
        part = requests[start : start + MOST_VARIABLES]
        query = f"{ANSWERS} WHERE model=? AND engine=? AND request IN ({','.join('?' * len(part))})"
        yield from db.execute(query, (model, engine, *part))


def _note(db: sqlite3.Connection, model: str, engine: str, name: str = "", task: str = "") -> None:
    """Record the time of a use, in seconds since 1970 (UTC). If the clock was set back, the later time remains."""
    now = int(time.time())
    db.execute(
        """INSERT INTO uses VALUES (?,?,?,?,?,?)
        ON CONFLICT DO UPDATE SET first=min(first, excluded.first), last=max(last, excluded.last)""",
        (model, engine, name, task, now, now),
    )
