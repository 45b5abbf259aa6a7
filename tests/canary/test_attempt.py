"""One attempt over real sockets: every way in which it can fail has its phase and its word."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from canary.attempt import Asker, Errand, tls_context
from canary.config import EndpointConfig
from canary.faults import Component, Fault
from canary.network import Network
from canary.path import Map
from canary.pool import Pool
from canary.probes import dynamodb
from canary.resolver import Resolver
from canary.signature import Signer
from canary.trace import Trace
from collector.observation import Connection, Phase
from tests.canary.world import ADDRESSES, HOST, FakeDns, FakeStore, certificate, config, dns_server, store_server

ME = Component("az1-canary-1", "az1", "canary")


class Bench:
    """An asker and the world that it asks."""

    def __init__(self, dns: FakeDns, store: FakeStore, authority: Path | None) -> None:
        self.dns = dns
        self.store = store
        self.faults: dict[str, Fault] = {}
        settings = config(dns, store, (), {})
        self.endpoint = EndpointConfig(name="standard", host=HOST, port=store.port, tls=authority is not None)
        self.resolver = Resolver(settings.resolver)
        self.pool = Pool()
        network = Network(ME, self.faults, Map(settings), 7)
        tls = tls_context(str(authority)) if authority else None
        self.asker = Asker(self.resolver, network, self.pool, tls)

    async def ask(self, connection: Connection = Connection.FRESH, turn: int = 0, seconds: float = 2.0) -> Trace:
        """One attempt at a strong read."""
        question = dynamodb.get("canary", ("canary-1", "sk"), strong=True)
        signer = Signer("k", "s", "local")
        build = lambda host: dynamodb.request(question, host, signer, time.time(), call_id="mine")  # noqa: E731
        return await self.asker.attempt(
            Errand(self.endpoint, connection, turn, build, time.monotonic() + seconds, "mine")
        )

    async def reason(self, **how: Any) -> tuple[str, Phase | None]:
        """Why an attempt failed."""
        verdict = (await self.ask(**how)).verdict
        assert verdict is not None
        return verdict.reason, verdict.phase


@contextlib.asynccontextmanager
async def bench(tls: tuple[ssl.SSLContext, Path] | None = None, trust: Path | None = None) -> AsyncIterator[Bench]:
    async with dns_server() as dns, store_server(tls[0] if tls else None) as store:
        made = Bench(dns, store, trust or (tls[1] if tls else None))
        try:
            yield made
        finally:
            made.pool.close()
            made.resolver.close()


async def test_a_fresh_attempt_times_every_phase(tmp_path: Path) -> None:
    """DNS, TCP, TLS and HTTP each have a time; the next one resolves and connects anew."""
    async with bench(certificate(tmp_path)) as world:
        trace = await world.ask()
        assert trace.verdict is None
        assert trace.status == 200
        assert trace.request_id == "R" * 52
        assert all(ms is not None and ms > 0 for ms in (trace.dns_ms, trace.tcp_ms, trace.tls_ms, trace.http_ms))
        await world.ask()
        assert (world.store.connections, world.dns.asked) == (2, 2)


async def test_the_first_questions_of_a_host_may_come_at_once() -> None:
    """They share one socket to the name server, and none is told that it was closed."""
    async with bench() as world:
        traces = await asyncio.gather(*(world.ask() for _ in range(8)))
        assert [trace.verdict for trace in traces] == [None] * 8


async def test_a_pooled_attempt_reuses_what_is_open() -> None:
    """One connection an address, one look-up for all; addresses are walked in rotation."""
    async with bench() as world:
        traces = [await world.ask(Connection.POOLED, turn) for turn in range(6)]
        assert [t.verdict for t in traces] == [None] * 6
        assert (world.store.connections, world.dns.asked) == (3, 1)
        assert [t.address for t in traces[:3]] == [f"{a}:{world.store.port}" for a in ADDRESSES]
        assert (traces[3].dns_ms, traces[3].tcp_ms) == (None, None)


async def test_a_connection_closed_while_idle_is_replaced_without_a_failure() -> None:
    """No byte of the request was sent, so this is what every SDK does."""
    async with bench() as world:
        await world.ask(Connection.POOLED)
        world.store.hang_up()
        await asyncio.sleep(0.05)
        trace = await world.ask(Connection.POOLED)
        assert trace.verdict is None
        assert trace.tcp_ms is not None


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("empty", "dns_empty"),
        ("nxdomain", "dns_nxdomain"),
        ("servfail", "dns_servfail"),
        ("refused", "dns_refused"),
        ("garbage", "dns_malformed"),
    ],
)
async def test_a_broken_name_service_has_a_word_for_each_way(mode: str, reason: str) -> None:
    """What the name server said is told apart, at once."""
    async with bench() as world:
        world.dns.mode = mode
        assert await world.reason() == (reason, Phase.DNS)


async def test_a_silent_name_server_is_a_timeout_of_the_deadline_and_not_longer() -> None:
    """The one deadline counts for every phase, and nothing is asked twice."""
    async with bench() as world:
        world.dns.mode = "silent"
        began = time.monotonic()
        assert await world.reason(seconds=0.2) == ("dns_timeout", Phase.DNS)
        assert 0.15 < time.monotonic() - began < 0.6
        assert world.dns.asked == 1


async def test_no_name_server_at_all_is_told_apart() -> None:
    """A port where nobody listens refuses, and the attempt need not wait."""
    async with bench() as world:
        transport = world.dns.transport
        assert transport is not None
        transport.close()
        await asyncio.sleep(0)
        assert await world.reason() == ("dns_unreachable", Phase.DNS)


async def test_a_cut_answer_is_asked_for_again_over_tcp() -> None:
    """TC set means TCP."""
    async with bench() as world:
        world.dns.mode = "truncated"
        assert (await world.ask()).verdict is None
        assert (world.dns.asked, world.dns.asked_tcp) == (1, 1)


async def test_port_zero_asks_for_the_service_record() -> None:
    """Every router may have a port of its own on one address."""
    async with bench() as world:
        world.dns.services[f"_http._tcp.{HOST}"] = [("r1.test", world.store.port), ("r2.test", world.store.port)]
        world.dns.addresses |= {"r1.test": [ADDRESSES[0]], "r2.test": [ADDRESSES[1]]}
        world.endpoint = EndpointConfig(name="standard", host=HOST, port=0, tls=False)
        traces = [await world.ask(turn=turn) for turn in range(2)]
        assert [t.address for t in traces] == [f"{a}:{world.store.port}" for a in ADDRESSES[:2]]
        assert world.store.requests[0][1]["host"] == f"{HOST}:{world.store.port}"
        world.dns.services.clear()
        assert await world.reason() == ("dns_empty", Phase.DNS)


async def test_a_dead_router_refuses() -> None:
    """Power off: nobody listens, pooled connections are gone too."""
    async with bench() as world:
        await world.ask(Connection.POOLED)
        await world.store.stop()
        await asyncio.sleep(0.05)
        assert await world.reason() == ("connect_refused", Phase.TCP)
        assert await world.reason(connection=Connection.POOLED) == ("connect_refused", Phase.TCP)


async def test_a_full_backlog_is_a_connect_timeout() -> None:
    """A listener that never accepts leaves the connect hanging until the deadline."""
    import socket

    async with bench() as world:
        with socket.socket() as listener, contextlib.ExitStack() as crowd:
            listener.bind(("127.77.4.9", 0))
            listener.listen(0)
            for _ in range(2):
                client = crowd.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(listener.getsockname())
            world.dns.addresses[HOST] = ["127.77.4.9"]
            world.endpoint = EndpointConfig(name="standard", host=HOST, port=listener.getsockname()[1], tls=False)
            assert await world.reason(seconds=0.3) == ("connect_timeout", Phase.TCP)


async def test_silence_and_hanging_up_after_the_request_are_told_apart() -> None:
    """No answer is a deadline; a connection cut under the request is a failure, never a second try."""
    async with bench() as world:
        world.store.mode = "hang"
        assert await world.reason(seconds=0.2) == ("deadline", Phase.WAIT)
        assert (await world.ask(seconds=0.1)).request_id == "mine"
        world.store.mode = "cut"
        reason, phase = await world.reason(connection=Connection.POOLED)
        assert reason in ("connection_closed", "connection_reset")
        assert phase is Phase.WAIT
        assert world.store.connections == 3


@pytest.mark.parametrize(
    ("days", "hosts", "trusted", "reason"),
    [
        (-1.0, (HOST,), True, "certificate_expired"),
        (1.0, ("other.test",), True, "certificate_wrong_host"),
        (1.0, (HOST,), False, "certificate_unknown_ca"),
    ],
)
async def test_a_bad_certificate_is_named(
    tmp_path: Path, days: float, hosts: tuple[str, ...], trusted: bool, reason: str
) -> None:
    """Expired, for another name, from an unknown authority: each its own word, all in the TLS phase."""
    served = certificate(tmp_path / "served", days=days, hosts=hosts)
    other = certificate(tmp_path / "other")[1]
    async with bench(served, trust=None if trusted else other) as world:
        assert await world.reason() == (reason, Phase.TLS)


async def test_plain_http_where_tls_should_be_is_a_tls_error(tmp_path: Path) -> None:
    """A server that does not speak TLS fails in the TLS phase."""
    async with bench(trust=certificate(tmp_path)[1]) as world:
        _, phase = await world.reason(seconds=0.5)
        assert phase is Phase.TLS


async def test_no_session_is_resumed(tmp_path: Path) -> None:
    """Every fresh handshake is a whole one, so that an expired certificate shows at once."""
    async with bench(certificate(tmp_path)) as world:
        resumed: list[bool] = []
        serve = world.store.answer

        def answer(address: str, headers: dict[str, str], body: bytes) -> Any:
            resumed.extend(w.get_extra_info("ssl_object").session_reused for w in world.store.writers)
            return serve(address, headers, body)

        world.store.answer = answer  # type: ignore[method-assign]
        for _ in range(3):
            await world.ask()
        assert resumed == [False] * 3


def fault(kind: str, source: object, target: object, **more: Any) -> Fault:
    return Fault.model_validate({"kind": kind, "from": source, "to": target, **more})


@pytest.mark.parametrize(
    ("source", "target", "one_way", "reaches_the_store"),
    [
        ("az1-canary-1", "az1-router-1", False, False),
        ({"zone": "az1", "role": "canary"}, {"zone": "az1", "role": "router"}, False, False),
        ("az1-router-1", "az1-canary-1", True, True),
    ],
)
async def test_a_partition_looks_like_silence(
    source: object, target: object, one_way: bool, reaches_the_store: bool
) -> None:
    """A cut path is a timeout; cut only on the way back, the store has seen the request."""
    async with bench() as world:
        await world.ask(Connection.POOLED)
        world.faults["f"] = fault("partition", source, target, one_way=one_way)
        before = len(world.store.requests)
        assert await world.reason(connection=Connection.POOLED, seconds=0.2) in (
            ("deadline", Phase.SEND),
            ("deadline", Phase.WAIT),
        )
        assert await world.reason(seconds=0.2) == ("connect_timeout", Phase.TCP)
        assert (len(world.store.requests) > before) is reaches_the_store
        assert (await world.ask(turn=1)).verdict is None
        world.faults.clear()
        assert (await world.ask()).verdict is None


async def test_a_delay_is_added_in_each_direction() -> None:
    """A round trip on a slow path takes twice its delay."""
    async with bench() as world:
        await world.ask(Connection.POOLED)
        world.faults["f"] = fault("delay", "az1-canary-1", {"role": "router"}, ms=30)
        trace = await world.ask(Connection.POOLED)
        assert trace.verdict is None
        assert trace.http_ms is not None
        assert trace.http_ms >= 58


async def test_a_lossy_path_loses_some() -> None:
    """Half of the messages lost: some attempts come back, some do not."""
    async with bench() as world:
        await world.ask(Connection.POOLED)
        world.faults["f"] = fault("drop", "az1-canary-1", "az1-router-1", probability=0.4, one_way=True)
        traces = await asyncio.gather(*(world.ask(seconds=0.3) for _ in range(20)))
        assert {t.verdict is None for t in traces} == {True, False}


async def test_a_sick_host_hears_nothing() -> None:
    """Neither name server nor store answers it, on fresh or pooled connections."""
    async with bench() as world:
        await world.ask(Connection.POOLED)
        world.faults["f"] = Fault(kind="canary_sick", canary="az1-canary-1")
        assert await world.reason(seconds=0.1) == ("dns_timeout", Phase.DNS)
        assert (await world.reason(connection=Connection.POOLED, seconds=0.1))[0] == "deadline"
        assert (await world.reason(connection=Connection.POOLED, turn=1, seconds=0.1))[0] == "connect_timeout"
        world.faults["f"] = Fault(kind="canary_sick", canary="az1-canary-2")
        assert (await world.ask()).verdict is None


async def test_an_answer_that_is_no_http_is_malformed() -> None:
    """Garbage and endless bodies end the attempt as the server's fault."""

    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-nothing\r\n\r\n")
        await writer.drain()

    async with bench() as world:
        server = await asyncio.start_server(garbage, "127.77.4.8", 0)
        world.dns.addresses[HOST] = ["127.77.4.8"]
        port = server.sockets[0].getsockname()[1]
        world.endpoint = EndpointConfig(name="standard", host=HOST, port=port, tls=False)
        assert (await world.reason())[0] == "malformed_http"
        server.close()


async def test_an_address_needs_no_name_server() -> None:
    """An endpoint given as an IP address is connected to as it is."""
    async with bench() as world:
        world.endpoint = EndpointConfig(name="standard", host=ADDRESSES[0], port=world.store.port, tls=False)
        assert (await world.ask()).verdict is None
        assert world.dns.asked == 0
