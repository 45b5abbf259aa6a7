"""What the judgement's process must not lose: cursor, incidents, outbox, snapshots, in one SQLite file (shell).

All of one batch's effects are one transaction. WAL with ``synchronous=NORMAL``: kill -9 loses nothing; a power cut may
lose the newest transactions, and the feed is then read again from the older cursor.
"""

import asyncio
import sqlite3
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

import msgspec

from cfa.action_rows import SCHEMA as _ACTIONS
from cfa.action_rows import ActionRows
from cfa.incident import Incident
from cfa.merging import Run
from cfa.notices import Notice, Pending
from cfa.operators import Recorded
from cfa.outbox_rows import OutboxRows
from cfa.replica_rows import ReplicaRows

__all__ = ["Commit", "Pending", "Snapshot", "StateStore"]

SNAPSHOTS_KEPT = 3
RETENTION_SECONDS = 400 * 86400.0
"""Closed incidents and their pages are kept for a year and a month, so that last year's week can be reported."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS incidents (
    id TEXT PRIMARY KEY, opened_at REAL NOT NULL, closed_at REAL, severity TEXT NOT NULL, changed_at REAL NOT NULL,
    body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT, incident TEXT NOT NULL, notify TEXT NOT NULL, n INTEGER NOT NULL,
    destination TEXT NOT NULL, at REAL NOT NULL, created_at REAL NOT NULL, body BLOB NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, next_at REAL NOT NULL DEFAULT 0, delivered_at REAL, abandoned_at REAL,
    last_error TEXT, origin TEXT, UNIQUE (incident, notify, n, destination));
CREATE INDEX IF NOT EXISTS outbox_pending ON outbox (destination, number)
    WHERE delivered_at IS NULL AND abandoned_at IS NULL;
CREATE TABLE IF NOT EXISTS snapshots (
    number INTEGER PRIMARY KEY AUTOINCREMENT, cursor INTEGER NOT NULL, received_at REAL NOT NULL,
    judgement BLOB NOT NULL, notices BLOB NOT NULL, answered BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS incidents_open ON incidents (id) WHERE closed_at IS NULL;
CREATE TABLE IF NOT EXISTS merged (number INTEGER PRIMARY KEY, feed TEXT NOT NULL, cursor INTEGER NOT NULL);
PRAGMA user_version = 2;
"""
_ADDED = """
CREATE INDEX IF NOT EXISTS outbox_second_route ON outbox (incident) WHERE origin IS NOT NULL;
"""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The judgement's whole state after the entry at ``cursor``, received at ``received_at``."""

    cursor: int
    received_at: float
    judgement: bytes
    notices: bytes
    answered: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """All that one batch of the feed (or one tick) changed; applied whole or not at all."""

    cursor: int
    received_at: float
    incidents: tuple[tuple[float, Incident], ...] = ()
    notices: tuple[Notice, ...] = ()
    snapshot: Snapshot | None = None
    runs: tuple[Run, ...] = ()
    forget_runs_after: int | None = None
    actions: tuple[Recorded, ...] = ()
    placed: tuple[tuple[int, float], ...] = ()
    """Actions by number, and the tick of the lane of tables that each comes after."""
    tables_at: float = 0.0
    """The tick of that lane that this commit belongs to."""


class StateStore(OutboxRows, ActionRows, ReplicaRows):
    """The file, behind one thread of its own: a slow disk delays neither the API nor a delivery in flight.

    The methods are plain and blocking; call them as ``await store.run(store.apply, …)``.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cfa-state")
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        if "origin" not in {row[1] for row in self._db.execute("PRAGMA table_info(outbox)")}:
            self._db.execute("ALTER TABLE outbox ADD COLUMN origin TEXT")
        self._db.executescript(_ADDED)
        self._db.executescript(_ACTIONS)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs one of this store's methods on its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Waits for the work in hand, then closes the file."""
        self._thread.shutdown(wait=True)
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def apply(self, commit: Commit, now: float) -> int:
        """Writes one commit; the number of notices that were new. Replayed notices and older incident states change nothing."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = MAX(value, excluded.value)",
                [("cursor", commit.cursor), ("received_at", commit.received_at), ("tables_at", commit.tables_at)],
            )
            for changed_at, incident in commit.incidents:
                self._keep_incident(changed_at, incident)
            new = sum(self._keep_notice(notice, now) for notice in commit.notices)
            self._keep_runs(commit)
            self._keep_actions(commit.actions)
            self._place(commit.placed)
            if commit.snapshot is not None:
                self._keep_snapshot(commit.snapshot)
        return new

    def _keep_runs(self, commit: Commit) -> None:
        """In which order several feeds were judged (:mod:`cfa.merging`); what no kept snapshot needs any more goes."""
        if commit.forget_runs_after is not None:
            self._db.execute("DELETE FROM merged WHERE number > ?", (commit.forget_runs_after,))
        rows = [(run.index, run.feed, run.cursor) for run in commit.runs]
        self._db.executemany("INSERT OR REPLACE INTO merged VALUES (?, ?, ?)", rows)
        if commit.snapshot is not None:
            self._db.execute(
                "DELETE FROM merged WHERE number < (SELECT MIN(cursor) FROM snapshots) AND number NOT IN (SELECT MAX(number) "
                "FROM merged WHERE number <= (SELECT MIN(cursor) FROM snapshots) GROUP BY feed)"
            )

    def merged(self) -> list[Run]:
        """The order of several feeds since the oldest snapshot, and where each feed was then."""
        return [Run(*row) for row in self._db.execute("SELECT number, feed, cursor FROM merged ORDER BY number")]

    def _keep_incident(self, changed_at: float, incident: Incident) -> None:
        row = (incident.id, incident.opened_at, incident.closed_at, incident.severity, changed_at)
        self._db.execute(
            "INSERT INTO incidents VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET closed_at = excluded.closed_at, "
            "severity = excluded.severity, changed_at = excluded.changed_at, body = excluded.body "
            "WHERE excluded.changed_at >= incidents.changed_at",
            (*row, msgspec.json.encode(incident)),
        )

    def _keep_snapshot(self, snapshot: Snapshot) -> None:
        self._db.execute(
            "INSERT INTO snapshots (cursor, received_at, judgement, notices, answered) VALUES (?, ?, ?, ?, ?)",
            (
                snapshot.cursor,
                snapshot.received_at,
                zlib.compress(snapshot.judgement, level=1),  # windows are mostly alike: a tenth of the size
                snapshot.notices,
                snapshot.answered,
            ),
        )
        self._db.execute(
            "DELETE FROM snapshots WHERE number <= (SELECT MAX(number) FROM snapshots) - ?", (SNAPSHOTS_KEPT,)
        )

    def committed_cursor(self) -> int:
        """The newest entry whose effects are in the store; 0 before the first."""
        row = self._db.execute("SELECT value FROM meta WHERE key = 'cursor'").fetchone()
        return 0 if row is None else int(row[0])

    def forget_cursor(self) -> None:
        """The collector's ledger is another one, and its cursors start again."""
        self._db.execute("DELETE FROM meta WHERE key = 'cursor'")
        self._db.execute("DELETE FROM snapshots")
        self._place_actions_first()

    def snapshots(self) -> list[Snapshot]:
        """The kept snapshots, newest first: an unreadable one is followed by an older one."""
        rows = self._db.execute(
            "SELECT cursor, received_at, judgement, notices, answered FROM snapshots ORDER BY number DESC"
        )
        return [
            Snapshot(cursor=cursor, received_at=at, judgement=_inflated(judgement), notices=notices, answered=answered)
            for cursor, at, judgement, notices, answered in rows
        ]

    def incidents(self, since: float = 0.0, until: float = 1e18, limit: int = 1000) -> list[Incident]:
        """Incidents that were open at some time in ``[since, until)``, newest first."""
        rows = self._db.execute(
            "SELECT body FROM incidents WHERE opened_at < ? AND (closed_at IS NULL OR closed_at >= ?) "
            "ORDER BY opened_at DESC, id DESC LIMIT ?",
            (until, since, limit),
        )
        return [msgspec.json.decode(body, type=Incident) for (body,) in rows]

    def open_incidents(self) -> list[Incident]:
        """All incidents that are open, newest first."""
        rows = self._db.execute("SELECT body FROM incidents WHERE closed_at IS NULL ORDER BY opened_at DESC, id DESC")
        return [msgspec.json.decode(body, type=Incident) for (body,) in rows]

    def incident(self, name: str) -> Incident | None:
        """One incident by its id."""
        row = self._db.execute("SELECT body FROM incidents WHERE id = ?", (name,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=Incident)

    def forget_old(self, now: float) -> None:
        """Deletes what is older than the retention."""
        old = (now - RETENTION_SECONDS,)
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM incidents WHERE closed_at < ?", old)
            self._db.execute("DELETE FROM outbox WHERE created_at < ?", old)
            self._db.execute("DELETE FROM actions WHERE at < ?", old)
            self._db.execute("DELETE FROM tables_placed WHERE at < ?", old)


def _inflated(data: bytes) -> bytes:
    """Damaged bytes are nobody's snapshot: the judgement refuses what is empty."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return b""
