"""The ledger's folder and file: who may have it, and whether it is ours to write (shell)."""

import fcntl
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from collector import schema
from collector.series import Series

FILE_NAME = "ledger.db"


class LedgerError(Exception):
    """The ledger cannot be opened; the text says why and what to do."""


def database_of(folder: Path) -> Path:
    """The ledger's file in the collector's folder."""
    return folder / FILE_NAME


def lock(folder: Path) -> IO[str]:
    """Hold ``folder`` until the returned file is closed; raises :class:`LedgerError` when someone else does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = (folder / "lock").open("w")
    except OSError as error:
        raise LedgerError(f"{folder} cannot be written ({error.strerror}): choose another data_dir") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        raise LedgerError(f"{folder} is in use by another collector; stop it or choose another data_dir") from error
    return held


def open_for_writing(path: Path) -> sqlite3.Connection:
    """The write connection; makes the tables in a new file. Raises :class:`LedgerError` for a file that is not ours to write."""
    database: sqlite3.Connection | None = None
    try:
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        _prepare(database, path)
    except BaseException as error:
        if database is not None:
            database.close()
        if isinstance(error, sqlite3.OperationalError):
            raise LedgerError(
                f"{path} cannot be opened for writing ({error}): look at its permissions and at free space"
            ) from error
        if isinstance(error, sqlite3.DatabaseError):
            raise LedgerError(f"{path} is not a ledger ({error}): move it away, a new one will be made") from error
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > schema.VERSION:
        raise LedgerError(
            f"{path} has schema {version}, this program knows up to {schema.VERSION}: run the newer version, or move the file away"
        )
    for pragma in schema.PRAGMAS:
        database.execute(pragma)
    if version == 0:
        script = ["BEGIN", *schema.TABLES, f"PRAGMA user_version = {schema.VERSION}", "COMMIT"]
        database.executescript(";\n".join(script))
        return
    for older in range(version, schema.VERSION):
        script = ["BEGIN", *schema.UPGRADES[older], f"PRAGMA user_version = {older + 1}", "COMMIT"]
        database.executescript(";\n".join(script))


def read_series(database: sqlite3.Connection, *, after: int = 0) -> Iterator[tuple[int, Series]]:
    """The interned series with a higher id than ``after``."""
    for row in database.execute("SELECT * FROM series WHERE id > ? ORDER BY id", (after,)):
        yield row[0], msgspec.convert(dict(zip(schema.SERIES_COLUMNS, row[1:], strict=True)), Series)
