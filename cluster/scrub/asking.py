"""Asking the storage replicas of a group, the leader's own among them (shell)."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from cluster.group import HostedGroup
from cluster.ports import ErrorKind
from cluster.replication.membership import storage
from cluster.routing.messages import (
    Body,
    DigestIs,
    Print,
    PrintsAre,
    Refused,
    RowIs,
    WhatDigest,
    WhatPrints,
    WhatRow,
)
from cluster.scrub.digest import Place
from cluster.scrub.digesting import Digests
from cluster.transport import Hub, NoAnswer, Unreachable

T = TypeVar("T")

SILENT_SECONDS = 2.0
"""A member that was not heard for so long is not asked."""
PRINTS_SECONDS = 5.0
ASK_SECONDS = 3.0


class Replicas:
    """The storage members of groups that this node leads, as a scrub sees them. ``clock``: the node's monotonic seconds."""

    def __init__(self, node: str, *, hub: Hub, digests: Digests, clock: Callable[[], float]) -> None:
        self._node, self._hub, self._digests, self._clock = node, hub, digests, clock

    def of(self, group: HostedGroup) -> tuple[str, ...]:
        """All of them, in the order of the members."""
        return storage(group.replica.members)

    def _hearable(self, group: HostedGroup) -> list[str]:
        health = group.replica.health(self._clock())
        silent = {n for n, p in health.peers.items() if p.silent_seconds > SILENT_SECONDS} if health else set()
        return [node for node in self.of(group) if node not in silent]

    async def digests(self, group: HostedGroup, question: WhatDigest, seconds: float) -> dict[str, DigestIs]:
        """The digest of every one that has it within ``seconds``."""
        until = asyncio.get_running_loop().time() + seconds
        answers = await self._all(group, lambda node: self._digest(node, question, until))
        return {node: answer for node, answer in answers.items() if isinstance(answer, DigestIs)}

    async def _digest(self, node: str, question: WhatDigest, until: float) -> Body | None:
        """Again and again, while the replica answers that it is at work: one that does not answer is not waited for any longer."""
        while True:
            answer = await self._ask(node, question, ASK_SECONDS)
            working = isinstance(answer, Refused) and answer.kind is ErrorKind.TIMEOUT
            if not working or asyncio.get_running_loop().time() > until:
                return answer
            question = WhatDigest(question.group, question.lsn)

    async def rows(self, group: HostedGroup, question: WhatRow, seconds: float) -> dict[str, RowIs]:
        """What each has stored at a place."""
        answers = await self._all(group, lambda node: self._ask(node, question, seconds))
        return {node: answer for node, answer in answers.items() if isinstance(answer, RowIs)}

    async def prints(self, group: HostedGroup, bucket: int, nodes: tuple[str, ...]) -> dict[str, list[Print]]:
        """The rows of a bucket at each of ``nodes`` that answers to the end."""
        found = await asyncio.gather(*(self._prints_of(node, group.name, bucket) for node in nodes))
        return {node: prints for node, prints in zip(nodes, found, strict=True) if prints is not None}

    async def _prints_of(self, node: str, group: str, bucket: int) -> list[Print] | None:
        prints: list[Print] = []
        after: Place | None = None
        while True:
            answer = await self._ask(node, WhatPrints(group, bucket, after), PRINTS_SECONDS)
            if not isinstance(answer, PrintsAre):
                return None
            prints += answer.prints
            if not answer.more:
                return prints
            after = (prints[-1].hash, prints[-1].partition_key, prints[-1].sort_key)

    async def _all(self, group: HostedGroup, ask: Callable[[str], Coroutine[Any, Any, T]]) -> dict[str, T]:
        nodes = self._hearable(group)
        return dict(zip(nodes, await asyncio.gather(*map(ask, nodes)), strict=True))

    async def _ask(self, node: str, question: WhatDigest | WhatPrints | WhatRow, seconds: float) -> Body | None:
        if node == self._node:
            return await self.answer(question, asyncio.get_running_loop().time() + seconds)
        try:
            return await self._hub.ask(self._node, node, question, timeout_seconds=seconds)
        except (Unreachable, NoAnswer):
            return None

    async def answer(self, question: WhatDigest | WhatPrints | WhatRow, until: float) -> Body:
        """What this node says to such a question; ``until``: on the loop's clock."""
        if isinstance(question, WhatDigest):
            return await self._digests.digest(question, until)
        if isinstance(question, WhatPrints):
            return await self._digests.prints(question)
        return await self._digests.row(question, until)
