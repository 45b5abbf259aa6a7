"""Cuts an expression into tokens, and tells where it went wrong in DynamoDB's words (pure)."""

import re
from dataclasses import dataclass
from enum import Enum, auto

from cluster.errors import Invalid

MAX_BYTES = 4096


class TokenKind(Enum):
    """What a token is."""

    NAME = auto()
    NAME_REFERENCE = auto()
    VALUE_REFERENCE = auto()
    INDEX = auto()
    SIGN = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text, from ``start`` to ``end``."""

    kind: TokenKind
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """Upper case if it is a bare name (keywords know no case), else its text."""
        return self.text.upper() if self.kind is TokenKind.NAME else self.text


_TOKEN = re.compile(
    r"\s*(?:(?P<NAME>[A-Za-z_][A-Za-z0-9_]*)|(?P<NAME_REFERENCE>\#[A-Za-z0-9_]+)"
    r"|(?P<VALUE_REFERENCE>:[A-Za-z0-9_]+)|(?P<INDEX>[0-9]+)|(?P<SIGN><>|<=|>=|[=<>+\-(),.\[\]]))"
)
_BLANK = re.compile(r"\s*\Z")


class Expression:
    """The tokens of one expression and its kind (``ConditionExpression``, …), which every complaint names."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self.text = text
        if not text or _BLANK.match(text):
            raise self.wrong("The expression can not be empty;")
        size = len(text) if text.isascii() else len(text.encode())
        if size > MAX_BYTES:
            raise self.wrong(f"Expression size has exceeded the maximum allowed size; expression size: {size}")
        self.tokens = self._cut()

    def wrong(self, complaint: str) -> Invalid:
        """The error that says what is wrong with this expression."""
        return Invalid(f"Invalid {self.kind}: {complaint}")

    def syntax_error(self, position: int) -> Invalid:
        """The error at token number ``position``: the token, and its neighbourhood."""
        token = self.tokens[position]
        before = self.tokens[position - 1].start if position else token.start
        after = self.tokens[min(position + 1, len(self.tokens) - 1)].end
        shown = "<EOF>" if token.kind is TokenKind.END else token.text
        return self.wrong(f'Syntax error; token: "{shown}", near: "{self.text[before:after].strip()}"')

    def _cut(self) -> tuple[Token, ...]:
        tokens: list[Token] = []
        at, text = 0, self.text
        while _BLANK.match(text, at) is None:
            match = _TOKEN.match(text, at)
            if match is None:
                start = at + len(text[at:]) - len(text[at:].lstrip())
                near = text[max(0, start - 10) : start + 10].strip()
                raise self.wrong(f'Syntax error; token: "{text[start]}", near: "{near}"')
            group = match.lastgroup or "SIGN"
            tokens.append(Token(TokenKind[group], match[group], match.start(group), match.end()))
            at = match.end()
        tokens.append(Token(TokenKind.END, "", len(text), len(text)))
        return tuple(tokens)
