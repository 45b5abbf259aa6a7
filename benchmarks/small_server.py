"""A small server to be probed, in a process of its own: GET gives a page, POST does DynamoDB's PutItem and GetItem in memory.

``python -m benchmarks.small_server [CERTIFICATE KEY]`` prints its port. ``GET /count`` says how many requests it has
answered (without this one), so that a prober's cost is divided by what was really asked, whoever asked it.
"""

import asyncio
import ssl
import sys
import zlib
from typing import cast

import msgspec
import uvloop

PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\nok\n"
PARTITIONS = 9


class _Text(msgspec.Struct):
    S: str


class _Key(msgspec.Struct):
    pk: _Text
    sk: _Text


class _Put(msgspec.Struct):
    Item: msgspec.Raw


class _Get(msgspec.Struct):
    Key: _Key


_put, _get, _key = (msgspec.json.Decoder(kind) for kind in (_Put, _Get, _Key))


class Store:
    """Items by key, and how many requests were answered."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], bytes] = {}
        self.answered = 0

    def answer(self, head: bytes, body: bytes) -> bytes:
        """The whole response to one request."""
        if head.startswith(b"GET /count"):
            text = b"%d" % self.answered
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
        self.answered += 1
        if head.startswith(b"GET"):
            return PAGE
        if b".PutItem\r\n" in head:
            item = bytes(_put.decode(body).Item)
            key = _key.decode(item)
            self.items[key.pk.S, key.sk.S] = item
            return _said(key.pk.S, b"{}")
        key = _get.decode(body).Key
        found = self.items.get((key.pk.S, key.sk.S))
        return _said(key.pk.S, b'{"Item":%b}' % found if found else b"{}")


def _said(pk: str, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nx-amzn-RequestId: " + b"R" * 52 + b"\r\n"
        b"x-amz-crc32: %d\r\nx-router: az1-router-1\r\nx-replica: az1-node-1\r\nx-partition: p%d\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (zlib.crc32(body), zlib.crc32(pk.encode()) % PARTITIONS, len(body), body)
    )


class Answerer(asyncio.Protocol):
    """One connection; requests may come in pieces."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self._got += data
        while (end := self._got.find(b"\r\n\r\n") + 4) > 3:
            head = self._got[:end]
            at = head.lower().find(b"\r\ncontent-length:")
            size = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._got) < end + size:
                return
            self._transport.write(self._store.answer(head, self._got[end : end + size]))
            self._got = self._got[end + size :]
            if b"\r\nConnection: close" in head:
                self._transport.close()


async def serve(files: list[str]) -> None:
    """Until killed."""
    tls = None
    if files:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*files)
    store = Store()
    server = await asyncio.get_running_loop().create_server(
        lambda: Answerer(store), "127.0.0.1", 0, ssl=tls, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1:]))
