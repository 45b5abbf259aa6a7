"""What a condition means: the nodes of a parsed condition, each able to check its operands and to decide (pure)."""

from typing import Any, Protocol

import msgspec

from cluster.api.expressions import values
from cluster.api.expressions.paths import Path, Scope, shown
from cluster.ports import Item

Value = dict[str, Any]
_TYPES = ("S", "N", "B", "NULL", "SS", "BOOL", "L", "BS", "NS", "M")
_TYPE_NAMES = "{B,NULL,SS,BOOL,L,BS,N,NS,S,M}"


class Misuse(ValueError):
    """An operand does not fit; the message is DynamoDB's, without the kind of expression."""


class Operand(Protocol):
    """Something that has a value."""

    def value(self, item: Item, scope: Scope, /) -> Value | None:
        """Its value for ``item``, or None if absent."""
        ...

    def known(self, scope: Scope, /) -> Value | None:
        """Its value if that does not depend on the item."""
        ...


class Condition(Protocol):
    """Something that is true or false of an item."""

    def holds(self, item: Item, scope: Scope, /) -> bool:
        """Whether it is true of ``item``."""
        ...

    def check(self, scope: Scope, /) -> None:
        """Raise Misuse when an operand that the request gives has the wrong type."""
        ...


class Attribute(msgspec.Struct, frozen=True):
    """The value at a path."""

    path: Path

    def value(self, item: Item, scope: Scope) -> Value | None:
        """The value at the path."""
        return self.path.read(item, scope)

    def known(self, _scope: Scope, /) -> Value | None:
        """Nothing is known without the item."""
        return None


class Given(msgspec.Struct, frozen=True):
    """A ``:value``."""

    name: str

    def value(self, _item: Item, scope: Scope, /) -> Value | None:
        """The value that the request gives."""
        return scope.values[self.name]

    def known(self, scope: Scope) -> Value | None:
        """The same."""
        return scope.values[self.name]


class Size(msgspec.Struct, frozen=True):
    """``size(operand)``."""

    of: Attribute | Given

    def value(self, item: Item, scope: Scope) -> Value | None:
        """The size as a number, or None when the operand has none."""
        inner = self.of.value(item, scope)
        size = None if inner is None else values.size(inner)
        return None if size is None else {"N": str(size)}

    def known(self, scope: Scope) -> Value | None:
        """The size of a given value; raises Misuse for a type without one."""
        inner = self.of.known(scope)
        if inner is not None and values.size(inner) is None:
            raise Misuse(wrong_type("size", inner))
        return None


def type_name(value: Value) -> str:
    """The type word of a value."""
    return next(iter(value))


def wrong_type(operator: str, value: Value) -> str:
    """DynamoDB's complaint about an operand of the wrong type."""
    return (
        "Incorrect operand type for operator or function; "
        f"operator or function: {operator}, operand type: {type_name(value)}"
    )


def _refuse_same_path(operator: str, left: Operand, right: Operand, scope: Scope) -> None:
    if isinstance(left, Attribute) and isinstance(right, Attribute):
        first = left.path.resolved(scope)
        if first == right.path.resolved(scope):
            raise Misuse(
                "The first operand must be distinct from the remaining operands for this operator or function; "
                f"operator: {operator}, first operand: {shown(first)}"
            )


class Comparison(msgspec.Struct, frozen=True):
    """``left operator right``."""

    operator: str
    left: Operand
    right: Operand

    def holds(self, item: Item, scope: Scope) -> bool:
        """An absent attribute equals nothing and is in no order."""
        left, right = self.left.value(item, scope), self.right.value(item, scope)
        if left is None or right is None:
            return self.operator == "<>" and left is not right
        if self.operator in ("=", "<>"):
            return values.same(left, right) is (self.operator == "=")
        order = values.compare(left, right)
        if order is None:
            return False
        return order in {"<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (0, 1)}[self.operator]

    def check(self, scope: Scope) -> None:
        """Order needs S, N or B."""
        for operand in (self.left, self.right):
            known = operand.known(scope)
            if known is not None and self.operator not in ("=", "<>") and type_name(known) not in values.ORDERED:
                raise Misuse(wrong_type(self.operator, known))
        _refuse_same_path(self.operator, self.left, self.right, scope)


class Between(msgspec.Struct, frozen=True):
    """``operand BETWEEN lower AND upper``, both included."""

    operand: Operand
    lower: Operand
    upper: Operand

    def holds(self, item: Item, scope: Scope) -> bool:
        """False when anything is absent or of another type."""
        found = (self.operand.value(item, scope), self.lower.value(item, scope), self.upper.value(item, scope))
        value, lower, upper = found
        if value is None or lower is None or upper is None:
            return False
        above, below = values.compare(value, lower), values.compare(value, upper)
        return above is not None and below is not None and above >= 0 and below <= 0

    def check(self, scope: Scope) -> None:
        """Given bounds are of one type and in order."""
        self.operand.known(scope)
        lower, upper = self.lower.known(scope), self.upper.known(scope)
        if lower is None or upper is None:
            return
        low, high = type_name(lower), type_name(upper)
        operands = (
            f"lower bound operand: AttributeValue: {{{low}:{lower[low]}}}, "
            f"upper bound operand: AttributeValue: {{{high}:{upper[high]}}}"
        )
        for bound in (lower, upper):
            if type_name(bound) not in values.ORDERED:
                raise Misuse(wrong_type("BETWEEN", bound))
        if low != high:
            raise Misuse(f"The BETWEEN operator requires same data type for lower and upper bounds; {operands}")
        if values.compare(lower, upper) == 1:
            raise Misuse(
                "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; " + operands
            )


class In(msgspec.Struct, frozen=True):
    """``operand IN (choices)``."""

    operand: Operand
    choices: tuple[Operand, ...]

    def holds(self, item: Item, scope: Scope) -> bool:
        """Equal to any of them."""
        value = self.operand.value(item, scope)
        if value is None:
            return False
        found = (choice.value(item, scope) for choice in self.choices)
        return any(choice is not None and values.same(value, choice) for choice in found)

    def check(self, scope: Scope) -> None:
        """Any types will do."""
        for operand in (self.operand, *self.choices):
            operand.known(scope)


class Exists(msgspec.Struct, frozen=True):
    """``attribute_exists(path)``, or ``attribute_not_exists`` when not ``wanted``."""

    path: Path
    wanted: bool

    def holds(self, item: Item, scope: Scope) -> bool:
        """Whether there is (not) a value."""
        return (self.path.read(item, scope) is not None) is self.wanted

    def check(self, _scope: Scope, /) -> None:
        """Always in order."""


class Call(msgspec.Struct, frozen=True):
    """``begins_with``, ``contains`` or ``attribute_type`` of two operands."""

    function: str
    subject: Operand
    argument: Operand

    def holds(self, item: Item, scope: Scope) -> bool:
        """False when anything is absent."""
        value, argument = self.subject.value(item, scope), self.argument.value(item, scope)
        if value is None or argument is None:
            return False
        if self.function == "contains":
            return values.contains(value, argument)
        if self.function == "begins_with":
            return values.begins_with(value, argument)
        return type_name(value) == argument.get("S")

    def check(self, scope: Scope) -> None:
        """``begins_with`` takes S or B; ``attribute_type`` the name of a type."""
        known = (self.subject.known(scope), self.argument.known(scope))
        if self.function == "begins_with":
            for operand in known:
                if operand is not None and type_name(operand) not in ("S", "B"):
                    raise Misuse(wrong_type(self.function, operand))
        if self.function == "attribute_type":
            self._check_type(known[1])
        _refuse_same_path(self.function, self.subject, self.argument, scope)

    def _check_type(self, named: Value | None) -> None:
        if named is None:
            raise Misuse(
                "Incorrect operand type for operator or function; operator or function: attribute_type, "
                "operand type: {NS,SS,L,BS,N,M,B,BOOL,NULL,S}"
            )
        if "S" not in named:
            raise Misuse(wrong_type(self.function, named))
        if named["S"] not in _TYPES:
            raise Misuse(f"Invalid attribute type name found; type: {named['S']}, valid types: {_TYPE_NAMES}")


class All(msgspec.Struct, frozen=True):
    """``AND``."""

    parts: tuple[Condition, ...]

    def holds(self, item: Item, scope: Scope) -> bool:
        """All parts hold."""
        return all(part.holds(item, scope) for part in self.parts)

    def check(self, scope: Scope) -> None:
        """Check every part."""
        for part in self.parts:
            part.check(scope)


class AnyOf(msgspec.Struct, frozen=True):
    """``OR``."""

    parts: tuple[Condition, ...]

    def holds(self, item: Item, scope: Scope) -> bool:
        """At least one part holds."""
        return any(part.holds(item, scope) for part in self.parts)

    def check(self, scope: Scope) -> None:
        """Check every part."""
        for part in self.parts:
            part.check(scope)


class Not(msgspec.Struct, frozen=True):
    """``NOT``."""

    part: Condition

    def holds(self, item: Item, scope: Scope) -> bool:
        """The part does not hold."""
        return not self.part.holds(item, scope)

    def check(self, scope: Scope) -> None:
        """Check the part."""
        self.part.check(scope)
