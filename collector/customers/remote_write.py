"""Prometheus remote write 1.0, in: which counters count for whom (pure).

Source: the remote-write specification 1.0 and ``prompb/types.proto``. Samples of a series come in order of time and come again
when a sender retries; the protocol gives them no other identity than series and time.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite

from collector.customers.config import CounterRule, CustomersConfig
from collector.customers.protobuf import ProtobufError, double, fields, message, signed, text
from collector.customers.streams import Point
from collector.customers.vocabulary import operation_of, outcome_of, table_of
from collector.observation import Level, OperationClass, Outcome

SERIES_MAX = 50_000
LABELS_MAX = 64
SAMPLES_MAX = 10_000
STALE = struct.pack("<Q", 0x7FF0000000000002)
"""The NaN that says that a series has ended, as a sample's bytes."""

START = "process_start_time_seconds"
"""A gauge of every instrumented program: when it is sent along, its counters are known to have begun at nought then."""

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """``value`` None: the series has ended (a staleness marker)."""

    at_ms: int
    value: float | None


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a series counts, and for whom."""

    customer: str
    zone: str
    table: str
    operation: OperationClass
    level: Level
    outcome: Outcome


def read(body: bytes) -> Iterator[tuple[Labels, tuple[Sample, ...]]]:
    """The series of a ``WriteRequest``, uncompressed; raises :class:`ProtobufError`."""
    count = 0
    for field, value in fields(memoryview(body)):
        if field == 1:
            count += 1
            if count > SERIES_MAX:
                raise ProtobufError(f"more than {SERIES_MAX} series")
            yield _series(message(value))


def _series(data: memoryview) -> tuple[Labels, tuple[Sample, ...]]:
    labels: dict[str, str] = {}
    samples = []
    for field, value in fields(data):
        if field == 1:
            pair = {part: text(word) for part, word in fields(message(value)) if part in (1, 2)}
            labels[pair.get(1, "")] = pair.get(2, "")
            if len(labels) > LABELS_MAX:
                raise ProtobufError(f"more than {LABELS_MAX} labels")
        elif field == 2:
            samples.append(_sample(message(value)))
            if len(samples) > SAMPLES_MAX:
                raise ProtobufError(f"more than {SAMPLES_MAX} samples of a series")
    return labels, tuple(samples)


def _sample(data: memoryview) -> Sample:
    at, value, ended = 0, 0.0, False
    for field, found in fields(data):
        if field == 1:
            value, ended = double(found), bytes(message(found)) == STALE
        elif field == 2:
            at = signed(found)
    return Sample(at, None if ended else value)


class Rules:
    """The configured counters, by metric."""

    def __init__(self, config: CustomersConfig) -> None:
        self._rules = {rule.metric: rule for rule in config.counters}

    def meaning_of(self, labels: Labels) -> Meaning | str:
        """What a series counts, or why it is not taken: ``other_metric``, ``bad_outcome``."""
        rule = self._rules.get(labels.get("__name__", ""))
        if rule is None:
            return "other_metric"
        outcome = _outcome(labels.get(rule.outcome_label, ""), rule)
        if outcome is None:
            return "bad_outcome"
        return Meaning(
            customer=labels.get(rule.customer_label, ""),
            zone=labels.get(rule.zone_label, ""),
            table=table_of(labels.get(rule.table_label, "")),
            operation=_operation(labels.get(rule.operation_label, "")),
            level=Level(rule.level),
            outcome=outcome,
        )


def instance_of(labels: Labels) -> tuple[str, str]:
    """The program that a series is of."""
    return labels.get("job", ""), labels.get("instance", "")


def point_of(labels: Labels, sample: Sample, start_ns: int = 0) -> Point | str:
    """The point of its stream; or ``stale``, ``not_a_count``. ``start_ns``: since when its program runs, 0 when not known."""
    if sample.value is None:
        return "stale"
    if not isfinite(sample.value) or not 0 <= sample.value < 2**63:
        return "not_a_count"
    return Point(
        stream=tuple(sorted(labels.items())),
        source=(labels.get("__name__"), instance_of(labels)),
        start_ns=start_ns,
        at_ns=sample.at_ms * 1_000_000,
        values=(round(sample.value),),
    )


def _operation(word: str) -> OperationClass:
    if word in frozenset(OperationClass):
        return OperationClass(word)
    return operation_of(word) if word else OperationClass.CHECK


def _outcome(word: str, rule: CounterRule) -> Outcome | None:
    if word in rule.outcomes:
        return rule.outcomes[word]
    if word in frozenset(Outcome):
        return Outcome(word)
    if word.isdigit() and len(word) == 3:
        return outcome_of(int(word), None, None)[0]
    return None
