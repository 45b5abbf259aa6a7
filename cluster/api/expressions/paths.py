"""Document paths (``a.b[0].#c``) and the names and values that a request binds to placeholders (pure)."""

from itertools import pairwise
from typing import Any

import msgspec

from cluster.errors import Invalid
from cluster.ports import Item

Steps = tuple[str | int, ...]
"""A path whose placeholders are replaced: attribute names and list positions."""

AttributeValue = dict[str, Any]


class Scope(msgspec.Struct, frozen=True):
    """What ``#name`` and ``:value`` stand for in one request."""

    names: dict[str, str]
    values: dict[str, AttributeValue]


EMPTY_SCOPE = Scope({}, {})


class Path(msgspec.Struct, frozen=True):
    """A path as written; a step that begins with ``#`` is a placeholder."""

    steps: Steps

    def resolved(self, scope: Scope) -> Steps:
        """Its steps with the placeholders replaced."""
        return tuple(scope.names[s] if type(s) is str and s[0] == "#" else s for s in self.steps)

    def read(self, item: Item, scope: Scope) -> AttributeValue | None:
        """The value at this path, or None."""
        first = self.steps[0]
        assert type(first) is str
        if first[0] == "#":
            first = scope.names[first]
        value: AttributeValue | None = item.get(first)
        if value is None or len(self.steps) == 1:
            return value
        return descend(value, self.resolved(scope)[1:])


def descend(value: AttributeValue, steps: Steps) -> AttributeValue | None:
    """The value at ``steps`` below ``value``, or None."""
    found: AttributeValue | None = value
    for step in steps:
        if found is None:
            return None
        if type(step) is int:
            members = found.get("L")
            found = members[step] if isinstance(members, list) and step < len(members) else None
        else:
            fields = found.get("M")
            found = fields.get(step) if isinstance(fields, dict) else None
    return found


def shown(steps: Steps) -> str:
    """A path as DynamoDB's messages show it: ``[a, [0], b]``."""
    return "[" + ", ".join(f"[{step}]" if isinstance(step, int) else step for step in steps) + "]"


def refuse_overlaps(kind: str, paths: list[Steps]) -> None:
    """Raise Invalid when one path is (part of) another, or two take the same value for a list and for a map.

    Sorted, a path's first extension stands right after it, so that n paths need no n² comparisons.
    """
    ordered = sorted(paths, key=lambda steps: [(1, s, "") if isinstance(s, int) else (0, 0, s) for s in steps])
    for first, second in pairwise(ordered):
        trouble = "overlap" if second[: len(first)] == first else _conflict(first, second)
        if trouble:
            raise Invalid(
                f"Invalid {kind}: Two document paths {trouble} with each other; must remove or rewrite one of these "
                f"paths; path one: {shown(first)}, path two: {shown(second)}"
            )


def _conflict(first: Steps, second: Steps) -> str:
    for one, other in zip(first, second, strict=False):
        if one != other:
            return "conflict" if isinstance(one, int) != isinstance(other, int) else ""
    return ""
