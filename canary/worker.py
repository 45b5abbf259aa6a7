"""The open loop of one host: starts each probe at its intended time, and asks what has just failed more often (shell)."""

import asyncio
import itertools
import logging
from time import monotonic

from canary.attempt import Errand, new_call_id
from canary.classify import SUCCESS, Verdict, answered, failed
from canary.config import EndpointConfig
from canary.confirm import Confirmation
from canary.keys import KeyBook
from canary.parts import Parts
from canary.plan import Group, Key, address_index, groups, phases
from canary.probes import dynamodb
from canary.quarantine import Place
from canary.questions import KEYED, Asked, Turn, judged
from canary.recorder import Seen
from canary.schedule import Missed, Schedule, Tick
from canary.trace import AttemptFailed, Trace
from collector.ask import Ask
from collector.observation import Level, OperationClass, Phase

logger = logging.getLogger("canary")

REFRESH_SECONDS = 10.0
QUARANTINE_LOOK_SECONDS = 0.25


class Worker:
    """One host at work."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._endpoints = {endpoint.name: endpoint for endpoint in parts.config.endpoints}
        self._checks = {check.name: check for check in parts.config.checks}
        self._ill = asyncio.Event()
        self._extra_number = itertools.count()

    async def run(self) -> None:
        """Until cancelled; probes under way end with it. Checks start at once, the store's cells when there are keys."""
        plan = groups(self._parts.config)
        store = _only(plan, checks=False)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ask_on_time(group, _only(plan, checks=True)))
            for source in self._parts.asks:
                group.create_task(source.run(lambda ask: self._asked(group, ask)))
            if self._parts.keys is not None:
                await self._parts.keys.planned.wait()
                group.create_task(self._refresh())
                group.create_task(self._ask_again(group))
                group.create_task(self._ask_on_time(group, store))

    async def _ask_on_time(self, group: asyncio.TaskGroup, plan: tuple[Group, ...]) -> None:
        schedules = [self._schedule(each, monotonic()) for each in plan]
        while schedules:
            now = monotonic()
            for schedule in schedules:
                if schedule.next_at <= now:
                    step = schedule.step(now)
                    for tick in step.ticks:
                        group.create_task(self._probe(tick))
                    for missed in step.missed:
                        self._missed(missed)
            # uvloop's timers round to milliseconds: half of one more, or it wakes early and looks again and again.
            next_at = min(schedule.next_at for schedule in schedules)
            await asyncio.sleep(max(0.0, next_at - monotonic()) + 0.0005)

    def _schedule(self, group: Group, now: float) -> Schedule:
        parts = self._parts
        return Schedule(
            group.cells,
            phases(len(group.cells), parts.host_count, parts.host.rank),
            cadence_seconds=group.cadence_seconds,
            patience_seconds=parts.config.deadline_seconds,
            origin=now - parts.clock.wall(now),
            start=now,
        )

    def _missed(self, missed: Missed) -> None:
        self._parts.recorder.unobserved(missed.cell, missed.intended, "late", missed.count)

    async def _refresh(self) -> None:
        """Look up the addresses for pooled probes now and then; a name service that is down changes nothing."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            for endpoint in self._endpoints.values():
                await self._refresh_one(endpoint)

    async def _refresh_one(self, endpoint: EndpointConfig) -> None:
        try:
            async with asyncio.timeout(self._parts.config.deadline_seconds):
                places = await self._parts.asker.resolve(endpoint, Trace())
        except (AttemptFailed, OSError) as error:
            logger.debug("%s keeps its addresses of %s: %r", self._parts.host.name, endpoint.name, error)
            return
        self._parts.pool.learn(endpoint.name, places)

    async def _ask_again(self, group: asyncio.TaskGroup) -> None:
        """The quarantine's extra probes; asleep while nothing has failed."""
        pool, keys = self._parts.quarantine, self._parts.keys
        while keys is not None:
            if not len(pool):
                self._ill.clear()
                await self._ill.wait()
            pool.keep(frozenset(keys.keys))
            now = monotonic()
            for place in pool.due(now):
                tick = Tick(place.cell, next(self._extra_number), now)
                group.create_task(self._probe(tick, place))
            await asyncio.sleep(QUARANTINE_LOOK_SECONDS)

    def _asked(self, group: asyncio.TaskGroup, ask: Ask) -> None:
        """Another zone has seen a failure: look there, too, now."""
        keys, now = self._parts.keys, monotonic()
        confirmation = self._parts.confirmer.take(ask, keys.keys if keys else (), now)
        if confirmation is not None:
            tick = Tick(confirmation.cell, next(self._extra_number), now)
            group.create_task(self._probe(tick, confirmation=confirmation))

    async def _probe(self, tick: Tick, place: Place | None = None, *, confirmation: Confirmation | None = None) -> None:
        try:
            if tick.cell.operation is OperationClass.CHECK:
                await self._check(tick, Level.CONFIRM if confirmation else Level.ATTEMPT)
            elif self._parts.keys is not None and self._parts.keys.keys:
                await self._ask(tick, self._parts.keys, place, confirmation)
        except Exception:
            logger.exception("probe of %s failed by our own fault", tick.cell)
            if confirmation is None:
                self._parts.recorder.unobserved(tick.cell, tick.intended, "canary_fault")
            if place is not None:
                self._parts.quarantine.gave_up(place)

    async def _check(self, tick: Tick, level: Level) -> None:
        parts, check = self._parts, self._checks[tick.cell.endpoint]
        started = parts.recorder.started(tick.intended)
        deadline = tick.intended + (check.deadline_seconds or parts.config.deadline_seconds)
        trace, verdict = await parts.checks.run(check, tick.number, deadline)
        seen = Seen(
            cell=tick.cell,
            table=check.service or check.name,
            intended=tick.intended,
            started=started,
            at=parts.clock.wall(tick.intended),
            trace=trace,
            verdict=verdict,
            level=level,
        )
        parts.recorder.record(seen)

    async def _ask(self, tick: Tick, book: KeyBook, place: Place | None, extra: Confirmation | None) -> None:
        parts = self._parts
        wanted = extra or place
        started = parts.recorder.started(tick.intended)
        wall = parts.clock.wall(started)
        turn = Turn(tick.number, book.keys, started, int(wall * 1000), wanted.key if wanted else None)
        asked = parts.questions.ask(tick.cell, turn)
        trace = await parts.asker.attempt(self._errand(tick, asked, len(book.keys), wall, extra))
        verdict = verdict_of(asked, trace)
        asked.ended(verdict is SUCCESS, trace.ended)
        seen = Seen(
            cell=tick.cell,
            table=parts.config.table,
            intended=tick.intended,
            started=started,
            at=wall - (started - tick.intended),
            trace=trace,
            verdict=verdict,
            partition=asked.key.partition,
            one_partition=asked.one_partition,
            level=Level.ATTEMPT if extra is None else Level.CONFIRM,
        )
        believed = parts.recorder.record(seen)
        if asked.one_partition:
            book.heard(asked.key.pk, trace.headers.get("x-partition"))
        if extra is None:
            self._quarantine(tick, asked.key, verdict, believed=believed)

    def _errand(self, tick: Tick, asked: Asked, keys: int, wall: float, extra: Confirmation | None) -> Errand:
        parts, cell, call_id = self._parts, tick.cell, new_call_id()
        return Errand(
            self._endpoints[cell.endpoint],
            cell.connection,
            address_index(tick.number, cell.index, parts.host.rank, keys),
            lambda host: dynamodb.request(asked.question, host, parts.signer, wall, call_id=call_id),
            tick.intended + parts.config.deadline_seconds,
            call_id,
            extra.address if extra else None,
        )

    def _quarantine(self, tick: Tick, key: Key, verdict: Verdict, *, believed: bool) -> None:
        if tick.cell.operation not in KEYED:
            return
        pool = self._parts.quarantine
        if verdict is SUCCESS and not len(pool):  # almost always
            return
        place = Place(tick.cell, key)
        if not believed:
            pool.gave_up(place)
            return
        pool.answered(place, bad=verdict.outcome.is_bad, at=monotonic())
        if verdict.outcome.is_bad:
            self._ill.set()


def verdict_of(asked: Asked, trace: Trace) -> Verdict:
    """What came of an attempt: first the way there, then the status, then the checksum, then the content."""
    if trace.verdict is not None:
        return trace.verdict
    verdict = answered(trace.status or 0, trace.headers, trace.body)
    if verdict is not SUCCESS:
        return verdict
    wrong = judged(asked, trace.body, trace.ended)
    return SUCCESS if wrong is None else failed(wrong.reason, Phase.SEMANTIC, wrong.detail)


def _only(plan: tuple[Group, ...], *, checks: bool) -> tuple[Group, ...]:
    """The groups' cells that are checks, or those that are not."""
    kept = (
        Group(g.cadence_seconds, tuple(c for c in g.cells if (c.operation is OperationClass.CHECK) is checks))
        for g in plan
    )
    return tuple(group for group in kept if group.cells)
