"""One alarm being followed: what its explanation has seen since the first failure (pure).

A case counts row by row as they arrive. Successes after the last failure wait apart: the next failure confirms that
they belong to the incident, else they are the sign that it is over.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cfa.alarm import State
from cfa.attempts import Failure, Rows
from cfa.cube import Cube
from cfa.incident import Incident, Servers
from cfa.materiality import Run, failing_run
from cfa.scope import mask_of

EXAMPLES = 5


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was counted within an explanation; ``tail`` are successes asked after the last failure."""

    sequence: int = 0
    failures: int = 0
    successes: int = 0
    tail: int = 0
    wrong: int = 0
    first_failure_at: float = 0.0
    last_failure_at: float = 0.0
    last_failure_received: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    phases: Counter[str | None] = field(default_factory=Counter)
    sides: Counter[int] = field(default_factory=Counter)
    bad_hosts: Counter[str] = field(default_factory=Counter)
    good_hosts: Counter[str] = field(default_factory=Counter)
    wrong_hosts: Counter[str] = field(default_factory=Counter)
    failed_places: Counter[int] = field(default_factory=Counter)
    tail_hosts: Counter[str] = field(default_factory=Counter)
    examples: list[Failure] = field(default_factory=list)

    @property
    def attempts(self) -> int:
        """Failures, and the successes between them."""
        return self.failures + self.successes

    @property
    def share(self) -> float:
        """Failures of attempts."""
        return self.failures / self.attempts if self.failures else 0.0

    def fail(self, row: Rows, cube: Cube) -> None:
        """Takes one row with failures."""
        at, bad, place = float(row["at"]), int(row["bad"]), int(row["place"])
        if not self.failures:
            self.first_failure_at = self.last_failure_at = at
            self._drop_tail()
        elif at >= self.last_failure_at:
            self.successes += self.tail
            self._drop_tail()
        self.first_failure_at = min(self.first_failure_at, at)
        self.last_failure_at = max(self.last_failure_at, at)
        self.last_failure_received = max(self.last_failure_received, float(row["received"]))
        self.failures += bad
        path = cube.paths[place]
        self.bad_hosts[path.host] += bad
        self.sides[path.side] += bad
        self.failed_places[place] += bad
        if row["wrong"]:
            self.wrong += int(row["wrong"])
            self.wrong_hosts[path.host] += int(row["wrong"])

    def confirm(self, row: Rows, cube: Cube) -> None:
        """Takes one row that was asked because of a failure: who saw it, too, or did not; in no count, budget or calm."""
        place = int(row["place"])
        host = cube.paths[place].host
        if row["bad"]:
            self.bad_hosts[host] += int(row["bad"])
            self.failed_places[place] += int(row["bad"])
        elif row["good"]:
            self.good_hosts[host] += int(row["good"])

    def _drop_tail(self) -> None:
        self.tail = 0
        self.tail_hosts.clear()

    def succeed(self, row: Rows, cube: Cube) -> None:
        """Takes one row of successes; those asked before the first failure are not the incident's."""
        at, good = float(row["at"]), int(row["good"])
        if not self.failures or at < self.first_failure_at:
            return
        host = cube.paths[int(row["place"])].host
        self.good_hosts[host] += good
        if at > self.last_failure_at:
            self.tail += good
            self.tail_hosts[host] += good
        else:
            self.successes += good


@dataclass(slots=True, kw_only=True)
class Case:
    """An explanation under alarm, and its incident as last told.

    ``servers`` are at their worst: servers that are well again have not been well all the time. ``answered_until``: an
    operator has closed it by hand then, and failures asked before are no reason to open it again.
    """

    node: int
    kind: str
    connection: str | None
    side: str | None
    state: State = State.OK
    tally: Tally = field(default_factory=Tally)
    incident: Incident | None = None
    paged: bool = False
    returns: int = 0
    servers: Servers | None = None
    answered_until: float = 0.0
    scoped_at: float = 0.0
    told_at: float = 0.0
    refreshed_at: float = 0.0
    closed_at: float | None = None

    @property
    def is_open(self) -> bool:
        """In alarm, or blind in alarm."""
        return self.state is not State.OK

    @property
    def told_until(self) -> float:
        """Failures asked until then are this case's, and no reason for another."""
        return max(self.tally.last_failure_at, self.answered_until)

    def follow(self, cube: Cube, rows: Rows, failures: list[Failure]) -> bool:
        """Counts rows that are new to this case; True when failures were among them."""
        new = rows[int(np.searchsorted(rows["sequence"], self.tally.sequence, side="right")) :]
        if not len(new):
            return False
        mask = mask_of(cube, new["place"], self.node, self.connection, self.side)
        before = self.tally.failures
        for row in new[mask]:
            if row["confirm"]:
                self.tally.confirm(row, cube)
                continue
            if row["bad"]:
                self.tally.fail(row, cube)
            if row["good"]:
                self.tally.succeed(row, cube)
        self.tally.sequence = int(new["sequence"][-1])
        if self.tally.failures > before:
            self._note(new[mask], failures)
        return self.tally.failures > before

    def _note(self, counted: Rows, failures: list[Failure]) -> None:
        """What the failures among the rows just counted were; of others, however lately, nothing is told."""
        failed = set(counted["sequence"][counted["bad"] > 0].tolist())
        for failure in (f for f in failures if f.sequence in failed):
            self.tally.reasons[failure.reason] += 1
            self.tally.phases[failure.phase] += 1
            if len(self.tally.examples) < EXAMPLES:
                self.tally.examples.append(failure)

    def recount(self, cube: Cube, rows: Rows, failures: list[Failure], *, since: float) -> None:
        """Counts anew, from the rows asked after ``since`` that are still remembered: the explanation has changed."""
        self.tally = Tally()
        self.follow(cube, rows[rows["at"] >= since], failures)

    def run(self, cube: Cube, rows: Rows, now: float) -> Run | None:
        """The latest run of failures within the explanation."""
        return run_of(cube, rows, (self.node, self.connection, self.side), now)


def run_of(cube: Cube, rows: Rows, what: tuple[int, str | None, str | None], now: float) -> Run | None:
    """The latest run of failures among the rows that (node, connection, side) covers.

    Those asked because of a failure are among them: the question is whether it fails *now*, and what was asked to find that out says it best.
    """
    inside: NDArray[np.void] = rows[mask_of(cube, rows["place"], *what)]
    return failing_run(inside["at"], inside["good"], inside["bad"], now) if len(inside) else None
