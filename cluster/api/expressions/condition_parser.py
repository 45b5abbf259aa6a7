"""Parses conditions and filters (pure).

::

    or        := and (OR and)*
    and       := not (AND not)*
    not       := NOT not | primary
    primary   := '(' or ')' | operand | operand comparator operand
               | operand BETWEEN operand AND operand | operand IN '(' operand, … ')' | function '(' operand, … ')'
    operand   := path | :value | size '(' path ')' | '(' operand ')'

An operand and a condition may both begin with a parenthesis, so ``primary`` reads either and looks at what it got.
"""

from cluster.api.expressions.conditions import (
    All,
    AnyOf,
    Attribute,
    Between,
    Call,
    Comparison,
    Condition,
    Exists,
    Given,
    In,
    Not,
    Operand,
    Size,
)
from cluster.api.expressions.parser import Parser
from cluster.api.expressions.tokens import TokenKind

COMPARATORS = frozenset({"=", "<>", "<", "<=", ">", ">="})
MAX_CHOICES = 100
_FUNCTIONS = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
    "size": 1,
}
_OPERANDS = (Attribute, Given, Size)
Node = Operand | Condition


class ConditionParser(Parser):
    """Reads one condition."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self._parentheses: set[tuple[int, int]] = set()

    def parse(self) -> Condition:
        """The whole expression."""
        condition = self._condition(self._or())
        self.finish()
        return condition

    def _condition(self, node: Node) -> Condition:
        if isinstance(node, Size):
            raise self.wrong("The function is not allowed to be used this way in an expression; function: size")
        if isinstance(node, _OPERANDS):
            raise self.syntax_error()
        return node  # type: ignore[return-value]  # all other nodes are conditions

    def _operand(self, node: Node) -> Operand:
        if isinstance(node, _OPERANDS):
            return node
        if isinstance(node, Exists | Call):
            name = node.function if isinstance(node, Call) else "attribute_exists"
            raise self.wrong(f"The function is not allowed to be used this way in an expression; function: {name}")
        raise self.syntax_error()

    def _or(self) -> Node:
        return self._chain("OR")

    def _and(self) -> Node:
        return self._chain("AND")

    def _chain(self, word: str) -> Node:
        read = self._and if word == "OR" else self._not
        node = read()
        if self.next.word != word:
            return node
        parts = [self._condition(node)]
        while self.accept(word):
            self.count_operator()
            parts.append(self._condition(read()))
        return AnyOf(tuple(parts)) if word == "OR" else All(tuple(parts))

    def _not(self) -> Node:
        if not self.accept("NOT"):
            return self._primary()
        self.count_operator()
        self.deeper()
        node = Not(self._condition(self._not()))
        self.shallower()
        return node

    def _primary(self) -> Node:
        node = self._atom()
        if not isinstance(node, _OPERANDS) and self.next.word not in COMPARATORS:
            return node
        word = self.next.word
        if word in COMPARATORS:
            self.take()
            self.count_operator()
            return Comparison(word, self._operand(node), self._operand(self._atom()))
        if self.accept("BETWEEN"):
            self.count_operator()
            lower = self._operand(self._atom())
            self.expect("AND")
            return Between(self._operand(node), lower, self._operand(self._atom()))
        if self.accept("IN"):
            self.count_operator()
            return In(self._operand(node), self._choices())
        return node

    def _choices(self) -> tuple[Operand, ...]:
        self.expect("(")
        choices = [self._operand(self._atom())]
        while self.accept(","):
            choices.append(self._operand(self._atom()))
        self.expect(")")
        if len(choices) > MAX_CHOICES:
            raise self.wrong(f"Too many operands for operator IN; maximum allowed: {MAX_CHOICES}")
        return tuple(choices)

    def _atom(self) -> Node:
        if self.next.word == "(":
            return self._parenthesised()
        value = self.value_reference()
        if value is not None:
            return Given(value)
        if self.next.kind is TokenKind.NAME and self.following.text == "(":
            return self._function()
        return Attribute(self.path())

    def _parenthesised(self) -> Node:
        opened = self.position
        self.expect("(")
        self.deeper()
        node = self._or()
        self.shallower()
        closed = self.position
        self.expect(")")
        if (opened + 1, closed - 1) in self._parentheses:
            raise self.wrong("The expression has redundant parentheses;")
        self._parentheses.add((opened, closed))
        return node

    def _function(self) -> Node:
        name = self.take().text
        self.expect("(")
        self.deeper()
        arguments = [self._operand(self._atom())]
        while self.accept(","):
            arguments.append(self._operand(self._atom()))
        self.shallower()
        self.expect(")")
        self.count_operator()
        if name not in _FUNCTIONS:
            raise self.wrong(f"Invalid function name; function: {name}")
        if len(arguments) != _FUNCTIONS[name]:
            raise self.wrong(
                "Incorrect number of operands for operator or function; "
                f"operator or function: {name}, number of operands: {len(arguments)}"
            )
        return self._applied(name, arguments)

    def _applied(self, name: str, arguments: list[Operand]) -> Node:
        first = arguments[0]
        if name in ("attribute_exists", "attribute_not_exists"):
            if not isinstance(first, Attribute):
                raise self.wrong(f"Operator or function requires a document path; operator or function: {name}")
            return Exists(first.path, wanted=name == "attribute_exists")
        if name == "size":
            if isinstance(first, Size):
                raise self.wrong("The function is not allowed to be used this way in an expression; function: size")
            return Size(first)  # type: ignore[arg-type]  # an operand that is no Size is one of the other two
        return Call(name, first, arguments[1])
