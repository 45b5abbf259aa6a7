"""Quorum arithmetic against its naive twin, and the pieces that rest on it."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from cluster.replication.campaign_state import choose
from cluster.replication.lease import Grant, Lease
from cluster.replication.log import Log
from cluster.replication.messages import NO_BALLOT, Ballot, Entry, Promise
from cluster.replication.quorum import majority, reached
from cluster.replication.timing import Timing


@given(st.lists(st.integers(0, 50), min_size=1, max_size=7))
def test_reached_is_the_highest_value_that_some_quorum_has(values: list[int]) -> None:
    """Enumerating every quorum gives the same answer as sorting."""
    quorums = combinations(values, majority(len(values)))
    assert reached(values, len(values)) == max(min(quorum) for quorum in quorums)


@given(st.integers(1, 9))
def test_two_quorums_share_a_member(members: int) -> None:
    """Every two majorities meet, and no smaller size would do."""
    size = majority(members)
    assert 2 * size > members
    assert 2 * (size - 1) <= members


@given(st.lists(st.tuples(st.sampled_from("bc"), st.floats(0, 10)), max_size=20))
def test_a_lease_counts_from_the_send_time(replies: list[tuple[str, float]]) -> None:
    """With three members one acknowledgement makes a quorum: the lease lasts from the latest renewal sent and acknowledged."""
    lease = Lease(Timing(lease_seconds=3.0, drift_bound_seconds=0.5), ("b", "c"))
    for peer, sent_at in replies:
        lease.acknowledged(peer, sent_at)
    if replies:
        assert lease.until == max(sent_at for _, sent_at in replies) + 2.5
    assert lease.valid(lease.until - 0.001) or not replies
    assert not lease.valid(lease.until)


def test_a_grant_binds_until_it_runs_out_or_is_released() -> None:
    """A release of the granted ballot, or of a later one, frees the follower; an earlier one does not."""
    grant = Grant(Ballot(2, "b"), 10.0)
    assert grant.remaining(7.0, NO_BALLOT) == 3.0
    assert grant.remaining(11.0, NO_BALLOT) == 0.0
    assert grant.remaining(7.0, Ballot(1, "a")) == 3.0
    assert grant.remaining(7.0, Ballot(2, "b")) == 0.0


def test_the_value_of_the_highest_ballot_is_proposed_again_and_holes_are_filled() -> None:
    """Phase 1's answers decide every LSN; one that nobody has becomes empty."""
    low, high, mine = Ballot(1, "a"), Ballot(2, "b"), Ballot(3, "c")
    promise = Promise(high, 4, (Entry(5, high, b"chosen"), Entry(7, low, b"tail")))
    entries = choose((Entry(5, low, b"lost"),), [promise], mine, 4)
    assert entries == (Entry(5, mine, b"chosen"), Entry(6, mine, b""), Entry(7, mine, b"tail"))


@given(st.integers(0, 30), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_the_log_is_a_list_with_an_offset(length: int, cut: int, start: int, end: int) -> None:
    """Truncation and slices agree with filtering by LSN."""
    entries = [Entry(lsn, NO_BALLOT, b"x") for lsn in range(1, length + 1)]
    log = Log(entries)
    log.truncate(cut)
    kept = [entry for entry in entries if entry.lsn > cut]
    assert list(log.between(start, end)) == [entry for entry in kept if start <= entry.lsn <= end]
    assert log.last == max(length, cut)
    assert log.get(start) == next((entry for entry in kept if entry.lsn == start), None)
