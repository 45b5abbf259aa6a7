"""A real collector in a process of its own, attacked over sockets for so many seconds; what was answered and what was counted."""

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import yaml

from tests.collector.samples import free_port
from tests.fuzz import attacks
from tests.fuzz.attacks import TOKEN, Attack
from tests.fuzz.doors import DOORS, Door

WORKERS = 8
PATIENCE_SECONDS = 20.0
REQUEST_SECONDS = 2.0
"""The collector's patience with half a request, short so that slow attacks end within a short run too."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Report:
    """What happened. ``silent``: attacks that may go unanswered and did; ``wrong``: what must not be."""

    seconds: float = 0.0
    attacks: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    silent: int = 0
    wrong: list[str] = field(default_factory=list)
    rss_bytes: list[tuple[float, int]] = field(default_factory=list)
    doors: tuple[str, ...] = ()
    counted: dict[str, float] = field(default_factory=dict)

    @property
    def answers(self) -> int:
        """How many answers came."""
        return self.statuses.total()

    def growth_bytes(self) -> int:
        """Of the resident memory, from the end of the first third (warm by then) to the last tenth: highest against highest."""
        total = self.rss_bytes[-1][0]
        warm = max(size for at, size in self.rss_bytes if at <= total / 3)
        late = max(size for at, size in self.rss_bytes if at >= total * 0.9)
        return late - warm

    def summary(self) -> str:
        """For a person."""
        sizes = [size for _, size in self.rss_bytes]
        lines = [
            f"{self.attacks.total()} attacks in {self.seconds:.0f} s at {', '.join(self.doors)}: {dict(self.attacks)}",
            f"{self.answers} answers: {dict(sorted(self.statuses.items()))}; {self.silent} ended without one, as they may",
            f"typed refusals: {dict(sorted((word, n) for (_, word), n in self.refused.items()))}",
            f"resident memory: {min(sizes) >> 20} to {max(sizes) >> 20} MiB, growth after warm-up {self.growth_bytes() / 2**20:.1f} MiB",
        ]
        return "\n".join([*lines, *self.wrong[:20]])


@contextlib.asynccontextmanager
async def collector(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A collector with a token; its process and port."""
    port = free_port()
    (folder / "token").write_text(TOKEN)
    section = {
        "port": port, "data_dir": str(folder / "data"), "token_file": str(folder / "token"), "request_seconds": REQUEST_SECONDS,
    }  # fmt: skip
    (folder / "fivenines.yaml").write_text(yaml.safe_dump({"collector": section}))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fivenines.part", "collector", "--config", str(folder / "fivenines.yaml"),
        env={**os.environ, "FIVENINES_LOG": os.environ.get("FIVENINES_LOG", "CRITICAL")},
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(30):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{port}/ready") as answer:
                        if answer.status == 200:
                            break
                await asyncio.sleep(0.1)
        yield process, port
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def storm(folder: Path, *, seconds: float, seed: int, doors: tuple[Door, ...] = DOORS) -> Report:
    """Attack for so long; everything that must be true at the end is in ``Report.wrong`` when it is not."""
    report = Report()
    async with collector(folder) as (process, port):
        open_doors = await _open(port, doors)
        report.doors = tuple(door.path for door in open_doors)
        before = await metrics(port)
        began = time.monotonic()
        numbers = iter(range(1, 10**9))
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(_watch(process.pid, report, began))
            workers = [
                group.create_task(_work(_attackers(f"{seed}/{i}", open_doors, numbers), port, began + seconds, report))
                for i in range(WORKERS)
            ]
            await asyncio.wait(workers)
            watcher.cancel()
        report.seconds = time.monotonic() - began
        await asyncio.sleep(REQUEST_SECONDS + 1.5)  # what is still dripping is closed by now
        after = await metrics(port)
        report.counted = {key: value - before.get(key, 0) for key, value in after.items()}
        await _last_word(port, report)
        if process.returncode is not None:
            report.wrong.append(f"the collector ended with {process.returncode}")
    _compare(report, open_doors)
    return report


async def _open(port: int, doors: tuple[Door, ...]) -> tuple[Door, ...]:
    found = []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        for door in doors:
            async with session.post(f"http://127.0.0.1:{port}{door.path}", data=b"") as answer:
                if answer.status != 404:
                    found.append(door)
    return tuple(found)


async def _watch(pid: int, report: Report, began: float) -> None:
    while True:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])  # noqa: ASYNC240 (procfs does not block)
        report.rss_bytes.append((time.monotonic() - began, pages * PAGE_BYTES))
        await asyncio.sleep(0.25)


async def _work(
    attackers: Iterator[tuple[random.Random, Door, Attack]], port: int, ends: float, report: Report
) -> None:
    while time.monotonic() < ends:
        rng, door, attack = next(attackers)
        report.attacks[attack.name] += 1
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                answers = await _carry_out(rng, attack, port)
        except TimeoutError:
            report.wrong.append(f"{attack.name} at {door.path}: not answered and not closed: {attack.sends[0][:300]!r}")
            continue
        _note(report, door, attack, answers)


def _attackers(
    seed: str, doors: tuple[Door, ...], numbers: Iterator[int]
) -> Iterator[tuple[random.Random, Door, Attack]]:
    """What one worker does, one after another; the same seed gives the same, but for the numbers and the time."""
    rng = random.Random(seed)
    while True:
        door, attack = attacks.any_of(rng, doors, next(numbers))
        yield rng, door, attack


async def _carry_out(rng: random.Random, attack: Attack, port: int) -> list[tuple[int, bytes]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers: list[tuple[int, bytes]] = []
    try:
        with contextlib.suppress(ConnectionError):
            for piece in attack.sends:
                writer.write(piece)
                await writer.drain()
                if attack.slow:
                    await asyncio.sleep(rng.random() * 0.1)
        if attack.name == "hung_up":
            return answers
        if attack.answers == 0 and not attack.slow:
            with contextlib.suppress(ConnectionError, NotImplementedError):
                writer.write_eof()
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while len(answers) < max(1, attack.answers):
                answers.append(await _answer(reader))
            if attack.answers == 0:
                while True:
                    answers.append(await _answer(reader))
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return answers


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One HTTP answer; IncompleteReadError when the connection ends first."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    status = int(lines[0].split()[1])
    if fields.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return status, body
    return status, await reader.readexactly(int(fields.get("content-length", 0)))


def _note(report: Report, door: Door, attack: Attack, answers: list[tuple[int, bytes]]) -> None:
    if len(answers) < attack.answers and not any(status in (400, 401, 413, 415, 503) for status, _ in answers):
        report.wrong.append(
            f"{attack.name} at {door.path}: {len(answers)} answers, not {attack.answers}: {attack.sends[0][:300]!r}"
        )
    if not answers:
        report.silent += 1
    for status, body in answers:
        report.statuses[status] += 1
        if status >= 500 and status != 503:
            report.wrong.append(f"{attack.name} at {door.path}: {status} {body[:200]!r}")
        if attack.good and status not in (200, 201, 202, 204, 409):
            report.wrong.append(f"a good body was refused at {door.path}: {status} {body[:200]!r}")
        if attack.name == "stranger" and status != 401:
            report.wrong.append(f"a stranger got {status} at {door.path}: {body[:200]!r}")
        if status >= 400 and attack.name not in ("asked", "noise", "headers"):
            _typed(report, door, attack, status, body)


def _typed(report: Report, door: Door, attack: Attack, status: int, body: bytes) -> None:
    try:
        word = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        if status != 400 or attack.answers > 0:  # what was no HTTP has no handler: a plain sentence, counted by status
            report.wrong.append(f"{door.path}: {status} without a reason: {body[:200]!r}")
        return
    report.refused[door.path, word] += 1


async def metrics(port: int) -> dict[str, float]:
    """The collector's own figures, by sample."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        text = await answer.text()
    return {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line and line[0] != "#"
    }


async def _last_word(port: int, report: Report) -> None:
    """It still takes a good batch."""
    good = attacks.good(random.Random(0), DOORS[0], 10**9)
    answers = await _carry_out(random.Random(0), good, port)
    if [status for status, _ in answers] != [200]:
        report.wrong.append(f"a good batch at the end was not taken: {answers}")


def _compare(report: Report, doors: tuple[Door, ...]) -> None:
    """Every answer that we have is counted; more can be counted only for those who did not wait for theirs."""
    counted = Counter[int]()
    for sample, value in report.counted.items():
        if sample.startswith("collector_answers_total"):
            counted[int(sample.partition('status="')[2].partition('"')[0])] += int(value)
    counted[200] -= 1  # the page of figures that was read before
    unread = report.attacks["hung_up"] + report.attacks["dripping"] + report.silent
    for status, count in report.statuses.items():
        if not 0 <= counted[status] - count <= unread:
            report.wrong.append(
                f"{count} answers {status}, {counted[status]} counted, {unread} did not wait for theirs"
            )
    for door in doors:
        if door.refused is None:
            continue
        for (path, word), count in report.refused.items():
            elsewhere = ("not_found", "method_not_allowed", *(("unauthorized",) if door is not DOORS[0] else ()))
            if path == door.path and word not in elsewhere:
                said = report.counted.get(f'{door.refused}{{reason="{word}"}}', 0)
                if not 0 <= said - count <= unread:
                    report.wrong.append(f"{path}: {count} refusals for {word}, {said:.0f} counted")
