"""Lanes and the spool on disk: whatever answers are lost and whoever dies, the ledgers add up to what was seen."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canary.backlog import Bound, MemoryStore, Store, folded
from canary.spool import HESITATION_SECONDS, Spool
from canary.spool_files import DiskStore
from canary.tally import Content
from collector.observation import Connection, OperationClass
from collector.series import Unobserved
from tests.canary.test_spool import second

LANES = ("a", "b")


def asked(content: Content) -> int:
    """How many probes it tells of."""
    return sum(sum(r.counts.values()) for r in content.readings) + sum(u.count for u in content.unobserved)


class Ledger:
    """A collector that counts each identity once."""

    def __init__(self) -> None:
        self.batches: dict[tuple[str, str, int], int] = {}
        self.seconds: Counter[int] = Counter()

    def take(self, bound: Bound) -> None:
        """Count what was not counted before."""
        batch = bound.batch
        identity = (batch.host, batch.boot, batch.sequence)
        if identity not in self.batches:
            self.batches[identity] = asked(Content(batch.readings, batch.unobserved))
            self.seconds.update({r.at: sum(r.counts.values()) for r in batch.readings})

    def has_no_holes(self) -> bool:
        """Whether each lane's numbers are 1, 2, 3, …."""
        boots: dict[str, list[int]] = {}
        for _, boot, sequence in self.batches:
            boots.setdefault(boot, []).append(sequence)
        return all(sorted(numbers) == list(range(1, len(numbers) + 1)) for numbers in boots.values())


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[..., DiskStore]]:
    made: list[DiskStore] = []

    def make(max_bytes: int = 1 << 26, *, fresh: bool = False) -> DiskStore:
        for store in made:
            kill(store)
        if fresh:
            shutil.rmtree(tmp_path / "host", ignore_errors=True)
        made[:] = [DiskStore(tmp_path / "host", max_bytes=max_bytes)]
        return made[0]

    yield make
    for store in made:
        kill(store)


def kill(store: DiskStore) -> None:
    """As kill -9 leaves it: only the lock is gone."""
    store._lock.close()


def life(store: DiskStore, boot: str, lanes: tuple[str, ...] = LANES) -> Spool:
    return Spool("h", "z", boot, lanes, store=store, earlier=store.earlier)


def drain(spool: Spool, ledgers: dict[str, Ledger], now: float) -> None:
    """Everybody answers until there is nothing left."""
    for _ in range(10_000):
        bounds = [(i, spool.next(now, i)) for i in range(len(spool.lanes))]
        if not any(bound for _, bound in bounds):
            break
        for lane, bound in bounds:
            if bound is not None:
                ledgers[bound.lane].take(bound)
                spool.acknowledge(lane)
    assert len(spool) == 0


def test_a_batch_in_doubt_waits_for_its_collector_and_the_rest_goes_on() -> None:
    """The lane that may have it keeps it; what is new goes through the other lane at once, under a numbering of its own."""
    spool = Spool("h", "z", "b", LANES)
    spool.add(second(1), None)
    first = spool.next(0.0, 0)
    assert first is not None
    spool.failed(0, doubtful=True)
    spool.add(second(2), None)
    other = spool.next(0.1, 1)
    assert other is not None
    assert (other.batch.boot, other.batch.sequence, other.batch.readings[0].at) == ("b.1", 1, 2)
    assert spool.next(1.0, 0) is first
    spool.acknowledge(0)
    assert spool.next(1.1, 0) is None


def test_what_was_surely_not_taken_goes_to_the_other_lane() -> None:
    """A refused connection delays nothing: the batch moves, and its number is used again for the next one."""
    spool = Spool("h", "z", "b", LANES)
    spool.add(second(1, failures=1), None)
    assert spool.next(0.0, 0) is not None
    spool.failed(0, doubtful=False)
    moved = spool.next(0.01, 1)
    assert moved is not None
    assert (moved.batch.boot, moved.batch.sequence, len(moved.batch.readings[0].failures)) == ("b.1", 1, 1)
    spool.acknowledge(1)
    spool.recovered(0)
    spool.add(second(2), None)
    again = spool.next(0.1, 0)
    assert again is not None
    assert (again.batch.boot, again.batch.sequence) == ("b", 1)


def test_a_batch_that_was_ever_in_doubt_never_moves() -> None:
    """That a later connection is refused says nothing about the first offer."""
    spool = Spool("h", "z", "b", LANES)
    spool.add(second(1), None)
    assert spool.next(0.0, 0) is not None
    spool.failed(0, doubtful=True)
    spool.failed(0, doubtful=False)
    assert spool.next(9.0, 1) is None


def test_a_lane_that_takes_too_long_is_passed_over() -> None:
    """A second lane takes what is new only when the first has not answered for a while."""
    spool = Spool("h", "z", "b", LANES)
    spool.add(second(1), None)
    assert spool.next(0.0, 0) is not None
    spool.add(second(2), None)
    assert spool.next(HESITATION_SECONDS / 2, 1) is None
    assert spool.next(HESITATION_SECONDS * 2, 1) is not None


def test_a_batch_long_in_doubt_is_told_as_unobserved_by_the_other_lane_and_leaves_no_hole() -> None:
    """After the limit its counts go out as in_doubt; should its collector come back, it gets the number without contents."""
    spool = Spool("h", "z", "b", LANES, doubt_seconds=900)
    ledgers = {"a": Ledger(), "b": Ledger()}
    spool.add(second(1, failures=2), None)
    assert spool.next(0.0, 0) is not None
    spool.failed(0, doubtful=True)
    kept = spool.next(899.0, 0)
    assert kept is not None
    assert kept.batch.readings
    emptied = spool.next(901.0, 0)
    assert emptied is not None
    assert (emptied.batch.sequence, emptied.batch.readings, emptied.batch.unobserved) == (1, (), ())
    told = spool.next(901.0, 1)
    assert told is not None
    assert [(u.reason, u.count) for u in told.batch.unobserved] == [("in_doubt", 3)]
    drain(spool, ledgers, 902.0)
    assert ledgers["a"].has_no_holes()


def test_with_one_collector_a_batch_in_doubt_waits_for_ever() -> None:
    """There is nobody else to tell."""
    spool = Spool("h", "z", "b", ("a",))
    spool.add(second(1), None)
    assert spool.next(0.0, 0) is not None
    spool.failed(0, doubtful=True)
    kept = spool.next(1e6, 0)
    assert kept is not None
    assert kept.batch.readings


def test_the_next_life_offers_under_the_old_identity(disk: Callable[..., DiskStore]) -> None:
    """What was offered goes again to the same collector with its old boot and number; what waited gets a new one."""
    spool = life(disk(), "b1")
    spool.add(second(1), None, 1.0)
    first = spool.next(1.0, 0)
    assert first is not None
    spool.failed(0, doubtful=True)
    spool.failed(1, doubtful=True)
    spool.add(second(2), None, 2.0)
    store = disk()
    assert store.last_at == 2.0
    reborn = life(store, "b2")
    again, waited = reborn.next(3.0, 0), reborn.next(3.0, 1)
    assert again is not None
    assert again.batch == first.batch
    assert waited is not None
    assert (waited.batch.boot, waited.batch.sequence, waited.batch.readings[0].at) == ("b2.1", 1, 2)


def test_batches_of_a_collector_that_is_no_longer_configured_are_in_doubt(disk: Callable[..., DiskStore]) -> None:
    """Nobody can answer for them: they are told as unobserved."""
    spool = life(disk(), "b1")
    spool.add(second(1), None, 1.0)
    assert spool.next(1.0, 0) is not None
    reborn = life(disk(), "b2", ("elsewhere",))
    told = reborn.next(2.0, 0)
    assert told is not None
    assert [(u.reason, u.count) for u in told.batch.unobserved] == [("in_doubt", 1)]
    reborn.acknowledge()
    assert disk().earlier == []


def test_what_the_bound_drops_is_counted(disk: Callable[..., DiskStore]) -> None:
    """A collector away for long: the disk stays bounded, the newest is kept, and every probe is told as seen or as unobserved."""
    limit = 256 * 1024
    store = disk(limit)
    spool, ledgers = life(store, "b1", ("a",)), {"a": Ledger()}
    added = 0
    spool.failed(0, doubtful=False)
    for at in range(1500):
        content = second(at, failures=2)
        added += asked(content)
        spool.add(content, None, float(at))
        assert store.bytes_on_disk <= limit + 64 * 1024
    store = disk(limit)  # killed meanwhile
    spool = life(store, "b2", ("a",))
    drain(spool, ledgers, 2000.0)
    assert sum(ledgers["a"].batches.values()) == added
    seen = sum(ledgers["a"].seconds.values())
    assert 0 < seen < added
    assert ledgers["a"].seconds[1499] == 3
    assert store.bytes_on_disk == 0


def test_a_torn_record_ends_its_file_and_nothing_else(disk: Callable[..., DiskStore], tmp_path: Path) -> None:
    """Half a record at the end of a segment is as if it had not been written."""
    spool = life(disk(), "b1")
    for lane in (0, 1):
        spool.failed(lane, doubtful=False)
    for at in (1, 2, 3):
        spool.add(second(at), None, float(at))
    (segment,) = (tmp_path / "host").glob("queue-*")
    segment.write_bytes(segment.read_bytes()[:-5])
    store = disk()
    assert (len(store), store.last_at) == (2, 2.0)


def test_two_canaries_cannot_share_a_spool(disk: Callable[..., DiskStore], tmp_path: Path) -> None:
    """The second is told what to do."""
    disk()
    with pytest.raises(OSError, match="in use by another canary"):
        DiskStore(tmp_path / "host", max_bytes=1 << 20)


def test_a_disk_that_takes_nothing_costs_no_report(tmp_path: Path) -> None:
    """Without a folder to write to, contents wait in memory."""
    store = DiskStore(tmp_path / "host", max_bytes=1 << 20)
    shutil.rmtree(tmp_path / "host")
    spool, ledgers = life(store, "b1", ("a",)), {"a": Ledger()}
    spool.failed(0, doubtful=False)
    for at in range(5):
        spool.add(second(at), None, float(at))
    spool.recovered(0)
    drain(spool, ledgers, 9.0)
    assert sum(ledgers["a"].batches.values()) == 5
    kill(store)


def test_rows_are_folded_until_they_fit() -> None:
    """A month of one cell's gaps becomes fewer rows, and the counts stay."""
    rows = [
        Unobserved(
            endpoint="e",
            connection=Connection.FRESH,
            operation=OperationClass.WRITE,
            at=i * 300,
            count=2,
            reason="spool_full",
        )
        for i in range(9000)
    ]
    for most in (10_000, 1000, 100, 1):
        found = folded(rows, most)
        assert len(found) <= most
        assert sum(row.count for row in found) == 18_000


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "storm", "taken", "answer_lost", "not_taken", "lost", "refused", "kill", "wait"]),
        st.integers(0, 1),
    ),
    max_size=120,
)


@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "disk"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_the_union_of_the_ledgers_is_what_was_seen(
    disk: Callable[..., DiskStore], actions: list[tuple[str, int]], *, on_disk: bool
) -> None:
    """Any order of offers, lost answers, refusals and deaths: each probe is in one ledger, once; a killed life says until when."""
    ledgers = {name: Ledger() for name in LANES}
    lives = 1
    store: Store = disk(fresh=True) if on_disk else MemoryStore()
    spool = Spool("h", "z", "life1", LANES, store=store)
    now, added, refused = 0.0, Counter[int](), 0
    for action, lane in actions:
        now += 0.1
        if action == "kill" and isinstance(store, DiskStore):
            lives += 1
            store = disk()
            told = store.last_at or 0.0
            added = Counter({at: n for at, n in added.items() if at <= told or at in ledgers_seconds(ledgers)})
            spool = life(store, f"life{lives}")
        elif action in ("add", "storm"):
            now = float(int(now) + 1)
            content = second(int(now), failures=3 if action == "storm" else 0)
            added[int(now)] += asked(content)
            spool.add(content, None, now)
        elif action == "wait":
            now += 1.0
        elif (bound := spool.next(now, lane)) is not None:
            refused += act(spool, ledgers, bound, lane=lane, action=action, now=now)
    drain(spool, ledgers, now + 1)
    seen = ledgers_seconds(ledgers)
    assert all(ledger.has_no_holes() for ledger in ledgers.values())
    assert {at: n for at, n in seen.items() if n > added[at]} == {}, "counted twice"
    lost = sum((added - seen).values())
    assert lost == sum(n for ledger in ledgers.values() for n in ledger.batches.values()) - sum(seen.values())
    assert bool(lost) <= bool(refused)


def ledgers_seconds(ledgers: dict[str, Ledger]) -> Counter[int]:
    return sum((ledger.seconds for ledger in ledgers.values()), Counter[int]())


def act(spool: Spool, ledgers: dict[str, Ledger], bound: Bound, *, lane: int, action: str, now: float) -> int:
    """One offer and what comes of it; 1 when it was refused."""
    identity = (bound.batch.host, bound.batch.boot, bound.batch.sequence)
    if action in ("taken", "answer_lost"):
        ledgers[bound.lane].take(bound)
    if action == "taken":
        spool.acknowledge(lane)
    elif action == "refused" and bound.batch.readings and identity not in ledgers[bound.lane].batches:
        spool.refuse("refused", now, lane)
        return 1
    else:
        spool.failed(lane, doubtful=action != "not_taken")
    return 0
