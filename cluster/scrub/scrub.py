"""The scrub of one storage node: what it does as a replica, what it does for the groups that it leads, and its pages (shell).

For others: :meth:`Scrub.now` scrubs at once, :meth:`Scrub.views` says what the last scrubs have found.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from cluster.archive.hosting import NodeArchive
from cluster.group import HostedGroup, Surroundings
from cluster.routing.messages import Body, Damaged, WhatDigest, WhatPrints, WhatRow
from cluster.scrub.asking import Replicas
from cluster.scrub.digest import Place
from cluster.scrub.digesting import Digests
from cluster.scrub.mending import Mending
from cluster.scrub.metrics import ScrubMetrics
from cluster.scrub.pages import keep_verifying
from cluster.scrub.rounds import Rounds
from cluster.scrub.schedule import GroupScrub, Schedule, ScrubSettings
from cluster.storage.table import CorruptItem
from cluster.transport import Hub

logger = logging.getLogger("cluster")

LOOK_SECONDS = 0.5
ATTEMPTS = 4
"""Who asks for a scrub now does not mind that a group changes its members, or its leader, just then."""
MENDING_AT_ONCE = 64
"""Rows that were met damaged and are being mended; when there are more, the next scrub finds them."""


class Scrub:
    """See the module. ``resting``: whether the node is paused."""

    def __init__(
        self,
        node: Surroundings,
        settings: ScrubSettings,
        *,
        hub: Hub,
        groups: Mapping[str, HostedGroup],
        archive: NodeArchive | None,
        clock: Callable[[], float],
        resting: Callable[[], bool],
    ) -> None:
        self._node, self._settings, self._hub, self._groups = node, settings, hub, groups
        self._clock, self._resting = clock, resting
        self._schedule = Schedule(settings)
        self._digests = Digests(node.name, items=node.items, log=node.log, groups=groups, condemn=node.condemn)
        self._replicas = Replicas(node.name, hub=hub, digests=self._digests, clock=clock)
        self.metrics = ScrubMetrics(node.metrics.registry, lambda: self._schedule.age(clock()))
        self._rounds = Rounds(node, replicas=self._replicas, archive=archive, metrics=self.metrics, clock=clock)
        self._turn = asyncio.Lock()
        self._mending: dict[tuple[str, Place], asyncio.Task[Mending]] = {}

    # --- as a replica ---------------------------------------------------------------------------------------------------

    def marked(self, group: str, lsn: int) -> None:
        """A marker was applied just now."""
        self._digests.marked(group, lsn)

    async def answer(self, question: WhatDigest | WhatPrints | WhatRow, deadline: float) -> Body:
        """A leader asks. ``deadline``: on the loop's clock."""
        return await self._replicas.answer(question, deadline)

    def met(self, group: str, error: CorruptItem) -> None:
        """A damaged row was met here, and is not served: the group's leader is to mend it."""
        hosted = self._groups.get(group)
        if hosted is None:
            return
        if hosted.leads():
            self._begin(hosted, error.place)
        elif (leader := hosted.replica.leader_hint) is not None:
            self._hub.tell(self._node.name, leader, Damaged(group, error.place))

    # --- as a leader ----------------------------------------------------------------------------------------------------

    def told(self, body: Damaged) -> None:
        """A replica has met a damaged row."""
        hosted = self._groups.get(body.group)
        if hosted is not None and hosted.leads():
            self._begin(hosted, body.place)

    def _begin(self, group: HostedGroup, place: Place) -> asyncio.Task[Mending] | None:
        self._schedule.hurry(group.name, self._clock())
        known = self._mending.get((group.name, place))
        if known is not None or len(self._mending) >= MENDING_AT_ONCE:
            return known
        task = asyncio.get_running_loop().create_task(self._rounds.mender.mend(group, place))
        self._mending[group.name, place] = task
        task.add_done_callback(lambda done: self._ended(group.name, place, done))
        return task

    def _ended(self, group: str, place: Place, task: asyncio.Task[Mending]) -> None:
        self._mending.pop((group, place), None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s: mending the row at %s of %s failed", self._node.name, place, group, exc_info=error)
        elif not task.cancelled():
            logger.info("%s: the damaged row at %s of %s: %s", self._node.name, place, group, task.result())

    async def mended(self, group: HostedGroup, places: Sequence[Place], until: float) -> bool:
        """Mend damaged rows that a reader waits for; whether it is worth looking again by ``until`` (the loop's clock).

        What is not done by then goes on without the reader.
        """
        tasks = [task for place in places if (task := self._begin(group, place)) is not None]
        if not tasks:
            return False
        patience = until - asyncio.get_running_loop().time()
        await asyncio.wait(tasks, timeout=max(0.0, patience))
        return any(t.done() and not t.cancelled() and t.exception() is None and _sound(t.result()) for t in tasks)

    async def mended_held(self, group: HostedGroup, place: Place) -> bool:
        """Mend the row of a key whose lock the caller holds; whether it is sound now."""
        self._schedule.hurry(group.name, self._clock())
        return _sound(await self._rounds.mender.mend_held(group, place))

    async def group(self, name: str, *, with_archive: bool = False) -> GroupScrub | None:
        """Scrub one group, and its archive too if it is its turn; None when it is not led here (any more), or its log takes no marker."""
        async with self._turn:
            self._led()
            with_archive = self._schedule.begins(name, self._clock()) or with_archive
            group = self._groups.get(name)
            found = await self._rounds.scrub(group, with_archive=with_archive) if group is not None else None
            if found is not None:
                self._schedule.ended(name, found, self._clock())
            else:
                self._schedule.hurry(name, self._clock())
            return found

    async def now(self) -> dict[str, GroupScrub]:
        """Scrub every group led here, with its archive; what was found. A group whose office is lost meanwhile is left out."""
        found = {}
        for name in self._led():
            for _ in range(ATTEMPTS):
                result = await self.group(name, with_archive=True)
                if result is not None:
                    found[name] = result
                    break
                await asyncio.sleep(LOOK_SECONDS)
        return found

    def views(self) -> dict[str, GroupScrub]:
        """What the last scrub of each group led here has found."""
        return {name: s.last for name, s in sorted(self._schedule.standings.items()) if s.last is not None}

    def _led(self) -> list[str]:
        led = sorted(name for name, group in self._groups.items() if group.leads())
        self._schedule.leads(led, self._clock())
        return led

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_scrubbing())
                tasks.create_task(
                    keep_verifying(
                        self._node.items,
                        self._node.log,
                        every_seconds=self._settings.pages_every_seconds,
                        resting=self._resting,
                        condemn=self._node.condemn,
                    )
                )
        finally:
            for task in list(self._mending.values()):
                task.cancel()
            self._digests.close()

    async def _keep_scrubbing(self) -> None:
        look = min(LOOK_SECONDS, self._settings.every_seconds / 4)
        while True:
            await asyncio.sleep(look)
            if self._resting():
                continue
            self._led()
            if (name := self._schedule.due(self._clock())) is not None:
                await self.group(name)


def _sound(outcome: Mending) -> bool:
    return outcome in (Mending.REPAIRED, Mending.AGREED)
