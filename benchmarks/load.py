"""A load generator for DynamoDB endpoints: few connections, every request signed when it is sent, the same for whoever answers.

Closed loop (each connection asks again at once) finds the capacity; open loop (intended start times, drawn beforehand)
finds the latency, counted from the intended start, so that a stall is seen by all who would have come during it.
"""

import asyncio
import hashlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

import httptools

from canary.signature import CONTENT_TYPE, Signer

CONNECTIONS = 16
ACCESS_KEY, SECRET, REGION = "benchmark", "benchmark-secret", "us-east-1"
PATIENCE_SECONDS = 15.0
Say = Callable[[str, str, bytes], bytes]


def speaker() -> Say:
    """Makes whole requests: ``host``, operation, JSON body → bytes, with the headers that boto3 sends."""
    signer = Signer(ACCESS_KEY, SECRET, REGION)

    def say(host: str, operation: str, body: bytes) -> bytes:
        target = f"DynamoDB_20120810.{operation}"
        digest = hashlib.sha256(body).hexdigest()
        date, authorization = signer.sign(host=host, target=target, body_sha256=digest, at=time.time())
        head = (
            f"POST / HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: identity\r\nX-Amz-Target: {target}\r\n"
            f"Content-Type: {CONTENT_TYPE}\r\nUser-Agent: fivenines-benchmark\r\nX-Amz-Date: {date}\r\n"
            f"Authorization: {authorization}\r\namz-sdk-invocation-id: 6cbe2ec1-5a3d-4b7a-9a0e-2f3a5d4c1b0a\r\n"
            f"amz-sdk-request: attempt=1; max=1\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode("latin-1") + body

    return say


class Failed(Exception):
    """The server answered something else than success, or not at all."""


class Customer(asyncio.Protocol):
    """One kept-alive connection that asks one thing at a time; connects anew when the server closes it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self.host = f"{address[0]}:{address[1]}"
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits hears of it."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Failed(f"{self.host} closed the connection: {exc}"))

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """A piece of the answer."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The whole answer."""
        body, status, keep = b"".join(self._body), self._parser.get_status_code(), self._parser.should_keep_alive()
        if not keep and self._transport is not None:
            self._transport.abort()
        self._begin()
        if self._answer is not None and not self._answer.done():
            if status == 200:
                self._answer.set_result(body)
            else:
                self._answer.set_exception(Failed(f"{self.host} answered {status}: {body[:200]!r}"))

    async def ask(self, wire: bytes) -> bytes:
        """The answer's body; raises :class:`Failed`."""
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            self._begin()
            await loop.create_connection(lambda: self, *self._address)
        assert self._transport is not None
        self._answer = loop.create_future()
        self._transport.write(wire)
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()


@dataclass(slots=True)
class Heard:
    """What came of a piece of load: answers, failures, and (open loop) the latency of each, in seconds."""

    answers: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Question:
    """One kind of request: its operation, the bodies to send in turn, what a right answer holds."""

    operation: str
    bodies: tuple[bytes, ...]
    expects: bytes = b""


class Crowd:
    """The customers of one store."""

    def __init__(self, addresses: list[tuple[str, int]]) -> None:
        self._customers = [Customer(addresses[i % len(addresses)]) for i in range(CONNECTIONS)]
        self._say = speaker()

    async def once(self, operation: str, body: bytes) -> bytes:
        """A single request on the first connection; raises :class:`Failed`."""
        customer = self._customers[0]
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await customer.ask(self._say(customer.host, operation, body))

    async def _try(self, customer: Customer, question: Question, bodies: Iterator[bytes], heard: Heard) -> None:
        try:
            answer = await customer.ask(self._say(customer.host, question.operation, next(bodies)))
        except (Failed, OSError) as error:
            heard.failures.append(str(error))
            return
        if question.expects in answer:
            heard.answers += 1
        else:
            heard.failures.append(f"wrong answer {answer[:200]!r}")

    async def each(self, question: Question) -> None:
        """Every body once; raises :class:`Failed` when one of them fails."""
        heard, left = Heard(), iter(question.bodies)

        async def go_on(customer: Customer) -> None:
            for body in left:
                await self._try(customer, question, iter((body,)), heard)

        async with asyncio.timeout(len(question.bodies) / 10 + PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
            for customer in self._customers:
                tasks.create_task(go_on(customer))
        if heard.failures:
            raise Failed(heard.failures[0])

    async def closed(self, question: Question, seconds: float) -> Heard:
        """As fast as the store answers, for so long."""
        heard, bodies = Heard(), itertools.cycle(question.bodies)
        began = time.monotonic()

        async def go_on(customer: Customer) -> None:
            while time.monotonic() < began + seconds and len(heard.failures) < 100:
                await self._try(customer, question, bodies, heard)

        async with asyncio.timeout(seconds + PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
            for customer in self._customers:
                tasks.create_task(go_on(customer))
        heard.seconds = time.monotonic() - began
        return heard

    async def open(self, question: Question, *, per_second: float, seconds: float, seed: int) -> Heard:
        """At random (Poisson) intended times, whether or not the store keeps up."""
        heard, bodies = Heard(), itertools.cycle(question.bodies)
        due: asyncio.Queue[float | None] = asyncio.Queue()
        loop, began = asyncio.get_running_loop(), time.monotonic()

        def tell(intended: float | None) -> None:
            loop.call_soon_threadsafe(due.put_nowait, intended)

        async def go_on(customer: Customer) -> None:
            while (intended := await due.get()) is not None:
                await self._try(customer, question, bodies, heard)
                heard.latencies.append(time.monotonic() - intended)
            due.put_nowait(None)

        threading.Thread(target=_pace, args=(tell, per_second, seconds, seed), daemon=True).start()
        async with asyncio.timeout(seconds + PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
            for customer in self._customers:
                tasks.create_task(go_on(customer))
        heard.seconds = time.monotonic() - began
        return heard

    def close(self) -> None:
        """Hang up."""
        for customer in self._customers:
            customer.close()


def _pace(tell: Callable[[float | None], None], per_second: float, seconds: float, seed: int) -> None:
    """Tell each intended time when it has come. A thread, because an event loop's timers have whole milliseconds."""
    chance = random.Random(seed)
    began = intended = time.monotonic()
    while (intended := intended + chance.expovariate(per_second)) < began + seconds:
        if (wait := intended - time.monotonic()) > 0:
            time.sleep(wait)
        tell(intended)
    tell(None)


def percentile(values: list[float], share: float) -> float:
    """The value below which ``share`` of ``values`` are; nan of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
