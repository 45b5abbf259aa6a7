"""What an entry's readings mean for windows, matrix, evidence and attempts: one pass, integers only (pure)."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cfa.attempts import Attempts, Failure, Rows
from cfa.config import CfaConfig
from cfa.cube import NOWHERE, Cube, path_of
from cfa.evidence import Evidence
from cfa.matrix import Matrix
from cfa.objective import Objective
from cfa.policy import BACKFILL_SECONDS
from cfa.windows import GOOD, KINDS, Windows
from collector.observation import BAD as BAD_OUTCOMES
from collector.observation import Connection, Level, Observation, Outcome
from collector.series import FeedEntry, Reading

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """Some attempts of one place within a reading."""

    place: int
    at: float
    good: int
    bad: int
    excluded: int
    wrong: int = 0
    failure: Observation | None = None
    confirm: bool = False


class Intake:
    """Holds the counting structures and feeds them; a recused host's words go to the attempts only."""

    def __init__(self, config: CfaConfig) -> None:
        self.objective = Objective(config.objectives.default, config.objectives.tables)
        self.cube = Cube(config.region)
        self.windows = Windows()
        self.matrix = Matrix(config.seldom_asked_seconds)
        self.evidence = Evidence(shared=config.shared_bursts)
        self.attempts = Attempts()
        self.allowed_by_node: list[float] = []
        self.last_bad_at: float | None = None

    def allowed(self, node: int) -> float:
        """p0 of a node; its table's own if it has one."""
        return self.allowed_by_node[node]

    def advance(self, at: float) -> None:
        """Moves every clock on."""
        self.windows.advance(at)
        self.matrix.advance(at)
        self.attempts.forget(at)

    def take(self, entry: FeedEntry, *, believed: bool) -> None:
        """Takes the readings of a canary's entry in: single attempts; what calls came to, retries and all, is never added to them.

        Attempts made because another zone's had failed are evidence and nothing else: windows and matrix are samples of what customers get.
        """
        now = entry.received_at
        readings = [reading for reading in entry.readings if reading.series.level is Level.ATTEMPT]
        confirming = [reading for reading in entry.readings if reading.series.level is Level.CONFIRM]
        parts = [part for reading in readings for part in self._parts(reading)]
        more = [replace(part, confirm=True) for reading in confirming for part in self._parts(reading)]
        self._reserve()
        fresh = [p for p in (*parts, *more) if p.at >= now - BACKFILL_SECONDS]
        for part in fresh:
            self._remember(part, entry, now)
        if not believed:
            return
        for second in sorted({int(p.at) for p in parts}):
            self.windows.add(second, self._counts([p for p in parts if int(p.at) == second]))
        self._to_matrix(entry, readings)
        self._to_evidence(fresh, entry.host, now)

    def _parts(self, reading: Reading) -> list[Part]:
        """A reading's whole failures one by one, on their own paths, and the rest as counts."""
        counts = dict(reading.counts)
        at = float(reading.at)
        parts = []
        for f in reading.failures:
            if counts.get(f.outcome, 0) > 0:
                counts[f.outcome] -= 1
                place = self.cube.place(path_of(reading.series, f))
                bad, excluded = int(f.outcome.is_bad), int(f.outcome.is_excluded)
                wrong = int(f.outcome is Outcome.WRONG_ANSWER)
                parts.append(Part(place, f.at, 0, bad, excluded, wrong, f))
        good = counts.get(Outcome.SUCCESS, 0)
        bad = sum(counts.get(o, 0) for o in BAD_OUTCOMES)
        excluded = counts.get(Outcome.THROTTLED, 0) + counts.get(Outcome.CUSTOMER_FAULT, 0)
        if good or bad or excluded:
            wrong = counts.get(Outcome.WRONG_ANSWER, 0)
            parts.append(Part(self.cube.place(path_of(reading.series)), at, good, bad, excluded, wrong))
        return parts

    def _reserve(self) -> None:
        for family, values in self.cube.nodes[len(self.allowed_by_node) :]:
            self.allowed_by_node.append(self.objective.allowed(values[0] if family in ("table", "partition") else None))
        self.windows.reserve(len(self.cube.nodes))
        self.evidence.reserve(self.allowed_by_node)

    def _remember(self, part: Part, entry: FeedEntry, now: float) -> None:
        sequence = self.attempts.add(
            at=part.at,
            received=now,
            place=part.place,
            good=part.good,
            bad=part.bad,
            excluded=part.excluded,
            wrong=part.wrong,
            confirm=part.confirm,
        )
        f = part.failure
        if f is not None and part.bad:
            self.attempts.failures.append(
                Failure(
                    sequence=sequence,
                    at=f.at,
                    received=now,
                    place=part.place,
                    host=entry.host,
                    reason=f.reason,
                    phase=None if f.phase is None else str(f.phase),
                    endpoint=f.endpoint,
                    operation=str(f.operation),
                    request_id=f.request_id,
                )
            )

    def _counts(self, parts: list[Part]) -> Counts:
        """Counts per node, side and kind."""
        counts = np.zeros((len(self.cube.nodes) + 1, 2, KINDS), np.int64)
        places = [p.place for p in parts]
        values = np.array([(p.good, p.bad, p.excluded) for p in parts], np.int64)
        members = self.cube.membership[places]
        sides = np.broadcast_to(self.cube.side[places][:, None], members.shape)
        np.add.at(counts, (members.ravel(), sides.ravel()), np.repeat(values, members.shape[1], axis=0))
        return counts[:-1]  # NOWHERE is the last row

    def _to_matrix(self, entry: FeedEntry, readings: list[Reading]) -> None:
        for reading in readings:
            s, counts = reading.series, reading.counts
            cell = self._cell(s.zone, s.endpoint, str(s.operation), s.connection)
            bad = sum(counts.get(o, 0) for o in BAD_OUTCOMES)
            excluded = counts.get(Outcome.THROTTLED, 0) + counts.get(Outcome.CUSTOMER_FAULT, 0)
            self.matrix.add(cell, reading.at, (counts.get(Outcome.SUCCESS, 0), bad, excluded, 0), reading.latency)
        for u in entry.unobserved:
            cell = self._cell(entry.zone, u.endpoint, str(u.operation), u.connection)
            self.matrix.add(cell, u.at, (0, 0, 0, u.count))

    def _cell(self, zone: str, endpoint: str | None, operation: str, connection: Connection | None) -> int:
        return self.matrix.cell((zone, endpoint or "", operation, str(connection or Connection.FRESH)))

    def _to_evidence(self, parts: list[Part], host: str, at: float) -> None:
        who, updates = self.evidence.host(host), 0
        for part in (p for p in parts if p.bad):
            self._count_failure(part, who, at)
            self.last_bad_at = part.at if self.last_bad_at is None else max(self.last_bad_at, part.at)
        updates = self._count_successes([p for p in parts if p.good], who, at, dated=True)
        self.evidence.rate(updates, at)

    def _cell_of(self, place: int) -> tuple[str, ...]:
        """The series: who asks, and what of whom; bursts are of one such."""
        path = self.cube.paths[place]
        return (path.host, path.endpoint or "", path.connection, path.operation, path.table)

    def _count_failure(self, part: Part, who: int, at: float) -> None:
        members = self.cube.membership[part.place]
        again = self.evidence.follows(self._cell_of(part.place), part.at)
        nodes = members[members != NOWHERE]
        self.evidence.failures(nodes, int(self.cube.side[part.place]), who, part.bad, min(at, part.at), again=again)

    def _count_successes(self, parts: list[Part], who: int, at: float, *, dated: bool = False) -> int:
        """Counts them in every node that they belong to; how many updates that was. ``dated``: their ``at`` is when asked."""
        if not parts:
            return 0
        for part in parts if self.evidence.failing else ():
            self.evidence.answered(self._cell_of(part.place), part.at)
        counts = self._counts(parts)[:, :, GOOD]
        self.evidence.successes(counts, who, at, asked=max(int(p.at) for p in parts) if dated else None)
        return int(counts.sum())

    def retract(self, rows: Rows) -> None:
        """Takes rows back from windows and matrix: their witness is not believed any more."""
        rows = rows[~rows["confirm"]]  # were never in them
        for second in sorted({int(at) for at in rows["at"]}):
            of_second = rows[rows["at"].astype(np.int64) == second]
            counts = [
                Part(int(r["place"]), second, int(r["good"]), int(r["bad"]), int(r["excluded"])) for r in of_second
            ]
            self.windows.add(second, -self._counts(counts))
            for part in counts:
                path = self.cube.paths[part.place]
                cell = self._cell(path.observer_zone, path.endpoint, path.operation, Connection(path.connection))
                self.matrix.add(cell, second, (-part.good, -part.bad, -part.excluded, 0))

    def weigh_anew(self, rows: Rows) -> None:
        """Builds the evidence anew from the believed rows of the last minute: another word is believed now."""
        self.evidence.reset(np.zeros(self.evidence.size, np.bool_))
        hosts = [self.cube.paths[place].host for place in rows["place"].tolist()]
        groups = sorted({(int(r), h) for r, h in zip(rows["received"].tolist(), hosts, strict=True)})
        named = np.array(hosts)
        for second, host in groups:
            self._weigh(rows[(rows["received"].astype(np.int64) == second) & (named == host)], host)

    def _weigh(self, rows: Rows, host: str) -> None:
        who = self.evidence.host(host)
        parts = [Part(int(r["place"]), float(r["received"]), int(r["good"]), int(r["bad"]), 0) for r in rows]
        for part in (p for p in parts if p.bad):
            self._count_failure(part, who, part.at)
        good = [p for p in parts if p.good]
        if good:
            self._count_successes(good, who, good[-1].at)
