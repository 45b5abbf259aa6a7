"""Who may stay connected: not too many, and nobody who sends half a request and then nothing (shell)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import web

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 69\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
    b'{"error": "busy", "detail": "too many connections: try again later."}'
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Turned(asyncio.Protocol):
    """A connection too many: one polite sentence, then the end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say it and close."""
        transport = cast("asyncio.WriteTransport", transport)  # uvloop transports are no subclasses of asyncio ones
        transport.write(_FULL)
        transport.close()


class Doorkeeper:
    """Counts connections and closes idle ones.

    A new connection has ``first_seconds`` to get through its first request's headers, a used one ``again_seconds``.
    """

    def __init__(
        self,
        server: web.Server,
        *,
        connections_max: int,
        first_seconds: float,
        again_seconds: float,
        count: Callable[[str], None],
    ) -> None:
        self._server = server
        self._connections_max = connections_max
        self._first_seconds = first_seconds
        self._again_seconds = again_seconds
        self._count = count
        self._busy: set[object] = set()
        self._patience_ends: dict[object, float] = {}

    def __call__(self) -> asyncio.Protocol:
        """A protocol for a new connection."""
        if len(self._server.connections) >= self._connections_max:
            self._count("too_many")
            return _Turned()
        protocol: asyncio.Protocol = self._server()
        return protocol

    async def mind(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """While a request is being answered its connection is not idle (handlers have their own limits)."""
        connection = request.protocol
        self._busy.add(connection)
        try:
            return await handler(request)
        finally:
            self._busy.discard(connection)
            self._patience_ends[connection] = asyncio.get_running_loop().time() + self._again_seconds

    async def watch(self) -> None:
        """Look every second, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            self.sweep(asyncio.get_running_loop().time())

    def sweep(self, now: float) -> None:
        """Close what has been idle for too long. ``now``: the loop's monotonic time."""
        begun = now + self._first_seconds
        ends = self._patience_ends = {c: self._patience_ends.get(c, begun) for c in self._server.connections}
        for connection, end in ends.items():
            if now > end and connection not in self._busy:
                self._count("idle")
                connection.force_close()  # type: ignore[attr-defined]  # aiohttp's handlers, kept as mere keys
