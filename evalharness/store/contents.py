"""List and check the content of a store without changing it, export its answers, and repair a damaged store."""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalharness.errors import StoreError
from evalharness.store import rows
from evalharness.store.damage import PRIMARY_CODE, SAYS_DAMAGE, damaged_copies, is_damage
from evalharness.store.database import Database, Notify, connect, errors_at, refuse_newer, resolve_file
from evalharness.store.schema import ANSWERS, PROOFS, USES, DamageError, version_of
from evalharness.whole_file import whole_file

SETS_ASIDE = "sets it aside and begins a new one with all that is intact"
ABSENT = ("no store here", "it is made by the first `evalharness run`")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """What a store has of one model by one engine, both named by fingerprint.

    `answers` are the numbers of intact answers by kind, and `bytes` is their size with keys. `names` and `tasks` are
    the model's names and tasks in runs, as far as stored. `first` and `last` are the times at which an answer was
    first and last written or read, in seconds since 1970 (UTC); 0 if not stored.
    """

    model: str
    engine: str
    names: tuple[str, ...]
    tasks: tuple[str, ...]
    answers: Mapping[str, int]
    bytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """What a store has in all.

    `answers` counts all rows. `damaged` counts rows whose digest does not fit (including proofs), `quarantined` those
    that were recognised as damaged before. `bytes` is the size of the file and its log. `set_aside` are the damaged
    files beside it.
    """

    path: Path
    version: int
    answers: int
    models: int
    bytes: int
    damaged: int
    quarantined: int
    set_aside: tuple[Path, ...]
    sources: tuple[SourceFacts, ...]


def repair_command(path: Path) -> str:
    """Return the command that repairs the store at `path`, in backquotes."""
    return f"`evalharness store verify --repair --store {shlex.quote(str(path))}`"


@contextmanager
def reading(path: Path) -> Iterator[tuple[sqlite3.Connection, int]]:
    """Open a store read-only, and return the connection with the store's version.

    Runs may write meanwhile. Raises StoreError.
    """
    with errors_at(path, "cannot be read"):
        path = resolve_file(path)
        if not path.exists():
            raise StoreError(path, *ABSENT)
        try:
            with closing(_connect_read_only(path)) as db:
                version = version_of(db)
                if version == 0:
                    raise StoreError(path, "an empty file", "it becomes a store with the first `evalharness run`")
                refuse_newer(path, version)
                yield db, version
        except SAYS_DAMAGE as error:
            if is_damage(error, path):
                raise StoreError(path, f"it is damaged ({error})", f"{repair_command(path)} {SETS_ASIDE}") from error
            raise


def _connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a connection that cannot write.

    In a read-only folder SQLite cannot make its shared memory. There the file is read without locks, because nobody
    else can write it either.
    """
    db = connect(path, "ro")
    log = Path(f"{path}-wal")
    try:
        db.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError as error:
        db.close()
        alone = error.sqlite_errorcode & PRIMARY_CODE in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if not alone or (log.exists() and log.stat().st_size):
            raise
        return connect(path, "ro&immutable=1")
    return db


def facts(path: Path) -> StoreFacts:
    """Count what a store has. Every row is read and checked. Raises StoreError."""
    kinds: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    sizes: Counter[tuple[str, str]] = Counter()
    answers = damaged = 0
    with reading(path) as (db, version):
        db.execute("BEGIN")  # a snapshot, though a run may write meanwhile
        for values in db.execute(ANSWERS):
            answers += 1
            if (answer := rows.answer(values)) is None:
                damaged += 1
                continue
            key = str(values[0]), str(values[1])
            kinds[key][type(answer).__name__.lower()] += 1
            sizes[key] += sum(len(str(value)) for value in values)
        damaged += sum(not rows.intact(values) for values in db.execute(PROOFS))
        uses = db.execute(USES).fetchall()
        (quarantined,) = db.execute("SELECT count(*) FROM quarantine").fetchone()
    sources = tuple(_source(key, kinds[key], sizes[key], uses) for key in sorted(kinds))
    path = path.absolute()
    return StoreFacts(
        path=path,
        version=version,
        answers=answers,
        models=len({model for model, _ in kinds}),
        bytes=sum(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists()),
        damaged=damaged,
        quarantined=quarantined,
        set_aside=damaged_copies(path.resolve()),
        sources=sources,
    )


def _source(key: tuple[str, str], kinds: Mapping[str, int], size: int, uses: list[tuple[Any, ...]]) -> SourceFacts:
    matches = [use[2:] for use in uses if use[:2] == key]
    first = [use[2] for use in matches if isinstance(use[2], int)]
    last = [use[3] for use in matches if isinstance(use[3], int)]
    return SourceFacts(
        model=key[0],
        engine=key[1],
        names=tuple(sorted({str(use[0]) for use in matches} - {""})),
        tasks=tuple(sorted({str(use[1]) for use in matches} - {""})),
        answers=dict(sorted(kinds.items())),
        bytes=size,
        first=min(first, default=0),
        last=max(last, default=0),
    )


def verify(path: Path) -> tuple[int, int]:
    """Check every row and the file's structure, and return the numbers of damaged rows and of all rows.

    Raises StoreError, also for a damaged structure.
    """
    with reading(path) as (db, _):
        return _check_rows(db)


def repair(path: Path, notify: Notify) -> None:
    """Set a damaged store aside and begin a new one with all intact rows. A store that is intact does not change.

    Raises StoreError.
    """

    def check(db: sqlite3.Connection) -> None:
        damaged, total = _check_rows(db)
        if damaged:
            raise DamageError(f"{damaged:,} of {total:,} rows do not fit their digests")

    if not resolve_file(path).exists():
        raise StoreError(path, *ABSENT)
    with closing(Database(path, notify)) as database:
        database.read(check)


def _check_rows(db: sqlite3.Connection) -> tuple[int, int]:
    """Return the numbers of damaged rows and of all rows. Raises DamageError for a damaged structure."""
    (text,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if text != "ok":
        raise DamageError(str(text).splitlines()[-1])
    intact = [rows.intact(values) for query in (ANSWERS, PROOFS) for values in db.execute(query)]
    return intact.count(False), len(intact)


def export(path: Path, to: Path, models: Collection[str] = ()) -> int:
    """Write every intact answer (of `models`, if any are named) as a line of JSON, and return their number.

    A line has the fingerprints of model and engine, the request's id, and the answer's kind and fields. The file is
    complete or absent. Raises StoreError.
    """
    count = 0
    try:
        with whole_file(to) as file:
            for line in _lines(path, models):
                file.write(line.encode())
                count += 1
    except OSError as error:
        raise StoreError(to, f"cannot be written ({error.strerror})", "name another file with --to") from error
    return count


def _lines(path: Path, models: Collection[str]) -> Iterator[str]:
    with reading(path) as (db, _):
        for values in db.execute(ANSWERS):
            answer = rows.answer(values)
            if answer is not None and (not models or values[0] in models):
                fields = asdict(answer)
                key = {"model": values[0], "engine": values[1], "request": fields.pop("request_id")}
                yield json.dumps({**key, "kind": type(answer).__name__.lower(), **fields}) + "\n"
