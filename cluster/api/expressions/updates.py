"""What an update does to an item: SET, REMOVE, ADD, DELETE (pure).

Every right-hand side is computed from the item as it was; then the changes are made to a copy.
"""

from copy import deepcopy
from itertools import pairwise
from typing import Any, Protocol

import msgspec

from cluster.api import numbers
from cluster.api.expressions.conditions import Misuse, type_name
from cluster.api.expressions.paths import Path, Scope, Steps
from cluster.errors import Invalid
from cluster.ports import Item

Value = dict[str, Any]
WRONG_TYPE = "An operand in the update expression has an incorrect data type"
NO_SUCH_ATTRIBUTE = "The provided expression refers to an attribute that does not exist in the item"
WRONG_PATH = "The document path provided in the update expression is invalid for update"
_SETS = ("SS", "NS", "BS")


class Term(Protocol):
    """A right-hand side."""

    def value(self, item: Item, scope: Scope, /) -> Value:
        """Its value; raises Invalid when an operand is absent or of the wrong type."""
        ...

    def known_type(self, scope: Scope, /) -> str | None:
        """Its type if that does not depend on the item; raises Misuse."""
        ...


class PathTerm(msgspec.Struct, frozen=True):
    """The value at a path, which must exist."""

    path: Path

    def value(self, item: Item, scope: Scope) -> Value:
        """The value at the path."""
        found = self.path.read(item, scope)
        if found is None:
            raise Invalid(NO_SUCH_ATTRIBUTE)
        return found

    def known_type(self, _scope: Scope, /) -> str | None:
        """Unknown without the item."""
        return None


class ValueTerm(msgspec.Struct, frozen=True):
    """A ``:value``."""

    name: str

    def value(self, _item: Item, scope: Scope, /) -> Value:
        """The value that the request gives."""
        return scope.values[self.name]

    def known_type(self, scope: Scope) -> str | None:
        """Its type."""
        return type_name(scope.values[self.name])


class IfNotExists(msgspec.Struct, frozen=True):
    """``if_not_exists(path, otherwise)``."""

    path: Path
    otherwise: Term

    def value(self, item: Item, scope: Scope) -> Value:
        """The value at the path, else the other."""
        found = self.path.read(item, scope)
        return self.otherwise.value(item, scope) if found is None else found

    def known_type(self, scope: Scope) -> str | None:
        """Unknown without the item."""
        self.otherwise.known_type(scope)
        return None


class ListAppend(msgspec.Struct, frozen=True):
    """``list_append(first, second)``."""

    first: Term
    second: Term

    def value(self, item: Item, scope: Scope) -> Value:
        """Both lists, one after the other."""
        first, second = self.first.value(item, scope), self.second.value(item, scope)
        if "L" not in first or "L" not in second:
            raise Invalid(WRONG_TYPE)
        return {"L": first["L"] + second["L"]}

    def known_type(self, scope: Scope) -> str | None:
        """A list; raises Misuse when given something else."""
        for term in (self.first, self.second):
            kind = term.known_type(scope)
            if kind not in (None, "L"):
                raise Misuse(
                    "Incorrect operand type for operator or function; "
                    f"operator or function: list_append, operand type: {kind}"
                )
        return "L"


class Arithmetic(msgspec.Struct, frozen=True):
    """``left + right`` or ``left - right``."""

    operator: str
    left: Term
    right: Term

    def value(self, item: Item, scope: Scope) -> Value:
        """The sum or difference of two numbers."""
        left, right = self.left.value(item, scope), self.right.value(item, scope)
        if "N" not in left or "N" not in right:
            raise Invalid(WRONG_TYPE)
        compute = numbers.add if self.operator == "+" else numbers.subtract
        return {"N": compute(left["N"], right["N"])}

    def known_type(self, scope: Scope) -> str | None:
        """A number; raises Misuse when given something else."""
        for term in (self.left, self.right):
            kind = term.known_type(scope)
            if kind not in (None, "N"):
                raise Misuse(
                    "Incorrect operand type for operator or function; "
                    f"operator or function: {self.operator}, operand type: {kind}"
                )
        return "N"


class Assignment(msgspec.Struct, frozen=True):
    """``SET path = term``."""

    path: Path
    term: Term


class SetChange(msgspec.Struct, frozen=True):
    """``ADD path :value`` or ``DELETE path :value``."""

    path: Path
    value: str
    add: bool

    def check(self, scope: Scope) -> None:
        """ADD takes a number or a set, DELETE a set."""
        kind = type_name(scope.values[self.value])
        if kind not in _SETS and not (self.add and kind == "N"):
            operator = "ADD" if self.add else "DELETE"
            raise Misuse(
                f"Incorrect operand type for operator or function; operator: {operator}, operand type: {kind}, "
                f"typeSet: ALLOWED_FOR_{operator}_OPERAND"
            )

    def result(self, item: Item, scope: Scope) -> Value | None:
        """The attribute afterwards; None: it is gone."""
        old, given = self.path.read(item, scope), scope.values[self.value]
        ((kind, members),) = given.items()
        if old is None:
            return dict(given) if self.add else None
        if kind not in old:
            raise Invalid(WRONG_TYPE)
        if kind == "N":
            return {"N": numbers.add(old["N"], str(members))}
        have, change = old[kind], set(members)
        kept = [member for member in have if self.add or member not in change]
        if self.add:
            kept += [member for member in members if member not in set(kept)]
        return {kind: kept} if kept else None


class Update(msgspec.Struct, frozen=True):
    """A parsed UpdateExpression."""

    assignments: tuple[Assignment, ...] = ()
    removals: tuple[Path, ...] = ()
    changes: tuple[SetChange, ...] = ()

    def paths(self, scope: Scope) -> list[Steps]:
        """Every path that is written."""
        written = [a.path for a in self.assignments] + list(self.removals) + [c.path for c in self.changes]
        return [path.resolved(scope) for path in written]

    def check(self, scope: Scope) -> None:
        """Raise Misuse when an operand that the request gives has the wrong type."""
        for assignment in self.assignments:
            assignment.term.known_type(scope)
        for change in self.changes:
            change.check(scope)

    def apply(self, item: Item, scope: Scope) -> Item:
        """The item afterwards; ``item`` stays as it is. Raises Invalid."""
        sets = [(a.path.resolved(scope), a.term.value(item, scope)) for a in self.assignments]
        gone = [path.resolved(scope) for path in self.removals]
        for change in self.changes:
            steps, result = change.path.resolved(scope), change.result(item, scope)
            if result is not None:
                sets.append((steps, result))
            elif change.path.read(item, scope) is not None:
                gone.append(steps)
        return _changed(item, sets, gone)


def _changed(item: Item, sets: list[tuple[Steps, Value]], gone: list[Steps]) -> Item:
    new = dict(item)
    for top in {steps[0] for steps in [*(s for s, _ in sets), *gone] if len(steps) > 1}:
        if top in new:
            new[top] = deepcopy(new[top])
    # List positions mean the list as it was: lower ones are set first (beyond the end appends), higher ones go first.
    for steps, value in sorted(sets, key=lambda change: _order(change[0])):
        _put(new, steps, value)
    for steps in sorted(gone, key=_order, reverse=True):
        _drop(new, steps)
    return new


def _order(steps: Steps) -> list[tuple[int, int, str]]:
    return [(1, step, "") if isinstance(step, int) else (0, 0, step) for step in steps]


def _container(item: Item, steps: Steps) -> dict[str, Any] | list[Any] | None:
    """What holds the last step: a map's fields or a list's members."""
    holder: Any = item
    for step, following in pairwise(steps):
        inside = isinstance(step, int)
        if isinstance(holder, list) is not inside or (inside and step >= len(holder)):  # type: ignore[operator]
            return None
        value = holder[step] if inside else holder.get(step)
        holder = None if value is None else value.get("L" if isinstance(following, int) else "M")
        if holder is None:
            return None
    return holder  # type: ignore[no-any-return]


def _put(item: Item, steps: Steps, value: Value) -> None:
    holder, last = _container(item, steps), steps[-1]
    if isinstance(holder, list) and isinstance(last, int):
        holder[last : last + 1] = [value]
    elif isinstance(holder, dict) and isinstance(last, str):
        holder[last] = value
    else:
        raise Invalid(WRONG_PATH)


def _drop(item: Item, steps: Steps) -> None:
    holder, last = _container(item, steps), steps[-1]
    if isinstance(holder, list) and isinstance(last, int):
        del holder[last : last + 1]
    elif isinstance(holder, dict) and isinstance(last, str):
        holder.pop(last, None)
    else:
        raise Invalid(WRONG_PATH)
