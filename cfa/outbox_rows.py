"""The outbox in the judgement's file: what is to be told, to whom, and whether it was taken (shell)."""

import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec

from cfa.incident import Incident
from cfa.notices import ABANDON_AFTER_SECONDS, Notice, Pending
from cfa.pager_path import Standing

_WAITS = "delivered_at IS NULL AND abandoned_at IS NULL"
_PENDING = "number, created_at, attempts, next_at, body"


class OutboxRows:
    """The part of :class:`cfa.state.StateStore` that the deliveries use; blocking, called on the store's thread."""

    _db: sqlite3.Connection

    def _keep_notice(self, notice: Notice, now: float, origin: str | None = None) -> int:
        identity = (notice.incident.id, notice.notify, notice.n, notice.destination)
        return self._db.execute(
            "INSERT OR IGNORE INTO outbox (incident, notify, n, destination, at, created_at, body, origin) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*identity, notice.at, now, msgspec.json.encode(notice), origin),
        ).rowcount

    def tell_too(self, notices: Iterable[Notice], origin: str, now: float) -> int:
        """Adds notices that the judgement did not plan; ``origin`` says why. How many were new."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            return sum(self._keep_notice(notice, now, origin) for notice in notices)

    def heads(self, destination: str, limit: int = 200) -> list[Pending]:
        """The oldest waiting notice of every incident, whether its time has come or not; nothing overtakes it."""
        rows = self._db.execute(
            f"SELECT MIN(number), created_at, attempts, next_at, body FROM outbox WHERE destination = ? AND {_WAITS} "  # noqa: S608 -- a constant
            "GROUP BY incident ORDER BY next_at LIMIT ?",
            (destination, limit),
        )
        return [_pending(row) for row in rows]

    def waiting(self, destination: str, limit: int = 200) -> list[Pending]:
        """All that waits for a destination, oldest first."""
        rows = self._db.execute(
            f"SELECT {_PENDING} FROM outbox WHERE destination = ? AND {_WAITS} ORDER BY number LIMIT ?",  # noqa: S608
            (destination, limit),
        )
        return [_pending(row) for row in rows]

    def triggers_waiting(self, limit: int = 500) -> list[Pending]:
        """The pages that their destination has not taken, oldest first."""
        rows = self._db.execute(
            f"SELECT {_PENDING} FROM outbox INDEXED BY outbox_pending WHERE notify = 'trigger' AND {_WAITS} ORDER BY number LIMIT ?",  # noqa: S608
            (limit,),
        )
        return [_pending(row) for row in rows]

    def delivered(self, numbers: Iterable[int] | int, now: float) -> None:
        """Their destination took the notices."""
        rows = [(now, number) for number in ([numbers] if isinstance(numbers, int) else numbers)]
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "UPDATE outbox SET attempts = attempts + 1, delivered_at = ?, last_error = NULL WHERE number = ?", rows
            )

    def failed(self, number: int, *, error: str, next_at: float, now: float) -> bool:
        """One attempt failed; true when the notice is so old that it is abandoned."""
        self._db.execute(
            "UPDATE outbox SET attempts = attempts + 1, last_error = ?, next_at = ?, "
            "abandoned_at = CASE WHEN created_at < ? THEN ? END WHERE number = ?",
            (error[:500], next_at, now - ABANDON_AFTER_SECONDS, now, number),
        )
        row = self._db.execute("SELECT abandoned_at IS NOT NULL FROM outbox WHERE number = ?", (number,)).fetchone()
        return bool(row and row[0])

    def abandon_unknown(self, destinations: tuple[str, ...], now: float) -> int:
        """Gives up what was meant for destinations that are no longer configured; how many."""
        marks = ",".join("?" * len(destinations))
        return self._db.execute(
            "UPDATE outbox SET abandoned_at = ?, last_error = 'no longer configured' "  # noqa: S608 -- only marks are joined
            f"WHERE {_WAITS} AND destination NOT IN ({marks})",
            (now, *destinations),
        ).rowcount

    def pending_counts(self) -> dict[str, int]:
        """How many notices wait, per destination."""
        return dict(
            self._db.execute(f"SELECT destination, COUNT(*) FROM outbox WHERE {_WAITS} GROUP BY destination").fetchall()  # noqa: S608
        )

    def told(self, destination: str) -> list[Notice]:
        """The newest delivered notice of every open incident that was told here and has no resolve since its newest trigger."""
        rows = self._db.execute(
            "SELECT told.body, MAX(number) FROM incidents i INDEXED BY incidents_open CROSS JOIN outbox AS told "
            "ON told.incident = i.id WHERE i.closed_at IS NULL AND destination = ? AND delivered_at IS NOT NULL "
            "AND notify NOT IN ('ticket', 'resolve') AND NOT EXISTS (SELECT 1 FROM outbox WHERE incident = told.incident "
            "AND notify = 'resolve' AND number > (SELECT MAX(number) FROM outbox AS page WHERE page.incident = told.incident "
            "AND page.notify = 'trigger')) GROUP BY told.incident",
            (destination,),
        )
        return [msgspec.json.decode(body, type=Notice) for body, _ in rows]

    def open_pages(self) -> list[tuple[Incident, Notice]]:
        """Every incident that is open and was paged, as it is now, with its newest trigger."""
        rows = self._db.execute(
            "SELECT i.body, o.body, MAX(o.n) FROM incidents i INDEXED BY incidents_open CROSS JOIN outbox o ON o.incident = i.id AND o.notify = 'trigger' "
            "WHERE i.closed_at IS NULL GROUP BY i.id"
        )
        return [
            (msgspec.json.decode(incident, type=Incident), msgspec.json.decode(trigger, type=Notice))
            for incident, trigger, _ in rows
        ]

    def unfollowed(self, since: float = 0.0) -> list[Notice]:
        """Updates and the resolve that somebody told by a second route has not been sent: the judgement's plan does not know them.

        ``since``: when they were told, at the earliest.
        """
        rows = self._db.execute(
            "SELECT told.destination, MIN(next.number), next.body FROM (SELECT t.incident, t.destination, "
            "(SELECT MIN(b.number) FROM outbox b WHERE b.incident = t.incident AND b.notify = 'trigger' AND b.n = t.n) AS began "
            "FROM outbox t WHERE t.origin IS NOT NULL AND t.notify = 'trigger' AND t.created_at >= ?) told JOIN outbox next "
            "ON next.incident = told.incident AND next.notify IN ('update', 'resolve') AND next.number > told.began "
            "WHERE next.number <= COALESCE((SELECT MIN(r.number) FROM outbox r WHERE r.incident = told.incident "
            "AND r.notify = 'resolve' AND r.number > told.began), 9e18) AND NOT EXISTS (SELECT 1 FROM outbox mine "
            "WHERE mine.incident = told.incident AND mine.destination = told.destination AND mine.notify = next.notify "
            "AND mine.n = next.n) GROUP BY told.destination, next.incident, next.notify, next.n ORDER BY 2",
            (since,),
        )
        return [replace(msgspec.json.decode(body, type=Notice), destination=name) for name, _, body in rows]

    def standings(self) -> dict[str, Standing]:
        """The destinations that have refused a page and have not taken it since."""
        rows = self._db.execute(
            f"SELECT destination, MIN(created_at), last_error FROM outbox WHERE {_WAITS} AND notify != 'ticket' "  # noqa: S608
            "AND attempts > 0 GROUP BY destination"
        )
        return {name: Standing(waits_since=since, error=error or "") for name, since, error in rows}

    def taken_at(self) -> dict[str, float]:
        """When each destination took something last."""
        return dict(
            self._db.execute(
                "SELECT destination, MAX(delivered_at) FROM outbox WHERE delivered_at IS NOT NULL GROUP BY destination"
            ).fetchall()
        )

    def times_to_page(self, since: float, until: float = 1e18, limit: int = 1000) -> list[float]:
        """Seconds from an incident's first failure until the first destination beside the log had the page, newest first."""
        rows = self._db.execute(
            "SELECT body, MIN(CASE WHEN destination = 'log' THEN NULL ELSE delivered_at END), MIN(delivered_at) FROM outbox "
            "WHERE notify = 'trigger' AND n = 1 AND delivered_at IS NOT NULL AND created_at >= ? AND created_at < ? "
            "GROUP BY incident ORDER BY number DESC LIMIT ?",
            (since, until, limit),
        ).fetchall()
        notices = [(msgspec.json.decode(body, type=Notice), first or logged) for body, first, logged in rows]
        return [at - one.incident.first_failure_at for one, at in notices if one.incident.category == "availability"]

    def pages(self, since: float, limit: int = 1000) -> list[dict[str, Any]]:
        """``GET /v1/pages``: what was (or will be) told to people, newest first; tickets are not pages."""
        rows = self._db.execute(
            "SELECT incident, notify, n, destination, at, created_at, delivered_at, attempts, last_error, abandoned_at "
            "FROM outbox WHERE notify != 'ticket' AND created_at >= ? ORDER BY number DESC LIMIT ?",
            (since, limit),
        )
        names = ("incident", "event", "n", "destination", "at", "created_at", "delivered_at", "attempts", "last_error")
        return [
            {**dict(zip(names, row, strict=False)), "severity": "page", "abandoned": row[-1] is not None}
            for row in rows
        ]

    def pages_by_event(self) -> dict[str, int]:
        """How many notices of each kind were planned for the log, which gets every page once."""
        return dict(
            self._db.execute("SELECT notify, COUNT(*) FROM outbox WHERE destination = 'log' GROUP BY notify").fetchall()
        )


def _pending(row: tuple[Any, ...]) -> Pending:
    number, created_at, attempts, next_at, body = row[:5]
    notice = msgspec.json.decode(body, type=Notice)
    return Pending(number=number, created_at=created_at, attempts=attempts, next_at=next_at, notice=notice)
