"""A fleet that is kept and taken back goes on as if nothing had happened; a damaged or half-written checkpoint is never believed."""

from pathlib import Path

import numpy as np
import pytest

from cfa.objective import Objective
from cfa.tables import files
from cfa.tables.checkpoint import MANIFEST, Checkpoints
from cfa.tables.fleet import Fleet
from collector.column_batch import Increments, Told
from tests.cfa.tables.feeding import BEGIN, Feeding

Entry = tuple[Told, tuple[Increments, ...]]
PATTERN = r"^(\w)"


@pytest.fixture(autouse=True)
def without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a power cut needs fsync; these tests end processes at most."""
    monkeypatch.setattr("os.fsync", lambda _: None)


def feed(feeding: Feeding, tables: int, ticks: int) -> list[Entry]:
    """Counts of all tables, some of which fail, some late."""
    dice, entries = np.random.default_rng(4), []
    numbers = np.arange(2 * tables, dtype=np.uint32)
    for n in range(ticks):
        at = BEGIN + n * 10 + 3.0 + (4_000 if n > ticks // 2 else 0)
        bad = dice.binomial(50, np.where(numbers < 6, 0.4, 1e-4)).astype(np.uint32)
        increments = [Increments("success", numbers, 50 - bad), Increments("timeout", numbers, bad)]
        entries.append(feeding.dense_entry(at, increments, int(at) - (400 if n % 5 == 3 else 0)))
    return entries


def run(fleet: Fleet, entries: list[Entry]) -> None:
    """Judges them."""
    for told, increments in entries:
        if fleet.due(told.received_at):
            fleet.tick(told.received_at)
        fleet.count(told, increments)


def picture(fleet: Fleet) -> list[object]:
    """All that decides anything later on."""
    found: list[object] = [fleet.cursor, fleet.at, fleet.roster.tables, fleet.roster.row_of_series.tolist()]
    for block in (fleet.tables, fleet.rollups):
        rows = slice(0, block.rows)
        found += [sums[:, rows].tolist() for sums in block.rings.sums]
        found += [getattr(block.detector, name)[rows].tolist() for name in block.detector.ARRAYS]
        found += [block.hot.tolist(), block.rings.parts_made]
        found += [[sorted((slot, len(parts)) for slot, parts in slots.items()) for slots in block.rings.slots]]
    return found


def fresh() -> Fleet:
    """A fleet that knows nothing."""
    return Fleet(Objective(0.999, {"a1": 0.99}), 1.0, PATTERN)


def test_a_restart_after_any_tick_changes_nothing(tmp_path: Path) -> None:
    """Kept after each tick, taken back, and fed from its cursor: windows, evidence and everything else are those of a fleet that never stopped."""
    feeding = Feeding()
    feeding.register([f"{'ab'[n % 2]}{n}" for n in range(40)])
    entries = feed(feeding, 40, 24)
    whole = fresh()
    whole.learn(feeding.names(0))
    run(whole, entries)
    checkpoints, fleet = Checkpoints(tmp_path), fresh()
    fleet.learn(feeding.names(0))
    for told, increments in entries:
        if fleet.due(told.received_at):
            fleet.tick(told.received_at)
            checkpoints.write(fleet, {"open": [], "closed": []}, b"notices")
            after = fleet.cursor
            checkpoints, fleet = Checkpoints(tmp_path), fresh()
            assert checkpoints.read(fleet) == ({"open": [], "closed": []}, b"notices")
            assert fleet.cursor == after
        fleet.count(told, increments)
    assert picture(fleet) == picture(whole)


def test_a_checkpoint_that_was_cut_short_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever file of a checkpoint cannot be written any more: what is read then is the checkpoint before, whole."""
    feeding = Feeding()
    feeding.register([f"a{n}" for n in range(10)])
    entries = feed(feeding, 10, 12)
    fleet = fresh()
    fleet.learn(feeding.names(0))
    run(fleet, entries[:6])
    fleet.tick(entries[6][0].received_at)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(fleet, {}, b"")
    before = fresh()
    assert Checkpoints(tmp_path).read(before) is not None
    run(fleet, entries[6:11])
    fleet.tick(entries[11][0].received_at)
    write, left = files.write, 0

    def breaking(*args: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError("no more")
        write(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "write", breaking)
    for n in range(60):
        left = n
        try:
            Checkpoints(tmp_path).write(fleet, {}, b"")
        except OSError:
            kept = fresh()
            assert Checkpoints(tmp_path).read(kept) is not None
            assert picture(kept) == picture(before)
        else:
            break
    kept = fresh()
    assert Checkpoints(tmp_path).read(kept) is not None
    assert picture(kept) == picture(fleet)
    assert n > 10


def test_damage_is_told(tmp_path: Path) -> None:
    """A flipped bit in any file is an error, never a count."""
    feeding = Feeding()
    feeding.register(["a1"])
    fleet = fresh()
    fleet.learn(feeding.names(0))
    run(fleet, feed(feeding, 1, 3))
    Checkpoints(tmp_path).write(fleet, {}, b"")
    assert (tmp_path / MANIFEST).exists()
    for path in tmp_path.iterdir():
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ValueError, match="damaged"):
            Checkpoints(tmp_path).read(fresh())
        path.write_bytes(whole)


def test_another_objective_begins_the_evidence_of_its_rows_anew(tmp_path: Path) -> None:
    """After a restart with another objective for a table its evidence against the old one counts no more; that of others does."""
    feeding = Feeding()
    feeding.register(["a0", "a1"])
    fleet = fresh()
    fleet.learn(feeding.names(0))
    run(fleet, feed(feeding, 2, 6))
    Checkpoints(tmp_path).write(fleet, {}, b"")
    changed = Fleet(Objective(0.999, {"a1": 0.9}), 1.0, PATTERN)
    Checkpoints(tmp_path).read(changed)
    assert changed.tables.detector.r[:2].any()
    assert not changed.tables.detector.r[2:4].any()
