"""What happened in a run: a running digest of everything, and the readable lines when they are wanted (pure).

Two runs of one seed have the same digest, or something that is not of the seed got in.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Trace:
    """``keeps``: remember the lines as well, for people."""

    keeps: bool = False
    lines: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Events by kind."""
    _digest: "hashlib.blake2b" = field(default_factory=lambda: hashlib.blake2b(digest_size=8))

    def note(self, at: float, kind: str, text: str) -> None:
        """``kind``: one word for the tally; ``at`` in virtual seconds, exactly."""
        self.counts[kind] += 1
        self._digest.update(f"{at!r} {kind} {text}\n".encode())
        if self.keeps:
            self.lines.append(f"{at:11.6f}  {kind:<9} {text}")

    @property
    def digest(self) -> str:
        """Of everything noted so far."""
        return self._digest.hexdigest()
