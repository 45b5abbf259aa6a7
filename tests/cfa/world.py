"""A region in virtual time: canaries ask a store that exists only as a table of faults, and the feed brings it all."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from collector.observation import Connection, Observation, OperationClass, Outcome, Phase, Vantage
from collector.series import FeedEntry, Health, Reading, Series, TargetState

START = 1_764_000_000.0
ZONES = ("az1", "az2", "az3")
ENDPOINTS = ("standard", "fips", "dualstack", "account")
OPERATIONS = (OperationClass.WRITE, OperationClass.STRONG_READ, OperationClass.EVENTUAL_READ)
PARTITIONS = 9
CADENCE = 2.0
DEADLINE = 2.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One question on its way."""

    at: float
    host: str
    zone: str
    endpoint: str
    operation: OperationClass
    connection: Connection
    partition: int
    router: str
    node: str

    @property
    def is_led(self) -> bool:
        """Whether only the leader can answer."""
        return self.operation is not OperationClass.EVENTUAL_READ


class Answer(NamedTuple):
    """How an attempt fails: what the witness sees, and how far it came."""

    outcome: Outcome
    reason: str
    phase: Phase | None = None
    seconds: float = 0.003
    router: bool = True
    node: bool = False
    status: int | None = None


Fault = Callable[["World", Attempt], Answer | None]


def zone_of(component: str) -> str:
    """``az1`` of ``az1-router-2``."""
    return component.split("-", 1)[0]


def leader(partition: int) -> str:
    """The preferred leader of a partition."""
    return f"{ZONES[partition % 3]}-node-{partition // 3 % 3 + 1}"


REFUSED = Answer(Outcome.UNREACHABLE, "connect_refused", Phase.TCP)
HTTP_500 = Answer(Outcome.SERVER_FAULT, "http_500", Phase.HTTP, node=True, status=500)
TIMEOUT = Answer(Outcome.TIMEOUT, "deadline", Phase.WAIT, DEADLINE)


@dataclass
class World:
    """Probes, faults and the feed that they give; the same seed gives the same feed."""

    seed: int = 1
    background: float = 0.0
    faults: list[tuple[float, float, Fault]] = field(default_factory=list)
    silent: list[tuple[float, float, str]] = field(default_factory=list)
    down: list[tuple[float, float, str]] = field(default_factory=list)
    recusals: list[tuple[float, float, str]] = field(default_factory=list)
    scraping: bool = True
    masked: list[tuple[float, float, str]] = field(default_factory=list)
    outage: tuple[float, float] | None = None

    def during(self, start: float, seconds: float, fault: Fault) -> None:
        """``fault`` is in force from ``start`` for ``seconds``."""
        self.faults.append((start, start + seconds, fault))

    def run(self, seconds: float) -> Iterator[FeedEntry]:
        """All entries in the order of their arrival."""
        arrivals = sorted(self._arrivals(seconds), key=lambda arrival: arrival[0])
        for cursor, (at, entry) in enumerate(arrivals, start=1):
            yield FeedEntry(cursor=cursor, received_at=START + at, **entry)

    def _arrivals(self, seconds: float) -> Iterator[tuple[float, dict]]:
        rng = random.Random(self.seed)
        served: Counter = Counter()
        for zone in ZONES:
            for k in (1, 2):
                host = f"{zone}-canary-{k}"
                yield from self._host(host, zone, rng, seconds, served)
        if self.scraping:
            yield from self._scrapes(seconds, served)
        for start, end, host in self.recusals:
            for at, recused in ((start, True), (end, False)):
                health = Health(
                    host=host, zone=zone_of(host), at=START + at, recused=recused, reasons=("control_echo_failed",)
                )
                yield at, self._entry(host, health=(health,))

    def _entry(self, host: str, vantage: Vantage = Vantage.CANARY, **content: object) -> dict:
        return {"host": host, "zone": zone_of(host), "vantage": vantage, **content}

    def _host(
        self, host: str, zone: str, rng: random.Random, seconds: float, served: Counter
    ) -> Iterator[tuple[float, dict]]:
        cells = [(e, o, c) for e in ENDPOINTS for o in OPERATIONS for c in Connection]
        phase = (ZONES.index(zone) * 2 + int(host[-1])) * CADENCE / 144
        good: dict[int, Counter] = {}
        for k in range(int(seconds / CADENCE * len(cells))):
            at = k * CADENCE / len(cells) + phase
            if at >= seconds or any(s <= at < e and n == zone for s, e, n in self.silent):
                continue
            attempt = self._attempt(at, host, cells[k % len(cells)], k // len(cells) + k, rng)
            answer = self._answer(attempt, rng)
            routed = answer is None or answer.router
            throttled = answer is not None and answer.outcome is Outcome.THROTTLED
            if routed and not throttled and (answer is None or answer.phase not in (Phase.TCP, Phase.TLS)):
                served[(int(at // 2) * 2, attempt.router, attempt.endpoint, answer is None)] += 1
            if answer is None:
                good.setdefault(int(at), Counter())[self._series(attempt, None)] += 1
            else:
                yield self._late(at + answer.seconds), self._entry(host, readings=(self._failed(attempt, answer),))
        for second, counts in good.items():
            readings = tuple(
                Reading(series=s, at=int(START) + second, counts={Outcome.SUCCESS: n}, latency=(0, 0, n, *[0] * 10))
                for s, n in counts.items()
            )
            yield self._late(second + 1.05 + phase), self._entry(host, readings=readings)

    def _late(self, at: float) -> float:
        """A collector that is away gets everything when it is back."""
        return self.outage[1] + 0.01 if self.outage and self.outage[0] <= at < self.outage[1] else at

    def _attempt(self, at: float, host: str, cell: tuple, k: int, rng: random.Random) -> Attempt:
        endpoint, operation, connection = cell
        partition = k % PARTITIONS
        router = f"{rng.choice(ZONES)}-router-{rng.choice((1, 2))}"
        led = operation is not OperationClass.EVENTUAL_READ
        node = leader(partition) if led else f"{zone_of(router)}-node-{partition // 3 % 3 + 1}"
        return Attempt(at, host, zone_of(host), endpoint, operation, connection, partition, router, node)

    def _answer(self, attempt: Attempt, rng: random.Random) -> Answer | None:
        for start, end, fault in self.faults:
            if start <= attempt.at < end:
                answer = fault(self, attempt)
                if answer is not None:
                    return answer
        return HTTP_500 if self.background and rng.random() < self.background else None

    def _series(self, a: Attempt, answer: Answer | None) -> Series:
        router = a.router if answer is None or answer.router else None
        node = a.node if answer is None or answer.node else None
        return Series(
            vantage=Vantage.CANARY,
            host=a.host,
            zone=a.zone,
            operation=a.operation,
            table="canary",
            endpoint=a.endpoint,
            connection=a.connection,
            partition=f"p{a.partition}",
            router=router,
            router_zone=router and zone_of(router),
            node=node,
            node_zone=node and zone_of(node),
        )

    def _failed(self, a: Attempt, answer: Answer) -> Reading:
        series = self._series(a, answer)
        failure = Observation(
            at=START + a.at,
            endpoint=a.endpoint,
            connection=a.connection,
            operation=a.operation,
            table="canary",
            outcome=answer.outcome,
            reason=answer.reason,
            partition=series.partition,
            phase=answer.phase,
            router=series.router,
            router_zone=series.router_zone,
            node=series.node,
            node_zone=series.node_zone,
            status=answer.status,
            total_ms=answer.seconds * 1000,
        )
        return Reading(series=series, at=int(START + a.at), counts={answer.outcome: 1}, failures=(failure,))

    def _scrapes(self, seconds: float, served: Counter) -> Iterator[tuple[float, dict]]:
        names = [f"{z}-{role}-{k}" for z in ZONES for role, n in (("router", 2), ("node", 3)) for k in range(1, n + 1)]
        for at in range(2, int(seconds), 2):
            for i, name in enumerate(names):
                up = not any(s <= at < e and name.startswith(n) for s, e, n in self.down)
                role = name.split("-")[1]
                state = TargetState(target=name, zone=zone_of(name), role=role, up=up, at=START + at)
                readings = tuple(self._counted(name, at, served)) if up else ()
                yield at + 0.1 + i / 1000, self._entry(name, Vantage.SERVER, targets=(state,), readings=readings)

    def _counted(self, name: str, at: int, served: Counter) -> Iterator[Reading]:
        for endpoint in ENDPOINTS:
            kinds = ((Outcome.SUCCESS, True), (Outcome.SERVER_FAULT, False))
            counts = {o: n for o, good in kinds if (n := served[(at - 2, name, endpoint, good)])}
            series = Series(
                vantage=Vantage.SERVER,
                host=name,
                zone=zone_of(name),
                operation=OperationClass.WRITE,
                table="canary",
                endpoint=endpoint,
                router=name,
            )
            if any(s <= at < e and n == name for s, e, n in self.masked) and endpoint == ENDPOINTS[0]:
                series, counts = replace(series, table="orders"), {Outcome.SUCCESS: 20, Outcome.SERVER_FAULT: 4}
            if counts:
                yield Reading(series=series, at=int(START) + at, counts=counts)


# Faults, by name, for scripts and tests. Each takes keyword words and returns (fault, what else it does to the world).


def power_off(world: World, start: float, seconds: float, zone: str) -> None:
    """The zone's routers refuse, its canaries are silent, what it led fails until the leases have run out."""

    def fault(_: World, a: Attempt) -> Answer | None:
        if zone_of(a.router) == zone:
            return REFUSED
        if a.is_led and zone_of(a.node) == zone and a.at < start + 5:
            return TIMEOUT if a.partition == 0 else HTTP_500
        return None

    world.during(start, seconds, fault)
    world.silent.append((start, start + seconds, zone))
    world.down.append((start, start + seconds, zone))


def leader_crash(world: World, start: float, seconds: float, node: str, known: str = "yes") -> None:
    """Writes and strong reads of one leader's partitions fail until its lease has run out."""
    answer = HTTP_500._replace(node=known == "yes")
    world.during(start, seconds, lambda _, a: answer if a.is_led and a.node == node else None)


def dns_empty(world: World, start: float, seconds: float, endpoint: str) -> None:
    """New connections of an endpoint find no address."""
    answer = Answer(Outcome.UNREACHABLE, "dns_empty", Phase.DNS, router=False)
    world.during(start, seconds, lambda _, a: answer if (a.endpoint, a.connection) == (endpoint, "fresh") else None)


def tls_expired(world: World, start: float, seconds: float, endpoint: str) -> None:
    """New connections of an endpoint are shown a certificate of yesterday."""
    answer = Answer(Outcome.UNREACHABLE, "certificate_expired", Phase.TLS)
    world.during(start, seconds, lambda _, a: answer if (a.endpoint, a.connection) == (endpoint, "fresh") else None)


def router_errors(world: World, start: float, seconds: float, router: str, share: str = "1") -> None:
    """A router answers 500."""
    rng, part = random.Random(router), float(share)
    answer = HTTP_500._replace(node=False)
    world.during(start, seconds, lambda _, a: answer if a.router == router and rng.random() < part else None)


def endpoint_errors(world: World, start: float, seconds: float, endpoint: str, share: str = "1") -> None:
    """A part of an endpoint's requests is answered 500."""
    rng, part = random.Random(endpoint), float(share)
    world.during(start, seconds, lambda _, a: HTTP_500 if a.endpoint == endpoint and rng.random() < part else None)


def path_errors(world: World, start: float, seconds: float, zone: str, endpoint: str) -> None:
    """An endpoint's requests through the routers of one zone are answered 500."""
    answer = HTTP_500._replace(node=False)
    world.during(start, seconds, lambda _, a: answer if a.endpoint == endpoint and zone_of(a.router) == zone else None)


def leader_stuck(world: World, start: float, seconds: float, node: str) -> None:
    """What one leader must answer runs into the deadline: the answer is known two seconds after it was asked."""
    world.during(start, seconds, lambda _, a: TIMEOUT if a.is_led and a.node == node else None)


def no_quorum(world: World, start: float, seconds: float, partition: str) -> None:
    """A partition has lost two replicas: no writes, no strong reads."""
    answer = HTTP_500._replace(node=False)
    world.during(start, seconds, lambda _, a: answer if a.is_led and a.partition == int(partition) else None)


def host_sick(world: World, start: float, seconds: float, host: str, knows: str = "no") -> None:
    """Everything that a canary host asks fails; after two seconds it may notice itself."""
    world.during(start, seconds, lambda _, a: TIMEOUT._replace(seconds=0.5) if a.host == host else None)
    if knows == "yes":
        world.recusals.append((start + 2, start + seconds + 5, host))


def zone_of_observers_sick(world: World, start: float, seconds: float, zone: str) -> None:
    """Both canary hosts of a zone see everything fail."""
    world.during(start, seconds, lambda _, a: TIMEOUT._replace(seconds=0.5, router=False) if a.zone == zone else None)


def throttled(world: World, start: float, seconds: float, partition: str) -> None:
    """A hot partition is throttled."""
    answer = Answer(Outcome.THROTTLED, "throttled", Phase.HTTP, node=True, status=400)
    world.during(start, seconds, lambda _, a: answer if a.partition == int(partition) else None)


def wrong_answers(world: World, start: float, seconds: float, partition: str) -> None:
    """Strong reads of a partition bring an old value."""
    answer = Answer(Outcome.WRONG_ANSWER, "stale_read", Phase.SEMANTIC, node=True, status=200)
    world.during(
        start, seconds, lambda _, a: answer if a.partition == int(partition) and a.operation == "strong_read" else None
    )


def only_servers_see(world: World, start: float, seconds: float, router: str) -> None:
    """A router fails requests for a table that no canary asks for."""
    world.masked.append((start, start + seconds, router))


def collector_down(world: World, start: float, seconds: float) -> None:
    """What is sent meanwhile arrives afterwards, all at once."""
    world.outage = (start, start + seconds)


def canaries_down(world: World, start: float, seconds: float) -> None:
    """No canary asks anything."""
    world.silent += [(start, start + seconds, zone) for zone in ZONES]


def canaries_recused(world: World, start: float, seconds: float) -> None:
    """Every canary host finds itself sick, and says so."""
    hosts = [f"{zone}-canary-{k}" for zone in ZONES for k in (1, 2)]
    world.recusals += [(start + i / 10, start + seconds + i / 10, host) for i, host in enumerate(hosts)]


FAULTS = {
    f.__name__: f
    for f in (
        power_off,
        leader_crash,
        dns_empty,
        tls_expired,
        router_errors,
        endpoint_errors,
        path_errors,
        leader_stuck,
        no_quorum,
        host_sick,
        zone_of_observers_sick,
        throttled,
        wrong_answers,
        only_servers_see,
        collector_down,
        canaries_down,
        canaries_recused,
    )
}
