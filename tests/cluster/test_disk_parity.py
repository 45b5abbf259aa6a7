"""The simulated disk does what the real one does: what was synced survives a crash; what was not may be lost, on the simulated one."""

import random
import shutil

import apsw
import pytest

from cluster.disk import Disk, RealDisk
from cluster.storage.page_checksums import DatabaseDamaged
from cluster.storage.table import ItemTable, TableDamaged
from cluster.storage.table_file import blank
from fivenines.simulation.disk import SimulatedDisk
from tests.cluster.storage_world import GROUP, DiskTrouble, got, put, table


class Real:
    """A real directory. Its crash: a copy of the files while they are open, which a new disk then opens."""

    def __init__(self, directory):
        self._directory, self._number = directory, 0
        self.trouble = DiskTrouble()
        self.disk: Disk = RealDisk(self._path, "n", self.trouble)

    @property
    def _path(self):
        return self._directory / str(self._number)

    def crash(self):
        """Take the power away and give it back."""
        before = self._path
        self._number += 1
        shutil.copytree(before, self._path)
        self.disk.close()
        self.disk = RealDisk(self._path, "n", self.trouble)
        return self.disk

    def flip(self, name, offset):
        """Change a byte."""
        path = self._path / name
        data = bytearray(path.read_bytes())
        data[offset] ^= 0xFF
        path.write_bytes(bytes(data))


class Simulated:
    """A simulated disk, whose crash is a power-off."""

    def __init__(self, directory, seed=1):
        self.trouble = DiskTrouble()
        self.disk: Disk = SimulatedDisk("n", self.trouble, random.Random(seed))
        self.flip = self.disk.corrupt

    def crash(self):
        """Take the power away and give it back."""
        self.disk.power_off()
        self.disk.close()
        return self.disk


@pytest.fixture(params=[Real, Simulated])
def machine(request, tmp_path):
    """One of both."""
    made = request.param(tmp_path)
    yield made
    made.disk.close()


# --- files: what was synced survives ------------------------------------------------------------------------------------


def test_what_was_synced_survives(machine):
    """An appended file is there after a crash, with its name, once it was synced."""
    machine.disk.append("wal/1.wal", b"one")
    machine.disk.append("wal/1.wal", b"two")
    assert machine.disk.sync("wal/1.wal") >= 0.0
    disk = machine.crash()
    assert disk.names("wal") == ["wal/1.wal"]
    assert disk.read("wal/1.wal") == b"onetwo"


def test_a_replaced_file_is_durable_on_return(machine):
    """A replacement is there as a whole, without a sync, and leaves no draft."""
    machine.disk.replace("a", b"old")
    machine.disk.replace("a", b"new")
    disk = machine.crash()
    assert (disk.names(""), disk.read("a")) == (["a"], b"new")


def test_a_rename_and_a_removal_are_durable_on_return(machine):
    """Names are as they were left."""
    for name in ("a", "b"):
        machine.disk.replace(name, name.encode())
    machine.disk.rename("a", "c")
    machine.disk.remove("b")
    machine.disk.remove("not there")
    disk = machine.crash()
    assert (disk.names(""), disk.read("c")) == (["c"], b"a")


def test_truncation_and_appends_follow_each_other(machine):
    """What is appended after a truncation is at the new end."""
    machine.disk.append("f", b"abcdef")
    machine.disk.sync("f")
    machine.disk.truncate("f", 2)
    machine.disk.append("f", b"X")
    machine.disk.sync("f")
    assert machine.crash().read("f") == b"abX"


def test_a_file_that_is_not_there_says_so(machine):
    """Reading nothing is FileNotFoundError, and an unknown folder has no names."""
    with pytest.raises(FileNotFoundError):
        machine.disk.read("nothing")
    assert machine.disk.names("nowhere") == []


def test_a_full_disk_refuses_everything_that_grows(machine):
    """With no space left files, replacements and databases are refused, syncs are not; afterwards all is as before."""
    items = ItemTable(machine.disk)
    items.host(GROUP, table())
    put(items, 1, b"a")
    machine.disk.append("f", b"kept")
    machine.disk.sync("f")
    machine.trouble.full = True
    with pytest.raises(OSError, match="space"):
        machine.disk.replace("f", b"no")
    with pytest.raises(OSError, match="space"):
        machine.disk.append("g", b"no")
    with pytest.raises(apsw.FullError):
        items.commit()
    items.make_durable()
    machine.trouble.full = False
    items.commit()
    items.close()
    assert machine.disk.read("f") == b"kept"


# --- databases ----------------------------------------------------------------------------------------------------------


def test_durable_items_survive(machine):
    """What was committed and made durable is there after a crash; what was only applied is not."""
    items = ItemTable(machine.disk)
    items.host(GROUP, table())
    put(items, 1, b"a")
    items.commit()
    items.make_durable()
    put(items, 2, b"b")
    again = ItemTable(machine.crash())
    items.close(crash=True)
    assert (again.set_aside, again.applied(GROUP)) == (None, 1)
    assert (got(again, b"a"), got(again, b"b")) == (b"body", None)
    again.close()


def test_checkpointed_items_survive(machine):
    """What was folded into the database file is there after a crash, whatever was written since."""
    items = ItemTable(machine.disk)
    items.host(GROUP, table())
    for round_ in range(4):
        for lsn in range(round_ * 50 + 1, round_ * 50 + 51):
            put(items, lsn, str(lsn).encode(), body=b"x" * 300)
        items.commit()
        items.make_durable()
        items.checkpoint()
    put(items, 201, b"more")
    items.commit()
    again = ItemTable(machine.crash())
    items.close(crash=True)
    assert again.set_aside is None
    assert again.applied(GROUP) in (200, 201)
    assert all(got(again, str(lsn).encode()) == b"x" * 300 for lsn in range(1, 201))
    assert again.verify_pages() == (set(), None)
    again.close()


def test_a_reader_sees_what_was_committed_before_it(machine):
    """A snapshot stays as it is while the writer goes on, and holds back nothing but the log's new beginning."""
    items = ItemTable(machine.disk)
    items.host(GROUP, table())
    put(items, 1, b"a")
    reader = items.snapshot_reader()
    put(items, 2, b"b")
    items.commit()
    items.make_durable()
    items.checkpoint()
    assert [row.partition_key for row in reader.chunk(GROUP).rows] == [b"a"]
    reader.close()
    items.close()


def test_a_damaged_page_is_never_served(machine):
    """A changed byte in a page of the file is noticed by whoever reads it, and by the verification of all pages."""
    items = ItemTable(machine.disk)
    items.host(GROUP, table())
    for lsn in range(1, 200):
        put(items, lsn, str(lsn).encode(), body=b"x" * 300)
    items.commit()
    items.make_durable()
    items.checkpoint()
    put(items, 200, b"the log begins anew")
    items.close()
    machine.flip("items.db", 12 * 4096 + 1000)
    disk = machine.crash()
    items = ItemTable(disk)
    assert items.set_aside is None
    assert items.verify_pages()[0] == {13}
    with pytest.raises(TableDamaged, match="page 13"):
        items.page(GROUP, hash_=0, after=None, limit=None)
    with pytest.raises(TableDamaged):
        got(items, b"1")
    items.close()


def test_a_log_that_lost_what_was_checkpointed_is_not_opened(machine):
    """Frames of SQLite's log whose pages were copied must not vanish silently: older frames would hide newer pages."""
    items = ItemTable(machine.disk)
    items.host(GROUP, table())
    for lsn in range(1, 30):
        put(items, lsn, b"same", body=b"body %d" % lsn)
        items.commit()
    items.make_durable()
    items.checkpoint()
    items.close()
    size = len(machine.disk.read("items.db-wal"))
    machine.flip("items.db-wal", size // 2)
    disk = machine.crash()
    with pytest.raises(DatabaseDamaged, match="frame"):
        disk.database("items.db", blank())
    items = ItemTable(disk)
    assert items.set_aside == "items.db.damaged-1"
    assert items.groups() == {}
    items.close()
    assert {"items.db.damaged-1", "items.db.damaged-1-wal", "items.db.damaged-1-mark"} <= set(disk.names(""))


# --- what was not synced is lost (on the simulated disk, sometimes) -------------------------------------------------------


def outcomes(scene, seeds=200):
    """What ``scene`` says after a crash with each of many seeds."""
    return {scene(Simulated(None, seed)) for seed in range(seeds)}


def test_what_was_not_synced_may_be_there_whole_torn_or_not_at_all():
    """Every outcome that a real disk can have occurs: nothing, a piece, a piece with garbage, everything, no file."""

    def scene(machine):
        machine.disk.append("f", b"a" * 10)
        machine.disk.sync("f")
        machine.disk.append("f", b"b" * 10)
        return machine.crash().read("f")

    seen = outcomes(scene)
    assert all(found.startswith(b"a" * 10) for found in seen)
    assert {b"a" * 10, b"a" * 10 + b"b" * 10} <= seen
    assert any(set(found[10:]) - set(b"b") for found in seen)
    assert any(0 < len(found) - 10 < 10 for found in seen)


def test_a_new_name_may_be_lost_without_a_sync():
    """A file that was never synced may not be there at all."""

    def scene(machine):
        machine.disk.append("f", b"x")
        return "f" in machine.crash().names("")

    assert outcomes(scene, 30) == {False, True}


def test_a_crash_at_any_step_of_a_replacement_leaves_the_old_or_the_new():
    """Replacing a file is atomic, wherever the power goes."""
    seen = set()
    for steps in range(6):
        for seed in range(10):
            machine = Simulated(None, seed)
            machine.disk.replace("f", b"old")
            machine.disk.fail_after(steps)
            try:
                machine.disk.replace("f", b"new")
                acknowledged = True
            except OSError:
                acknowledged = False
            machine.disk.fail_after(None)
            found = machine.crash().read("f")
            assert found in ((b"new",) if acknowledged else (b"old", b"new"))
            seen.add((acknowledged, found))
    assert len(seen) == 3


def test_items_that_were_not_made_durable_may_be_lost_but_never_mixed():
    """After a crash the items are those of one commit, with its LSN: of the last durable one, or of a later one."""

    def scene(machine):
        items = ItemTable(machine.disk)
        items.host(GROUP, table())
        for lsn in range(1, 8):
            put(items, lsn, b"a", body=b"%d" % lsn)
            put(items, lsn, b"b")
            items.apply(GROUP, [])
            items.commit()
            if lsn == 3:
                items.make_durable()
        again = ItemTable(machine.crash())
        items.close(crash=True)
        assert again.set_aside is None
        applied = again.applied(GROUP)
        assert got(again, b"a") == b"%d" % applied
        again.close()
        return applied

    seen = outcomes(scene, 60)
    assert min(seen) == 3
    assert max(seen) == 7


@pytest.mark.parametrize("first", range(0, 120, 40))
def test_a_crash_at_any_step_of_a_checkpoint_loses_nothing(first):
    """Wherever the power goes in a checkpoint, and in the commits around it, what was durable is there or its table is set aside."""
    for steps in range(first, first + 40):
        machine = Simulated(None, steps)
        items = ItemTable(machine.disk)
        items.host(GROUP, table())
        durable = 0
        machine.disk.fail_after(steps)
        try:
            for lsn in range(1, 61):
                put(items, lsn, str(lsn % 20).encode(), body=b"%d" % lsn * 200)
                if lsn % 5 == 0:
                    items.commit()
                    items.make_durable()
                    durable = lsn
                if lsn % 15 == 0:
                    items.checkpoint()
        except (OSError, apsw.Error):
            pass
        machine.disk.fail_after(None)
        again = ItemTable(machine.crash())
        items.close(crash=True)
        assert again.set_aside is None
        applied = again.applied(GROUP) if durable else 0
        assert applied >= durable
        for pk in range(20):
            last = max((lsn for lsn in range(1, applied + 1) if lsn % 20 == pk), default=None)
            assert not applied or got(again, str(pk).encode()) == (last and b"%d" % last * 200)
        assert again.verify_pages()[0] == set()
        again.close()


def test_the_same_seed_makes_the_same_crash():
    """Two disks with one seed and one history are the same, byte for byte, where SQLite draws no numbers of its own."""

    def scene(seed):
        machine = Simulated(None, seed)
        for number in range(20):
            machine.disk.append(f"f{number % 3}", bytes([number]) * 100)
            if number % 7 == 0:
                machine.disk.sync("f0")
        disk = machine.crash()
        return [(name, disk.read(name)) for name in disk.names("")]

    assert scene(5) == scene(5) != scene(6)
