"""Phases, keys and addresses of the cells."""

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from canary.config import CanaryConfig, EndpointConfig
from canary.plan import (
    SINGLE,
    Cell,
    Subject,
    address_index,
    cells,
    goes_on,
    groups,
    hosts,
    is_second_turn,
    item_prefix,
    key_index,
    peer,
    quick_cells,
    slots,
    subject,
)
from canary.probes.config import HttpCheck
from canary.schedule import Schedule, Tick
from collector.observation import OperationClass

SIZES = {"cell_count": st.integers(1, 40), "host_count": st.integers(1, 12)}


@given(**SIZES)
def test_no_two_probes_of_the_region_share_an_instant(cell_count: int, host_count: int) -> None:
    """Cells × hosts fill every slot of the cadence exactly once."""
    taken = sorted(slot for rank in range(host_count) for slot in slots(cell_count, host_count, rank))
    assert taken == list(range(cell_count * host_count))


@given(**SIZES)
def test_n_hosts_see_a_cell_every_nth_of_the_cadence(cell_count: int, host_count: int) -> None:
    """The slots of one cell over the hosts are exactly evenly spaced."""
    for cell in range(cell_count):
        seen = sorted(slots(cell_count, host_count, rank)[cell] for rank in range(host_count))
        assert {b - a for a, b in pairwise(seen)} <= {cell_count}


@given(**SIZES)
def test_one_host_asks_evenly(cell_count: int, host_count: int) -> None:
    """A host's own probes never bunch: no gap is twice the even one."""
    total = cell_count * host_count
    mine = sorted(slots(cell_count, host_count, 0))
    gaps = [(b - a) % total or total for a, b in zip(mine, [*mine[1:], mine[0]], strict=True)]
    assert max(gaps) < 2 * Fraction(total, cell_count) or cell_count == 1


@given(keys=st.integers(1, 12), addresses=st.integers(1, 9), cell=st.integers(0, 30), rank=st.integers(0, 6))
def test_every_key_meets_every_address(keys: int, addresses: int, cell: int, rank: int) -> None:
    """A cell walks over all pairs of partition key and address, the next key at each tick."""
    pairs = {
        (key_index(n, cell, rank, keys), address_index(n, cell, rank, keys) % addresses)
        for n in range(keys * addresses)
    }
    assert len(pairs) == keys * addresses


def settings() -> CanaryConfig:
    return CanaryConfig(endpoints=tuple(EndpointConfig(name=n, host=f"{n}.test") for n in ("a", "b", "c", "d")))


def quick() -> tuple[Cell, ...]:
    return groups(settings())[0].cells


def test_hosts_and_cells_are_named_after_the_configuration() -> None:
    """Two hosts in each of three zones; every endpoint × operation × connection once; read twins share the items."""
    config = settings()
    assert [h.name for h in hosts(config)][:4] == ["az1-canary-1", "az2-canary-1", "az3-canary-1", "az1-canary-2"]
    mine = cells(config)
    assert len({(c.endpoint, c.operation, c.connection) for c in mine}) == len(mine) == 4 * 2 * len(config.operations)
    assert len({item_prefix("az1-canary-1", c.endpoint, c.connection) for c in mine}) == 4 * 2


def test_cells_are_grouped_by_their_cadence_and_none_is_lost() -> None:
    """The three single-item operations at the common cadence, the others and each check at their own."""
    check = HttpCheck(kind="http", name="shop", url="http://shop.test/", cadence_seconds=7.0)
    config = CanaryConfig(endpoints=settings().endpoints, checks=(check,))
    plan = groups(config)
    assert [group.cadence_seconds for group in plan] == [2.0, 7.0, 20.0, 30.0]
    assert sorted(cell.index for group in plan for cell in group.cells) == list(range(len(cells(config))))
    assert {cell.operation for cell in plan[0].cells} == SINGLE
    assert quick_cells(config) == 4 * 3 * 2


@given(rank=st.integers(0, 5), keys=st.integers(1, 12))
def test_reads_meet_own_brief_and_every_other_zones_items_with_every_key(rank: int, keys: int) -> None:
    """Over some rounds each key is asked in every role, and each host of another zone is read."""
    everyone = hosts(settings())
    me = everyone[rank]
    seen: dict[tuple[int, Subject], set[str]] = {}
    for tick in range(keys * 4 * 8):
        about = subject(OperationClass.STRONG_READ, tick, keys)
        other = peer(everyone, me, tick, keys)
        assert other is not None
        assert other.zone != me.zone
        seen.setdefault((key_index(tick, 0, rank, keys), about), set()).add(other.name)
    assert set(seen) == {(key, about) for key in range(keys) for about in Subject}
    assert all(len(names) == 4 for (_, about), names in seen.items() if about is Subject.PEER)


@given(keys=st.integers(1, 12))
def test_writers_put_and_delete_the_brief_item_in_turns(keys: int) -> None:
    """Writes never touch another zone's item; the brief item of each key is put, then deleted, then put."""
    turns = [
        (key_index(tick, 0, 0, keys), is_second_turn(tick, keys))
        for tick in range(keys * 16)
        if subject(OperationClass.WRITE, tick, keys) is Subject.BRIEF
    ]
    assert {subject(OperationClass.WRITE, tick, keys) for tick in range(keys * 16)} == {Subject.MAIN, Subject.BRIEF}
    for key in range(keys):
        assert [second for k, second in turns if k == key] == [False, True, False, True]


def test_looking_for_keys_ends() -> None:
    """All partitions found, or sixty tries in vain; after a split, six tries in vain for each partition found."""
    assert goes_on(3, fruitless=59, wanted=9)
    assert not goes_on(3, fruitless=60, wanted=9)
    assert not goes_on(9, fruitless=0, wanted=9)
    assert goes_on(9, fruitless=59, wanted=None)
    assert not goes_on(9, fruitless=60, wanted=None)
    assert goes_on(100, fruitless=599, wanted=None)


def schedule(cadence: float, start: float, patience: float = 2.0) -> Schedule:
    mine = quick()
    phases = [slot / 144 for slot in slots(24, 6, 1)]
    return Schedule(mine, phases, cadence_seconds=cadence, patience_seconds=patience, origin=-1000.0, start=start)


@given(
    start=st.floats(0, 100),
    steps=st.lists(st.floats(0.0, 9.0), min_size=1, max_size=30),
    cadence=st.sampled_from([0.5, 1.0, 2.0, 5.0]),
)
def test_every_intended_probe_is_started_or_counted_as_missed(start: float, steps: list[float], cadence: float) -> None:
    """However the loop stalls, ticks and missed ones together are exactly what was intended, in order, none twice."""
    plan = schedule(cadence, start)
    now, missed = start, 0
    started: list[Tick] = []
    for wait in steps:
        now += wait
        step = plan.step(now)
        assert all(now - tick.intended < min(cadence, 2.0) for tick in step.ticks)
        started += step.ticks
        missed += sum(m.count for m in step.missed)
    assert len({(t.cell, t.number) for t in started}) == len(started)
    whole = sum(
        1
        for phase in (slot / 144 for slot in slots(24, 6, 1))
        for n in range(int((start + 1000) / cadence) - 2, int((now + 1000) / cadence) + 2)
        if start <= -1000.0 + (n + phase) * cadence <= now
    )
    assert abs(len(started) + missed - whole) <= 1  # a boundary may fall on either side of a rounding
    assert plan.next_at > now


def test_a_long_sleep_is_reported_minute_by_minute() -> None:
    """After an hour without the processor the missed probes are told in pieces of a minute at most."""
    plan = schedule(2.0, 0.0)
    step = plan.step(3600.0)
    assert max(m.count for m in step.missed) <= 30
    assert sum(m.count for m in step.missed) + len(step.ticks) == 24 * 1800
