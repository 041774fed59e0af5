"""Keep answers on disk, each under (checkpoint fingerprint, engine fingerprint, request id): one SQLite file, one
transaction a block.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalharness import fingerprint
from evalharness.errors import StoreError
from evalharness.records.requests import Generation, Profiling, Ranking, Response, Scoring

SCHEMA_VERSION = 1
BUSY_MS = 60_000  # another process may hold the write lock for one block's commit
PRIMARY_CODE = 0xFF  # the rest of an SQLite error code says where in the library it came up
MOST_VARIABLES = 500  # of one SQL statement; SQLite's own limit is higher
RESPONSES = {cls.__name__.lower(): cls for cls in (Generation, Profiling, Ranking, Scoring)}  # by the `kind` in a body

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS answers (
    model TEXT NOT NULL, engine TEXT NOT NULL, request TEXT NOT NULL, body TEXT NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (model, engine, request)
) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS proofs (
    model TEXT NOT NULL, engine TEXT NOT NULL, body TEXT NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (model, engine)
) WITHOUT ROWID""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """What `store info` shows: counts over the whole file, its size in bytes, and the answers whose digest does not
    fit.
    """

    path: Path
    answers: int
    models: int
    bytes: int
    damaged: int


class Store:
    """The only reader and writer of a store file. Raises StoreError where the file cannot be opened, read or written.

    Every row carries a digest of its key and body: SQLite has no page checksums, so a damaged answer is found on
    reading, counted as absent, and computed again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None)
            self._switch_to_wal()
            self._db.execute("PRAGMA synchronous=FULL")  # a commit a block: a few ms, and a power cut loses nothing
            self._check_version()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                path, f"cannot be used as the store: {error}", "name another with --store, or move this file away"
            ) from error

    def _switch_to_wal(self) -> None:
        """SQLite does not wait for the lock in this one statement: two processes that open a new store together meet
        here.
        """
        deadline = time.monotonic() + BUSY_MS / 1000
        while True:
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & PRIMARY_CODE != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    def _check_version(self) -> None:
        if self._version() == SCHEMA_VERSION:
            return
        with self._transaction():
            if (version := self._version()) not in (0, SCHEMA_VERSION):
                fix = "name another with --store"
                raise StoreError(self.path, f"store of version {version}, this evalharness reads {SCHEMA_VERSION}", fix)
            for statement in SCHEMA:
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def _version(self) -> int:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        return int(version)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(
                self.path, f"cannot be written: {error}", "what was answered before is kept; make room and run again"
            ) from error

    def read(self, model: str, engine: str, requests: Sequence[str]) -> dict[str, Response]:
        """The intact answers among `requests`, by request id."""
        intact: dict[str, Response] = {}
        for start in range(0, len(requests), MOST_VARIABLES):
            part = requests[start : start + MOST_VARIABLES]
            marks = ",".join("?" * len(part))
            query = f"SELECT request, body, digest FROM answers WHERE model=? AND engine=? AND request IN ({marks})"
            for request, body, digest in self._select(query, (model, engine, *part)):
                if digest == _digest(model, engine, request, body):
                    intact[request] = _decode(body)
        return intact

    def add(self, model: str, engine: str, responses: Iterable[Response]) -> None:
        """Keep one block's answers in one transaction. An intact answer that is there already wins; a damaged one is
        replaced.
        """
        rows = {response.request_id: _encode(response) for response in responses}
        intact = self.read(model, engine, list(rows))
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?)",
                [
                    (model, engine, key, body, _digest(model, engine, key, body))
                    for key, body in rows.items()
                    if key not in intact
                ],
            )

    def proof(self, model: str, engine: str) -> dict[str, float] | None:
        """The stored proof that this model answers through this engine, or None."""
        for body, digest in self._select("SELECT body, digest FROM proofs WHERE model=? AND engine=?", (model, engine)):
            if digest == _digest(model, engine, "proof", body):
                return dict(json.loads(body))
        return None

    def add_proof(self, model: str, engine: str, proof: dict[str, float]) -> None:
        body = json.dumps(proof, sort_keys=True)
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO proofs VALUES (?,?,?,?)",
                (model, engine, body, _digest(model, engine, "proof", body)),
            )

    def facts(self) -> StoreFacts:
        """Counts over the whole file; reads and checks every row."""
        models, answers, damaged = set(), 0, 0
        for model, engine, request, body, digest in self._select(
            "SELECT model, engine, request, body, digest FROM answers", ()
        ):
            models.add(model)
            answers += 1
            damaged += digest != _digest(model, engine, request, body)
        return StoreFacts(
            path=self.path, answers=answers, models=len(models), bytes=self.path.stat().st_size, damaged=damaged
        )

    def _select(self, query: str, values: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        try:
            yield from self._db.execute(query, values)
        except sqlite3.Error as error:
            fix = "move the file away and run again: its answers are computed anew"
            raise StoreError(self.path, f"cannot be read: {error}", fix) from error


def _digest(*parts: str) -> str:
    return fingerprint.of_value(parts)[:32]


def _encode(response: Response) -> str:
    return json.dumps({"kind": type(response).__name__.lower(), **asdict(response)}, sort_keys=True, allow_nan=False)


def _decode(body: str) -> Response:
    fields = json.loads(body)
    response = RESPONSES[fields.pop("kind")]
    return response(**{name: _with_tuples(value) for name, value in fields.items()})


def _with_tuples(value: Any) -> Any:
    """Lists as tuples, as records have them."""
    if not isinstance(value, list):
        return value
    return tuple(map(_with_tuples, value) if value and isinstance(value[0], list) else value)
