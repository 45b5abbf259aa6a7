"""A small, strict way to point into JSON: ``status``, ``nodes[0].state``, ``$.nodes[-1]["with.dot"]`` (pure).

A subset of JSONPath (RFC 9535) that always points at one value: names, ``["quoted names"]`` and indices; no wildcards, no filters.
"""

import re
from typing import Final

_STEP = re.compile(r"""\.?([A-Za-z_][A-Za-z0-9_-]*)|\[(-?\d+)\]|\["((?:[^"\\]|\\["\\])+)"\]""")


class _Missing:
    """There is nothing there."""

    def __repr__(self) -> str:
        return "nothing"


MISSING: Final = _Missing()


def steps(path: str) -> tuple[str | int, ...]:
    """The path's names and indices; raises ValueError when it is none."""
    text = path.removeprefix("$")
    found: list[str | int] = []
    at = 0
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None or (text[at] != "[" and (text[at] == ".") != bool(found or path.startswith("$"))):
            raise ValueError(f"not a path at '{text[at:]}': names joined by dots, [0] and [\"name\"]")
        name, index, quoted = step.groups()
        found.append(int(index) if index else name or re.sub(r"\\(.)", r"\1", quoted))
        at = step.end()
    if not found and path != "$":
        raise ValueError("an empty path; '$' is the whole document")
    return tuple(found)


def find(document: object, path: str) -> object:
    """The value at ``path``, or :data:`MISSING`."""
    value = document
    for step in steps(path):
        has = isinstance(step, str) and step in value if isinstance(value, dict) else _holds(value, step)
        if not has:
            return MISSING
        value = value[step]  # type: ignore[index]  # as just checked
    return value


def _holds(value: object, index: str | int) -> bool:
    return isinstance(value, list) and isinstance(index, int) and -len(value) <= index < len(value)


def equal(found: object, wanted: object) -> bool:
    """As JSON compares: ``true`` is not 1, but 1 is 1.0."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(equal, found, wanted))
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(equal(found[key], wanted[key]) for key in found)
    return found == wanted
