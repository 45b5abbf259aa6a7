"""How a host looks at itself: echoes, lag of the event loop, clock, open files (shell)."""

import asyncio
import contextlib
import logging
import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic

import msgspec

from canary.clock import Clock
from canary.connection import MalformedHttp, open_http, open_tcp
from canary.jury import Echo, Jury, LagLog, SelfCheck
from canary.network import Network
from collector.series import Health

logger = logging.getLogger("canary")

CHECK_SECONDS = 1.0
RECHECK_SECONDS = 0.25
DOUBT_GAP_SECONDS = 2.0
ECHO_TIMEOUT_SECONDS = 0.5
LAG_TICK_SECONDS = 0.1
_OPEN_FILES = Path("/dev/fd")


class LagTicker:
    """Wakes ten times a second and sees how late it is."""

    def __init__(self) -> None:
        self._log = LagLog()
        self._expected = 0.0
        self._worst_ms: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._expected = monotonic() + LAG_TICK_SECONDS
            await asyncio.sleep(LAG_TICK_SECONDS)
            self._note(monotonic())

    def _note(self, now: float) -> None:
        self._log.note(self._expected, now)
        lag_ms = max(0.0, (now - self._expected) * 1000)
        for reader, worst in self._worst_ms.items():
            self._worst_ms[reader] = max(worst, lag_ms)

    def spoiled(self, start: float, end: float) -> bool:
        """Whether the loop stood still within ``[start, end]``; also sees a stall whose end the ticker has not seen yet."""
        if self._expected and end > self._expected:
            self._note(end)
        return self._log.overlaps(start, end)

    def worst_ms(self, reader: str) -> float:
        """The worst lag since the same reader asked last."""
        worst = self._worst_ms.get(reader, 0.0)
        self._worst_ms[reader] = 0.0
        return worst


async def serve_loopback() -> tuple[asyncio.Server, int]:
    """A TCP echo on a free port of 127.0.0.1."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async with asyncio.timeout(1.0):
                writer.write(await reader.readexactly(4))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


class SelfCheckRunner:
    """One host's look at itself each second; sooner after a doubt."""

    def __init__(
        self,
        host: str,
        zone: str,
        *,
        network: Network,
        clock: Clock,
        ticker: LagTicker,
        loopback_port: int,
        echoes: Mapping[str, tuple[str, int]],
        on_change: Callable[[], None],
    ) -> None:
        self._host = host
        self._zone = zone
        self._network = network
        self._clock = clock
        self._ticker = ticker
        self._loopback_port = loopback_port
        self._echoes = dict(echoes)
        self._on_change = on_change
        self._jury = Jury()
        self._reasons: tuple[str, ...] = ()
        self._last: SelfCheck | None = None
        self._doubt = asyncio.Event()
        self._calm_until = 0.0

    @property
    def recused(self) -> bool:
        """Whether the host does not believe itself now."""
        return self._jury.recused

    def doubt(self) -> None:
        """An attempt failed: look at oneself now rather than at the next second (in a long outage, not over and over)."""
        if monotonic() >= self._calm_until:
            self._calm_until = monotonic() + DOUBT_GAP_SECONDS
            self._doubt.set()

    def health(self) -> Health | None:
        """The host's verdict about itself; None before the first look."""
        check = self._last
        if check is None:
            return None
        return Health(
            host=self._host,
            zone=self._zone,
            at=self._clock.wall(),
            recused=self._jury.recused,
            reasons=self._reasons,
            loop_lag_ms=round(check.lag_ms, 1),
            clock_offset_ms=None if check.clock_offset_ms is None else round(check.clock_offset_ms, 1),
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._doubt.clear()
            check = await self._look()
            standing = self._jury.step(check, monotonic())
            self._last, self._reasons = check, standing.reasons
            if standing.changed:
                word = f"recused: {', '.join(standing.reasons)}" if standing.recused else "believed again"
                logger.warning("%s is %s", self._host, word)
                self._on_change()
            await self._pause()

    async def _pause(self) -> None:
        await asyncio.sleep(RECHECK_SECONDS)
        if self._jury.suspicious:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHECK_SECONDS - RECHECK_SECONDS):
                await self._doubt.wait()

    async def _look(self) -> SelfCheck:
        zones = list(self._echoes)
        loopback, echoes = await asyncio.gather(
            self._loopback(), asyncio.gather(*(self._echo(*self._echoes[zone]) for zone in zones))
        )
        seen = dict(zip(zones, echoes, strict=True))
        own = seen.pop(self._zone, (Echo.ANSWERED, None))
        offsets = [offset for _, offset in seen.values() if offset is not None]
        if not offsets and own[1] is not None:
            offsets = [own[1]]
        return SelfCheck(
            loopback=loopback,
            own_zone=own[0],
            other_zones={zone: echo for zone, (echo, _) in seen.items()},
            lag_ms=self._ticker.worst_ms(self._host),
            # One clock that agrees with ours is enough: then it is the other that is off.
            clock_offset_ms=min(offsets, key=abs) if offsets else None,
            fd_share=_fd_share(),
        )

    async def _loopback(self) -> Echo:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ECHO_TIMEOUT_SECONDS):
                self._network.refuse_if_sick()
                sock = await open_tcp(loop, "127.0.0.1", self._loopback_port)
                try:
                    await loop.sock_sendall(sock, b"echo")
                    return Echo.ANSWERED if await loop.sock_recv(sock, 4) == b"echo" else Echo.SILENT
                finally:
                    sock.close()
        except ConnectionRefusedError:
            return Echo.REFUSED
        except OSError:
            return Echo.SILENT

    async def _echo(self, host: str, port: int) -> tuple[Echo, float | None]:
        """How a control echo went, and by how many milliseconds our clock is ahead of its."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ECHO_TIMEOUT_SECONDS):
                self._network.refuse_if_sick()
                connection = await open_http(loop, await open_tcp(loop, host, port), None, host)
                try:
                    began = monotonic()
                    answer = await connection.ask(f"GET /echo HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
                    middle = (began + monotonic()) / 2
                finally:
                    connection.abort()
            theirs = float(msgspec.json.decode(answer.body)["at"])
        except ConnectionError:
            return Echo.REFUSED, None
        except (OSError, MalformedHttp, ValueError, TypeError, KeyError):
            return Echo.SILENT, None
        return Echo.ANSWERED, (self._clock.wall(middle) - theirs) * 1000


def _fd_share() -> float:
    """Open files as a share of the limit; 0 where the system does not tell."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        return sum(1 for _ in _OPEN_FILES.iterdir()) / limit if limit > 0 else 0.0
    except OSError:
        return 0.0
