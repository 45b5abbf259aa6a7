"""A DynamoDB endpoint that fails on purpose and keeps account of it: the other side of what a program counts."""

import asyncio
import contextlib
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator

THROTTLE = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
CONDITION = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"
FAULT = "com.amazon.coral.service#InternalServerError"
ANSWERS: dict[str, tuple[int, dict[str, str]]] = {
    "success": (200, {}),
    "fault": (500, {"__type": FAULT, "message": "on purpose"}),
    "unavailable": (503, {"__type": "com.amazon.coral.availability#ServiceUnavailable", "message": "on purpose"}),
    "throttle": (400, {"__type": THROTTLE, "message": "on purpose"}),
    "condition": (400, {"__type": CONDITION, "message": "on purpose"}),
}
OUTCOMES = {
    "success": "success",
    "fault": "server_fault",
    "unavailable": "server_fault",
    "throttle": "throttled",
    "condition": "customer_fault",
    "hang": "timeout",
    "reset": "unreachable",
}
"""What is done to a request → how it should be counted."""


class Endpoint:
    """Does to each request what the next word of ``plan`` says, round and round; counts by table and outcome."""

    def __init__(self, plan: tuple[str, ...]) -> None:
        self._plan = plan
        self._asked = 0
        self.attempts: dict[str, Counter[str]] = {}
        self.port = 0

    async def serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        """Listen until told to stop."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await stop.wait()
        server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.partition("content-length:")[2].partition("\r\n")[0])
                if "expect: 100-continue" in head:
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = json.loads(await reader.readexactly(length))
                what = self._plan[self._asked % len(self._plan)]
                self._asked += 1
                self.attempts.setdefault(body.get("TableName", ""), Counter())[OUTCOMES[what]] += 1
                if what == "hang":
                    await reader.read()  # until the client has had enough
                    break
                if what == "reset":
                    sock: socket.socket = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                status, answer = ANSWERS[what]
                data = json.dumps(answer).encode()
                headers = (
                    f"HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(data)}"
                )
                writer.write(f"{headers}\r\nx-amzn-RequestId: r-{self._asked}\r\n\r\n".encode() + data)
        writer.close()


@contextlib.contextmanager
def failing(*plan: str) -> Iterator[Endpoint]:
    """An endpoint on a thread of its own."""
    endpoint, started, stops = Endpoint(plan), threading.Event(), []

    async def serve() -> None:
        stop = asyncio.Event()
        stops.append((asyncio.get_running_loop(), stop))
        await endpoint.serve(started, stop)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield endpoint
    finally:
        loop, stop = stops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
