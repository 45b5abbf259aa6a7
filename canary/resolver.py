"""Asks a name server, once, over UDP and (when the answer is cut) TCP; nothing is cached (shell)."""

import asyncio
import ipaddress
import random
import socket
from functools import lru_cache

from canary import dns_wire
from canary.classify import rcode_reason
from canary.config import EndpointConfig
from canary.trace import AttemptFailed

TRUNCATED = 0x02
"""The TC bit in the third byte of a message."""

Places = tuple[tuple[str, int], ...]
"""IP addresses and ports, sorted."""


class Resolver(asyncio.DatagramProtocol):
    """One host's questions to one name server, over one socket; answers find their question by id and content."""

    def __init__(self, server: str | None) -> None:
        host, _, port = (server or "").rpartition(":")
        self._server = (host.strip("[]"), int(port)) if server else None
        self.server = server
        """``IP:port``, None: the machine's own way."""
        self._transport: asyncio.DatagramTransport | None = None
        self._opening = asyncio.Lock()
        self._waiting: dict[int, tuple[bytes, asyncio.Future[bytes]]] = {}

    async def places(self, endpoint: EndpointConfig) -> Places:
        """Where the endpoint is served now; raises :class:`AttemptFailed` or OSError."""
        if is_address(endpoint.host):
            return ((endpoint.host, endpoint.port),)
        if endpoint.port:
            return tuple((address, endpoint.port) for address in await self._addresses(endpoint.host))
        service = "_https" if endpoint.tls else "_http"
        answer = await self._ask(f"{service}._tcp.{endpoint.host}", "SRV")
        if not answer.services:
            raise AttemptFailed("dns_empty", "no SRV records")
        found = {name: await self._addresses(name) for name in sorted({name for name, _ in answer.services})}
        return tuple(sorted((address, port) for name, port in answer.services for address in found[name]))

    async def _addresses(self, name: str) -> tuple[str, ...]:
        if self._server is None:
            return await _machine_addresses(name)
        answer = await self._ask(name, "A")
        if not answer.addresses:
            answer = await self._ask(name, "AAAA")
        if not answer.addresses:
            raise AttemptFailed("dns_empty", f"no addresses for {name}")
        return answer.addresses

    async def _ask(self, name: str, kind: str) -> dns_wire.Answer:
        answer = dns_wire.parse(await self._exchange(name, kind))
        if answer is not None and answer.truncated:
            answer = dns_wire.parse(await self._exchange_tcp(name, kind))
        if answer is None:
            raise AttemptFailed("dns_malformed")
        reason = rcode_reason(answer.rcode)
        if reason is not None:
            raise AttemptFailed(reason, f"rcode {answer.rcode} for {name} {kind}")
        return answer

    async def exchange(self, name: str, kind: str) -> bytes:
        """The whole answer to any question, over TCP when it is cut over UDP; raises :class:`AttemptFailed` or OSError."""
        wire = await self._exchange(name, kind)
        return await self._exchange_tcp(name, kind) if wire[2] & TRUNCATED else wire

    async def _exchange(self, name: str, kind: str) -> bytes:
        loop = asyncio.get_running_loop()
        transport = self._transport or await self._open(loop)
        number = random.randrange(65536)
        while number in self._waiting:
            number = random.randrange(65536)
        asked = dns_wire.question(name, kind, number)
        future: asyncio.Future[bytes] = loop.create_future()
        self._waiting[number] = (asked, future)
        try:
            transport.sendto(asked)
            return await future
        finally:
            del self._waiting[number]

    async def _exchange_tcp(self, name: str, kind: str) -> bytes:
        asked = dns_wire.question(name, kind, random.randrange(65536))
        reader, writer = await asyncio.open_connection(*self._address())
        try:
            writer.write(len(asked).to_bytes(2, "big") + asked)
            wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        except asyncio.IncompleteReadError as error:
            raise AttemptFailed("dns_malformed", "TCP answer ended early") from error
        finally:
            writer.close()
        if not dns_wire.answers(wire, asked):
            raise AttemptFailed("dns_malformed", "TCP answer to another question")
        return wire

    def _address(self) -> tuple[str, int]:
        if self._server is None:
            raise AttemptFailed("dns_unreachable", "SRV records need a resolver in the configuration")
        return self._server

    async def _open(self, loop: asyncio.AbstractEventLoop) -> asyncio.DatagramTransport:
        """One socket, whoever asks first: closing a second one would end the questions under way on the first."""
        async with self._opening:
            if self._transport is None:
                self._transport, _ = await loop.create_datagram_endpoint(lambda: self, remote_addr=self._address())
            return self._transport

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    # asyncio.DatagramProtocol

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:  # noqa: ARG002 - asyncio's
        """An answer; what answers no question of ours is ignored."""
        waiting = self._waiting.get(int.from_bytes(data[:2], "big"))
        if waiting is not None and not waiting[1].done() and dns_wire.answers(data, waiting[0]):
            waiting[1].set_result(data)

    def error_received(self, exc: Exception) -> None:
        """The name server's host refused (ICMP): every question under way has its answer."""
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone; the next question opens another."""
        self._transport = None
        self.error_received(exc or ConnectionAbortedError("closed"))


@lru_cache(maxsize=256)
def is_address(host: str) -> bool:
    """Whether ``host`` is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


_GAI_REASONS = {socket.EAI_NONAME: "dns_nxdomain", socket.EAI_AGAIN: "dns_servfail"}


async def _machine_addresses(name: str) -> tuple[str, ...]:
    """The machine's own resolver, hosts file and cache included."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise AttemptFailed(_GAI_REASONS.get(error.errno or 0, "dns_servfail"), str(error)) from error
    return tuple(sorted({str(entry[4][0]) for entry in found}))
