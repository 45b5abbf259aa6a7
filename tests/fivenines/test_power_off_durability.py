"""What is lost, what nobody wrote, which groups are not whole: judged from what customers and zones say."""

from typing import Any

import pytest

from fivenines.durability import SLOT, by_key, longest_gaps, lost_writes, never_written, unlinearizable
from fivenines.simulation.history import Kind, Operation, Outcome
from fivenines.wholeness import not_whole


def op(
    kind: str, value: str | None, called: float, returned: float, outcome: str = "ok", *, seen: str | None = None
) -> Operation:
    """An operation on one key. ``seen``: what its answer showed."""
    operation = Operation(0, "c", Kind(kind), "k", SLOT, called, value, returned_at=returned, outcome=Outcome(outcome))
    if outcome in ("ok", "condition_false"):
        operation.seen = {SLOT: seen}
    return operation


A, B = op("put", "a", 0, 1), op("put", "b", 2, 3, seen="a")
GONE = op("delete", None, 4, 5, seen="b")


def read(value: str | None, at: float = 10.0) -> Operation:
    """The last strong read."""
    return op("read", None, at, at + 1, seen=value)


LOST = {
    "all is there": ([A, B, read("b")], None),
    "an older value came back": ([A, B, read("a")], "b"),
    "nothing is there": ([A, B, read(None)], "b"),
    "a delete": ([A, B, GONE, read(None)], None),
    "a deleted item came back": ([A, B, GONE, read("b")], "(deleted)"),
    "an unknown delete may have been made": ([op("delete", None, 0, 1, "unknown"), A, B, read(None)], None),
    "an unknown write may have come last": ([op("put", "u", 0, 1, "unknown"), A, B, read("u")], None),
    "a refused delete explains nothing": ([A, B, op("delete", None, 4, 5, "failed"), read(None)], "b"),
    "two at once may have come in either order": ([op("put", "a", 0, 5), op("put", "b", 0, 5), read("a")], None),
    "an early delete explains nothing": ([op("delete", None, 0, 0.5), op("put", "b", 2, 3), read(None)], "b"),
    "nobody was ever told that anything was written": ([op("put", "u", 0, 1, "unknown"), read(None)], None),
    "a write after the last read": ([A, read("a", at=1.5), B], None),
}  # fmt: skip


@pytest.mark.parametrize("name", LOST)
def test_a_lost_write_is_one_that_no_later_write_explains_away(name: str) -> None:
    """The last strong read of a key convicts exactly when no order ends with it."""
    operations, expected = LOST[name]
    lost = lost_writes(operations, epoch=1000.0)
    assert [each.value or "(deleted)" for each in lost] == ([expected] if expected else [])


def test_a_lost_write_says_when_it_was_acknowledged_and_what_was_read() -> None:
    """Key, value, acknowledged at, what was read instead: in UTC."""
    [lost] = lost_writes([A, B, read("a")], epoch=1000.0)
    assert (lost.key, lost.value, lost.acknowledged_at, lost.read, lost.read_at) == ("k", "b", 1003.0, "a", 1010.0)


def test_a_value_that_nobody_wrote_is_found_in_any_answer() -> None:
    """Strong or eventual reads, and writes that show what was there before: of nobody, refused, or from the future."""
    assert never_written([A, B, GONE, read(None)]) == []
    assert never_written([A, op("eventual_read", None, 5, 6, seen="x")]) == [
        "k showed x to a eventual_read (never asked for)"
    ]
    assert len(never_written([op("put", "r", 0, 1, "failed"), read("r")])) == 1
    assert len(never_written([op("put_if", "r", 0, 1, "condition_false", seen="a"), A, read("r")])) == 1
    assert len(never_written([read("late", at=1.0), op("put", "late", 9, 10)])) == 1
    assert never_written([op("put", "u", 0, 1, "unknown"), op("eventual_read", None, 0.5, 0.7, seen="u")]) == []


def test_each_key_must_have_an_order() -> None:
    """A stale strong read is found though nothing is lost in the end."""
    stale = op("read", None, 3.5, 3.6, seen="a")
    assert unlinearizable(by_key([A, B, read("b")])) == {}
    assert list(unlinearizable(by_key([B, A, stale, read("b")]))) == ["k"]
    assert lost_writes([A, B, stale, read("b")], 0.0) == []


def test_the_longest_gap_counts_from_the_beginning_to_the_end() -> None:
    """A partition that never took a write has a gap as long as the drill."""
    gaps = longest_gaps([("0", 2.0), ("0", 9.0), ("1", 5.0)], ["0", "1", "2"], began=0.0, ended=10.0)
    assert gaps == {"0": 7.0, "1": 5.0, "2": 10.0}


def view(node: str, leads: str = "az1-node-1", **changes: object) -> dict[str, Any]:
    """A replica of group t/0 as its zone tells it."""
    told = {
        "group": "t/0",
        "role": "leader" if node == leads else "follower",
        "leader": leads,
        "serving": node == leads,
    }
    return told | {"committed": 100, "applied": 100, "last": 100, "lag": 0} | changes


def states(*views: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What three zones with one node each say."""
    said: dict[str, list[dict[str, Any]]] = {f"az{n}-node-1": [] for n in (1, 2, 3)}
    for node, told in views:
        said[node].append(told)
    return [{"nodes": {node: {"up": True, "groups": groups}}} for node, groups in said.items()]


NODES = ["az1-node-1", "az2-node-1", "az3-node-1"]
WELL = [(f"az{n}-node-1", view(f"az{n}-node-1")) for n in (1, 2, 3)]


def changed(number: int, **changes: object) -> list[dict[str, Any]]:
    """Well, but for one replica."""
    node, told = WELL[number]
    return states(*[*WELL[:number], (node, told | changes), *WELL[number + 1 :]])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (states(*WELL), {}),
        (states(*WELL[:2]), {"t/0": "2 storage replicas of 3, members are az1-node-1, az2-node-1"}),
        (changed(2, kept="log"), {"t/0": "2 storage replicas of 3, members are az1-node-1, az2-node-1"}),
        (changed(0, members=[*NODES, "az1-node-2"]), {"t/0": f"3 storage replicas of 3, members are {', '.join(sorted([*NODES, 'az1-node-2']))}"}),
        (changed(0, members=NODES), {}),
        (changed(2, votes=False, members=NODES), {"t/0": "2 storage replicas of 3, members are az1-node-1, az2-node-1"}),
        (changed(0, serving=False), {"t/0": "0 replicas lead"}),
        (changed(1, serving=True), {"t/0": "2 replicas lead"}),
        (changed(1, leader="az3-node-1"), {"t/0": "az2-node-1 follow another leader than az1-node-1"}),
        (changed(2, applied=10), {"t/0": "az3-node-1 behind the leader"}),
        (changed(2, lag=90), {"t/0": "az3-node-1 behind the leader"}),
        (changed(2, applied=99), {}),
    ],
)  # fmt: skip
def test_a_group_is_whole_with_three_storage_replicas_that_are_up_to_date_and_one_leader(
    said: Any, why: dict[str, str]
) -> None:
    """What is missing is named by group."""
    assert not_whole(said, zones=3) == why


def test_a_zone_that_does_not_answer_and_a_node_that_is_down_are_not_whole() -> None:
    """Silence is not wholeness."""
    assert "every group" in not_whole([*states(*WELL)[:2], None], zones=3)
    down = states(*WELL)
    down[1]["nodes"]["az2-node-1"]["up"] = False
    assert not_whole(down, zones=3) == {"groups on az2-node-1": "the storage node is down"}
