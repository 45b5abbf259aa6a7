"""The region's DNS server, asked by real resolvers."""

import asyncio
import contextlib
import socket

import aiohttp
import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.resolver
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from cluster.config import ClusterConfig
from cluster.dns import Responder, serve
from cluster.dns_admin import DnsAdmin
from cluster.dns_answers import directory
from cluster.topology import build
from tests.cluster.front_world import free_ports

NAME = "dynamodb.local.fivenines.test"
HOST = "127.0.0.1"


@contextlib.asynccontextmanager
async def region(directory_path, *, single=False):
    """A served region: its configuration and its topology."""
    token = directory_path / "token"
    token.write_text("let me in\n")
    dns_port, admin_port = free_ports(2, HOST)
    config = ClusterConfig(dns_port=dns_port, dns_admin_port=admin_port, admin_token_file=token)
    topology = build(config, single=single)
    ready = asyncio.Event()
    task = asyncio.create_task(serve(config, topology, ready))
    await asyncio.wait_for(ready.wait(), 5)
    try:
        yield config, topology
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def ask(config, name, kind, *, tcp=False):
    query = dns.message.make_query(name, kind)
    send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return await send(query, HOST, port=config.dns_port, timeout=3)


def addresses(response):
    return [record.address for rrset in response.answer for record in rrset]


@pytest.mark.parametrize("tcp", [False, True])
async def test_every_endpoint_has_every_router(tmp_path, tcp):
    """Each name has the addresses of all routers for one second, another one first each time."""
    async with region(tmp_path) as (config, topology):
        expected = [router.https.host for router in topology.routers]
        for host in topology.endpoint_hosts.values():
            response = await ask(config, host.upper(), "A", tcp=tcp)
            assert sorted(addresses(response)) == expected
            assert response.answer[0].ttl == 1
            assert response.flags & dns.flags.AA
        firsts = {addresses(await ask(config, NAME, "A", tcp=tcp))[0] for _ in range(len(expected))}
        assert firsts == set(expected)


async def test_a_resolver_library_gets_along(tmp_path):
    """Dnspython's resolver finds addresses, an empty answer, no such name, and a service on loopbacks with one address."""
    async with region(tmp_path, single=True) as (config, topology):
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers, resolver.port, resolver.lifetime = [HOST], config.dns_port, 3
        assert {r.address for r in await resolver.resolve(NAME, "A")} == {"127.0.0.1"}
        with pytest.raises(dns.resolver.NoAnswer):
            await resolver.resolve(NAME, "AAAA")
        with pytest.raises(dns.resolver.NXDOMAIN):
            await resolver.resolve("nobody.fivenines.test", "A")
        services = list(await resolver.resolve(f"_https._tcp.{NAME}", "SRV"))
        assert sorted(s.port for s in services) == sorted(router.https.port for router in topology.routers)
        for service in services:
            assert [r.address for r in await resolver.resolve(service.target, "A")] == ["127.0.0.1"]


async def test_other_names(tmp_path):
    """Outside the domain: REFUSED; between the names: empty; unknown: NXDOMAIN; the type does not matter."""
    async with region(tmp_path) as (config, _):
        rcodes = {
            name: dns.rcode.to_text((await ask(config, name, "A")).rcode())
            for name in (
                "example.com",
                "notfivenines.test",
                "local.fivenines.test",
                "_tcp." + NAME,
                "x.fivenines.test",
                "fivenines.test",
            )
        }
        assert rcodes == {
            "example.com": "REFUSED",
            "notfivenines.test": "REFUSED",
            "local.fivenines.test": "NOERROR",
            "_tcp." + NAME: "NOERROR",
            "x.fivenines.test": "NXDOMAIN",
            "fivenines.test": "NOERROR",
        }
        assert (await ask(config, "fivenines.test", "SOA")).answer


async def test_faults_come_and_go(tmp_path):
    """Empty, servfail and wrong answers, for one endpoint or any, until removed; the token is needed."""
    async with region(tmp_path) as (config, topology), aiohttp.ClientSession() as session:
        url = f"http://{topology.dns_admin}"
        token = {"Authorization": "Bearer let me in"}

        async def order(method, path, body=None, headers=token):
            async with session.request(method, url + path, json=body, headers=headers) as response:
                return response.status, await response.json()

        def fault(answer, endpoint):
            return {"id": "f1", "fault": {"kind": "dns", "endpoint": endpoint, "answer": answer}}

        assert await order("GET", "/ready", headers={}) == (200, {"ready": True})
        assert (await order("POST", "/faults", fault("empty", "standard"), headers={}))[0] == 401
        assert (await order("POST", "/faults", fault("empty", "standard")))[0] == 200
        assert (await order("POST", "/faults", fault("empty", "standard")))[0] == 409
        empty = await ask(config, NAME, "A")
        assert (empty.rcode(), empty.answer) == (dns.rcode.NOERROR, [])
        assert not (await ask(config, f"_https._tcp.{NAME}", "SRV")).answer
        assert (await ask(config, topology.endpoint_hosts["fips"], "A")).answer
        assert [f["id"] for f in (await order("GET", "/faults"))[1]["faults"]] == ["f1"]
        assert (await order("DELETE", "/faults/f1"))[0] == 200
        assert (await order("DELETE", "/faults/f1"))[0] == 404
        assert len(addresses(await ask(config, NAME, "A"))) == 6
        await order("POST", "/faults", fault("servfail", "any"))
        for host in topology.endpoint_hosts.values():
            assert (await ask(config, host, "A")).rcode() == dns.rcode.SERVFAIL
        await order("DELETE", "/faults/f1")
        await order("POST", "/faults", fault("wrong", "account"))
        (wrong,) = addresses(await ask(config, topology.endpoint_hosts["account"], "A"))
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((wrong, config.https_port), timeout=1)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"id": "x", "fault": {"kind": "crash", "node": "az1-node-1"}}, 422),
        ({"id": "x", "fault": {"kind": "dns", "endpoint": "nowhere", "answer": "empty"}}, 422),
        ({"id": "x", "fault": {"kind": "dns", "endpoint": "fips"}}, 400),
        ({"id": "", "fault": {}}, 400),
        ([], 400),
    ],
)
async def test_wrong_orders_are_refused(tmp_path, body, status):
    """What is no DNS fault is refused in words."""
    async with region(tmp_path) as (_, topology), aiohttp.ClientSession() as session:
        headers = {"Authorization": "Bearer let me in"}
        async with session.post(f"http://{topology.dns_admin}/faults", json=body, headers=headers) as response:
            assert response.status == status
            assert (await response.json())["error"]


async def test_routers_are_taken_out_of_the_answers_but_never_more_than_half_of_them(tmp_path):
    """Whoever takes them out says the whole set; unknown ones, too many, and nobody without the token are refused."""
    async with region(tmp_path) as (config, topology), aiohttp.ClientSession() as session:
        url, token = f"http://{topology.dns_admin}/withdrawn", {"Authorization": "Bearer let me in"}
        names = [router.name for router in topology.routers]
        for routers, headers, status in (
            (names[:1], {}, 401),
            (["nobody"], token, 422),
            (names, token, 409),
            (names[:1], token, 200),
        ):
            async with session.put(url, json={"routers": routers}, headers=headers) as response:
                assert response.status == status
        async with session.get(url, headers=token) as response:
            assert await response.json() == {"routers": names[:1]}
        assert (await ask(config, NAME, "A")).answer


async def test_garbage_is_dropped_and_counted(tmp_path):
    """Garbage gets no answer, over UDP or TCP, and the server goes on."""
    async with region(tmp_path) as (config, topology):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for data in (b"", b"x", b"\xff" * 600, dns.message.make_query(NAME, "A").to_wire()[:-3]):
                udp.sendto(data, (HOST, config.dns_port))
        for data in (b"\x00\x05hello", b"\xff\xff" + b"x" * 100):
            reader, writer = await asyncio.open_connection(HOST, config.dns_port)
            writer.write(data)
            assert await asyncio.wait_for(reader.read(), 3) == b""
            writer.close()
        assert (await ask(config, NAME, "A")).answer
        async with aiohttp.ClientSession() as session, session.get(f"http://{topology.dns_admin}/metrics") as response:
            page = await response.text()
        assert 'store_dns_refused_total{reason="malformed"} 5.0' in page
        assert 'store_dns_refused_total{reason="too_large"} 1.0' in page


def responder(single=False):
    config = ClusterConfig()
    registry = CollectorRegistry()
    topology = build(config, single=single)
    return Responder(
        directory(topology, config.domain),
        DnsAdmin(frozenset(topology.endpoint_hosts), frozenset(r.name for r in topology.routers), registry),
        registry,
    )


@given(st.binary(max_size=80), st.integers(min_value=0, max_value=15), st.booleans())
def test_no_packet_breaks_the_server(noise, opcode, tcp):
    """Any bytes, any opcode, whole or damaged: an answer or none, never an exception."""
    server = responder()
    server.respond(noise, tcp=tcp)
    query = bytearray(dns.message.make_query(NAME, "ANY").to_wire())
    query[2] = (query[2] & 0x87) | opcode << 3
    server.respond(bytes(query), tcp=tcp)
    for at, byte in enumerate(noise[: len(query)]):
        query[at] ^= byte
    server.respond(bytes(query), tcp=tcp)


def test_small_packets_are_truncated():
    """An answer that does not fit into 512 bytes says so, and is whole over TCP."""
    query = dns.message.make_query(f"_https._tcp.{NAME}", "ANY", use_edns=False).to_wire()
    server = responder(single=True)
    small = dns.message.from_wire(server.respond(query, tcp=False))
    assert len(server.respond(query, tcp=False)) <= 512
    assert small.flags & dns.flags.TC or small.answer
    assert len(dns.message.from_wire(server.respond(query, tcp=True)).answer[0]) == 6
