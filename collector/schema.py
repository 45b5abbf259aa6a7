"""The ledger's tables and their version (pure).

One SQLite file in the collector's folder. ``running`` is what is not sealed yet, ``sealed`` has one compressed row for
each version of an interval (:mod:`collector.columns`), and its short form (:mod:`collector.rollup`); series are interned, so that a count costs a few bytes.
``exports`` says which sealed versions are in the Parquet history as well (:mod:`collector.history`), under which of ``manifests``.
"""

import dataclasses

from collector.merge import WIDTH
from collector.series import Series

VERSION = 5
"""``PRAGMA user_version`` of a file of this schema."""

SERIES_COLUMNS: tuple[str, ...] = tuple(
    field.name for field in dataclasses.fields(Series) if field.name != "software_version"
)
"""All dimensions but the software version, which passes: :func:`collector.merge.collect` leaves it out."""
TALLY_COLUMNS: tuple[str, ...] = tuple(f"n{i}" for i in range(WIDTH))
"""The places of :data:`collector.merge.Tally`: outcomes, then latency buckets."""

PRAGMAS: tuple[str, ...] = (
    "PRAGMA journal_mode = WAL",
    # FULL: the WAL is fsynced at each commit, before anyone is answered; NORMAL would lose the last commits with the power.
    "PRAGMA synchronous = FULL",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA cache_size = -16000",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA temp_store = MEMORY",
)

SINCE_3: tuple[str, ...] = (
    # Who this ledger is among several that share a history.
    "CREATE TABLE identity (id INTEGER PRIMARY KEY CHECK (id = 1), name TEXT NOT NULL)",
    "INSERT INTO identity VALUES (1, lower(hex(randomblob(6))))",
    # Packed columns that wait to be sealed together with ``running``.
    "CREATE TABLE parts (id INTEGER PRIMARY KEY, start INTEGER NOT NULL, body BLOB NOT NULL)",
    "CREATE INDEX parts_start ON parts (start)",
    # Statements, never changed: who took what out of the figures and why; an undoing is a statement of its own.
    (
        "CREATE TABLE exclusions (id INTEGER PRIMARY KEY, start REAL NOT NULL, until REAL NOT NULL, place TEXT NOT NULL,"
        " reason TEXT NOT NULL, who TEXT NOT NULL, made_at REAL NOT NULL, undoes INTEGER)"
    ),
    # Sealed intervals that need a next version, and why.
    "CREATE TABLE reopened (start INTEGER PRIMARY KEY, cause TEXT NOT NULL)",
    "CREATE TABLE exports (start INTEGER, version INTEGER, manifest TEXT NOT NULL, PRIMARY KEY (start, version)) WITHOUT ROWID",
    "CREATE TABLE manifests (serial INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, removed_at REAL)",
)

SINCE_4: tuple[str, ...] = (
    # What a router said of a failure's request (collector.join), beside ``failures`` by host and intended start.
    "CREATE TABLE fates (id INTEGER PRIMARY KEY, at REAL NOT NULL, host TEXT NOT NULL, fate TEXT NOT NULL, detail TEXT NOT NULL)",
    "CREATE INDEX fates_at ON fates (at, host)",
)

SINCE_5: tuple[str, ...] = (
    # A seam of 3 into which nothing ever wrote.
    "DROP TABLE parts",
    # The last point of each metric stream that was counted (collector.customers.streams), written together with its counts.
    "CREATE TABLE streams (stream BLOB PRIMARY KEY, at_ns INTEGER NOT NULL, start_ns INTEGER NOT NULL, counts TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX streams_at ON streams (at_ns)",
)

TABLES: tuple[str, ...] = (
    f"CREATE TABLE series (id INTEGER PRIMARY KEY, {', '.join(f'[{c}] TEXT' for c in SERIES_COLUMNS)})",  # one is a keyword
    "CREATE TABLE senders (host TEXT, boot TEXT, seen TEXT NOT NULL, last_at REAL NOT NULL, PRIMARY KEY (host, boot)) WITHOUT ROWID",
    "CREATE TABLE feed (cursor INTEGER PRIMARY KEY AUTOINCREMENT, received_at REAL NOT NULL, body BLOB NOT NULL)",
    (
        f"CREATE TABLE running (start INTEGER, series INTEGER, recused INTEGER, {', '.join(f'{c} INTEGER NOT NULL' for c in TALLY_COLUMNS)},"
        " PRIMARY KEY (start, series, recused)) WITHOUT ROWID"
    ),
    (
        "CREATE TABLE sealed (start INTEGER, version INTEGER, sealed_at REAL NOT NULL, summary BLOB NOT NULL, body BLOB NOT NULL,"
        " cause TEXT NOT NULL DEFAULT '', PRIMARY KEY (start, version))"
    ),
    (
        "CREATE TABLE unobserved (start INTEGER, host TEXT, zone TEXT, endpoint TEXT, connection TEXT, operation TEXT, reason TEXT,"
        " count INTEGER NOT NULL, PRIMARY KEY (start, host, zone, endpoint, connection, operation, reason)) WITHOUT ROWID"
    ),
    (
        "CREATE TABLE health_spans (id INTEGER PRIMARY KEY, host TEXT NOT NULL, zone TEXT NOT NULL, since REAL NOT NULL, until REAL NOT NULL,"
        " recused INTEGER NOT NULL, reasons TEXT NOT NULL)"
    ),
    "CREATE INDEX health_spans_host ON health_spans (host, until)",
    (
        "CREATE TABLE failures (id INTEGER PRIMARY KEY, at REAL NOT NULL, host TEXT NOT NULL, zone TEXT NOT NULL, vantage TEXT NOT NULL,"
        " received_at REAL NOT NULL, recused INTEGER NOT NULL, observation BLOB NOT NULL)"
    ),
    "CREATE INDEX failures_at ON failures (at)",
    "CREATE TABLE probe (id INTEGER PRIMARY KEY, filler BLOB NOT NULL)",
    *SINCE_3,
    *SINCE_4,
    *SINCE_5,
)

UPGRADES: dict[int, tuple[str, ...]] = {
    1: ("ALTER TABLE series ADD COLUMN [level] TEXT NOT NULL DEFAULT 'attempt'",),
    2: ("ALTER TABLE sealed ADD COLUMN cause TEXT NOT NULL DEFAULT ''", *SINCE_3),
    3: SINCE_4,
    4: SINCE_5,
}
"""What makes a file of an older schema one of the next: by the version it has."""

ADD_RUNNING = (
    f"INSERT INTO running VALUES ({', '.join('?' * (WIDTH + 3))})"  # noqa: S608 (names are constants of this module)
    f" ON CONFLICT DO UPDATE SET {', '.join(f'{c} = {c} + excluded.{c}' for c in TALLY_COLUMNS)}"
)
ADD_SERIES = f"INSERT INTO series VALUES ({', '.join('?' * (len(SERIES_COLUMNS) + 1))})"  # noqa: S608 (likewise)
KEEP_POINT = (
    "INSERT INTO streams VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET at_ns = excluded.at_ns, start_ns = excluded.start_ns,"
    " counts = excluded.counts WHERE excluded.at_ns > at_ns"
)
ADD_UNOBSERVED = (
    "INSERT INTO unobserved VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count"
)
