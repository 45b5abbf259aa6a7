"""Receivers of remote write: real ones that can be killed, and one that answers what a test wants."""

import asyncio
import contextlib
import json
import signal
import struct
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow as pa
from aiohttp import web

from tests.collector.samples import free_port
from tests.dashboards.peers import program

Point = tuple[int, float]
Held = dict[tuple[tuple[str, str], ...], list[Point]]
"""Labels in order → points in order."""


def labels_of(metric: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(metric.items()))


@dataclass(kw_only=True)
class RealReceiver:
    """A third-party program in a folder of its own, on a port that stays the same over restarts."""

    folder: Path
    arguments: Callable[[Path, int], list[str]]
    write_path: str
    kill: signal.Signals
    port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None

    @property
    def base(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where it takes remote write."""
        return self.base + self.write_path

    async def start(self) -> None:
        """Until it is ready."""
        self.process = await asyncio.create_subprocess_exec(
            *self.arguments(self.folder, self.port),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=self.folder,
        )
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{self.base}/-/ready") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """With its signal."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(self.kill)
            await self.process.wait()

    async def held(self, match: str, seconds: int) -> Held:
        """Every sample of the series that match, as the receiver's own API tells them."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.base}/api/v1/query", params={"query": f"{match}[{seconds}s]"}) as answer,
        ):
            body = await answer.json()
        assert body["status"] == "success", body
        return {
            labels_of(one["metric"]): [(round(at * 1000), float(value)) for at, value in one["values"]]
            for one in body["data"]["result"]
        }


class VictoriaMetrics(RealReceiver):
    """Its export API tells the samples as they were written."""

    async def held(self, match: str, seconds: int) -> Held:
        """Every sample; its clock is a second coarse, so the end is named."""
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{self.base}/internal/force_flush"):
                pass
            async with session.get(
                f"{self.base}/api/v1/export", params={"match[]": match, "end": time.time() + 60}
            ) as answer:
                lines = [line for line in (await answer.text()).splitlines() if line]
        found: Held = {}
        for line in lines:
            one: dict[str, Any] = json.loads(line)
            points = zip(one["timestamps"], one["values"], strict=True)
            found.setdefault(labels_of(one["metric"]), []).extend((int(at), float(value)) for at, value in points)
        return {labels: sorted(points) for labels, points in found.items()}


def _prometheus(folder: Path, port: int) -> list[str]:
    (folder / "prometheus.yml").write_text("{}\n")
    return [
        program("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver",
    ]  # fmt: skip


def _victoria(folder: Path, port: int) -> list[str]:
    return [
        program("victoria-metrics"), f"-storageDataPath={folder}/data", f"-httpListenAddr=127.0.0.1:{port}",
        "-retentionPeriod=1y", "-memory.allowedPercent=5",
    ]  # fmt: skip


@contextlib.asynccontextmanager
async def real(kind: str, folder: Path) -> AsyncIterator[RealReceiver]:
    """``prometheus`` is killed with -9; VictoriaMetrics, which keeps its newest seconds in memory, is told to stop."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 (a test)
    receiver: RealReceiver
    if kind == "prometheus":
        receiver = RealReceiver(folder=folder, arguments=_prometheus, write_path="/api/v1/write", kill=signal.SIGKILL)
    else:
        receiver = VictoriaMetrics(folder=folder, arguments=_victoria, write_path="/api/v1/write", kill=signal.SIGINT)
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop()


@dataclass
class Taken:
    """One request as the fake receiver saw it."""

    headers: dict[str, str]
    series: Held


@dataclass
class FakeReceiver:
    """Answers with the statuses it is given, one a request, then 204; keeps what it was sent."""

    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    seen: list[Taken] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    url: str = ""
    decide: Callable[[Taken], int] | None = None

    async def answer(self, request: web.Request) -> web.Response:
        """As planned."""
        taken = Taken(dict(request.headers), decode(await request.read()))
        status, headers = self.answers.pop(0) if self.answers else (204, {})
        if self.decide is not None:
            status = self.decide(taken)
        self.seen.append(taken)
        self.statuses.append(status)
        self.at.append(asyncio.get_running_loop().time())
        return web.Response(status=status, headers=headers)

    def held(self) -> Held:
        """All points of requests answered with success, sorted; a point that came twice is there twice."""
        found: Held = {}
        for taken, status in zip(self.seen, self.statuses, strict=True):
            if status < 300:
                for labels, points in taken.series.items():
                    found.setdefault(labels, []).extend(points)
        return {labels: sorted(points) for labels, points in found.items()}


@contextlib.asynccontextmanager
async def fake(*answers: tuple[int, dict[str, str]]) -> AsyncIterator[FakeReceiver]:
    receiver = FakeReceiver(list(answers))
    application = web.Application()
    application.router.add_post("/write", receiver.answer)
    runner = web.AppRunner(application, auto_decompress=False)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    receiver.url = f"http://127.0.0.1:{port}/write"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def decode(body: bytes) -> Held:
    """A WriteRequest, read by the wire format's own rules and not by our encoder."""
    size, _ = _varint(body, 0)
    raw = pa.decompress(body, decompressed_size=size, codec="snappy", asbytes=True)
    found: Held = {}
    for number, series in _fields(raw):
        assert number == 1
        pairs, points = [], []
        for kind, part in _fields(series):
            inside = dict(_fields(part))
            if kind == 1:
                pairs.append((inside[1].decode(), inside[2].decode()))
            else:
                points.append((int.from_bytes(inside[2], "little"), struct.unpack("<d", inside[1])[0]))
        assert [name for name, _ in pairs] == sorted({name for name, _ in pairs}), "labels are sorted, each once"
        assert points == sorted(points), "samples are in order of time"
        assert tuple(pairs) not in found, "a series is once in a request"
        found[tuple(pairs)] = points
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            return value, at


def _fields(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == 2:
            size, at = _varint(data, at)
            found.append((tag >> 3, data[at : at + size]))
            at += size
        elif tag & 7 == 1:
            found.append((tag >> 3, data[at : at + 8]))
            at += 8
        else:
            assert tag & 7 == 0
            value, at = _varint(data, at)
            found.append((tag >> 3, value.to_bytes(8, "little")))
    return found
