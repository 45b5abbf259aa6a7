"""Generic checks against real servers on loopback: HTTP, TCP, TLS, DNS, Python functions."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from canary import checks as checks_module
from canary.checks import Checks, load_probe
from canary.config import CanaryConfig
from canary.faults import Component, Fault
from canary.network import Network
from canary.path import Map
from canary.plan import Host
from canary.probes.config import AnyCheck
from canary.probes.python import ProbeContext, ProbeFailed
from canary.resolver import Resolver
from canary.trace import Trace
from collector.observation import Outcome, Phase
from tests.canary.world import FakeDns, certificate, dns_server, read_request

ADAPTER: TypeAdapter[AnyCheck] = TypeAdapter(AnyCheck)
HOST = Host("az1-canary-1", "az1", 0)


def check(**values: Any) -> AnyCheck:
    return ADAPTER.validate_python({"name": "it"} | values)


async def run(
    wanted: AnyCheck, dns: FakeDns | None = None, seconds: float = 10.0, faults: Mapping[str, Fault] | None = None
) -> tuple[str, Phase | None, Trace]:
    """Reason, phase and trace of one attempt."""
    network = Network(Component(HOST.name, HOST.zone, "canary"), faults or {}, Map(CanaryConfig()))
    resolver = Resolver(f"127.0.0.1:{dns.port}" if dns else None)
    runner = Checks((wanted,), HOST, network, resolver)
    try:
        trace, verdict = await runner.run(wanted, 0, monotonic() + seconds)
    finally:
        runner.close()
        resolver.close()
    assert (verdict.outcome is Outcome.SUCCESS) == (not verdict.reason)
    return verdict.reason, verdict.phase, trace


class Site:
    """An HTTP server that answers everything with one status, headers and body."""

    def __init__(self) -> None:
        self.status, self.headers, self.body = (
            200,
            {"X-State": "all well"},
            b'{"db": {"nodes": [{"up": true}], "n": 1}}',
        )
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            while True:
                self.requests.append(await read_request(reader))
                lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
                head = f"HTTP/1.1 {self.status} X\r\n{lines}Content-Length: {len(self.body)}\r\n\r\n"
                writer.write(head.encode() + self.body)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            writer.close()


@contextlib.asynccontextmanager
async def site(tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    served = Site()
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        ({}, ""),
        ({"expect_status": [200, 204]}, ""),
        ({"expect_status": [204]}, "unexpected_status"),
        ({"expect_headers": {"x-state": "^all"}}, ""),
        ({"expect_headers": {"X-State": "broken"}}, "header_mismatch"),
        ({"expect_headers": {"X-Other": "."}}, "header_mismatch"),
        ({"expect_json": {"db.nodes[0].up": True, "db.n": 1}}, ""),
        ({"expect_json": {"db.nodes[0].up": 1}}, "json_mismatch"),
        ({"expect_json": {"db.nodes[1].up": True}}, "json_mismatch"),
        ({"expect_body": ["nodes", "up"]}, ""),
        ({"expect_body": ["down"]}, "body_mismatch"),
        ({"expect_body_pattern": '"n": \\d'}, ""),
        ({"expect_body_pattern": "^x"}, "body_mismatch"),
        ({"max_body_bytes": 5}, "body_too_large"),
    ],
)
async def test_http_answers_are_checked(expected: dict[str, Any], reason: str) -> None:
    """Status set, header patterns, JSON paths, body texts and patterns, size: each with its own reason."""
    async with site() as served:
        wanted = check(kind="http", url=f"http://127.0.0.1:{served.port}/health?deep=1", **expected)
        found, phase, trace = await run(wanted)
        assert found == reason
        assert trace.status == 200
        assert phase is None if not reason else phase in (Phase.HTTP, Phase.SEMANTIC)
        assert served.requests[0][0] == "GET /health?deep=1 HTTP/1.1"


async def test_http_sends_what_is_configured_and_keeps_a_pooled_connection() -> None:
    """Method, headers and body go out; two pooled attempts use one connection, two fresh ones two."""
    async with site() as served:
        url = f"http://127.0.0.1:{served.port}/orders"
        sent = check(kind="http", url=url, method="POST", headers={"X-Key": "k"}, body='{"a": 1}', pooled=True)
        runner = Checks((), HOST, Network(Component("h", "z", "canary"), {}, Map(CanaryConfig())), Resolver(None))
        for number in range(2):
            await runner.run(sent, number, monotonic() + 10)
        line, headers, body = served.requests[0]
        assert (line, headers["x-key"], body) == ("POST /orders HTTP/1.1", "k", b'{"a": 1}')
        assert headers["host"] == f"127.0.0.1:{served.port}"
        assert served.connections == 1
        for number in range(2):
            await runner.run(check(kind="http", url=url), number, monotonic() + 10)
        assert served.connections == 3
        runner.close()


async def test_http_failures_have_the_phase_in_which_they_happened(tmp_path: Path) -> None:
    """Nobody listens, no certificate to trust, an unknown name: the same words as for the store's probes."""
    context, authority = certificate(tmp_path, hosts=("127.0.0.1",))
    async with site(context) as served, dns_server() as dns:
        url = f"https://127.0.0.1:{served.port}/"
        assert (await run(check(kind="http", url=url, ca_file=authority)))[:2] == ("", None)
        reason, phase, _ = await run(check(kind="http", url=url))
        assert (reason, phase) == ("certificate_unknown_ca", Phase.TLS)
        dns.mode = "nxdomain"
        assert (await run(check(kind="http", url="http://nobody.test/"), dns))[:2] == ("dns_nxdomain", Phase.DNS)
    assert (await run(check(kind="http", url="http://127.0.0.1:9/")))[:2] == ("connect_refused", Phase.TCP)


@contextlib.asynccontextmanager
async def talker(
    greeting: bytes = b"", answer: bytes = b"", hold: bool = False
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A TCP server that greets, answers what it hears, and hangs up unless it is to ``hold``."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(greeting)
            if answer:
                heard.append(await reader.read(100))
                writer.write(answer)
            if hold:
                await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()


async def test_tcp_connects_sends_and_expects() -> None:
    """Connecting is enough unless something is expected; another answer, an early end and silence differ."""
    async with talker(b"220 mail ready\r\n", hold=True) as (port, _):
        assert (await run(check(kind="tcp", host="127.0.0.1", port=port)))[0] == ""
        assert (await run(check(kind="tcp", host="127.0.0.1", port=port, expect="^220 ")))[0] == ""
        silent = check(kind="tcp", host="127.0.0.1", port=port, expect="^250 ")
        assert (await run(silent, seconds=1.0))[:2] == ("deadline", Phase.WAIT)
    async with talker(answer=b"+PONG\r\n") as (port, heard):
        asked = {"kind": "tcp", "host": "127.0.0.1", "port": port, "send": "PING\r\n"}
        assert (await run(check(**asked, expect="PONG")))[0] == ""
        assert heard == [b"PING\r\n"]
        assert (await run(check(**asked, expect="OK")))[:2] == ("answer_mismatch", Phase.SEMANTIC)
    assert (await run(check(kind="tcp", host="127.0.0.1", port=9)))[:2] == ("connect_refused", Phase.TCP)


async def test_tls_tells_days_left_and_what_is_wrong_with_the_chain(tmp_path: Path) -> None:
    """Enough days are fine, too few and none at all are reasons of their own; so are authority and name."""
    for days, reason in ((30.0, ""), (5.0, "certificate_expires_soon"), (-1.0, "certificate_expired")):
        context, authority = certificate(tmp_path / str(days), days=days, hosts=("127.0.0.1",))
        async with site(context) as served:
            values = {"kind": "tls", "host": "127.0.0.1", "port": served.port}
            found, _, trace = await run(check(**values, ca_file=authority))
            assert found == reason
            if days == 30.0:
                assert trace.tls_ms is not None
                assert (await run(check(**values)))[0] == "certificate_unknown_ca"
                wrong_name = check(**values, ca_file=authority, server_name="other.test")
                assert (await run(wrong_name))[0] == "certificate_wrong_host"
    async with talker(b"not tls at all") as (port, _):
        assert (await run(check(kind="tls", host="127.0.0.1", port=port)))[:2] == ("tls_error", Phase.TLS)


@pytest.mark.parametrize(
    ("mode", "expected", "reason"),
    [
        ("ok", {}, ""),
        ("ok", {"expect_answers": ["127.77.4.1", "127.77.4.2"]}, ""),
        ("ok", {"expect_answers": ["127.77.4.1"], "only": True}, "dns_wrong_answers"),
        ("ok", {"expect_answers": ["10.0.0.1"]}, "dns_wrong_answers"),
        ("ok", {"min_answers": 3}, ""),
        ("ok", {"min_answers": 4}, "dns_too_few_answers"),
        ("ok", {"type": "TXT"}, "dns_empty"),
        ("empty", {}, "dns_empty"),
        ("empty", {"min_answers": 0}, ""),
        ("truncated", {"min_answers": 3}, ""),
        ("servfail", {}, "dns_servfail"),
        ("nxdomain", {}, "dns_nxdomain"),
        ("nxdomain", {"expect_rcode": "NXDOMAIN"}, ""),
        ("ok", {"expect_rcode": "NXDOMAIN"}, "dns_wrong_rcode"),
        ("garbage", {}, "dns_malformed"),
        ("silent", {}, "dns_timeout"),
    ],
)
async def test_dns_answers_are_checked(mode: str, expected: dict[str, Any], reason: str) -> None:
    """Response code, records and their number; an answer that was cut is asked for again over TCP."""
    async with dns_server() as dns:
        dns.mode = mode
        seconds = 0.3 if mode == "silent" else 10.0
        wanted = check(kind="dns", query="dynamodb.local.test", **expected)
        found, _, trace = await run(wanted, dns, seconds=seconds)
        assert found == reason
        assert trace.address == f"127.0.0.1:{dns.port}"
        own = wanted.model_copy(update={"server": f"127.0.0.1:{dns.port}"})
        assert (await run(own, seconds=seconds))[0] == reason


async def good(context: ProbeContext) -> None:
    """All is well."""
    assert (context.name, context.zone, context.options) == ("it", "az1", {"answer": 42})
    assert context.deadline > monotonic()


async def says_why(context: ProbeContext) -> None:
    """Not well, in its own words."""
    raise ProbeFailed("queue is 900 long")


async def breaks(context: ProbeContext) -> None:
    """Falls over."""
    json.loads("{")


async def hangs(context: ProbeContext) -> None:
    """Never comes back."""
    await asyncio.Event().wait()


def blocks(context: ProbeContext) -> None:
    """No async function."""


@pytest.mark.parametrize(
    ("function", "reason", "detail"),
    [
        (good, "", ""),
        (says_why, "check_failed", "queue is 900 long"),
        (breaks, "check_raised", "JSONDecodeError: "),
        (hangs, "deadline", ""),
    ],
)
async def test_python_functions_pass_or_fail_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, function: Any, reason: str, detail: str
) -> None:
    """By entry point; returns: well; raises: a reason of the bounded vocabulary and its text; too slow: cancelled."""
    offered = [SimpleNamespace(name="queue", load=lambda: function)]
    monkeypatch.setattr(checks_module, "entry_points", lambda group: offered if group == "fivenines.probes" else [])
    found, phase, trace = await run(
        check(kind="python", probe="queue", options={"answer": 42}), seconds=0.3 if function is hangs else 10.0
    )
    assert found == reason
    if reason:
        assert phase is Phase.SEMANTIC
        assert trace.verdict is not None
        assert (trace.verdict.detail or "").startswith(detail)


def test_a_python_probe_that_is_not_there_or_not_async_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which ones there are."""
    monkeypatch.setattr(checks_module, "entry_points", lambda group: [SimpleNamespace(name="b", load=lambda: blocks)])
    with pytest.raises(ValueError, match="there: b"):
        load_probe("a")
    with pytest.raises(ValueError, match="no async function"):
        load_probe("b")


async def test_a_sick_hosts_checks_hang_like_its_probes() -> None:
    """The faults of the drills reach generic checks as well."""
    fault = Fault.model_validate({"kind": "canary_sick", "canary": HOST.name})
    async with site() as served:
        wanted = check(kind="tcp", host="127.0.0.1", port=served.port)
        assert (await run(wanted, seconds=0.2, faults={"f": fault}))[0] == "dns_timeout"


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "http", "url": "ftp://x/"},
        {"kind": "http", "url": "http://user:secret@x/"},
        {"kind": "http", "url": "http://x/\r\nX: y"},
        {"kind": "http", "url": "http://x/", "headers": {"A": "b\r\nC: d"}},
        {"kind": "http", "url": "http://x/", "expect_json": {"a..b": 1}},
        {"kind": "http", "url": "http://x/", "expect_body_pattern": "("},
        {"kind": "http", "url": "http://x/", "method": "HEAD"},
        {"kind": "tcp", "host": "x", "port": 70000},
        {"kind": "dns", "query": "x", "type": "ANY"},
        {"kind": "smoke"},
        {"kind": "tls", "host": "x", "name": "two words"},
    ],
)
def test_a_check_that_cannot_work_is_refused_by_the_configuration(values: dict[str, Any]) -> None:
    """Wrong schemes, line breaks in headers, bad patterns and paths, unknown kinds."""
    with pytest.raises(ValidationError):
        check(**values)


def test_names_are_unique_over_checks_and_endpoints() -> None:
    """Both are what a series calls its endpoint."""
    twice = {"kind": "tcp", "name": "standard", "host": "x", "port": 1}
    with pytest.raises(ValidationError, match="twice: standard"):
        CanaryConfig.model_validate({"endpoints": [{"name": "standard", "host": "h"}], "checks": [twice]})
