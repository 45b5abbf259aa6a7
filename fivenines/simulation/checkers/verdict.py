"""What the checkers found (pure)."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that was broken. ``promise``: its name, one per checker; ``at``: virtual seconds, when it was noticed."""

    promise: str
    at: float
    text: str

    def __str__(self) -> str:
        """One line, and the evidence below it."""
        return f"{self.promise} at {self.at:.3f} s: {self.text}"


@dataclass(slots=True)
class Verdict:
    """All that was broken, in the order in which it was noticed. A run ends soon after the first."""

    broken: list[Broken] = field(default_factory=list)

    def breaks(self, promise: str, at: float, text: str) -> None:
        """Remember it; raising here would only stop one replica, which is a fault like others."""
        self.broken.append(Broken(promise, at, text))
