"""One attempt (shell): resolve, connect, handshake, send, receive; each step timed, none repeated, one deadline for all."""

import asyncio
import random
import ssl
from collections.abc import Callable
from time import monotonic

import msgspec

from canary.classify import errno_reason, timeout_reason, verify_reason
from canary.config import EndpointConfig
from canary.connection import ConnectionLost, HttpConnection, MalformedHttp, connect
from canary.deadlines import Deadlines
from canary.network import Network
from canary.pool import Pool
from canary.resolver import Places, Resolver
from canary.trace import AttemptFailed, Trace
from collector.observation import Connection, Phase


class Errand(msgspec.Struct, frozen=True):
    """What an attempt is to do. ``turn`` picks the address; ``build`` makes the request for a Host header.

    ``call_id``: what the request says its own name is, if it has one. ``address``: this one (``IP:port``), if the endpoint still has it.
    """

    endpoint: EndpointConfig
    connection: Connection
    turn: int
    build: Callable[[str], bytes]
    deadline: float
    call_id: str = ""
    address: str | None = None


class Asker:
    """Carries out one host's attempts."""

    def __init__(self, resolver: Resolver, network: Network, pool: Pool, tls: ssl.SSLContext | None) -> None:
        self._resolver = resolver
        self._network = network
        self._pool = pool
        self.tls = tls
        """How certificates are verified; None: never TLS."""
        self._deadlines = Deadlines()

    async def attempt(self, errand: Errand) -> Trace:
        """Everything that the attempt learned; a failure is in it, never raised."""
        trace = Trace(call_id=errand.call_id)
        guard = self._deadlines.begin(errand.deadline)
        try:
            await self._go(errand, trace)
        except asyncio.CancelledError:
            if not guard.ran_out():
                raise
            trace.fail(timeout_reason(trace.phase))
        except AttemptFailed as failure:
            trace.fail(failure.reason, failure.detail)
        except ssl.SSLCertVerificationError as error:
            trace.fail(verify_reason(error.verify_code), error.verify_message)
        except ssl.SSLError as error:
            trace.fail("tls_error", error.reason or str(error))
        except MalformedHttp as error:
            trace.fail("malformed_http", str(error))
        except ConnectionLost as error:
            trace.fail("connection_closed", str(error))
        except OSError as error:
            trace.fail(errno_reason(error.errno, trace.phase), str(error))
        finally:
            guard.end()
        trace.ended = monotonic()
        return trace

    async def _go(self, errand: Errand, trace: Trace) -> None:
        pooled = errand.connection is Connection.POOLED
        places = self._pool.places(errand.endpoint.name) if pooled else None
        if places is None:
            places = await self.resolve(errand.endpoint, trace)
            if pooled:
                self._pool.learn(errand.endpoint.name, places)
        ip, port = places[errand.turn % len(places)] if errand.address is None else _place(places, errand)
        trace.address = _address(ip, port)
        slot = (errand.endpoint.name, ip, port)
        connection = self._pool.take(slot, monotonic()) if pooled else None
        if connection is None:
            connection = await self._connect(errand, trace, ip, port)
        try:
            await self._exchange(connection, errand.build(_host_header(errand.endpoint, port)), trace)
        except BaseException:
            connection.abort()
            raise
        if pooled and connection.usable:
            self._pool.give(slot, connection, monotonic())
        else:
            connection.abort()

    async def resolve(self, endpoint: EndpointConfig, trace: Trace) -> Places:
        """Ask the name server now."""
        trace.phase = Phase.DNS
        began = monotonic()
        await self._network.name_service()
        places = await self._resolver.places(endpoint)
        trace.dns_ms = (monotonic() - began) * 1000
        return places

    async def _connect(self, errand: Errand, trace: Trace, ip: str, port: int) -> HttpConnection:
        address = trace.address or ""
        trace.phase = Phase.TCP
        began = monotonic()
        await self._network.outbound(address)
        connection = await connect(asyncio.get_running_loop(), ip, port)
        try:
            await self._network.inbound(address)
            connected = monotonic()
            trace.tcp_ms = (connected - began) * 1000
            if errand.endpoint.tls and self.tls is not None:
                trace.phase = Phase.TLS
                await connection.secure(self.tls, errand.endpoint.host)
                trace.tls_ms = (monotonic() - connected) * 1000
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _exchange(self, connection: HttpConnection, request: bytes, trace: Trace) -> None:
        address, network = trace.address or "", self._network
        trace.phase = Phase.SEND
        began = monotonic()
        if network.faults:  # looked at here: the usual case is none, and a coroutine costs more than the question
            await network.outbound(address)
        trace.phase = Phase.WAIT
        response = await connection.ask(request)
        if network.faults:
            await network.inbound(address)
        trace.http_ms = (monotonic() - began) * 1000
        trace.phase = Phase.HTTP
        trace.status, trace.headers, trace.body = response.status, response.headers, response.body


def _address(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _place(places: Places, errand: Errand) -> tuple[str, int]:
    wanted = next((place for place in places if _address(*place) == errand.address), None)
    return wanted or places[errand.turn % len(places)]


def new_call_id() -> str:
    """A name for one call, as SDKs make them: random, said with each attempt, not signed."""
    return f"{random.getrandbits(128):032x}"


def _host_header(endpoint: EndpointConfig, port: int) -> str:
    """As SDKs write it: the port only when it is not the scheme's own."""
    return endpoint.host if port == (443 if endpoint.tls else 80) else f"{endpoint.host}:{port}"


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Verifies certificate and host name; no session is ever resumed, so that a fresh handshake is a whole one."""
    context = ssl.create_default_context(cafile=ca_file)
    context.options |= ssl.OP_NO_TICKET
    context.set_alpn_protocols(["http/1.1"])
    return context
