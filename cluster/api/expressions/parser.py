"""What all expressions have in common: reading tokens one by one, paths, and a limit on nesting (pure)."""

from cluster.api.expressions.paths import Path
from cluster.api.expressions.reserved import RESERVED
from cluster.api.expressions.tokens import Expression, Token, TokenKind
from cluster.errors import Invalid

MAX_NESTING = 32
MAX_OPERATORS = 300
MAX_PATH_STEPS = 33


class Parser:
    """A position in an expression; remembers which placeholders the expression uses."""

    def __init__(self, kind: str, text: str) -> None:
        self.expression = Expression(kind, text)
        self.position = 0
        self.names: set[str] = set()
        self.values: set[str] = set()
        self.tops: set[str] = set()
        self._nesting = 0
        self._operators = 0

    @property
    def next(self) -> Token:
        """The token to be read next."""
        return self.expression.tokens[self.position]

    @property
    def following(self) -> Token:
        """The token after the next."""
        tokens = self.expression.tokens
        return tokens[min(self.position + 1, len(tokens) - 1)]

    def take(self) -> Token:
        """Read a token."""
        token = self.next
        if token.kind is TokenKind.END:
            raise self.syntax_error()
        self.position += 1
        return token

    def accept(self, word: str) -> bool:
        """Read ``word`` if it comes next."""
        if self.next.word != word or self.next.kind is TokenKind.END:
            return False
        self.position += 1
        return True

    def expect(self, word: str) -> None:
        """Read ``word`` or complain."""
        if not self.accept(word):
            raise self.syntax_error()

    def finish(self) -> None:
        """Complain unless everything is read."""
        if self.next.kind is not TokenKind.END:
            raise self.syntax_error()

    def syntax_error(self) -> Invalid:
        """The complaint about the next token."""
        return self.expression.syntax_error(self.position)

    def wrong(self, complaint: str) -> Invalid:
        """A complaint about the expression."""
        return self.expression.wrong(complaint)

    def deeper(self) -> None:
        """Enter parentheses, NOT or a function's arguments."""
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise self.wrong(f"The expression has exceeded the maximum nesting depth of {MAX_NESTING}")

    def shallower(self) -> None:
        """Leave what :meth:`deeper` entered."""
        self._nesting -= 1

    def count_operator(self) -> None:
        """Note an operator or function; DynamoDB allows 300."""
        self._operators += 1
        if self._operators > MAX_OPERATORS:
            raise self.wrong(
                f"The expression contains too many operators and functions; maximum allowed: {MAX_OPERATORS}"
            )

    def value_reference(self) -> str | None:
        """Read a ``:value`` if one comes next."""
        if self.next.kind is not TokenKind.VALUE_REFERENCE:
            return None
        text = self.take().text
        self.values.add(text)
        return text

    def path(self) -> Path:
        """Read a document path."""
        top = self._name()
        self.tops.add(top)
        steps: list[str | int] = [top]
        while True:
            if self.accept("."):
                steps.append(self._name())
            elif self.accept("["):
                if self.next.kind is not TokenKind.INDEX or len(self.next.text) > 9:
                    raise self.syntax_error()
                steps.append(int(self.take().text))
                self.expect("]")
            else:
                break
        if len(steps) > MAX_PATH_STEPS:
            raise self.wrong("The document path has too many nesting elements")
        return Path(tuple(steps))

    def _name(self) -> str:
        token = self.next
        if token.kind is TokenKind.NAME_REFERENCE:
            self.names.add(token.text)
        elif token.kind is not TokenKind.NAME:
            raise self.syntax_error()
        elif token.word in RESERVED:
            raise self.wrong(f"Attribute name is a reserved keyword; reserved keyword: {token.text}")
        self.position += 1
        return token.text
