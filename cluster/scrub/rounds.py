"""One scrub of one group, by its leader: mark, digest, compare, suspect, mend (shell)."""

import logging
from collections.abc import Callable

from cluster.archive.damage import Damage
from cluster.archive.hosting import NodeArchive
from cluster.archive.reference import Reference
from cluster.archive.store import ArchiveUnavailable
from cluster.group import HostedGroup, Surroundings
from cluster.replication.messages import Accepted
from cluster.routing.messages import DigestIs, Print, WhatDigest
from cluster.scrub.asking import Replicas
from cluster.scrub.comparison import Finding, compare, suspicious
from cluster.scrub.digest import Digester, Place, bucket_of, print_of
from cluster.scrub.mending import Mender, Mending
from cluster.scrub.metrics import ScrubMetrics
from cluster.scrub.schedule import GroupScrub
from cluster.scrub.settling import ARCHIVE
from cluster.storage.records import SCRUB_MARKER, is_marker

logger = logging.getLogger("cluster")

DIGEST_SECONDS = 30.0
"""A replica that has no digest by then is left out."""
SHOWN = 5
"""So many places are named in the log."""
NOT_ASKED = "not asked"


class Rounds:
    """Of one node. ``clock``: its monotonic seconds."""

    def __init__(
        self,
        node: Surroundings,
        *,
        replicas: Replicas,
        archive: NodeArchive | None,
        metrics: ScrubMetrics,
        clock: Callable[[], float],
    ) -> None:
        self._node, self._replicas, self._archive, self._metrics, self._clock = node, replicas, archive, metrics, clock
        self.mender = Mender(node, replicas, metrics, self._reference_or_none)

    async def scrub(self, group: HostedGroup, *, with_archive: bool) -> GroupScrub | None:
        """Compare, and repair what differs; None when this node cannot mark the log (any more)."""
        started = self._clock()
        question = await self._mark(group)
        if question is None:
            return None
        digests = await self._replicas.digests(group, question, DIGEST_SECONDS)
        asked = self._replicas.of(group)
        reference, told = await self._reference(group, question.lsn) if with_archive else (None, NOT_ASKED)
        outcomes = await self._compare(group, question.lsn, digests, reference)
        seconds = self._clock() - started
        self._metrics.seconds.observe(seconds)
        wrong = [outcome for outcome in outcomes.values() if outcome not in (Mending.AGREED, Mending.NOT_DONE)]
        found = GroupScrub(
            lsn=question.lsn,
            at=self._node.wall_clock(),
            seconds=round(seconds, 3),
            replicas=tuple(node for node in asked if node in digests),
            complete=all(node in digests for node in asked) and len(asked) > 1,
            reference=told,
            mismatches=len(wrong) + told.startswith("damaged"),
            repaired=wrong.count(Mending.REPAIRED),
            undecided=wrong.count(Mending.UNDECIDED),
        )
        if not found.clean:
            places = [(outcome.value, place) for place, outcome in outcomes.items() if outcome is not Mending.AGREED]
            logger.error("%s: scrub of %s: %s: %s", self._node.name, group.name, found, places[:SHOWN])
        return found

    async def _mark(self, group: HostedGroup) -> WhatDigest | None:
        """Where in the log the digests are to be taken. A log that ends with a marker needs no other: idle groups do not grow."""
        if not group.leads() or self._node.log.full or self._node.sheds_writes():
            return None
        last = group.replica.commit_lsn
        entries = group.replica.entries(last, last)
        if entries and is_marker(entries[0].payload) and group.replica.last_lsn == last:
            return WhatDigest(group.name, last, anew=True)
        decision = await group.propose(SCRUB_MARKER)
        return WhatDigest(group.name, decision.lsn) if isinstance(decision, Accepted) else None

    # --- the archive ----------------------------------------------------------------------------------------------------

    async def _reference(self, group: HostedGroup, lsn: int) -> tuple[Reference | None, str]:
        if self._archive is None:
            return None, "unavailable: nothing is archived"
        try:
            return await self._archive.reference(group.name, lsn), "compared"
        except ArchiveUnavailable as error:
            return None, f"unavailable: {error}"
        except Damage as error:
            self._metrics.mismatches.inc()
            logger.error("%s: the archive of %s is damaged: %s", self._node.name, group.name, error)  # noqa: TRY400
            return None, f"damaged: {error}"

    async def _reference_or_none(self, group: HostedGroup, lsn: int) -> Reference | None:
        reference, told = await self._reference(group, lsn)
        logger.info("%s: the archive of %s is asked what is right: %s", self._node.name, group.name, told)
        return reference

    async def _digest(self, reference: Reference) -> DigestIs:
        assert self._archive is not None

        def digest() -> DigestIs:
            digester = Digester()
            digester.take(reference.ordered())
            return digester.digest(reference.lsn)

        return await self._archive.in_worker(digest)

    # --- rows -----------------------------------------------------------------------------------------------------------

    async def _compare(
        self, group: HostedGroup, lsn: int, digests: dict[str, DigestIs], reference: Reference | None
    ) -> dict[Place, Mending]:
        if reference is not None:
            digests = {**digests, ARCHIVE: await self._digest(reference)}
        outcomes: dict[Place, Mending] = {}
        for finding in compare(digests):
            prints = await self._prints(group, finding, tuple(n for n in digests if n != ARCHIVE), reference)
            places = suspicious(prints, lsn)
            logger.info("%s: %s: %s, %d rows to look at", self._node.name, group.name, finding, len(places))
            outcomes |= await self.mender.mend_all(group, places, reference)
        return outcomes

    async def _prints(
        self, group: HostedGroup, finding: Finding, nodes: tuple[str, ...], reference: Reference | None
    ) -> dict[str, list[Print]]:
        prints = await self._replicas.prints(group, finding.bucket, nodes)
        if reference is not None:
            rows = reference.ordered()
            prints[ARCHIVE] = [print_of(row) for row in rows if bucket_of(row.hash) == finding.bucket]
        return prints
