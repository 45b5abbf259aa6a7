"""Listens for SDK events over UDP and hands their counts on every second (shell).

The kernel drops what the buffer does not hold; Linux says how many (``SO_MEMINFO``), and they are told as unobserved.
A datagram has no identity: what the network doubles is counted twice, which on loopback does not happen.
"""

import asyncio
import contextlib
import logging
import socket
import struct
import sys
import time
from collections.abc import Callable

from collector.customers import csm
from collector.customers.config import CustomersConfig
from collector.customers.counting import Counting, Portion, series_of
from collector.customers.csm import Event, Ignored, IgnoredError
from collector.customers.directory import OTHER, Directory, NobodyError
from collector.customers.figures import Figures
from collector.customers.outlet import Outlet
from collector.ingest import LATE_SECONDS, RefusedError
from collector.observation import Connection, Level, OperationClass, Vantage
from collector.series import Reading, Series, Unobserved
from collector.writer import BusyError, StorageUnavailableError

logger = logging.getLogger("collector")

FLUSH_SECONDS = 1.0
AT_ONCE = 512
"""Datagrams read before others on the loop have their turn."""
PENDING_MAX = 5_000
"""Batches kept while the ledger cannot be written; the oldest goes first, counted and told as unobserved."""
SERIES_MAX = 20_000
"""Dimensions of events whose series is remembered."""
RECEIVER = "csm"
"""Under this name the receiver tells of what it could not hear."""

_SO_MEMINFO = 55
_MEMINFO = struct.Struct("9I")
_DROPS = 8


class CsmServer:
    """One UDP socket."""

    def __init__(
        self,
        config: CustomersConfig,
        directory: Directory,
        outlet: Outlet,
        figures: Figures,
        *,
        late_seconds: float = LATE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._directory = directory
        self._outlet = outlet
        self._figures = figures
        self._late_seconds = late_seconds
        self._clock = clock
        self._services = frozenset(config.csm_services)
        self._counting = Counting()
        self._series: dict[tuple[str, OperationClass, Level, str], Series] = {}
        self._events = dict.fromkeys(Level, 0)
        self._pending: list[Portion] = []
        self._unkept_told = 0
        self._dropped_told = 0
        self._missing: dict[str, int] = {}
        self.port: int | None = None

    async def run(self) -> None:
        """Listen until cancelled; what was heard by then is handed on. When the address is taken it is said, and nothing heard."""
        try:
            sock = _socket(self._config)
        except OSError as error:
            logger.error(  # noqa: TRY400 (the text says it all)
                "SDK events are not heard: %s:%s (UDP): %s. Set collector.customers.csm_port to a free port, or to 0",
                self._config.csm_host,
                self._config.csm_port,
                error.strerror,
            )
            self._figures.listening.set(0)
            return
        loop = asyncio.get_running_loop()
        self.port = sock.getsockname()[1]
        self._figures.listening.set(1)
        loop.add_reader(sock.fileno(), self._receive, sock)
        logger.info("SDK events are heard at %s:%d (UDP)", self._config.csm_host, self.port)
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                await self._flush(sock)
        finally:
            loop.remove_reader(sock.fileno())
            self._receive(sock)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._flush(sock)
            sock.close()
            self._figures.listening.set(0)

    # --- in -------------------------------------------------------------------------------------------------------------------

    def _receive(self, sock: socket.socket) -> None:
        now = self._clock()
        for _ in range(AT_ONCE):
            try:
                datagram = sock.recv(csm.DATAGRAM_BYTES_MAX + 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error of a peer that is gone: not about us
            self.take(datagram, now)

    def take(self, datagram: bytes, at: float) -> None:
        """Count one datagram that came ``at``, or the reason why it does not count."""
        try:
            self._count(csm.read(datagram, at=at, services=self._services, late_seconds=self._late_seconds))
        except IgnoredError as ignored:
            self._figures.ignored.labels(ignored.reason.value).inc()
        except NobodyError as nobody:
            self._figures.ignored.labels(Ignored(str(nobody)).value).inc()

    def _count(self, event: Event) -> None:
        key = (event.client_id, event.operation, event.level, event.host)
        series = self._series.get(key) or self._learn(key)
        failure = event.failure(series.table, series.endpoint or event.host)
        self._counting.add(series, int(event.at), event.outcome, bucket=event.bucket, failure=failure)
        self._events[event.level] += 1

    def _learn(self, key: tuple[str, OperationClass, Level, str]) -> Series:
        """The series of an event's dimensions, for the next ones as well."""
        client_id, operation, level, host = key
        who = self._directory.who(client_id)
        series = series_of(who, operation, level, self._endpoint(host))
        if OTHER not in (who.name, who.table):  # those beyond the bounds are counted each time
            if len(self._series) >= SERIES_MAX:
                self._series.clear()
            self._series[key] = series
        return series

    def _endpoint(self, host: str) -> str | None:
        names = self._config.endpoints
        return names.get(host) or names.get(host.rpartition(":")[0])

    # --- out ------------------------------------------------------------------------------------------------------------------

    async def _flush(self, sock: socket.socket) -> None:
        self._note_drops(sock)
        for level, count in self._events.items():
            self._figures.events.labels(level.value).inc(count)
        self._events = dict.fromkeys(Level, 0)
        self._pending += self._counting.drain()
        self._bound()
        todo, self._pending = self._pending, []
        missing = self._unobserved()
        if missing:
            todo.append(missing)
        results = await asyncio.gather(*(self._hand_on(one) for one in todo), return_exceptions=True)
        self._pending = [one for one, result in zip(todo, results, strict=True) if result is False] + self._pending
        self._figures.other.set(self._directory.overflowed)

    async def _hand_on(self, one: Portion) -> bool:
        customer, zone, readings, _ = one
        told: tuple[Unobserved, ...] = ()
        if customer == RECEIVER and self._missing:
            told = tuple(_unobserved(reason, count, readings[0].at) for reason, count in self._missing.items())
        try:
            await self._outlet.deliver(customer, zone, readings, told)
        except (BusyError, StorageUnavailableError):
            return customer == RECEIVER  # its counts are kept in self._missing
        except RefusedError as refused:
            logger.error("counts of %s were refused: %s", customer, refused)  # noqa: TRY400 (no fault of the code)
        if told:
            self._missing = {}
        return True

    def _unobserved(self) -> Portion | None:
        """A reading of nothing that carries what could not be heard."""
        if not self._missing:
            return None
        series = Series(
            vantage=Vantage.CUSTOMER,
            host=RECEIVER,
            zone="",
            operation=OperationClass.CHECK,
            table="",
            level=Level.ATTEMPT,
        )
        return Portion(RECEIVER, "", (Reading(series=series, at=int(self._clock()), counts={}),))

    def _bound(self) -> None:
        unkept = self._counting.unkept - self._unkept_told
        self._unkept_told += unkept
        self._figures.unkept.inc(unkept)
        while len(self._pending) > PENDING_MAX:
            readings = self._pending.pop(0).readings
            self._figures.lost.inc(len(readings))
            lost = sum(sum(reading.counts.values()) for reading in readings)
            self._missing["csm_lost"] = self._missing.get("csm_lost", 0) + lost

    def _note_drops(self, sock: socket.socket) -> None:
        dropped = drops_of(sock)
        new = dropped - self._dropped_told
        if new > 0:
            self._dropped_told = dropped
            self._figures.dropped.inc(new)
            self._missing["csm_dropped"] = self._missing.get("csm_dropped", 0) + new
            logger.warning("the kernel dropped %d SDK events: raise collector.customers.csm_buffer_bytes", new)


def _unobserved(reason: str, count: int, at: int) -> Unobserved:
    return Unobserved(
        endpoint=RECEIVER,
        connection=Connection.POOLED,
        operation=OperationClass.CHECK,
        at=at,
        count=count,
        reason=reason,
    )


def drops_of(sock: socket.socket) -> int:
    """Datagrams that the kernel has dropped for want of room; 0 where it does not say."""
    if sys.platform != "linux":
        return 0
    try:
        answer = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    except OSError:
        return 0
    return int(_MEMINFO.unpack(answer)[_DROPS]) if len(answer) == _MEMINFO.size else 0


def _socket(config: CustomersConfig) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        _enlarge(sock, config.csm_buffer_bytes)
        sock.setblocking(False)
        sock.bind((config.csm_host, config.csm_port or 0))
    except BaseException:
        sock.close()
        raise
    return sock


def _enlarge(sock: socket.socket, size: int) -> None:
    """As much as may be had: by force where we are allowed to, else up to ``net.core.rmem_max``."""
    force = getattr(socket, "SO_RCVBUFFORCE", 33) if sys.platform == "linux" else None
    for option in (force, socket.SO_RCVBUF):
        if option is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, option, size)
                return
