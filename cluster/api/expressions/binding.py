"""Joins a request's expressions with its ExpressionAttributeNames and -Values, and refuses what does not fit (pure).

Parsed expressions are remembered (they do not depend on the request): a program sends the same few again and again.
"""

import re
from functools import lru_cache
from typing import Any

import msgspec

from cluster.api.attributes import check_value
from cluster.api.expressions.condition_parser import ConditionParser
from cluster.api.expressions.conditions import Condition, Misuse
from cluster.api.expressions.paths import EMPTY_SCOPE, Path, Scope, Steps, refuse_overlaps
from cluster.api.expressions.projections import ProjectionParser
from cluster.api.expressions.update_parser import UpdateParser
from cluster.api.expressions.updates import Update
from cluster.errors import Invalid, Unreadable

CONDITION = "ConditionExpression"
UPDATE = "UpdateExpression"
PROJECTION = "ProjectionExpression"
FILTER = "FilterExpression"
KEY_CONDITION = "KeyConditionExpression"
NAMES = "ExpressionAttributeNames"
VALUES = "ExpressionAttributeValues"

_REMEMBERED_EXPRESSIONS = 1024
_REMEMBERED_LENGTH = 1024
_NAME_KEY = re.compile(r"#[A-Za-z0-9_]+\Z")
_VALUE_KEY = re.compile(r":[A-Za-z0-9_]+\Z")


class Parsed(msgspec.Struct, frozen=True):
    """A parsed expression, the placeholders that it uses, and the first steps of its paths."""

    tree: Any
    names: frozenset[str]
    values: frozenset[str]
    tops: frozenset[str]


def _parse(kind: str, text: str) -> Parsed:
    parser: ConditionParser | UpdateParser | ProjectionParser
    if kind == UPDATE:
        parser = UpdateParser(kind, text)
    elif kind == PROJECTION:
        parser = ProjectionParser(kind, text)
    else:
        parser = ConditionParser(kind, text)
    tree = parser.parse()
    return Parsed(tree, frozenset(parser.names), frozenset(parser.values), frozenset(parser.tops))


_remembered = lru_cache(maxsize=_REMEMBERED_EXPRESSIONS)(_parse)


def parse(kind: str, text: str) -> Parsed:
    """Parse an expression; long ones are not remembered, so that nobody can fill the memory with them."""
    return _remembered(kind, text) if len(text) <= _REMEMBERED_LENGTH else _parse(kind, text)


class Bound(msgspec.Struct, frozen=True):
    """A request's expressions with their scope, checked."""

    scope: Scope
    trees: dict[str, Any]

    @property
    def update(self) -> Update | None:
        """The update."""
        return self.trees.get(UPDATE)

    def condition(self, kind: str) -> Condition | None:
        """The condition, filter or key condition."""
        return self.trees.get(kind)

    @property
    def projection(self) -> list[Steps] | None:
        """The projected paths."""
        paths: tuple[Path, ...] | None = self.trees.get(PROJECTION)
        return None if paths is None else [path.resolved(self.scope) for path in paths]


UNBOUND = Bound(EMPTY_SCOPE, {})


def scope_of(parameters: dict[str, Any]) -> Scope:
    """The scope of a request that has been checked."""
    names, values = parameters.get(NAMES), parameters.get(VALUES)
    if names is None and values is None:
        return EMPTY_SCOPE
    return Scope(names or {}, values or {})


def bind(parameters: dict[str, Any], *kinds: str) -> Bound:
    """The request's expressions of ``kinds``, checked against its names and values; raises Invalid or Unreadable."""
    parsed = {kind: parse(kind, parameters[kind]) for kind in kinds if parameters.get(kind) is not None}
    names, values = parameters.get(NAMES), parameters.get(VALUES)
    if not parsed:
        if names is None and values is None:
            return UNBOUND
        _refuse_without_expressions(names is not None, kinds)
    _check_names(names)
    _check_values(values)
    scope = Scope(names or {}, values or {})
    for kind, expression in parsed.items():
        _check_defined(kind, expression, scope)
        _check_meaning(kind, expression.tree, scope)
    _refuse_unused(NAMES, scope.names, [expression.names for expression in parsed.values()])
    _refuse_unused(VALUES, scope.values, [expression.values for expression in parsed.values()])
    return Bound(scope, {kind: expression.tree for kind, expression in parsed.items()})


def _refuse_without_expressions(has_names: bool, kinds: tuple[str, ...]) -> None:
    if has_names:
        raise Invalid(f"{NAMES} can only be specified when using expressions")
    with_values = " and ".join(kind for kind in kinds if kind != PROJECTION)
    verb = "are" if " and " in with_values else "is"
    reason = f": {with_values} {verb} null" if with_values else ""
    raise Invalid(f"{VALUES} can only be specified when using expressions{reason}")


def _check_names(names: Any) -> None:
    if names is None:
        return
    if not names:
        raise Invalid(f"{NAMES} must not be empty")
    for key, name in names.items():
        if _NAME_KEY.match(key) is None:
            raise Invalid(f'{NAMES} contains invalid key: Syntax error; key: "{key}"')
        if type(name) is not str:
            raise Unreadable("Unexpected field type")
        if not name:
            raise Invalid(f'{NAMES} contains invalid value: Empty attribute name for key "{key}"')


def _check_values(values: Any) -> None:
    if values is None:
        return
    if not values:
        raise Invalid(f"{VALUES} must not be empty")
    for key, value in values.items():
        if _VALUE_KEY.match(key) is None:
            raise Invalid(f'{VALUES} contains invalid key: Syntax error; key: "{key}"')
        try:
            check_value(value)
        except Invalid as error:
            raise Invalid(f"{VALUES} contains invalid value: {error.message} for key {key}") from error


def _check_defined(kind: str, expression: Parsed, scope: Scope) -> None:
    missing = sorted(expression.names - scope.names.keys())
    if missing:
        raise Invalid(
            f"Invalid {kind}: An expression attribute name used in the document path is not defined; "
            f"attribute name: {missing[0]}"
        )
    missing = sorted(expression.values - scope.values.keys())
    if missing:
        raise Invalid(
            f"Invalid {kind}: An expression attribute value used in expression is not defined; "
            f"attribute value: {missing[0]}"
        )


def _check_meaning(kind: str, tree: Any, scope: Scope) -> None:
    if kind == PROJECTION:
        refuse_overlaps(kind, [path.resolved(scope) for path in tree])
        return
    try:
        tree.check(scope)
    except Misuse as error:
        raise Invalid(f"Invalid {kind}: {error}") from error
    if kind == UPDATE:
        refuse_overlaps(kind, tree.paths(scope))


def _refuse_unused(field: str, given: dict[str, Any], used: list[frozenset[str]]) -> None:
    unused = given.keys() - frozenset().union(*used)
    if unused:
        raise Invalid(f"Value provided in {field} unused in expressions: keys: {{{', '.join(sorted(unused))}}}")
