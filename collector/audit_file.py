"""Whether a ledger's SQLite file is whole: its pages, its versions, its intervals, its senders (shell)."""

import json
import sqlite3
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np

from collector import columns
from collector.finding import Audit, holes, holes_of_ranges
from collector.interval import INTERVAL_SECONDS
from collector.ledger_file import database_of

Senders = dict[tuple[str, str], list[tuple[int, int]]]
"""Host and boot → the ranges of batch numbers that some collector has."""


def audit_file(folder: Path, audit: Audit, senders: Senders) -> dict[str, str]:
    """Look at everything in the file; ``senders`` grows. Returns path → digest of the manifests that it knows.

    Reads only; a collector may be running. Raises ``FileNotFoundError`` when there is no ledger.
    """
    path = database_of(folder)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: give the collector's folder with --data-dir")
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        database.execute("PRAGMA busy_timeout = 5000")
        database.execute("BEGIN")  # one snapshot
        _integrity(database, path, audit)
        _sealed(database, path, audit)
        _versions(database, path, audit)
        _coverage(database, path, audit)
        _senders(database, senders)
        audit.checked["exclusions"] += _one(database, "SELECT count(*) FROM exclusions")
        rows = database.execute("SELECT serial, name, digest FROM manifests ORDER BY serial").fetchall()
        for first, last in holes(serial for serial, _, _ in rows):
            audit.find("manifest_missing", f"{path} table manifests", f"numbers {first}–{last} are not there")
    except sqlite3.DatabaseError as error:
        audit.find("damaged_file", str(path), f"cannot be read: {error}")
        return {}
    finally:
        database.close()
    return {name: digest for _, name, digest in rows}


def _one(database: sqlite3.Connection, query: str) -> int:
    (number,) = database.execute(query).fetchone()
    return int(number)


def _integrity(database: sqlite3.Connection, path: Path, audit: Audit) -> None:
    for (word,) in database.execute("PRAGMA integrity_check"):
        if word != "ok":
            audit.find("damaged_file", str(path), str(word).splitlines()[0])
    audit.checked["files"] += 1


def _sealed(database: sqlite3.Connection, path: Path, audit: Audit) -> None:
    """Each version unpacks, is in order, and its short form adds up to the same."""
    known = _one(database, "SELECT count(*) FROM series")
    if known != _one(database, "SELECT coalesce(max(id), 0) FROM series"):
        audit.find("series_missing", f"{path} table series", "the numbers of the series have holes")
    for start, version, summary, body in database.execute("SELECT start, version, summary, body FROM sealed"):
        place = f"{path} table sealed, start {start} version {version}"
        audit.checked["versions"] += 1
        try:
            whole, short = columns.unpack_table(body), columns.unpack_table(summary)
        except ValueError as error:
            audit.find("damaged_row", place, str(error))
            continue
        audit.checked["rows"] += whole.shape[1]
        if not np.array_equal(whole[2:].sum(axis=1), short[2:].sum(axis=1)):
            audit.find("sums_differ", place, "the summary does not add up to the body")
        if whole.size and (whole.min() < 0 or not 1 <= whole[0].min() <= whole[0].max() <= known):
            audit.find("damaged_row", place, "a count below zero, or a series that is not there")
        keys = whole[0] * columns.FLAGS + whole[1]
        if np.any(np.diff(keys) <= 0):
            audit.find("damaged_row", place, "rows out of order, or twice")


_ALL_VERSIONS = "SELECT start, version FROM sealed UNION SELECT start, version FROM exports ORDER BY 1, 2"


def _versions(database: sqlite3.Connection, path: Path, audit: Audit) -> None:
    versions: dict[int, list[int]] = defaultdict(list)
    for start, version in database.execute(_ALL_VERSIONS):
        versions[start].append(version)
    for start, have in versions.items():
        for first, last in holes(have):
            audit.find("version_missing", f"{path}, interval {start}", f"versions {first}–{last} are not there")


def _coverage(database: sqlite3.Connection, path: Path, audit: Audit) -> None:
    """No interval is missing between the first and the last: what was not heard of is sealed as empty."""
    starts = [
        start
        for (start,) in database.execute(
            "SELECT start FROM sealed UNION SELECT start FROM exports UNION SELECT start FROM running"
            " UNION SELECT start FROM unobserved ORDER BY 1"
        )
    ]
    (last,) = database.execute(
        "SELECT max(start) FROM (SELECT start FROM sealed UNION SELECT start FROM exports)"
    ).fetchone()
    audit.checked["intervals"] += len(starts)
    for before, after in pairwise(starts):
        if after - before > INTERVAL_SECONDS and last is not None and before < last:
            missing = f"{before + INTERVAL_SECONDS}–{min(after, last) - INTERVAL_SECONDS}"
            audit.find(
                "interval_missing", f"{path}", f"intervals {missing} are neither sealed, nor empty, nor unobserved"
            )


def _senders(database: sqlite3.Connection, senders: Senders) -> None:
    for host, boot, seen in database.execute("SELECT host, boot, seen FROM senders"):
        senders.setdefault((host, boot), []).extend((first, last) for first, last in json.loads(seen))


def audit_senders(senders: Senders, audit: Audit) -> None:
    """Batches of one life of a host are numbered from 1: a hole, over all collectors that were looked at, is a batch that is lost."""
    for (host, boot), ranges in sorted(senders.items()):
        audit.checked["senders"] += 1
        for first, last in holes_of_ranges(ranges):
            audit.find("batch_missing", f"sender {host}, boot {boot}", f"batches {first}–{last} never arrived")
