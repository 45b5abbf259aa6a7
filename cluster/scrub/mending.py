"""Making one row right again, by the leader of its group: ask, settle, and rewrite it through the log (shell).

The key's lock is held, so that nobody writes the row meanwhile: once a replica has applied what the leader had applied, its row is what
it will be until the lock is free. A leader that lost its office in between, and may have got it back, writes nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum

from cluster.archive.damage import Damage
from cluster.archive.reference import Reference
from cluster.archive.segment import Place as Slice
from cluster.group import HostedGroup, Surroundings
from cluster.ports import ItemKey
from cluster.replication.messages import Accepted
from cluster.routing.messages import Row, WhatRow
from cluster.scrub.asking import Replicas
from cluster.scrub.digest import Place
from cluster.scrub.metrics import ScrubMetrics
from cluster.scrub.settling import ARCHIVE, Seen, Settlement, Verdict, Vote, settle, vote_of, with_witnesses
from cluster.storage.records import Change, change_of, encode_change, encode_erasure, item_checksum
from cluster.topology import key_hash

logger = logging.getLogger("cluster")

ROW_SECONDS = 0.7
"""A replica that does not show its row by then has no voice."""
AT_ONCE = 16
"""Rows that are mended at the same time."""


class Mending(StrEnum):
    """What came of it."""

    AGREED = "agreed"
    REPAIRED = "repaired"
    UNDECIDED = "undecided"
    ARCHIVE_DIFFERS = "archive_differs"
    NOT_DONE = "not_done"
    """The office was lost, or the log takes no writes: somebody will try again."""


FindReference = Callable[[HostedGroup, int], Awaitable[Reference | None]]
"""The rows of a group as of an LSN from the archive; None when it cannot be had."""


class Mender:
    """Of one node. ``reference`` is asked only when neither the replicas nor the log in memory decide."""

    def __init__(self, node: Surroundings, replicas: Replicas, metrics: ScrubMetrics, reference: FindReference) -> None:
        self._node, self._replicas, self._metrics, self._reference = node, replicas, metrics, reference

    async def mend_all(
        self, group: HostedGroup, places: Sequence[Place], reference: Reference | None
    ) -> dict[Place, Mending]:
        """Several rows, some at a time."""
        done: dict[Place, Mending] = {}
        for start in range(0, len(places), AT_ONCE):
            part = places[start : start + AT_ONCE]
            outcomes = await asyncio.gather(*(self.mend(group, place, reference) for place in part))
            done.update(zip(part, outcomes, strict=True))
        return done

    async def mend(self, group: HostedGroup, place: Place, reference: Reference | None = None) -> Mending:
        """The row at ``place``."""
        async with group.requests.locks.held(ItemKey(place[1], place[2])):
            return await self.mend_held(group, place, reference)

    async def mend_held(self, group: HostedGroup, place: Place, reference: Reference | None = None) -> Mending:
        """As :meth:`mend`, by whoever holds the key's lock."""
        if not group.leads():
            return Mending.NOT_DONE
        ballot, upto = group.replica.ballot, group.replica.applied_lsn
        rows = await self._replicas.rows(group, WhatRow(group.name, place, upto), ROW_SECONDS)
        now: dict[str, Vote] = {name: vote_of(said.row) for name, said in rows.items() if said.applied >= upto}
        votes = with_witnesses(now, {name: vote_of(said.row) for name, said in rows.items() if said.applied < upto})
        settlement = settle(_with_archive(votes, group, place, reference, upto))
        if settlement.verdict is Verdict.UNDECIDED and (said := logged(group, place, upto)) is not None:
            settlement = settle({**votes, ARCHIVE: said})
        if settlement.verdict is Verdict.UNDECIDED and reference is None:
            reference = await self._reference(group, upto)
            settlement = settle(_with_archive(votes, group, place, reference, upto))
        if group.replica.ballot != ballot or not group.leads():
            return Mending.NOT_DONE
        return await self._carry_out(group, place, settlement)

    async def _carry_out(self, group: HostedGroup, place: Place, settlement: Settlement) -> Mending:
        match settlement.verdict:
            case Verdict.AGREED:
                return Mending.AGREED
            case Verdict.UNDECIDED:
                self._metrics.mismatches.inc()
                self._metrics.undecided.inc()
                logger.info("%s: %s: nobody can say what is right at %s", self._node.name, group.name, place)
                return Mending.UNDECIDED
            case Verdict.ARCHIVE_DIFFERS:
                self._metrics.mismatches.inc()
                logger.info("%s: %s: the archive has another row at %s", self._node.name, group.name, place)
                return Mending.ARCHIVE_DIFFERS
            case _:
                return await self._rewrite(group, place, settlement)

    async def _rewrite(self, group: HostedGroup, place: Place, settlement: Settlement) -> Mending:
        if self._node.log.full or self._node.sheds_writes():
            return Mending.NOT_DONE
        decision = await group.propose(self._payload(group, place, settlement.row))
        if not isinstance(decision, Accepted):
            return Mending.NOT_DONE
        self._metrics.mismatches.inc()
        self._metrics.repaired.inc()
        wrong = ", ".join(settlement.wrong)
        logger.info(
            "%s: %s: %s the row at %s, wrong on %s", self._node.name, group.name, settlement.verdict, place, wrong
        )
        return Mending.REPAIRED

    def _payload(self, group: HostedGroup, place: Place, row: Row | None) -> bytes:
        """A change, as a customer's write makes one. A row where no item can be is nothing that the log, or the archive, knows of."""
        if row is None and not _possible(group, place):
            return encode_erasure(place)
        return encode_change(Change(*place, None if row is None else row.body, self._node.wall_clock()))


def _possible(group: HostedGroup, place: Place) -> bool:
    partition = group.partition
    slice_ = Slice(table="", partition="", group="", start=partition.start, end=partition.end)
    return place[0] == key_hash(place[1]) and slice_.holds(place[0])


def logged(group: HostedGroup, place: Place, upto: int) -> Vote | None:
    """What the leader's log makes of the row, as the archive would; None when the log does not reach back to its last change."""
    for entry in reversed(group.replica.entries(group.replica.first_lsn, upto)):
        change = change_of(entry.payload)
        if change is not None and (change.hash, change.partition_key, change.sort_key) == place:
            if change.body is None:
                return Seen.ABSENT
            return Row(*place, entry.lsn, item_checksum(place[1], place[2], change.body, entry.lsn), change.body)
    return None


def _with_archive(
    votes: dict[str, Vote], group: HostedGroup, place: Place, reference: Reference | None, upto: int
) -> dict[str, Vote]:
    if reference is None or not _advance(group, reference, upto):
        return votes
    return {**votes, ARCHIVE: vote_of(reference.rows.get(place))}


def _advance(group: HostedGroup, reference: Reference, upto: int) -> bool:
    """Take the log's entries since; whether the reference is as of ``upto`` or later (other keys' changes do not matter) then."""
    if reference.lsn < upto:
        try:
            reference.fold(group.replica.entries(reference.lsn + 1, upto))
        except Damage:  # the log here begins later
            return False
    return reference.lsn >= upto
