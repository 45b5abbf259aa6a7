"""Whatever is split, repeated, reordered, sealed, kept or interrupted: the totals are those of a plain dictionary."""

import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.bulk import reading
from collector.bulk.books import Registered, Repeated, Taken
from collector.bulk.refusals import BulkRefusal, BulkRefusedError
from collector.interval import interval_of
from collector.ledger_file import LedgerError
from collector.observation import Outcome
from tests.collector.bulk.frames import NOW, Totals, counts, expected, names, open_store, totals

HOSTS = ("az1-a", "az2-b", "az3-c")
SERIES = 12

increments = st.dictionaries(
    st.sampled_from(("success", "server_fault", "throttled", "bucket_3")),
    st.dictionaries(st.integers(0, SERIES - 1), st.integers(0, 1_000_000_000), min_size=1, max_size=6),
    min_size=1,
    max_size=3,
)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("batch"), st.sampled_from(HOSTS), st.integers(0, 5), increments),
        st.tuples(st.just("repeat"), st.integers(0, 1000)),
        st.tuples(
            st.sampled_from(("restart", "torn", "seal", "keep", "seal, die", "take out, die", "keep, die", "disk full"))
        ),
    ),
    max_size=25,
)


class World:
    """A store that is maltreated, and what it should hold."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = open_store(folder)
        self.total: Totals = Counter()
        self.sent: list[bytes] = []
        self.sequence = dict.fromkeys(HOSTS, 0)

    def send(self, body: bytes) -> Any:
        """One frame, as a group of its own; registered first when the store says so."""
        (answer,) = self.store.apply([body], at=NOW)
        if isinstance(answer, BulkRefusedError) and answer.reason is BulkRefusal.UNKNOWN_SERIES:
            self.store.apply([names(host, range(SERIES)) for host in HOSTS], at=NOW)
            (answer,) = self.store.apply([body], at=NOW)
        return answer

    def batch(self, host: str, intervals_ago: int, places: dict[str, dict[int, int]]) -> None:
        """A new batch."""
        self.sequence[host] += 1
        at = NOW - 300 * intervals_ago
        body = counts(host, self.sequence[host], at, places)
        assert isinstance(self.send(body), Taken)
        self.sent.append(body)
        self.total += expected(host, at, places)

    def repeat(self, which: int) -> None:
        """One of the old batches again."""
        if self.sent:
            assert isinstance(self.send(self.sent[which % len(self.sent)]), Repeated)

    def restart(self) -> None:
        """Closed and opened."""
        self.store.close()
        self.store = open_store(self.folder)

    def torn(self) -> None:
        """Power off in the middle of a write."""
        self.store.close()
        path = self.store.log.segments[-1].path if self.store.log.segments else None
        if path is not None:
            with path.open("ab") as file:
                file.write(b"5NL1" + os.urandom(50))
        self.store = open_store(self.folder)

    def seal(self, *, die: bool = False) -> None:
        """All open intervals; or one, and dead before it is noted."""
        for start in list(self.store.books.tallies):
            one = self.store.seal(start, *self.store.take_out(start))
            if die:
                return self.restart()
            self.store.has_sealed(one)
        return None

    def take_out(self) -> None:
        """Dead after the counts were taken out, before they were written."""
        for start in list(self.store.books.tallies):
            self.store.take_out(start)
        self.restart()

    def keep(self, *, die: bool = False) -> None:
        """A checkpoint; or dead right after it was written."""
        kept = self.store.keep(forget_before=0)
        self.store.write(kept)
        if die:
            return self.restart()
        return self.store.has_kept(kept, feed_bytes=0)

    def disk_full(self) -> None:
        """All was written and the fsync fails: nothing of it counts, and after mending the same batch is taken."""
        self.sequence[HOSTS[0]] += 1
        places = {"success": {0: 7}}
        body = counts(HOSTS[0], self.sequence[HOSTS[0]], NOW, places)
        self.send(names(HOSTS[0], range(SERIES)))
        full = patch("collector.bulk.log.os.fdatasync", side_effect=OSError(28, "disk full"))
        with full, pytest.raises(OSError, match="full"):
            self.store.apply([body], at=NOW)
        self.store.recover()
        assert isinstance(self.send(body), Taken)
        self.total += expected(HOSTS[0], NOW, places)

    def do(self, action: tuple[Any, ...]) -> None:
        """One step of a story."""
        match action:
            case ("batch", host, ago, places):
                self.batch(host, ago, places)
            case ("repeat", which):
                self.repeat(which)
            case ("seal, die",):
                self.seal(die=True)
            case ("keep, die",):
                self.keep(die=True)
            case ("take out, die",):
                self.take_out()
            case ("disk full",):
                self.disk_full()
            case (name,):
                getattr(self, name)()


@settings(max_examples=60, deadline=None)
@given(actions)
def test_the_totals_are_those_of_a_plain_dictionary(story: list[tuple[Any, ...]]) -> None:
    """Batches, repeats, restarts, torn tails, full disks, sealing and checkpoints, and dying in the middle of both, in any order."""
    with TemporaryDirectory() as folder:
        world = World(Path(folder))
        for action in story:
            world.do(action)
            assert totals(world.store) == world.total
        world.restart()
        assert totals(world.store) == world.total
        world.seal()
        assert totals(world.store) == world.total
        world.store.close()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(HOSTS), st.integers(0, 3), increments), max_size=8), st.randoms())
def test_any_order_and_any_grouping_give_the_same_totals(batches: list[Any], dice: Any) -> None:
    """What one store takes in order and one by one, another takes shuffled, doubled and in groups: the totals are equal."""
    sequence: Counter[str] = Counter()
    bodies = []
    for host, ago, places in batches:
        sequence[host] += 1
        bodies.append(counts(host, sequence[host], NOW - 300 * ago, places))
    doubled = bodies * 2
    dice.shuffle(doubled)
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        found = []
        for folder, groups in (
            (one, [[body] for body in bodies]),
            (other, [doubled[n : n + 3] for n in range(0, len(doubled), 3)]),
        ):
            store = open_store(Path(folder))
            store.apply([names(host, range(SERIES)) for host in HOSTS], at=NOW)
            for group in groups:
                store.apply(group, at=NOW)
            found.append(totals(store))
            store.close()
        assert found[0] == found[1]


def test_numbers_are_each_senders_own(tmp_path: Path) -> None:
    """The same number of two senders, and of two lives of one, may mean different series."""
    store = open_store(tmp_path)
    store.apply([names("az1-a", range(4)), names("az1-a", range(4), boot="b2", shift=1)], at=NOW)
    store.apply(
        [counts("az1-a", 1, NOW, {"success": {0: 5}}), counts("az1-a", 1, NOW, {"success": {0: 7}}, boot="b2")], at=NOW
    )
    assert totals(store) == expected("az1-a", NOW, {"success": {0: 5}}) + expected(
        "az1-a", NOW, {"success": {0: 7}}, shift=1
    )
    store.close()


def test_two_numbers_of_one_series_add_up(tmp_path: Path) -> None:
    """A sender that gives one series two numbers loses nothing."""
    store = open_store(tmp_path)
    twice = names("az1-a", [0, 1], shift=0), names("az1-a", [2, 3], shift=-2)
    assert [type(a) for a in store.apply(twice, at=NOW)] == [Registered, Registered]
    store.apply([counts("az1-a", 1, NOW, {"success": {0: 5, 2: 7}})], at=NOW)
    assert totals(store) == expected("az1-a", NOW, {"success": {0: 12}})
    store.close()


def test_damage_is_told_and_a_torn_tail_is_cut(tmp_path: Path) -> None:
    """A flipped byte in a record that was durable stops the start with the file's name; the same in the last group does not."""
    store = open_store(tmp_path)
    store.apply([names("az1-a", range(4))], at=NOW)
    store.apply([counts("az1-a", 1, NOW, {"success": {0: 5}})], at=NOW)
    before = totals(store)
    size = store.log.size
    store.apply([counts("az1-a", 2, NOW, {"success": {0: 9}})], at=NOW)
    store.close()
    path = store.log.segments[-1].path
    whole = path.read_bytes()
    path.write_bytes(whole[:size] + bytes([whole[size]]) + b"\xff" + whole[size + 2 :])
    store = open_store(tmp_path)
    assert totals(store) == before
    store.close()
    path.write_bytes(whole[: size - 20] + b"\xff" + whole[size - 19 :])
    with pytest.raises(LedgerError, match=path.name):
        open_store(tmp_path)


@pytest.mark.parametrize("cut", range(1, 400, 23))
def test_a_log_cut_anywhere_holds_whole_batches_only(tmp_path: Path, cut: int) -> None:
    """However much of the end is missing: each batch is there as a whole or not at all, oldest first."""
    store = open_store(tmp_path)
    store.apply([names("az1-a", range(4))], at=NOW)
    ends, wanted = [store.log.size], [totals(store)]
    for n in range(1, 4):
        store.apply([counts("az1-a", n, NOW, {"success": {0: n, 1: 1}})], at=NOW)
        ends.append(store.log.size)
        wanted.append(totals(store))
    store.close()
    path = store.log.segments[-1].path
    left = max(ends[-1] - cut, ends[0])
    os.truncate(path, left)
    store = open_store(tmp_path)
    assert totals(store) == wanted[sum(end <= left for end in ends) - 1]
    store.close()


def test_a_sealed_interval_answers_like_an_open_one(tmp_path: Path) -> None:
    """The same rows before and after sealing, version 0 and 1; late counts make version 2 and leave version 1's file alone."""
    store = open_store(tmp_path)
    store.apply([names("az1-a", range(8))], at=NOW)
    store.apply(
        [counts("az1-a", 1, NOW, {"success": {2: 5, 3: 1}, "server_fault": {3: 2}, "bucket_0": {2: 5}})], at=NOW
    )
    start = interval_of(NOW)

    def rows() -> list[Any]:
        return [
            (row.version, str(row.series.operation), dict(row.counts), sum(row.latency))
            for row in reading.intervals(store, start, start + 1, "orders-1")
        ]

    told = [("write", {Outcome.SUCCESS: 5}, 5), ("strong_read", {Outcome.SUCCESS: 1, Outcome.SERVER_FAULT: 2}, 0)]
    assert rows() == [(0, *row) for row in told]
    first = store.seal(start, *store.take_out(start))
    store.has_sealed(first)
    before = first.path.read_bytes()
    assert rows() == [(1, *row) for row in told]
    store.apply([counts("az1-a", 2, NOW, {"success": {2: 1}})], at=NOW)
    assert rows() == [(1, *row) for row in told]
    store.has_sealed(store.seal(start, *store.take_out(start)))
    assert rows()[0] == (2, "write", {Outcome.SUCCESS: 6}, 5)
    assert first.path.read_bytes() == before
    store.close()
