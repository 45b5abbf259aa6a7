"""The contract of probes written in Python: an async function in the entry point group ``fivenines.probes`` (pure).

The function takes a :class:`ProbeContext`, returns nothing when all is well, and raises when it is not: :class:`ProbeFailed` with a
text of its own, or anything else. It must not block, and it is cancelled at its deadline.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

GROUP = "fivenines.probes"


class ProbeFailed(Exception):
    """What was probed is not well; the text says why and reaches the page (200 characters)."""


@dataclass(frozen=True, slots=True)
class ProbeContext:
    """What a function gets. ``deadline``: loop-monotonic seconds (``time.monotonic()``) after which it is cancelled."""

    name: str
    host: str
    zone: str
    deadline: float
    options: Mapping[str, object] = field(default_factory=dict)


Probe = Callable[[ProbeContext], Awaitable[object]]
