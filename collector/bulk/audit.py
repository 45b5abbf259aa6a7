"""Whether the counters' folder is whole: log, checkpoint, sealed intervals, numbers of batches (shell).

Reads only: a collector may be running. A torn tail of the newest segment is none of its faults: that is what a crash leaves, and
what nobody was told of.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from collector.bulk import checkpoint
from collector.bulk.books import Books, Limits
from collector.bulk.log import RECORD, is_damage, record_at
from collector.bulk.sealed import COLUMN_OF
from collector.column_batch import FrameError, decode
from collector.finding import Audit, holes

_NAME = re.compile(r"(\d+)-v(\d+)-(\d+)\.parquet")
TRIES = 3
"""A checkpoint that a running collector replaces meanwhile is looked for again."""

Senders = dict[tuple[str, str], list[tuple[int, int]]]


def audit_counters(folder: Path, audit: Audit, senders: Senders) -> None:
    """Look at everything in ``folder`` (``counters`` in a collector's folder); ``senders`` grows. Nothing when it is not there."""
    if not folder.exists():
        return
    _sealed(folder / "sealed", audit)
    books, first = _checkpoint(folder, audit)
    paths = sorted(folder.glob("log-*.bin"))
    for path in paths:
        is_last = path == paths[-1]
        for frame in _frames(path, audit, is_last=is_last):
            audit.checked["counter_records"] += 1
            try:
                decoded = decode(frame)
                if books is not None and int(path.stem[4:]) >= first:
                    books.replay(decoded, frame)
            except (FrameError, ValueError, KeyError, IndexError) as error:
                audit.find("damaged_row", str(path), f"a record that cannot be read: {error}")
    for one in books.senders.by_name.values() if books is not None else ():
        senders.setdefault((f"{one.host} (counters)", one.boot), []).extend(one.seen)


def _frames(path: Path, audit: Audit, *, is_last: bool) -> Iterator[bytes]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return  # a running collector no longer keeps it
    audit.checked["files"] += 1
    at = 0
    while at < len(data):
        length = record_at(data, at)
        if length is None:
            if not is_last or is_damage(data, at):
                audit.find("damaged_file", str(path), f"damaged at byte {at}")
            return
        yield data[at + RECORD.size : at + RECORD.size + length]
        at += RECORD.size + length


def _checkpoint(folder: Path, audit: Audit) -> tuple[Books | None, int]:
    """The books of the checkpoint, and the first segment that is not in it; None when they cannot be had."""
    for attempt in range(TRIES):
        paths = sorted(folder.glob("state-*.bin"))
        if not paths:
            return Books(Limits(series_max=2**32)), 1
        place = paths[-1]
        try:
            state = checkpoint.read_state(place.read_bytes())
            place = folder / state.names
            books = checkpoint.restore(state, place.read_bytes(), Limits(series_max=2**32), {})
        except FileNotFoundError as error:
            if attempt + 1 == TRIES:
                audit.find("file_missing", str(place), str(error))
        except (ValueError, OSError) as error:
            audit.find("damaged_file", str(place), str(error))
            break
        else:
            audit.checked["files"] += 2
            return books, state.segment
    return None, 0


def _sealed(folder: Path, audit: Audit) -> None:
    """Every version can be read and is in order; a later one has no less than the one before, and none is missing."""
    versions: dict[int, list[tuple[int, int, Path]]] = defaultdict(list)
    for path in sorted(folder.glob("*.parquet")):
        if found := _NAME.fullmatch(path.name):
            versions[int(found[1])].append((int(found[2]), int(found[3]), path))
        else:
            audit.find("unknown_file", str(path), "not a sealed interval's name")
    for start, known in versions.items():
        for first, last in holes(version for version, _, _ in known):
            audit.find("version_missing", f"{folder}, interval {start}", f"versions {first}–{last} are not there")
        before = (0, 0)
        for version, through, path in sorted(known):
            total = _file(path, start, version, audit)
            if total is not None and (through, total) < before:
                audit.find(
                    "sums_differ", str(path), "less was counted, or up to an earlier entry, than in the version before"
                )
            before = (through, total or 0)


def _file(path: Path, start: int, version: int, audit: Audit) -> int | None:
    """All that is counted in a file; None when it cannot be read."""
    try:
        table = pq.read_table(path, use_threads=False)
    except FileNotFoundError:
        return None  # retention took it meanwhile
    except (OSError, pa.ArrowException) as error:
        audit.find("damaged_file", str(path), f"cannot be read: {error}")
        return None
    audit.checked["files"] += 1
    audit.checked["counter_versions"] += 1
    audit.checked["counter_rows"] += table.num_rows
    series = table["series"].to_numpy().astype(np.int64)
    counts = [table[name].to_numpy() for name in COLUMN_OF.values() if name in table.column_names]
    if np.any(np.diff(series) <= 0) or any(len(one) and one.min() < 0 for one in counts):
        audit.find("damaged_row", str(path), "rows out of order, or twice, or a count below zero")
    if np.any(table["start"].to_numpy() != start) or np.any(table["version"].to_numpy() != version):
        audit.find("sums_differ", str(path), "its rows are of another interval or version than its name")
    return sum(int(one.sum()) for one in counts)
