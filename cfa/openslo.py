"""Objectives from OpenSLO v1 files: ``kind: SLO`` with a ratio metric and one target (pure).

The label ``fivenines/table`` says which table an SLO is for; without it the SLO is the default of all tables. Whatever
cannot be kept as it is written is refused with file, line and remedy: an objective that is silently something else is
worse than none. Documents of other kinds (``Service``, ``SLI``, ``AlertPolicy`` …) are passed over.
Source: github.com/OpenSLO/OpenSLO, specification v1.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import yaml

TABLE_LABEL = "fivenines/table"
BYTES_MOST = 1 << 20
PERIODS = ("30d", "4w2d", "720h", "1M")
"""Budgets are for 30 days; a calendar month is taken for the same."""


class OpenSloError(ValueError):
    """An SLO that cannot be taken: where it is, what is wrong, and what to write instead."""

    def __init__(self, file: str, line: int, problem: str, remedy: str) -> None:
        super().__init__(f"{file}:{line}: {problem}; {remedy}")
        self.file, self.line, self.problem, self.remedy = file, line, problem, remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Objectives as ratios; ``default`` None when no file names one."""

    default: float | None
    tables: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Place:
    """A YAML node, and the file that it is in."""

    file: str
    node: yaml.Node

    def refuse(self, problem: str, remedy: str) -> OpenSloError:
        return OpenSloError(self.file, self.node.start_mark.line + 1, problem, remedy)

    def children(self) -> dict[str, "_Place"]:
        if not isinstance(self.node, yaml.MappingNode):
            raise self.refuse("a mapping is needed here", "write key: value")
        return {str(key.value): _Place(self.file, value) for key, value in self.node.value}

    def get(self, *path: str) -> "_Place | None":
        here: _Place | None = self
        for name in path:
            here = here.children().get(name) if here is not None else None
        return here

    def items(self) -> list["_Place"]:
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.refuse("a list is needed here", "begin each entry with a dash")
        return [_Place(self.file, item) for item in self.node.value]

    def text(self) -> str:
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.refuse("a single value is needed here", "write one word or number")
        return str(self.node.value)


def targets(files: Iterable[tuple[str, str]]) -> Targets:
    """The objectives of (name, text) files; raises :class:`OpenSloError`."""
    default: float | None = None
    tables: dict[str, float] = {}
    for name, text in files:
        for slo in _documents(name, text):
            table, target = _table(slo), _target(slo)
            if (default is not None) if table is None else table in tables:
                what = "a default" if table is None else f"an objective of table {table}"
                raise slo.refuse(f"there is {what} already", f"keep one, or label this one {TABLE_LABEL}")
            if table is None:
                default = target
            else:
                tables[table] = target
    return Targets(default=default, tables=tables)


def _documents(name: str, text: str) -> list[_Place]:
    if len(text) > BYTES_MOST:
        raise OpenSloError(name, 1, f"more than {BYTES_MOST} characters", "split the file")
    try:
        nodes = [node for node in yaml.compose_all(text, yaml.SafeLoader) if node is not None]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise OpenSloError(name, line, f"not YAML: {error.problem}", "mend the syntax") from error
    except yaml.YAMLError as error:
        raise OpenSloError(name, 1, f"not YAML: {error}", "mend the syntax") from error
    return [place for node in nodes if _is_slo(place := _Place(name, node))]


def _is_slo(place: _Place) -> bool:
    version, kind = place.get("apiVersion"), place.get("kind")
    if version is None or version.text() != "openslo/v1":
        raise (version or place).refuse("not an OpenSLO v1 document", "write apiVersion: openslo/v1")
    if kind is None:
        raise place.refuse("no kind", "write kind: SLO")
    return kind.text() == "SLO"


def _table(slo: _Place) -> str | None:
    label = slo.get("metadata", "labels", TABLE_LABEL)
    if label is None:
        return None
    if isinstance(label.node, yaml.SequenceNode):
        values = label.items()
        if len(values) != 1:
            raise label.refuse(f"{len(values)} values of {TABLE_LABEL}", "write one SLO for each table")
        label = values[0]
    return label.text()


def _target(slo: _Place) -> float:
    spec = slo.get("spec")
    if spec is None:
        raise slo.refuse("no spec", "write spec with objectives")
    _check_indicator(spec)
    method, windows = spec.get("budgetingMethod"), spec.get("timeWindow")
    if method is not None and method.text() != "Occurrences":
        raise method.refuse(
            f"budgetingMethod {method.text()}", "write Occurrences: here requests are counted, not slices"
        )
    for window in windows.items() if windows is not None else ():
        duration = window.get("duration")
        if duration is not None and duration.text() not in PERIODS:
            raise duration.refuse(f"a budget for {duration.text()}", "write 30d: budgets are for 30 days here")
    objectives = spec.get("objectives")
    if objectives is None or len(found := objectives.items()) != 1:
        raise (objectives or spec).refuse("not exactly one objective", "write one entry below objectives")
    return _ratio(found[0])


def _check_indicator(spec: _Place) -> None:
    metrics = spec.get("indicator", "spec")
    if metrics is not None and metrics.get("ratioMetric") is None:
        raise metrics.refuse("an indicator without ratioMetric", "availability is good of valid: use ratioMetric")


def _ratio(objective: _Place) -> float:
    target, percent = objective.get("target"), objective.get("targetPercent")
    given = target or percent
    if given is None:
        raise objective.refuse("an objective without target", "write target: 0.9999")
    try:
        value = float(given.text()) / (1 if target is not None else 100)
    except ValueError as error:
        raise given.refuse(f"{given.text()!r} is no number", "write target: 0.9999") from error
    if not 0 < value < 1:
        raise given.refuse(f"a target of {value:g}", "write a ratio above 0 and below 1, like 0.9999")
    return value
