"""One connection between two zone processes: handshake, frames in, frames out, signs of life (shell)."""

import asyncio
import hmac
import logging
import os
from collections.abc import Callable
from typing import cast

from cluster.frames import BadFrame, Frame, Hello, decode_frame, decode_hello, encode, proof, split

logger = logging.getLogger("cluster")

QUEUE_BYTES = 8 * 1024 * 1024
HELLO_SECONDS = 2.0
_HELLO_BYTES = 1024


class Link(asyncio.Protocol):
    """A connection; ``opened`` once the peer has proved the secret, ``closed`` once it is gone.

    Frames sent during two turns of the loop leave in one write. A queue of more than ``QUEUE_BYTES`` refuses more.
    """

    def __init__(
        self,
        *,
        zone: str,
        secret: bytes,
        dials: bool,
        opened: Callable[["Link"], bool],
        received: Callable[[Frame], None],
        closed: Callable[["Link", str], None],
    ) -> None:
        self._zone, self._secret, self._dials = zone, secret, dials
        self._opened, self._received, self._closed = opened, received, closed
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._outgoing: list[bytes] = []
        self._challenge = b""
        self._nonce = os.urandom(32)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.peer: str | None = None
        self.reason = "lost"
        self.heard_at = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The acceptor speaks first: a challenge."""
        # uvloop transports are no subclasses of asyncio ones.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=QUEUE_BYTES)
        self._timer = self._loop.call_later(HELLO_SECONDS, self.abort, "hello_timeout")
        if not self._dials:
            self._transport.write(encode(Hello(self._zone, self._nonce, b"")))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (`reason` says more)
        """Tell the hub, once."""
        if self._timer:
            self._timer.cancel()
        self._transport = None
        self._closed(self, self.reason)

    def data_received(self, data: bytes) -> None:
        """Frames, or steps of the handshake before the peer is known; anything else ends the connection."""
        self._buffer += data
        self.heard_at = self._loop.time()
        try:
            while self.peer is None and (steps := split(self._buffer, limit=_HELLO_BYTES, at_most=1)):
                self._greet(decode_hello(steps[0]))
            if self.peer is not None:
                for payload in split(self._buffer):
                    self._take(payload)
        except BadFrame as error:
            logger.warning("transport %s: refused the peer's bytes: %s", self.peer or "hello", error)
            self.abort("bad_frame")

    def _take(self, payload: bytes) -> None:
        if payload and self._transport is not None:
            self._received(decode_frame(payload))

    def _greet(self, hello: Hello) -> None:
        if self._transport is None:
            return
        if self._dials and not self._challenge:
            self._challenge = hello.nonce
            own = proof(self._secret, "dial", self._zone, self._challenge, self._nonce)
            self._transport.write(encode(Hello(self._zone, self._nonce, own)))
            return
        if self._dials:
            expected = proof(self._secret, "accept", hello.zone, self._challenge, self._nonce)
        else:
            expected = proof(self._secret, "dial", hello.zone, self._nonce, hello.nonce)
        if not hmac.compare_digest(expected, hello.proof):
            self.abort("wrong_secret")
            return
        if not self._dials:
            own = proof(self._secret, "accept", self._zone, self._nonce, hello.nonce)
            self._transport.write(encode(Hello(self._zone, b"", own)))
        self._open(hello.zone)

    def _open(self, peer: str) -> None:
        if self._timer:
            self._timer.cancel()
        self.peer = peer
        if not self._opened(self):
            self.abort("unknown_zone")

    def send(self, frame: Frame | None) -> bool:
        """Queue it; False when the queue is full or the connection gone."""
        if self._transport is None or self._transport.get_write_buffer_size() > QUEUE_BYTES:
            return False
        if not self._outgoing:
            # Once more round the loop: what the sockets that are ready now give rise to leaves in the same write.
            self._loop.call_soon(self._loop.call_soon, self._flush)
        self._outgoing.append(encode(frame))
        return True

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if self._transport is not None:
            self._transport.write(b"".join(outgoing))

    def abort(self, reason: str) -> None:
        """Cut the connection."""
        self.reason = reason
        if self._transport is not None:
            self._transport.abort()
