"""`ledger verify` proves a ledger whole; every kind of object, damaged or gone, is found and named."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from collector import columns
from collector.exclusion import Exclusion
from collector.finding import Audit, holes, holes_of_ranges
from collector.history.store import open_store
from collector.ledger_file import database_of
from collector.verify import verify
from tests.collector.history_samples import DAY
from tests.collector.test_keeping import World, fill


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with a day in the history, a late version, an exclusion, and rows in SQLite as well."""
    import asyncio

    folder = tmp_path_factory.mktemp("whole") / "collector"

    async def build() -> None:
        world = World(folder)
        await fill(world, 26)
        await world.seal(DAY + 26 * 3600)
        await world.keep(DAY + 26 * 3600)
        statement = Exclusion(start=DAY, end=DAY + 600, reason="works", who="ann", made_at=DAY + 90_000.0)
        await world.writer.work(lambda ledger: ledger.exclude(statement))
        await world.seal(DAY + 26 * 3600)
        await world.keep(DAY + 28 * 3600)
        await world.close()

    asyncio.run(build())
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def audit_of(folder: Path) -> Audit:
    return verify([(folder, open_store(str(folder / "history")))])


def change(folder: Path, *statements: str, values: tuple[object, ...] = ()) -> None:
    with sqlite3.connect(database_of(folder)) as database:
        for statement in statements:
            assert database.execute(statement, values).rowcount != 0
    database.close()


def test_a_whole_ledger_has_no_findings(folder: Path) -> None:
    """And it was really looked at: files, manifests, versions, rows, senders."""
    audit = audit_of(folder)
    assert audit.findings == []
    assert all(audit.checked[what] > 0 for what in ("files", "manifests", "versions", "rows", "senders", "intervals"))
    assert len({path.parent.parent.name for path in (folder / "history").rglob("*.parquet")}) > 2


def _one(folder: Path, pattern: str) -> Path:
    return min((folder / "history").glob(pattern))


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _raise_count(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"success": ', b'"success": 1', 1))


FILES = {
    "intervals": "intervals/*/zone=az1/*.parquet",
    "hourly tables": "hourly/tables/*/*.parquet",
    "hourly cells": "hourly/cells/*/*.parquet",
    "daily tables": "daily/tables/*/*.parquet",
    "daily cells": "daily/cells/*/*.parquet",
}


@pytest.mark.parametrize("pattern", FILES.values(), ids=FILES)
def test_a_damaged_or_missing_file_is_named(folder: Path, pattern: str) -> None:
    """One bit is enough, in every kind of file."""
    path = _one(folder, pattern)
    name = str(path.relative_to(folder / "history"))
    _flip(path)
    assert ("damaged_file", name) in {(one.kind, one.place) for one in audit_of(folder).findings}
    path.unlink()
    assert ("file_missing", name) in {(one.kind, one.place) for one in audit_of(folder).findings}


@pytest.mark.parametrize("pattern", ["manifests/*/00-*-1.json", "manifests/*/day-*.json", "manifests/*/00-*-2.json"])
def test_a_damaged_changed_or_missing_manifest_is_named(folder: Path, pattern: str) -> None:
    """Also without the SQLite file, by the chain, unless it was the very last."""
    path = _one(folder, pattern)
    name = str(path.relative_to(folder / "history"))
    before = path.read_bytes()
    for damage in (_flip, _raise_count):
        damage(path)
        assert ("damaged_manifest", name) in {(one.kind, one.place) for one in audit_of(folder).findings}
        path.write_bytes(before)
    path.unlink()
    assert any(one.kind == "manifest_missing" and one.place == name for one in audit_of(folder).findings)
    if "00-" in pattern and "-1" in pattern:
        alone = verify([], [open_store(str(folder / "history"))])
        assert any(one.kind == "manifest_missing" for one in alone.findings)


def test_a_manifest_made_anew_is_not_the_ledgers(folder: Path) -> None:
    """A change that keeps its own digest right breaks the chain, and differs from what the ledger noted."""
    from collector.history import manifest

    path = _one(folder, "manifests/*/03-*-1.json")
    one = manifest.decode(path.read_bytes())
    forged = manifest.msgspec.structs.replace(one, written_at=one.written_at + 1.0).signed()
    path.write_bytes(forged.encode())
    kinds = [f.kind for f in audit_of(folder).findings]
    assert kinds.count("manifest_changed") == 2


def test_a_file_that_nobody_names_is_found(folder: Path) -> None:
    """Whoever reads the folder by a pattern would count it."""
    path = _one(folder, FILES["intervals"])
    shutil.copy(path, path.with_name("07-stray-1.parquet"))
    assert [one.kind for one in audit_of(folder).findings] == ["unknown_file"]


ROWS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a torn body": (lambda f: change(f, "UPDATE sealed SET body = x'00' WHERE rowid = 7"), "damaged_row"),
    "a changed summary": (
        lambda f: change(f, "UPDATE sealed SET summary = ? WHERE rowid = 7", values=(columns.pack({}),)),
        "sums_differ",
    ),
    "a version that is gone": (
        lambda f: change(
            f, f"DELETE FROM sealed WHERE start = {DAY} AND version = 1", f"DELETE FROM exports WHERE start = {DAY} AND version = 1"
        ),
        "version_missing",
    ),
    "an interval that is gone": (
        lambda f: change(f, f"DELETE FROM sealed WHERE start = {DAY + 900}", f"DELETE FROM exports WHERE start = {DAY + 900}"),
        "interval_missing",
    ),
    "a batch that never came": (lambda f: change(f, "UPDATE senders SET seen = '[[2, 2]]'"), "batch_missing"),
    "a manifest forgotten": (lambda f: change(f, "DELETE FROM manifests WHERE serial = 3"), "manifest_missing"),
    "a series forgotten": (lambda f: change(f, "DELETE FROM series WHERE id = 2"), "series_missing"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "kind"), ROWS.values(), ids=ROWS)
def test_a_damaged_or_missing_row_is_named(folder: Path, damage: Callable[[Path], None], kind: str) -> None:
    """Each with its table and row."""
    damage(folder)
    assert kind in {one.kind for one in audit_of(folder).findings}


def test_damaged_pages_of_the_file_are_found(folder: Path) -> None:
    """SQLite's own check is part of it."""
    path = database_of(folder)
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 4] = bytes(4096)
    path.write_bytes(data)
    assert "damaged_file" in {one.kind for one in audit_of(folder).findings}


def test_a_senders_batches_may_be_spread_over_collectors() -> None:
    """Holes are holes of the union."""
    assert holes([1, 2, 5]) == [(3, 4)]
    assert holes([]) == []
    assert holes_of_ranges([(1, 3), (6, 9), (4, 5)]) == []
    assert holes_of_ranges([(3, 3), (1, 1)]) == [(2, 2)]
