"""The store's counters out of a Prometheus text page (pure).

Only the few families that become readings are looked at, line by line: a full parser costs ten times as much, and fifteen
servers are read every two seconds.
"""

import re
from dataclasses import dataclass, field

from collector.series import DURABILITY_GAUGES

ROUTER_FAMILY = "store_requests_total"
NODE_FAMILY = "store_replica_requests_total"
SAMPLES_MAX = 20_000
"""Of one page; more is a label that has run away."""
VERSION_TEXT_MAX = 64
"""Characters of a software version that are kept."""

_BUILD = "store_build_info{"
_START = "process_start_time_seconds"
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_ESCAPE = re.compile(r'\\[\\"n]')


class NotMetricsError(ValueError):
    """The page is not what a server of the store shows; the text says why."""


@dataclass(frozen=True, slots=True)
class Page:
    """A scrape. ``counters``: sample name with its labels, as written → value. ``life``: differs after a restart.

    ``gauges``: of :data:`DURABILITY_GAUGES`, by name. ``served``: the Date header that it came with; "" without one.
    """

    life: tuple[str, ...] = ()
    counters: dict[str, float] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)
    served: str = ""

    @property
    def starts(self) -> tuple[str, ...]:
        """The process' start time as the page tells it; empty when it does not. The same start surely means no restart."""
        return tuple(line for line in self.life if line.startswith(_START))

    @property
    def version(self) -> str | None:
        """The software version that the page names; None when it names none."""
        build = next((line for line in self.life if line.startswith(_BUILD)), None)
        return None if build is None else labels_of(build).get("version", "")[:VERSION_TEXT_MAX] or None


def read(text: str, family: str) -> Page:
    """The counters of ``family`` and the durability gauges on a page; raises :class:`NotMetricsError`."""
    prefix = family + "{"
    life: list[str] = []
    counters: dict[str, float] = {}
    gauges: dict[str, float] = {}
    for line in text.split("\n"):
        if line.startswith(prefix):
            end = line.rfind("}")
            counters[line[: end + 1]] = _value(line[end + 1 :])
        elif line.startswith((_BUILD, _START)):
            life.append(line)
        elif line.startswith(DURABILITY_GAUGES):
            name, _, value = line.replace("{", " {", 1).partition(" ")
            if name in DURABILITY_GAUGES:
                gauges[name] = max(gauges.get(name, 0.0), _value(value[value.rfind("}") + 1 :]))
    if len(counters) > SAMPLES_MAX:
        raise NotMetricsError(f"{len(counters)} samples of {family}, at most {SAMPLES_MAX}")
    return Page(tuple(sorted(life)), counters, gauges)


def _value(text: str) -> float:
    try:
        return float(text.split(maxsplit=1)[0])
    except (ValueError, IndexError) as error:
        raise NotMetricsError(f"not a sample's value: {text[:40]!r}") from error


def labels_of(sample: str) -> dict[str, str]:
    """The labels of ``name{label="value",…}``."""
    inside = sample[sample.index("{") :]
    return {
        name: _ESCAPE.sub(lambda found: _ESCAPES[found.group()], value) if "\\" in value else value
        for name, value in _LABEL.findall(inside)
    }
