"""The region's DNS server, on UDP and TCP (shell). What it says is decided in :mod:`cluster.dns_answers`."""

import asyncio
import contextlib
import logging
import struct
from itertools import count
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.rcode
from prometheus_client import CollectorRegistry, Counter

from cluster.config import ClusterConfig
from cluster.dns_admin import DnsAdmin
from cluster.dns_answers import Directory, answer, directory
from cluster.loopback import load_topology
from cluster.pages import listening
from cluster.topology import Address, Topology

logger = logging.getLogger("cluster")

_PLAIN_UDP_BYTES = 512
_MAX_UDP_BYTES = 4096
_MAX_TCP_QUERY_BYTES = 4096
_TCP_CONNECTIONS = 64
_TCP_IDLE_SECONDS = 5.0


class Responder:
    """Turns a query's bytes into an answer's; counts."""

    def __init__(self, names: Directory, admin: DnsAdmin, registry: CollectorRegistry) -> None:
        self._names, self._admin = names, admin
        self._turns = count()
        self._answered = Counter("store_dns_answers", "DNS queries answered", ("rcode",), registry=registry)
        self._refused = Counter("store_dns_refused", "What was no DNS query", ("reason",), registry=registry)

    def refused(self, reason: str) -> None:
        """Count something that gets no answer."""
        self._refused.labels(reason).inc()

    def respond(self, wire: bytes, *, tcp: bool) -> bytes | None:
        """The answer's bytes; None when ``wire`` is no query and is dropped."""
        try:
            query = dns.message.from_wire(wire, ignore_trailing=False)
            if query.flags & dns.flags.QR:
                self.refused("not_a_query")
                return None
            admin = self._admin
            response = answer(query, self._names, admin.answers(), next(self._turns), admin.withdrawn)
            encoded = self._encoded(query, response, tcp=tcp)
        except (dns.exception.DNSException, ValueError, IndexError, struct.error):
            self.refused("malformed")
            return None
        self._answered.labels(dns.rcode.to_text(response.rcode())).inc()
        return encoded

    def _encoded(self, query: dns.message.Message, response: dns.message.Message, *, tcp: bool) -> bytes:
        """As much as fits; what does not is asked again over TCP."""
        if tcp:
            return response.to_wire(max_size=65535, want_shuffle=False)
        room = min(max(query.payload, _PLAIN_UDP_BYTES), _MAX_UDP_BYTES) if query.edns >= 0 else _PLAIN_UDP_BYTES
        try:
            return response.to_wire(max_size=room, want_shuffle=False)
        except dns.exception.TooBig:
            response.additional.clear()
        with contextlib.suppress(dns.exception.TooBig):
            return response.to_wire(max_size=room, want_shuffle=False)
        response.answer.clear()
        response.authority.clear()
        response.flags |= dns.flags.TC
        return response.to_wire(max_size=room, want_shuffle=False)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        response = self._responder.respond(data, tcp=False)
        if response is not None and self._transport is not None:
            self._transport.sendto(response, addr)


class _Tcp:
    """Serves TCP connections, a few at a time."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: queries one after the other, each with its length before it."""
        if self._open >= _TCP_CONNECTIONS:
            self._responder.refused("too_many_connections")
            writer.close()
            return
        self._open += 1
        try:
            async with asyncio.timeout(None) as patience:
                while True:
                    patience.reschedule(asyncio.get_running_loop().time() + _TCP_IDLE_SECONDS)
                    if not await self._one(reader, writer):
                        return
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self._open -= 1
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        if length > _MAX_TCP_QUERY_BYTES:
            self._responder.refused("too_large")
            return False
        response = self._responder.respond(await reader.readexactly(length), tcp=True)
        if response is None:
            return False
        writer.write(struct.pack("!H", len(response)) + response)
        await writer.drain()
        return True


async def run(config: ClusterConfig, ready: asyncio.Event | None = None) -> None:
    """Serve the region's names until cancelled; ``ready`` is set when UDP, TCP and the admin API listen. Raises OSError."""
    await serve(config, load_topology(config), ready)


async def serve(config: ClusterConfig, topology: Topology, ready: asyncio.Event | None = None) -> None:
    """Serve the names of ``topology`` until cancelled."""
    registry = CollectorRegistry()
    routers = frozenset(router.name for router in topology.routers)
    admin = DnsAdmin(frozenset(topology.endpoint_hosts), routers, registry)
    responder = Responder(directory(topology, config.domain), admin, registry)
    token = config.admin_token_file.read_text().strip() if config.admin_token_file else None
    async with contextlib.AsyncExitStack() as stack:
        await _listen(stack, responder, topology.dns)
        await stack.enter_async_context(listening(admin.app(token), topology.dns_admin))
        admin.ready = True
        logger.info("dns address=%s names=%d", topology.dns, len(topology.endpoint_hosts))
        if ready is not None:
            ready.set()
        await asyncio.Event().wait()


async def _listen(stack: contextlib.AsyncExitStack, responder: Responder, address: Address) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(responder), local_addr=(address.host, address.port))
    stack.callback(transport.close)
    server = await asyncio.start_server(_Tcp(responder).serve, address.host, address.port, limit=_MAX_TCP_QUERY_BYTES)
    stack.callback(server.close)
