"""How far a receiver is, on disk: its cursor, the totals told so far, and what is being sent (shell).

One SQLite file a receiver, ``<data_dir>/remote_write/<name>.db``. What is about to be sent is written before it is sent, the totals
after it was taken, each in one durable transaction: whatever dies in between, the same samples are sent again.
"""

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import msgspec

from collector.merged import Changed, Totals
from collector.remote_write.frames import Frame

_TABLES = (
    "CREATE TABLE IF NOT EXISTS position (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS totals (kind TEXT, key TEXT, numbers TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID",
)
_KEEP = "INSERT OR REPLACE INTO totals VALUES (?, ?, ?)"


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """``told``: the last frame that the receiver has taken. ``sending``: frames on their way. ``hosts``: as in :class:`Totals`."""

    told: Frame
    sending: tuple[Frame, ...] = ()
    hosts: dict[str, tuple[bool, float]] = {}


class PositionFile:
    """Reads and writes one receiver's position. Methods block; errors are ``sqlite3.Error`` and ``OSError``."""

    def __init__(self, path: Path, *, start: int) -> None:
        """``start``: the cursor of a receiver that is new."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", *_TABLES):
            self._database.execute(statement)
        row = self._database.execute("SELECT body FROM position").fetchone()
        self.is_new = row is None
        self.position = msgspec.json.decode(row[0], type=Position) if row else Position(told=Frame(start, 0))
        if row is None:
            self._write(self.position)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def totals(self, cells_max: int) -> Totals:
        """The totals as of :attr:`position`."""
        totals = Totals(hosts=dict(self.position.hosts), cells_max=cells_max)
        for kind, key, numbers in self._database.execute("SELECT kind, key, numbers FROM totals"):
            if kind == "cell":
                totals.cells[tuple(json.loads(key))] = tuple(json.loads(numbers))
            else:
                totals.missed[tuple(json.loads(key))] = int(numbers)
        return totals

    def intend(self, frames: tuple[Frame, ...]) -> None:
        """These frames are about to be sent."""
        self._write(msgspec.structs.replace(self.position, sending=frames))

    def jump(self, cursor: int) -> None:
        """Go on after ``cursor``; what was to be sent is given up."""
        self._write(msgspec.structs.replace(self.position, told=Frame(cursor, self.position.told.at_ms), sending=()))

    def told(self, frame: Frame, totals: Totals, changed: Changed) -> None:
        """Everything up to ``frame`` was taken, or refused for good; ``changed``: which totals are others than before."""
        after = Position(told=frame, hosts=totals.hosts)
        rows = [("cell", json.dumps(cell), json.dumps(totals.cells[cell])) for cell in changed.cells]
        rows += [("missed", json.dumps(key), str(totals.missed[key])) for key in changed.missed]
        self._write(after, rows)

    def _write(self, position: Position, rows: Iterable[tuple[str, str, str]] = ()) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany(_KEEP, rows)
            self._database.execute(
                "INSERT OR REPLACE INTO position VALUES (1, ?)", (msgspec.json.encode(position).decode(),)
            )
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        self.position = position
