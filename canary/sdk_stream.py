"""Calls as a customer's SDK makes them: several attempts, backing off between them, pooled connections (shell).

One stream a zone. Each attempt is an observation like any other (``Level.ATTEMPT``); the call as a whole is counted apart
(``Level.CALL``): how often a customer's program would have seen an error.
"""

import asyncio
import itertools
import logging
import random
from time import monotonic

from canary.attempt import Errand, new_call_id
from canary.classify import SUCCESS, Verdict
from canary.keys import KeyBook
from canary.parts import Parts
from canary.plan import Cell
from canary.probes import dynamodb
from canary.questions import Asked, Turn
from canary.recorder import Seen
from canary.retries import RetryPolicy, Tried
from canary.trace import Trace
from canary.worker import verdict_of
from collector.observation import Connection, Level, OperationClass

logger = logging.getLogger("canary")

OPERATIONS = (OperationClass.WRITE, OperationClass.STRONG_READ, OperationClass.EVENTUAL_READ)
MAX_CALLS = 64
"""Calls under way at a time; a call that cannot start is unobserved."""


class SdkStream:
    """The stream of one zone, run by its first host."""

    def __init__(self, parts: Parts, seed: int | None = None) -> None:
        self._parts = parts
        config = parts.config.sdk
        self._policy = RetryPolicy(config.retry_mode, config.max_attempts)
        self._endpoints = parts.config.endpoints
        self._random = random.Random(seed)
        self._turn = itertools.count(parts.host.rank)
        self._free = MAX_CALLS

    async def run(self) -> None:
        """Until cancelled: an open loop, a call that takes long delays none."""
        book, cadence = self._parts.keys, self._parts.config.sdk.cadence_seconds
        if book is None or not cadence:
            return
        await book.planned.wait()
        # A prime share of the cadence, so that the stream does not fall on the plan's own beat.
        next_at = monotonic() + cadence * ((self._parts.host.rank * 0.37 + 0.13) % 1)
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(max(0.0, next_at - monotonic()))
                late = monotonic() - next_at
                cell = self._cell(number := next(self._turn))
                if late > cadence or not self._free:
                    self._parts.recorder.unobserved(cell, next_at, "late")
                else:
                    group.create_task(self._call(cell, number, book, next_at))
                next_at += cadence

    def _cell(self, number: int) -> Cell:
        """Operations in turn, endpoints in turn after each round."""
        endpoint = self._endpoints[number // len(OPERATIONS) % len(self._endpoints)]
        return Cell(0, endpoint.name, OPERATIONS[number % len(OPERATIONS)], Connection.POOLED)

    async def _call(self, cell: Cell, number: int, book: KeyBook, intended: float) -> None:
        self._free -= 1
        try:
            await self._attempts(cell, number, book, intended)
        except Exception:
            logger.exception("call of %s failed by our own fault", cell)
            self._parts.recorder.unobserved(cell, intended, "canary_fault")
        finally:
            self._free += 1

    async def _attempts(self, cell: Cell, number: int, book: KeyBook, intended: float) -> None:
        asked = self._asked(cell, number, book)
        attempts, cost, unsure, began = 0, 0, False, intended
        call_id = new_call_id()
        while True:
            attempts += 1
            trace = await self._parts.asker.attempt(
                self._errand(cell, asked, number, attempts, began=began, call_id=call_id)
            )
            verdict = verdict_of(asked, trace)
            self._record(cell, asked, trace, verdict, began=began, level=Level.ATTEMPT)
            if verdict is SUCCESS:
                self._policy.succeeded(cost)
                break
            unsure = True
            again = self._policy.pause(
                attempts, Tried(verdict.outcome, verdict.reason, trace.status), self._random.random()
            )
            if again is None:
                break
            pause, cost = again
            await asyncio.sleep(pause)
            began = monotonic()
        # An attempt that failed may still take effect, even after the one that succeeded: then the write stays pending.
        asked.ended(verdict is SUCCESS and not unsure, trace.ended)
        self._record(cell, asked, trace, verdict, began=intended, level=Level.CALL)

    def _asked(self, cell: Cell, number: int, book: KeyBook) -> Asked:
        """The same operation on the stream's own item of the next partition."""
        parts, turn = self._parts, number // len(OPERATIONS)
        key = book.keys[turn // len(self._endpoints) % len(book.keys)]
        item = (key.pk, f"{parts.host.name}/{cell.endpoint}/sdk")
        at = Turn(number, book.keys, monotonic(), int(parts.clock.wall() * 1000))
        if cell.operation is OperationClass.WRITE:
            return parts.questions.write_item(item, key, at)
        return parts.questions.read_item(item, key, at, strong=cell.operation is OperationClass.STRONG_READ)

    def _errand(self, cell: Cell, asked: Asked, number: int, attempt: int, *, began: float, call_id: str) -> Errand:
        parts = self._parts
        endpoint = next(each for each in self._endpoints if each.name == cell.endpoint)
        most = self._policy.max_attempts
        return Errand(
            endpoint,
            Connection.POOLED,
            number + attempt - 1,
            lambda host: dynamodb.request(
                asked.question,
                host,
                parts.signer,
                parts.clock.wall(),
                call_id=call_id,
                attempt=attempt,
                attempts=most,
            ),
            began + parts.config.deadline_seconds,
            call_id,
        )

    def _record(self, cell: Cell, asked: Asked, trace: Trace, verdict: Verdict, *, began: float, level: Level) -> None:
        self._parts.recorder.record(
            Seen(
                cell=cell,
                table=self._parts.config.table,
                intended=began,
                started=began,
                at=self._parts.clock.wall(began),
                trace=trace,
                verdict=verdict,
                partition=asked.key.partition,
                level=level,
            )
        )
