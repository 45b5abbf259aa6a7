"""Carries out the generic checks of one host: HTTP, TCP, TLS, DNS and Python functions (shell).

Each is one attempt with one deadline, timed step by step like the store's probes; every failure is a reason of the outcome table.
"""

import asyncio
import contextlib
import inspect
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib.metadata import entry_points
from time import monotonic

import dns.resolver
from cryptography import x509

from canary.attempt import Asker, Errand, tls_context
from canary.classify import SUCCESS, Verdict, errno_reason, failed, timeout_reason, verify_reason
from canary.config import EndpointConfig
from canary.connection import open_tcp
from canary.network import Network
from canary.plan import Host
from canary.pool import Pool
from canary.probes import dns as dns_probe
from canary.probes import http
from canary.probes.config import AnyCheck, DnsCheck, HttpCheck, PythonCheck, TcpCheck, TlsCheck, target
from canary.probes.python import GROUP, Probe, ProbeContext, ProbeFailed
from canary.resolver import Resolver
from canary.trace import AttemptFailed, Trace
from collector.observation import Connection, Phase

MAX_ANSWER_BYTES = 64 * 1024
DAY_SECONDS = 86400.0


class Checks:
    """One host's generic checks. Raises ValueError when a Python check names no installed function."""

    def __init__(self, checks: tuple[AnyCheck, ...], host: Host, network: Network, resolver: Resolver) -> None:
        self._host = host
        self._network = network
        self._resolver = resolver
        self._pool = Pool()
        self._askers: dict[str | None, Asker] = {}
        self._resolvers: dict[str, Resolver] = {}
        self._probes = {check.probe: load_probe(check.probe) for check in checks if isinstance(check, PythonCheck)}

    async def run(self, check: AnyCheck, number: int, deadline: float) -> tuple[Trace, Verdict]:
        """One attempt; ``number`` picks the address, the deadline is monotonic."""
        if isinstance(check, HttpCheck):
            return await self._http(check, number, deadline)
        trace = Trace()
        steps: Callable[[], Awaitable[None]]
        match check:
            case TcpCheck():
                steps = lambda: self._tcp(check, number, trace)  # noqa: E731 - one line a kind
            case TlsCheck():
                steps = lambda: self._tls(check, number, trace)  # noqa: E731
            case DnsCheck():
                steps = lambda: self._dns(check, trace)  # noqa: E731
            case PythonCheck():
                steps = lambda: self._python(check, deadline, trace)  # noqa: E731
        with _failures(trace):
            async with asyncio.timeout(deadline - monotonic()):
                await steps()
        trace.ended = monotonic()
        return trace, trace.verdict or SUCCESS

    async def _http(self, check: HttpCheck, number: int, deadline: float) -> tuple[Trace, Verdict]:
        where = target(check.url)
        endpoint = EndpointConfig(name=check.name, host=where.host, port=where.port, tls=where.tls)
        connection = Connection.POOLED if check.pooled else Connection.FRESH
        build = lambda host: http.request(check, host)  # noqa: E731
        asker = self._asker(str(check.ca_file) if check.ca_file else None)
        trace = await asker.attempt(Errand(endpoint, connection, number, build, deadline))
        if trace.verdict is not None:
            return trace, trace.verdict
        wrong = http.wrong(check, trace.status or 0, trace.headers, trace.body)
        if wrong is None:
            return trace, SUCCESS
        phase = Phase.HTTP if wrong[0] in ("unexpected_status", "header_mismatch") else Phase.SEMANTIC
        return trace, failed(wrong[0], phase, wrong[1])

    def _asker(self, ca_file: str | None) -> Asker:
        if ca_file not in self._askers:
            self._askers[ca_file] = Asker(self._resolver, self._network, self._pool, tls_context(ca_file))
        return self._askers[ca_file]

    async def _tcp(self, check: TcpCheck, number: int, trace: Trace) -> None:
        async with self._connected(check.name, check.host, check.port, number, trace) as sock:
            loop = asyncio.get_running_loop()
            began = monotonic()
            if check.send is not None:
                trace.phase = Phase.SEND
                await self._network.outbound(trace.address or "")
                await loop.sock_sendall(sock, check.send.encode())
            if check.expect is not None:
                trace.phase = Phase.WAIT
                await self._expect(loop, sock, re.compile(check.expect.encode()), trace)
            trace.http_ms = (monotonic() - began) * 1000 if check.send or check.expect else None

    async def _expect(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, pattern: re.Pattern[bytes], trace: Trace
    ) -> None:
        """Read until the pattern is there; an answer that ends or is too long without it is another answer."""
        said = b""
        while not pattern.search(said):
            piece = await loop.sock_recv(sock, 4096)
            said += piece
            if not piece or len(said) > MAX_ANSWER_BYTES:
                trace.phase = Phase.SEMANTIC
                raise AttemptFailed("answer_mismatch", f"{said[:80]!r}, expected /{pattern.pattern.decode()}/")
        await self._network.inbound(trace.address or "")

    @contextlib.asynccontextmanager
    async def _connected(
        self, name: str, host: str, port: int, number: int, trace: Trace
    ) -> AsyncIterator[socket.socket]:
        """A TCP connection to one of the host's addresses, closed afterwards."""
        places = await self._asker(None).resolve(EndpointConfig(name=name, host=host, port=port), trace)
        ip, _ = places[number % len(places)]
        trace.address = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
        trace.phase = Phase.TCP
        began = monotonic()
        await self._network.outbound(trace.address)
        sock = await open_tcp(asyncio.get_running_loop(), ip, port)
        try:
            await self._network.inbound(trace.address)
            trace.tcp_ms = (monotonic() - began) * 1000
            yield sock
        finally:
            sock.close()

    async def _tls(self, check: TlsCheck, number: int, trace: Trace) -> None:
        loop = asyncio.get_running_loop()
        context = self._asker(str(check.ca_file) if check.ca_file else None).tls
        async with self._connected(check.name, check.host, check.port, number, trace) as sock:
            trace.phase = Phase.TLS
            began = monotonic()
            transport, _ = await loop.create_connection(
                asyncio.Protocol, sock=sock, ssl=context, server_hostname=check.server_name or check.host
            )
            trace.tls_ms = (monotonic() - began) * 1000
            try:
                shown = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
            finally:
                transport.abort()
        left = x509.load_der_x509_certificate(shown).not_valid_after_utc.timestamp() - time.time()
        if left < check.min_days * DAY_SECONDS:
            raise AttemptFailed(
                "certificate_expires_soon", f"{left / DAY_SECONDS:.1f} days left, expected {check.min_days:g}"
            )

    async def _dns(self, check: DnsCheck, trace: Trace) -> None:
        trace.phase = Phase.DNS
        resolver = self._name_server(check.server)
        trace.address = resolver.server
        began = monotonic()
        await self._network.name_service()
        wire = await resolver.exchange(check.query, check.type)
        trace.dns_ms = (monotonic() - began) * 1000
        wrong = dns_probe.wrong(check, wire)
        if wrong is not None:
            raise AttemptFailed(*wrong)

    def _name_server(self, server: str | None) -> Resolver:
        """The check's own, the canaries', or the machine's first."""
        if server is None and self._resolver.server is not None:
            return self._resolver
        address = server or _machines_name_server()
        if address not in self._resolvers:
            self._resolvers[address] = Resolver(address)
        return self._resolvers[address]

    async def _python(self, check: PythonCheck, deadline: float, trace: Trace) -> None:
        trace.phase = Phase.SEMANTIC
        context = ProbeContext(check.name, self._host.name, self._host.zone, deadline, check.options)
        try:
            await self._probes[check.probe](context)
        except ProbeFailed as failure:
            raise AttemptFailed("check_failed", str(failure)) from failure
        except TimeoutError:
            raise
        except Exception as error:
            raise AttemptFailed("check_raised", f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close kept connections and sockets."""
        self._pool.close()
        for resolver in self._resolvers.values():
            resolver.close()


def _machines_name_server() -> str:
    try:
        found = dns.resolver.get_default_resolver().nameservers
    except dns.resolver.NoResolverConfiguration as error:
        raise AttemptFailed("dns_unreachable", "this machine has no name server: name one in the check") from error
    address = str(found[0])
    return f"[{address}]:53" if ":" in address else f"{address}:53"


@contextlib.contextmanager
def _failures(trace: Trace) -> Iterator[None]:
    """Whatever a step raises is the attempt's verdict."""
    try:
        yield
    except AttemptFailed as failure:
        trace.fail(failure.reason, failure.detail)
    except TimeoutError:
        trace.fail(timeout_reason(trace.phase))
    except ssl.SSLCertVerificationError as error:
        trace.fail(verify_reason(error.verify_code), error.verify_message)
    except ssl.SSLError as error:
        trace.fail("tls_error", error.reason or str(error))
    except OSError as error:
        trace.fail(errno_reason(error.errno, trace.phase), str(error))


def load_probe(name: str) -> Probe:
    """The async function that an installed package offers under this name; raises ValueError with what there is."""
    offered = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in offered:
        raise ValueError(
            f"no probe {name!r} in the entry point group {GROUP}; there: {', '.join(sorted(offered)) or 'none'}"
        )
    probe = offered[name].load()
    if not inspect.iscoroutinefunction(probe):
        raise ValueError(f"probe {name!r} is no async function")
    return probe  # type: ignore[no-any-return]  # what an entry point holds is not known before
