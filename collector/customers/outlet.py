"""Customers' counts on their way to the ledger: as batches of the customer, numbered by the collector (shell)."""

import asyncio
import secrets
import time
from collections.abc import Callable
from functools import partial

from collector.customers.streams import LastPoint
from collector.ingest import RefusedError
from collector.ledger import Ledger
from collector.series import Reading, Unobserved
from collector.submission import Counted
from collector.wire import Batch
from collector.writer import Writer


class Outlet:
    """Numbers batches for each customer, so that a batch which is handed over again is known by its number.

    The identity covers the way from here to the ledger. What was doubled before it came here is known only where the
    protocol gives an identity (times of metric streams; none for datagrams).
    """

    def __init__(self, writer: Writer, name: str, *, clock: Callable[[], float] = time.time) -> None:
        self._writer = writer
        self._clock = clock
        self._boot = f"{name}-{secrets.token_hex(6)}"
        self._used: dict[str, int] = {}
        self._free: dict[str, list[int]] = {}

    async def deliver(
        self,
        customer: str,
        zone: str,
        readings: tuple[Reading, ...],
        unobserved: tuple[Unobserved, ...] = (),
        points: tuple[LastPoint, ...] = (),
    ) -> None:
        """Durable on return, also when the caller is cancelled meanwhile and does not hear of it.

        ``points``: last points of metric streams, durable together with the readings that they made.

        Raises :class:`collector.writer.BusyError` or :class:`collector.writer.StorageUnavailableError`: nothing was kept.
        """
        await asyncio.shield(self._deliver(customer, zone, readings, unobserved, points))

    async def note(self, points: tuple[LastPoint, ...]) -> None:
        """Last points from which nothing was counted; raises as :meth:`deliver`."""
        await self._writer.work(partial(Ledger.keep_points, points=points))

    async def _deliver(
        self,
        customer: str,
        zone: str,
        readings: tuple[Reading, ...],
        unobserved: tuple[Unobserved, ...],
        points: tuple[LastPoint, ...],
    ) -> None:
        number = self._number(customer)
        batch = Batch(
            host=customer,
            zone=zone,
            boot=self._boot,
            sequence=number,
            sent_at=self._clock(),
            readings=readings,
            unobserved=unobserved,
        )
        try:
            answer = await self._writer.submit(Counted(batch, points) if points else batch)
        except BaseException:
            self._free.setdefault(customer, []).append(number)
            raise
        if isinstance(answer, RefusedError):
            raise answer

    def _number(self, customer: str) -> int:
        """One that was not used up, or the next."""
        if self._free.get(customer):
            return self._free[customer].pop()
        self._used[customer] = self._used.get(customer, 0) + 1
        return self._used[customer]
