"""Parses UpdateExpressions (pure).

::

    update  := (SET path = term, … | REMOVE path, … | ADD path :value, … | DELETE path :value, …)+
    term    := operand (('+' | '-') operand)?
    operand := path | :value | if_not_exists '(' path, operand ')' | list_append '(' operand, operand ')' | '(' term ')'
"""

from cluster.api.expressions.parser import Parser
from cluster.api.expressions.paths import Path
from cluster.api.expressions.tokens import TokenKind
from cluster.api.expressions.updates import (
    Arithmetic,
    Assignment,
    IfNotExists,
    ListAppend,
    PathTerm,
    SetChange,
    Term,
    Update,
    ValueTerm,
)

_SECTIONS = ("SET", "REMOVE", "ADD", "DELETE")


class UpdateParser(Parser):
    """Reads one update."""

    def parse(self) -> Update:
        """The whole expression."""
        sections: dict[str, list[Assignment | Path | SetChange]] = {}
        while self.next.kind is not TokenKind.END:
            section = self.next.word
            if section not in _SECTIONS:
                raise self.syntax_error()
            if section in sections:
                raise self.wrong(f'The "{section}" section can only be used once in an update expression;')
            self.take()
            sections[section] = self._clauses(section)
        return Update(
            tuple(sections.get("SET", ())),  # type: ignore[arg-type]  # each section holds its own kind
            tuple(sections.get("REMOVE", ())),  # type: ignore[arg-type]
            (*sections.get("ADD", ()), *sections.get("DELETE", ())),
        )

    def _clauses(self, section: str) -> list[Assignment | Path | SetChange]:
        clauses = [self._clause(section)]
        while self.accept(","):
            clauses.append(self._clause(section))
        return clauses

    def _clause(self, section: str) -> Assignment | Path | SetChange:
        self.count_operator()
        path = self.path()
        if section == "REMOVE":
            return path
        if section == "SET":
            self.expect("=")
            return Assignment(path, self._term())
        value = self.value_reference()
        if value is None:
            raise self.syntax_error()
        return SetChange(path, value, section == "ADD")

    def _term(self) -> Term:
        left = self._operand()
        for operator in ("+", "-"):
            if self.accept(operator):
                self.count_operator()
                return Arithmetic(operator, left, self._operand())
        return left

    def _operand(self) -> Term:
        if self.accept("("):
            self.deeper()
            term = self._term()
            self.shallower()
            self.expect(")")
            return term
        value = self.value_reference()
        if value is not None:
            return ValueTerm(value)
        if self.next.kind is TokenKind.NAME and self.following.text == "(":
            return self._function()
        return PathTerm(self.path())

    def _function(self) -> Term:
        name = self.take().text
        if name not in ("if_not_exists", "list_append"):
            raise self.wrong(f"Invalid function name; function: {name}")
        self.count_operator()
        self.expect("(")
        self.deeper()
        first = self._operand()
        self.expect(",")
        second = self._operand()
        self.shallower()
        self.expect(")")
        if name == "list_append":
            return ListAppend(first, second)
        if not isinstance(first, PathTerm):
            raise self.wrong("Operator or function requires a document path; operator or function: if_not_exists")
        return IfNotExists(first.path, second)
