"""Finds a partition key in every partition by asking, and looks again when an answer contradicts (shell)."""

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic

from canary.attempt import Asker, Errand, new_call_id
from canary.classify import SUCCESS, answered
from canary.clock import Clock
from canary.config import CanaryConfig
from canary.plan import Key, candidate_key, goes_on
from canary.probes import dynamodb
from canary.signature import Signer
from collector.observation import Connection

logger = logging.getLogger("canary")

RETRY_SECONDS = 0.5
COMPLAIN_SECONDS = 5.0
RELEARN_GAP_SECONDS = 10.0
INCOMPLETE_GAP_SECONDS = 60.0
SEARCH_GAP_SECONDS = 600.0


class KeyBook:
    """The keys of all hosts of the process; ``planned`` is set when there are some."""

    def __init__(self, config: CanaryConfig, askers: Sequence[Asker], signer: Signer, clock: Clock) -> None:
        self._config = config
        self._askers = askers
        self._signer = signer
        self._clock = clock
        self._turn = 0
        self._contradicted = asyncio.Event()
        self._split = False
        self._known: dict[str, str | None] = {}
        self.keys: tuple[Key, ...] = ()
        self.planned = asyncio.Event()

    def heard(self, pk: str, partition: str | None) -> None:
        """An answer said where ``pk`` lies."""
        if partition is not None and self._known.get(pk, partition) != partition:
            self._split = True
            self._contradicted.set()

    async def run(self) -> None:
        """Learn, then learn again when contradicted or when partitions are still missing."""
        while True:
            self._contradicted.clear()
            self._adopt(await self._learn())
            await asyncio.sleep(RELEARN_GAP_SECONDS)
            missing = self._named and len(self.keys) < self._config.partitions and not self._split
            try:
                async with asyncio.timeout(INCOMPLETE_GAP_SECONDS if missing else SEARCH_GAP_SECONDS):
                    await self._contradicted.wait()
            except TimeoutError:
                # A split whose halves leave our key under the old name contradicts nothing: it must be looked for.
                self._split = self._named
                logger.debug("%d partitions have a key; looking again", len(self.keys))

    @property
    def _named(self) -> bool:
        """The target says in which partition a key lies."""
        return self.keys[0].partition is not None

    def _adopt(self, keys: tuple[Key, ...]) -> None:
        if keys != self.keys:
            logger.info("keys for %d partitions of table %s", len(keys), self._config.table)
        self.keys = keys
        self._known = {key.pk: key.partition for key in keys}
        self.planned.set()

    async def _learn(self) -> tuple[Key, ...]:
        found: dict[str, Key] = {}
        number = fruitless = 0
        wanted = None if self._split else self._config.partitions
        while goes_on(len(found), fruitless=fruitless, wanted=wanted):
            pk = candidate_key(number)
            partition = await self._partition_of(pk)
            if partition is None:
                return tuple(Key(candidate_key(n), None) for n in range(self._config.partitions))
            fruitless = fruitless + 1 if partition in found else 0
            found.setdefault(partition, Key(pk, partition))
            number += 1
        return tuple(found[partition] for partition in sorted(found))

    async def _partition_of(self, pk: str) -> str | None:
        """Ask until someone answers, through whatever endpoint works."""
        began = complained = monotonic()
        while True:
            said, headers = await self._ask(pk)
            if said is None:
                return headers.get("x-partition")
            self._turn += 1
            if monotonic() - complained >= COMPLAIN_SECONDS:
                complained = monotonic()
                logger.warning("no keys yet after %.0f s: %s", complained - began, said)
            await asyncio.sleep(RETRY_SECONDS)

    async def _ask(self, pk: str) -> tuple[str | None, dict[str, str]]:
        endpoint = self._config.endpoints[self._turn % len(self._config.endpoints)]
        asker = self._askers[self._turn // len(self._config.endpoints) % len(self._askers)]
        asked = dynamodb.get(self._config.table, (pk, "learn"), strong=False)
        trace = await asker.attempt(
            Errand(
                endpoint,
                Connection.POOLED,
                self._turn,
                lambda host: dynamodb.request(asked, host, self._signer, self._clock.wall(), call_id=new_call_id()),
                monotonic() + self._config.deadline_seconds,
            )
        )
        verdict = trace.verdict or answered(trace.status or 0, trace.headers, trace.body)
        if verdict is SUCCESS:
            return None, trace.headers
        return f"{endpoint.name}: {verdict.reason} {verdict.detail or ''}".strip(), trace.headers
