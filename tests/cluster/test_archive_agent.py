"""The archive agents of a group: one chain without holes, and no log entry forgotten before it is archived and verified."""

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.archive import segment
from cluster.archive.agent import OPERATION_SECONDS
from cluster.archive.decision import Limits, Locate, Seal, Verify, View, Wait, decide
from cluster.archive.inventory import inventory
from cluster.archive.keys import manifest_key, segment_key, snapshot_key
from cluster.archive.memory import MemoryStore
from tests.cluster.archive_world import GROUP, GatedStore, World, entry, run, stalled


def chain(store):
    """The LSN up to which the archive is one chain, each object checked; fails on a hole or an overlap."""
    covered = 0
    for first in inventory(GROUP, store.objects).segments:
        key = segment_key(GROUP, first)
        found = segment.decode(store.objects[key], group=GROUP, key=key)
        assert found.first == first == covered + 1, (first, covered)
        covered = found.last
    return covered


def payloads(store):
    """Every archived payload in the order of the log."""
    firsts = inventory(GROUP, store.objects).segments
    return [
        one.payload
        for first in firsts
        for one in segment.decode(store.objects[segment_key(GROUP, first)], group=GROUP).entries
    ]


def view(**changes):
    """A follower's view with ten entries waiting."""
    usual = {"group": GROUP, "leads": False, "first": 1, "committed": 30, "position": 20, "cut": 30, "full": False}
    return View(**{**usual, "oldest_at": 100.0, "searched": 1, **changes})


def test_what_an_agent_does_next():
    """The table of decisions: who seals when, who looks when, and when nothing is to be done."""
    limits = Limits(seal_seconds=10.0)
    following = Verify(segment_key(GROUP, 21))
    for seen, at, expected in [
        (view(position=None), 101.0, Locate(1)),
        (view(first=25, searched=1), 101.0, Locate(25)),
        (view(first=25, searched=25), 101.0, following),
        (view(committed=20), 200.0, Wait("nothing_committed")),
        (view(leads=True), 105.0, Wait("gathering")),
        (view(leads=True), 110.0, Seal(21, 30)),
        (view(leads=True, full=True), 101.0, Seal(21, 30)),
        (view(leads=True, found=True), 101.0, following),
        (view(), 104.0, Wait("leader_is_first")),
        (view(), 105.0, following),
        (view(), 130.0, Seal(21, 30)),
        (view(stopped=True), 130.0, following),
        (view(not_before=131.0), 130.0, Wait("backing_off")),
    ]:
        assert decide(seen, limits, at) == expected


def test_the_leader_seals_and_everybody_verifies():
    """Within seconds after sealing all replicas know the segment as archived and verified, and may truncate up to it."""

    async def story():
        world = World()
        world.write(7)
        await world.pass_time(30)
        assert chain(world.store) == 7
        assert [p.agent.archived_lsn(GROUP) for p in world.peers] == [7, 7, 7]
        assert [p.counted.segments for p in world.peers] == [2, 0, 0]
        assert payloads(world.store) == [one.payload for one in world.entries]

    run(story())


def test_a_follower_takes_over_from_a_leader_that_does_not_seal():
    """When the leader cannot archive, a follower does, after three times as long."""

    async def story():
        world = World()
        world.stalled = {"n1"}
        world.write(3)
        await world.pass_time(29)
        assert chain(world.store) == 0
        await world.pass_time(10)
        assert chain(world.store) == 3
        assert world.peers[0].agent.archived_lsn(GROUP) == 0
        assert world.peers[0].agent.views()[0].oldest_age_seconds >= 38
        assert world.peers[0].agent.views()[0].unarchived_bytes > 0
        world.stalled = set()
        await world.pass_time(5)
        assert world.peers[0].agent.archived_lsn(GROUP) == 3
        assert world.peers[0].agent.views()[0].unarchived_bytes == 0

    run(story())


def test_a_mismatch_stops_truncation_until_it_is_mended():
    """A replica whose log differs from the archive keeps its log, counts it, and goes on when the object is put right."""

    async def story():
        world = World()
        world.write(5)
        wrong = world.peers[2]
        wrong.log[4] = entry(4, body=b"something else")
        await world.pass_time(20)
        assert [p.agent.archived_lsn(GROUP) for p in world.peers] == [5, 5, 0]
        assert wrong.counted.mismatches == 1
        assert wrong.agent.views()[0].stopped
        wrong.log[4] = world.peers[1].log[4]
        await world.pass_time(60)
        assert wrong.agent.archived_lsn(GROUP) == 5
        assert not wrong.agent.views()[0].stopped

    run(story())


def test_a_damaged_object_is_not_taken_for_archived():
    """An object that has rotted does not let anybody's log go; taken away, it is archived anew by whoever still has the entries."""

    async def story():
        world = World()
        world.peers[2].alive = False
        world.write(5)
        await world.pass_time(20)
        world.store.rot(segment_key(GROUP, 1))
        world.peers[2].alive = True
        await world.pass_time(20)
        assert world.peers[2].agent.archived_lsn(GROUP) == 0
        assert world.peers[2].counted.mismatches >= 1
        del world.store.objects[segment_key(GROUP, 1)]
        await world.pass_time(100)
        assert chain(world.store) == 5
        assert world.peers[2].agent.archived_lsn(GROUP) == 5

    run(story())


def test_whoever_verifies_writes_the_manifest_that_is_missing():
    """A sealer that dies between segment and manifest leaves a segment that others complete."""

    async def story():
        store = GatedStore()
        world = World(store=store)
        world.write(5)
        leader = asyncio.create_task(world.peers[0].round())
        while segment_key(GROUP, 1) not in store.objects:
            await asyncio.sleep(0)
            store.let_through(0)
            world.now += 1
            if leader.done():
                leader = asyncio.create_task(world.peers[0].round())
        leader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leader
        assert manifest_key(segment_key(GROUP, 1)) not in store.objects
        world.peers[0].alive = False
        rest = asyncio.create_task(world.pass_time(20))
        while not rest.done():
            await asyncio.sleep(0)
            store.let_through(0)
        found = segment.decode(store.objects[segment_key(GROUP, 1)], group=GROUP)
        described = segment.manifest(found, store.objects[segment_key(GROUP, 1)])
        assert store.objects[manifest_key(segment_key(GROUP, 1))] == segment.encode_manifest(described)

    run(story())


def test_two_that_seal_at_once_agree_on_one_segment():
    """Of two replicas that seal from the same LSN to different ends one wins, and the other takes the winner's end for its own."""

    async def story():
        store = GatedStore()
        world = World(store=store, seal_entries=100)
        world.write(6, learned_by={"n1"})
        for peer in world.peers[1:]:
            peer.learn(4)
        for second in range(3):  # locate, then begin to seal
            world.now += 40 * second
            tasks = [asyncio.create_task(world.peers[n].round()) for n in (0, 1)]
            for _ in range(20):
                await asyncio.sleep(0)
                if second == 2 and len(store.waiting) == 2:
                    break
                store.let_through(0)
        store.let_through(-1)
        for _ in range(40):
            await asyncio.sleep(0)
            store.let_through(-1)
        await asyncio.gather(*tasks)
        world.write(3)
        rest = asyncio.create_task(world.pass_time(90))
        while not rest.done():
            await asyncio.sleep(0)
            store.let_through(0)
        assert chain(store) == 9
        assert [p.agent.archived_lsn(GROUP) for p in world.peers] == [9, 9, 9]

    run(story())


def test_a_replica_that_lags_behind_the_archive_waits():
    """A segment with entries that a replica does not know to be chosen yet is not verified by it until it does."""

    async def story():
        world = World()
        world.write(3)
        world.write(1, learned_by={"n1"})
        await world.pass_time(25)
        assert [p.agent.archived_lsn(GROUP) for p in world.peers] == [4, 0, 0]
        world.peers[1].learn(4)
        await world.pass_time(5)
        assert [p.agent.archived_lsn(GROUP) for p in world.peers] == [4, 4, 0]

    run(story())


def test_a_replica_that_begins_in_the_middle_finds_its_place():
    """A replica built from a snapshot, or restarted, finds the segment that its log begins in and goes on from there."""

    async def story():
        world = World(seal_entries=10)
        world.write(10)
        world.write(6)
        await world.pass_time(30)
        for peer in world.peers:
            peer.first = 14
            peer.open()
        await world.pass_time(10)
        assert [p.agent.archived_lsn(GROUP) for p in world.peers] == [16, 16, 16]
        world.write(3)
        await world.pass_time(30)
        assert chain(world.store) == 19

    run(story())


def test_a_hole_that_nobody_can_fill_is_told_and_bridged():
    """When no replica has the missing entries any more, it is counted, and the chain goes on behind a snapshot of the leader's rows."""

    async def story():
        world = World()
        world.write(4)
        await world.pass_time(20)
        world.write(6)
        for peer in world.peers:
            peer.log, peer.first = {}, 11
            peer.open()
        world.write(2)
        await world.pass_time(150)
        assert world.peers[0].counted.gaps == 1
        assert snapshot_key(GROUP, 12) in world.store.objects
        world.write(3)
        await world.pass_time(90)
        assert [p.agent.archived_lsn(GROUP) for p in world.peers] == [15, 15, 15]
        assert segment_key(GROUP, 13) in world.store.objects

    run(story())


def test_a_stalled_archive_does_not_keep_a_round_waiting():
    """An archive that refuses is asked once a round at most, and is taken up again when it answers."""

    async def story():
        world = World()
        with stalled(world.store):
            world.write(20)
            await world.pass_time(600)
            assert [p.agent.archived_lsn(GROUP) for p in world.peers] == [0, 0, 0]
            ages = [p.agent.views()[0].oldest_age_seconds for p in world.peers]
            assert all(590 <= age <= 600 for age in ages)
        await world.pass_time(40)
        assert chain(world.store) == 20

    run(story())


def test_snapshots_are_written_every_few_segments():
    """After every third segment of the leader there is a snapshot of what the segments make."""

    async def story():
        world = World(every=3)
        for _ in range(7):
            world.write(5)
            await world.pass_time(3)
        assert inventory(GROUP, world.store.objects).snapshots == (15, 30)

    run(story())


# --- any order of events ------------------------------------------------------------------------------------------------

EVENT = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 4), st.sets(st.sampled_from(["n1", "n2", "n3"]), min_size=1)),
    st.tuples(st.just("time"), st.integers(1, 40)),
    st.tuples(st.just("round"), st.integers(0, 2)),
    st.tuples(st.just("whole_round"), st.integers(0, 2)),
    st.tuples(st.just("whole_round"), st.integers(0, 2)),
    st.tuples(st.just("through"), st.integers(0, 5)),
    st.tuples(st.just("through"), st.integers(0, 5)),
    st.tuples(st.just("through"), st.integers(0, 5)),
    st.tuples(st.just("crash"), st.integers(0, 2)),
    st.tuples(st.just("leader"), st.sampled_from(["n1", "n2", "n3", "nobody"])),
    st.tuples(st.just("stall"), st.booleans()),
    st.tuples(st.just("truncate"), st.integers(0, 2)),
)


class Players:
    """The replicas of a world, each in a round of its own that may be anywhere between two calls to the archive."""

    def __init__(self):
        self.world = World(store=GatedStore(), seal_entries=4)
        self.rounds: dict[str, asyncio.Task] = {}

    async def happen(self, what, *arguments):
        """One event."""
        await getattr(self, what)(*arguments)
        for _ in range(4):
            await asyncio.sleep(0)
        for task in [t for t in self.rounds.values() if t.done()]:
            task.result()

    async def write(self, count, names):
        """Entries are chosen; some replicas learn of it."""
        self.world.write(count, learned_by=names)

    async def time(self, seconds):
        """Time passes."""
        self.world.now += seconds

    async def round(self, number):
        """A replica begins a round, unless it is in one."""
        peer = self.world.peers[number]
        if peer.name not in self.rounds or self.rounds[peer.name].done():
            self.rounds[peer.name] = asyncio.create_task(peer.round())

    async def whole_round(self, number):
        """A replica does all of a round; others stay where they are."""
        await self.round(number)
        task = self.rounds[self.world.peers[number].name]
        for _ in range(40):
            if task.done():
                return
            await asyncio.sleep(0)
            self.world.store.let_through(-1)

    async def through(self, number):
        """A call to the archive is answered."""
        self.world.store.let_through(number)

    async def crash(self, number):
        """A replica's node crashes and starts again."""
        peer = self.world.peers[number]
        task = self.rounds.pop(peer.name, None)
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        peer.open()

    async def leader(self, name):
        """Another replica leads, or none."""
        self.world.leader = name

    async def stall(self, on):
        """The archive stalls, or recovers."""
        self.world.store.stalled = on

    async def truncate(self, number):
        """A replica forgets what it may."""
        self.world.peers[number].truncate()

    def check(self):
        """What must be true at every moment."""
        covered = chain(self.world.store)
        assert payloads(self.world.store) == [one.payload for one in self.world.entries[:covered]]
        for peer in self.world.peers:
            assert peer.agent.archived_lsn(GROUP) <= min(covered, peer.committed)
            assert peer.first <= covered + 1

    async def settle(self):
        """Everything works again and time passes."""
        self.world.leader, self.world.store.stalled = "n2", False
        self.world.write(1)
        for _ in range(120):
            for number in range(3):
                await self.happen("round", number)
            for _ in range(8):
                await self.happen("through", 0)
            self.world.now += 2.0


@pytest.mark.proof
@settings(max_examples=100, deadline=None)
@given(st.lists(EVENT, max_size=60))
def test_any_order_of_events_leaves_one_chain_and_forgets_nothing(events):
    """Stalls, crashes, changes of leader and any interleaving leave one chain without holes, and no log is cut beyond it."""

    async def story():
        players = Players()
        for event in events:
            await players.happen(*event)
            players.check()
        await players.settle()
        players.check()
        assert chain(players.world.store) == len(players.world.entries)
        assert all(p.agent.archived_lsn(GROUP) == len(players.world.entries) for p in players.world.peers)
        assert all(p.counted.mismatches == p.counted.gaps == 0 for p in players.world.peers)
        for task in players.rounds.values():
            task.cancel()

    assert OPERATION_SECONDS > 10  # the loop's own clock hardly moves: no step is given up
    run(story())


def test_an_archive_in_memory_lists_as_object_stores_do():
    """Names come in order, after a name, a part at a time."""

    async def story():
        store = MemoryStore()
        for name in ("b", "a/2", "a/1", "a/3"):
            assert await store.put_if_absent(name, b"x")
        assert not await store.put_if_absent("b", b"y")
        assert await store.list("a/") == ("a/1", "a/2", "a/3")
        assert await store.list("a/", after="a/1") == ("a/2", "a/3")

    run(story())
