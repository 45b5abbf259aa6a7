"""What the ledger's SQLite file knows of its history: which versions are there, under which manifest (shell)."""

import sqlite3
from collections.abc import Iterator

from collector import columns
from collector.history.layout import HOUR_SECONDS, hour_of
from collector.history.manifest import Manifest
from collector.history.writing import Place, SealedTable

_NOT_EXPORTED = (
    "SELECT start, version, sealed_at FROM sealed"
    " WHERE NOT EXISTS (SELECT 1 FROM exports WHERE exports.start = sealed.start AND exports.version = sealed.version)"
)
_FORGET = (
    "DELETE FROM sealed WHERE rowid IN (SELECT sealed.rowid FROM sealed JOIN exports USING (start, version)"
    " WHERE sealed.start < ?1 AND sealed.start NOT IN (SELECT start FROM reopened)"
    " AND NOT EXISTS (SELECT 1 FROM running WHERE running.start = sealed.start) ORDER BY sealed.start LIMIT ?2)"
)


def identity(database: sqlite3.Connection) -> str:
    """The ledger's name among those that share a history."""
    (name,) = database.execute("SELECT name FROM identity").fetchone()
    return str(name)


def place(database: sqlite3.Connection) -> Place:
    """Where the next manifest comes."""
    last = database.execute("SELECT serial, digest FROM manifests ORDER BY serial DESC LIMIT 1").fetchone()
    serial, digest = last or (0, "")
    return Place(identity(database), serial + 1, digest)


def hour_due(database: sqlite3.Connection, at: float, *, seal_after: float, gather: float, oldest: float) -> int | None:
    """The first hour from ``oldest`` on that is over and sealed and has versions that are not in the history.

    Versions that are younger than ``gather`` seconds wait for others that may follow: a late hour should not be many files.
    """
    open_hours = {hour_of(start) for start in _open_starts(database)}
    versions: dict[int, float] = {}
    for start, _, sealed_at in database.execute(
        f"{_NOT_EXPORTED} AND start >= ?", (hour_of(int(oldest)) + HOUR_SECONDS,)
    ):
        hour = hour_of(start)
        versions[hour] = max(versions.get(hour, 0.0), sealed_at)
    for hour, newest in sorted(versions.items()):
        is_over = hour + HOUR_SECONDS + seal_after <= at
        exported = database.execute(
            "SELECT 1 FROM exports WHERE start BETWEEN ? AND ?", (hour, hour + HOUR_SECONDS - 1)
        )
        is_late = exported.fetchone() is not None
        if is_over and (newest + gather <= at if is_late else hour not in open_hours):
            return hour
    return None


def _open_starts(database: sqlite3.Connection) -> Iterator[int]:
    after = -1
    while True:
        (start,) = database.execute("SELECT min(start) FROM running WHERE start > ?", (after,)).fetchone()
        if start is None:
            break
        if database.execute("SELECT 1 FROM sealed WHERE start = ?", (start,)).fetchone() is None:
            yield start
        after = start


def sealed_of(database: sqlite3.Connection, hour: int) -> list[SealedTable]:
    """The versions of an hour's intervals that are not in the history; raises ValueError when one is damaged."""
    query = (
        "SELECT start, version, sealed_at, cause, body FROM sealed WHERE start BETWEEN ? AND ? AND NOT EXISTS"
        " (SELECT 1 FROM exports WHERE exports.start = sealed.start AND exports.version = sealed.version) ORDER BY start, version"
    )
    rows = database.execute(query, (hour, hour + HOUR_SECONDS - 1)).fetchall()
    return [
        SealedTable(
            start, version, sealed_at, cause or ("first" if version == 1 else "late"), columns.unpack_table(body)
        )
        for start, version, sealed_at, cause, body in rows
    ]


def record(database: sqlite3.Connection, path: str, manifest: Manifest) -> None:
    """The manifest is written; within a transaction."""
    database.execute("INSERT OR IGNORE INTO manifests VALUES (?, ?, ?, NULL)", (manifest.serial, path, manifest.digest))
    if manifest.seconds == HOUR_SECONDS:
        rows = [(one.start, one.version, path) for one in manifest.versions]
        database.executemany("INSERT OR IGNORE INTO exports VALUES (?, ?, ?)", rows)


def recorded(database: sqlite3.Connection) -> dict[str, str]:
    """Path → digest of the manifests that are known."""
    return dict(database.execute("SELECT name, digest FROM manifests").fetchall())


def forget_local(database: sqlite3.Connection, before: float, most: int) -> int:
    """Delete a bite of sealed rows that are in the history as well; how many went. Within a transaction."""
    return database.execute(_FORGET, (before, most)).rowcount


def removed(database: sqlite3.Connection, path: str, at: float) -> None:
    """Retention took the manifest's files away; within a transaction."""
    database.execute("UPDATE manifests SET removed_at = ? WHERE name = ?", (at, path))
    database.execute("DELETE FROM exports WHERE manifest = ?", (path,))
