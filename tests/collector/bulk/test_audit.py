"""``fivenines ledger verify`` covers the counters' folder: whole, or the file and what is wrong with it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from collector.bulk.audit import audit_counters
from collector.finding import Audit
from tests.collector.bulk.frames import NOW, counts, names, open_store

HOST = "az1-a"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with a sealed interval of two versions, a checkpoint, and a log that goes on behind it."""
    store = open_store(tmp_path)
    store.apply([names(HOST, range(4))], at=NOW)
    for version in (1, 2):
        store.apply([counts(HOST, version, NOW, {"success": {0: 5, 3: 1}})], at=NOW)
        start = next(iter(store.books.tallies))
        store.has_sealed(store.seal(start, *store.take_out(start)))
    kept = store.keep(forget_before=0)
    store.write(kept)
    store.has_kept(kept, feed_bytes=10**9)
    store.apply([counts(HOST, 3, NOW + 300, {"timeout": {1: 2}})], at=NOW)
    store.close()
    return tmp_path


def audited(folder: Path) -> tuple[Audit, dict[tuple[str, str], list[tuple[int, int]]]]:
    audit, senders = Audit(), {}
    audit_counters(folder, audit, senders)
    return audit, senders


def test_a_whole_folder_has_no_findings(folder: Path, tmp_path: Path) -> None:
    """All is looked at, batches behind the checkpoint among it; a torn tail is no finding, and a folder that is not there neither."""
    audit, senders = audited(folder)
    assert audit.findings == []
    assert audit.checked == {"files": 6, "counter_records": 4, "counter_versions": 2, "counter_rows": 4}
    assert senders == {(f"{HOST} (counters)", "b1"): [(1, 3)]}
    newest = max(folder.glob("log-*.bin"))
    newest.write_bytes(newest.read_bytes() + b"5NL1 and so on")
    assert audited(folder)[0].findings == []
    assert audited(tmp_path / "elsewhere")[0].checked == {}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def swap(folder: Path) -> None:
    """The first version's rows under the second one's name."""
    first, second = sorted(folder.glob("sealed/*.parquet"))
    second.write_bytes(first.read_bytes())


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lambda folder: flip(min(folder.glob("log-*.bin"))), "damaged_file"),
        (lambda folder: flip(next(folder.glob("state-*.bin"))), "damaged_file"),
        (lambda folder: flip(next(folder.glob("names-*.bin"))), "damaged_file"),
        (lambda folder: next(folder.glob("names-*.bin")).unlink(), "file_missing"),
        (lambda folder: next(folder.glob("sealed/*-v1-*.parquet")).unlink(), "version_missing"),
        (lambda folder: next(folder.glob("sealed/*-v2-*.parquet")).write_bytes(b"PAR1"), "damaged_file"),
        (swap, "sums_differ"),
        (lambda folder: (folder / "sealed" / "mine.parquet").write_bytes(b""), "unknown_file"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, spoil: Callable[[Path], object], kind: str) -> None:
    """Each kind of damage has its finding, with the file."""
    spoil(folder)
    found = audited(folder)[0].findings
    assert kind in {one.kind for one in found}
    assert all(str(folder) in one.place for one in found)
