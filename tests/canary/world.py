"""A small world on loopback for a canary to ask: name server, store, collector, certificates; each breakable."""

import asyncio
import contextlib
import datetime as dt
import hashlib
import ipaddress
import json
import ssl
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from canary.config import CanaryConfig, EndpointConfig, PathHop, SdkConfig
from canary.transport.config import SpoolConfig
from collector.series import Reading
from collector.wire import Batch, decode_batch

HOST = "dynamodb.local.test"
ADDRESSES = ("127.77.4.1", "127.77.4.2", "127.77.4.3")


class FakeDns(asyncio.DatagramProtocol):
    """Answers A and SRV questions by dnspython over UDP and TCP; ``mode`` breaks it."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {HOST: list(ADDRESSES)}
        self.services: dict[str, list[tuple[str, int]]] = {}
        self.mode = "ok"
        self.asked = 0
        self.asked_tcp = 0
        self.transport: asyncio.DatagramTransport | None = None
        self.port = 0

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        """The response to a query; None for silence."""
        query = dns.message.from_wire(wire)
        name, kind = query.question[0].name, query.question[0].rdtype
        response = dns.message.make_response(query)
        text = name.to_text(omit_final_dot=True).lower()
        if self.mode == "silent":
            return None
        if self.mode in ("servfail", "refused"):
            response.set_rcode(dns.rcode.from_text(self.mode))
        elif self.mode == "nxdomain":
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif self.mode == "garbage":
            return wire[:2] + b"\x80" + wire[3:7] + b"\x09" + wire[8:]  # promises nine answers, holds none
        elif self.mode == "truncated" and not tcp:
            response.flags |= dns.flags.TC
        elif self.mode != "empty":
            if kind == dns.rdatatype.A and text in self.addresses:
                response.answer.append(dns.rrset.from_text(name, 5, "IN", "A", *self.addresses[text]))
            if kind == dns.rdatatype.SRV and text in self.services:
                lines = [f"0 0 {port} {target}." for target, port in self.services[text]]
                response.answer.append(dns.rrset.from_text(name, 5, "IN", "SRV", *lines))
        return response.to_wire()

    def connection_made(self, transport: Any) -> None:
        """The socket is bound."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """A query over UDP."""
        self.asked += 1
        answer = self.answer(data)
        if answer is not None and self.transport is not None:
            self.transport.sendto(answer, addr)

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A query over TCP."""
        self.asked_tcp += 1
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            answer = self.answer(wire, tcp=True)
            if answer is not None:
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def dns_server() -> AsyncIterator[FakeDns]:
    """A name server on a free port of 127.0.0.1, UDP and TCP."""
    server = FakeDns()
    loop = asyncio.get_running_loop()
    tcp = await asyncio.start_server(server.serve_tcp, "127.0.0.1", 0)
    server.port = tcp.sockets[0].getsockname()[1]
    transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", server.port))
    try:
        yield server
    finally:
        transport.close()
        tcp.close()


async def read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """The request line, headers (lower-case names) and body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *lines = head.split("\r\n")
    headers = {k.strip().lower(): v.strip() for k, _, v in (text.partition(":") for text in lines if text)}
    return line, headers, await reader.readexactly(int(headers.get("content-length", 0)))


Answer = tuple[int, dict[str, str], bytes]


class FakeStore:
    """A DynamoDB of one table on three addresses; items in memory, nine partitions by hash. ``mode`` breaks it."""

    def __init__(self, partitions: int = 9) -> None:
        self.partitions = partitions
        self.items: dict[tuple[str, str], dict[str, Any]] = {}
        self.mode = "ok"
        self.says_partition = True
        self.connections = 0
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.writers: set[asyncio.StreamWriter] = set()
        self.servers: list[asyncio.Server] = []
        self.port = 0
        self.hook: Callable[[str, dict[str, Any]], Answer | None] = lambda target, body: None

    def partition_of(self, pk: str) -> str:
        """Where a key lies."""
        return f"p{hashlib.sha256(pk.encode()).digest()[0] % self.partitions}"

    def answer(self, address: str, headers: dict[str, str], body: bytes) -> Answer:
        """Status, headers and body for one request."""
        parameters = json.loads(body)
        target = headers["x-amz-target"].rsplit(".", 1)[-1]
        self.requests.append((target, headers, parameters))
        special = self.hook(target, parameters)
        if special is not None:
            return special
        if self.mode == "http_500":
            error = {"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": "broken"}
            return 500, self.headers(address, "x", b""), json.dumps(error).encode()
        pk, result = self.carry_out(target, parameters)
        out = json.dumps(result).encode()
        return 200, self.headers(address, pk, out), out

    def carry_out(self, target: str, parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The partition key that a request is about ("" for none) and the answer."""

        def key_of(holder: dict[str, Any]) -> tuple[str, str]:
            return holder["pk"]["S"], holder["sk"]["S"]

        def found(key: tuple[str, str]) -> dict[str, Any]:
            return {"Item": self.items[key]} if key in self.items else {}

        match target:
            case "PutItem":
                key = key_of(parameters["Item"])
                self.items[key] = parameters["Item"]
                return key[0], {}
            case "DeleteItem":
                self.items.pop(key_of(parameters["Key"]), None)
                return parameters["Key"]["pk"]["S"], {}
            case "GetItem":
                key = key_of(parameters["Key"])
                return key[0], found(key)
            case "Query":
                pk, prefix = (parameters["ExpressionAttributeValues"][name]["S"] for name in (":pk", ":sk"))
                keys = sorted(key for key in self.items if key[0] == pk and key[1].startswith(prefix))
                return pk, {"Items": [self.items[key] for key in keys]}
            case "BatchGetItem":
                ((table, wanted),) = parameters["RequestItems"].items()
                got = [self.items[key] for key in map(key_of, wanted["Keys"]) if key in self.items]
                return "", {"Responses": {table: got}, "UnprocessedKeys": {}}
            case "TransactWriteItems":
                self.items |= {key_of(each["Put"]["Item"]): each["Put"]["Item"] for each in parameters["TransactItems"]}
                return "", {}
            case "TransactGetItems":
                return "", {"Responses": [found(key_of(each["Get"]["Key"])) for each in parameters["TransactItems"]]}
            case "DescribeTable":
                return "", {"Table": {"TableName": parameters["TableName"], "TableStatus": "ACTIVE"}}
            case _:
                return "", {"TableNames": ["canary"]}

    def headers(self, address: str, pk: str, body: bytes) -> dict[str, str]:
        """What a router says beside the body."""
        zone = f"az{address.rsplit('.', 1)[-1]}"
        crc = zlib.crc32(body) + (1 if self.mode == "bad_crc" else 0)
        said = {
            "x-amzn-RequestId": "R" * 52,
            "x-amz-crc32": str(crc),
            "x-router": f"{zone}-router-1",
            "x-replica": f"{zone}-node-2",
            "x-partition": self.partition_of(pk),
        }
        if not self.says_partition:
            del said["x-partition"]
        return said

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection."""
        self.connections += 1
        self.writers.add(writer)
        address = writer.get_extra_info("sockname")[0]
        try:
            while True:
                _, headers, body = await read_request(reader)
                if self.mode == "hang":
                    await asyncio.Event().wait()
                if self.mode == "cut":
                    writer.transport.abort()
                    return
                status, said, out = self.answer(address, headers, body)
                lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
                writer.write(f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(out)}\r\n\r\n".encode() + out)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    def hang_up(self) -> None:
        """Close every connection, politely."""
        for writer in list(self.writers):
            writer.close()

    async def stop(self) -> None:
        """Stop listening and cut every connection, as a power-off does."""
        for server in self.servers:
            server.close()
        for writer in list(self.writers):
            writer.transport.abort()


@contextlib.asynccontextmanager
async def store_server(tls: ssl.SSLContext | None = None, partitions: int = 9) -> AsyncIterator[FakeStore]:
    """The store on one free port of three addresses."""
    store = FakeStore(partitions)
    for address in ADDRESSES:
        server = await asyncio.start_server(store.serve, address, store.port, ssl=tls)
        store.port = server.sockets[0].getsockname()[1]
        store.servers.append(server)
    try:
        yield store
    finally:
        await store.stop()


class FakeCollector:
    """Keeps batches as they are accepted; ``statuses`` are given first, ``accept_silently`` loses the answer."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.arrivals: list[Batch] = []
        self.statuses: list[int] = []
        self.lose_answers = 0
        self.tokens: list[str | None] = []
        self.url = ""
        self.server: asyncio.Server | None = None
        self.arrived = asyncio.Event()
        self._seen: set[tuple[str, str, int]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection."""
        try:
            while True:
                line, headers, body = await read_request(reader)
                if line.startswith("GET /v1/asks"):
                    writer.write(b"HTTP/1.1 404 X\r\nContent-Length: 2\r\n\r\n{}")
                    continue
                if line.startswith("GET /ready"):
                    status = 503 if self.statuses else 200
                    writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\n{{}}".encode())
                    continue
                self.tokens.append(headers.get("authorization"))
                status = self.statuses.pop(0) if self.statuses else 200
                if status == 200:
                    self.take(decode_batch(body))
                if self.lose_answers:
                    self.lose_answers -= 1
                    writer.transport.abort()
                    return
                out = json.dumps({"status": "accepted"} if status == 200 else {"error": "busy"}).encode()
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(out)}\r\n\r\n".encode() + out)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    def take(self, batch: Batch) -> None:
        """Keep a batch; a second arrival only in ``arrivals``."""
        self.arrivals.append(batch)
        identity = (batch.host, batch.boot, batch.sequence)
        if identity not in self._seen:
            self._seen.add(identity)
            self.batches.append(batch)
        self.arrived.set()

    def readings(self) -> list[Reading]:
        """All readings so far."""
        return [reading for batch in self.batches for reading in batch.readings]

    async def until(self, true: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait for arrivals until ``true()``."""
        async with asyncio.timeout(seconds):
            while not true():
                self.arrived.clear()
                await self.arrived.wait()


@contextlib.asynccontextmanager
async def collector_server() -> AsyncIterator[FakeCollector]:
    """A collector on a free port."""
    collector = FakeCollector()
    collector.server = await asyncio.start_server(collector.serve, "127.0.0.1", 0)
    collector.url = f"http://127.0.0.1:{collector.server.sockets[0].getsockname()[1]}"
    try:
        yield collector
    finally:
        collector.server.close()


def config(
    dns: FakeDns, store: FakeStore, collectors: tuple[str, ...], ports: dict[str, int], **changes: Any
) -> CanaryConfig:
    """One endpoint of the fake world; three zones, two hosts each, quick."""
    values: dict[str, Any] = {
        "endpoints": (EndpointConfig(name="standard", host=HOST, port=store.port, tls=False),),
        "resolver": f"127.0.0.1:{dns.port}",
        "path_hops": tuple(
            PathHop(address=f"{address}:{store.port}", router=f"az{i}-router-1", zone=f"az{i}")
            for i, address in enumerate(ADDRESSES, start=1)
        ),
        "collectors": collectors,
        "spool": SpoolConfig(dir=None),
        "admin_ports": ports,
        "operations": ("write", "strong_read", "eventual_read"),
        "cadence_seconds": 0.5,
        "deadline_seconds": 0.5,
        "sdk": SdkConfig(cadence_seconds=0),
    }
    return CanaryConfig(**(values | changes))


def certificate(folder: Path, *, days: float = 1.0, hosts: tuple[str, ...] = (HOST,)) -> tuple[ssl.SSLContext, Path]:
    """A server context with a certificate that ends in ``days`` (may be negative), and the file of its authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    now = dt.datetime.now(dt.UTC)
    alternatives = [x509.IPAddress(ipaddress.ip_address(h)) if h[0].isdigit() else x509.DNSName(h) for h in hosts]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=10))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    pem, secret = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    return context, pem
