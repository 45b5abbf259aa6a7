"""What a partial failure will have cost by the time that someone can act: the page gate for errors of 10 % or 1 % (pure).

A page is for what cannot wait. A failure cannot wait when, by the time that a woken person acts, it will have burned
what the SRE workbook pages for: 2 % of the 30-day budget. So it is judged on what has burned since it began *and* on
what will burn during the response, at the share that fails; 1 % at an objective of 99.99 % reaches that in under five
minutes, 10 % at once. The worst ten seconds are forgiven: a fail-over heals itself and is no trend.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfa.policy import BUDGET_PERIOD_SECONDS

RESPONSE_SECONDS = 300.0
"""From the page until someone acts: "5 minutes for user-facing or otherwise highly time-critical services" (Google, Site
Reliability Engineering, chapter 11)."""

FORGIVEN_SECONDS = 10.0
"""The stretch with the most failures that does not count: a leader's fail-over takes 3–5 s, twice that with a retry."""

OVER_PROBABILITY = 0.05
"""With so many successes since the last failure that chance would bring them with less than this, it may be over."""

OWN_BUDGET = frozenset({"region", "zone", "endpoint", "zone_endpoint", "table"})
"""Scopes that a customer knows by name: judged by their own budget. The others (a router, a node, a partition, a version)
by the part of the region's budget that they cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A failure so far: counts since the first failure, ``tail`` of the attempts after the last.

    ``worst`` failures fell into the worst :data:`FORGIVEN_SECONDS`; the scope has ``part`` of the attempts whose budget it is.
    """

    failures: int
    attempts: int
    tail: int
    worst: int
    seconds: float
    part: float = 1.0

    @property
    def share(self) -> float:
        """The failing share outside the worst stretch; 0 while there is nothing outside."""
        if self.seconds <= FORGIVEN_SECONDS or not self.attempts:
            return 0.0
        return (self.failures - self.worst) / (self.attempts * (1 - FORGIVEN_SECONDS / self.seconds))

    @property
    def goes_on(self) -> bool:
        """Whether the successes since the last failure are no sign yet that it is over."""
        share = min(self.share, 1.0)
        return share > 0 and float((1 - share) ** self.tail) >= OVER_PROBABILITY


def budget_foreseen(course: Course, allowed: float) -> float:
    """The part of the 30-day budget that will be gone when someone acts; 0 when it may be over."""
    if not course.goes_on:
        return 0.0
    excess = min(course.share, 1.0) - allowed
    return max(0.0, course.part * excess * (course.seconds + RESPONSE_SECONDS) / (allowed * BUDGET_PERIOD_SECONDS))


def worst_stretch(at: NDArray[np.float64], bad: NDArray[np.int32]) -> int:
    """The most failures within any :data:`FORGIVEN_SECONDS`, of ``bad`` failures asked at ``at``."""
    failed = bad > 0
    order = np.argsort(at[failed], kind="stable")
    when, counts = at[failed][order], np.concatenate([[0], np.cumsum(bad[failed][order])])
    until = np.searchsorted(when, when + FORGIVEN_SECONDS, side="right")
    return int((counts[until] - counts[:-1]).max(initial=0))
