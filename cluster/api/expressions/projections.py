"""Which parts of an item an answer shows (pure)."""

from typing import Any

from cluster.api.expressions.parser import Parser
from cluster.api.expressions.paths import AttributeValue, Path, Steps, descend
from cluster.ports import Item


class ProjectionParser(Parser):
    """Reads a ProjectionExpression."""

    def parse(self) -> tuple[Path, ...]:
        """The paths."""
        paths = [self.path()]
        while self.accept(","):
            paths.append(self.path())
        self.finish()
        return tuple(paths)


def project(item: Item, paths: list[Steps]) -> Item:
    """Only what ``paths`` name: nested parts keep their place in maps; list members keep their order, without gaps."""
    chosen: Item = {}
    deep: dict[str, list[Steps]] = {}
    for steps in paths:
        top = steps[0]
        value = item.get(top)  # type: ignore[arg-type]  # a path begins with a name
        if value is None:
            continue
        if len(steps) == 1:
            chosen[top] = value  # type: ignore[index]
        elif descend(value, steps[1:]) is not None:
            deep.setdefault(top, []).append(steps[1:])  # type: ignore[arg-type]
    for name, inner in deep.items():
        chosen[name] = _inside(item[name], inner)
    return chosen


def _inside(value: AttributeValue, paths: list[Steps]) -> AttributeValue:
    """The parts of a map or list at ``paths``, all of which exist."""
    groups: dict[str | int, list[Steps]] = {}
    for steps in paths:
        groups.setdefault(steps[0], []).append(steps[1:])
    inner: Any = value.get("M", value.get("L"))
    parts = {step: _part(inner[step], rest) for step, rest in groups.items()}
    if "M" in value:
        return {"M": parts}
    return {"L": [parts[position] for position in sorted(parts)]}


def _part(value: AttributeValue, rest: list[Steps]) -> AttributeValue:
    return value if any(not steps for steps in rest) else _inside(value, rest)
