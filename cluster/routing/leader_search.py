"""Finding the leader that answers: follow hints, try the others, give up in time (pure).

One search per request. The router asks :meth:`Search.next_node` whom to ask, and tells what came of it.
"""

from dataclasses import dataclass, field

MAX_HINTS = 2
ROUND_PAUSE_SECONDS = 0.1
SEARCH_SHARE = 0.4
"""So much of the router's patience goes into looking for a leader; then the client is told that there is none."""


@dataclass(slots=True)
class Search:
    """``nodes``: in the order to try; ``believed``: who was said to lead, the router's own memory first."""

    nodes: list[str]
    give_up_at: float
    believed: list[str] = field(default_factory=list)
    hints: int = 0
    tried: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    hinted: str | None = None

    def next_node(self) -> str | None:
        """Whom to ask now; None: all were asked in this round."""
        node, self.hinted = self.hinted, None
        if node is None:
            node = next((n for n in self.nodes if n not in self.tried), None)
        if node is not None:
            self.tried.add(node)
        return node

    def not_leader(self, node: str, hint: str | None) -> None:
        """``node`` does not lead, and believes that ``hint`` does."""
        self.answered.add(node)
        if hint is None:
            return
        self.believed.append(hint)
        if self.hints < MAX_HINTS and hint not in self.tried:
            self.hints += 1
            self.hinted = hint

    def new_round(self, at: float) -> bool:
        """Begin again with all nodes, unless it is time to give up."""
        self.tried.clear()
        self.hints = 0
        return at + ROUND_PAUSE_SECONDS < self.give_up_at

    def to_blame(self) -> str:
        """Who is missing: the first that was said to lead and did not answer, else any that did not, else who was said to lead last."""
        silent = [node for node in (*self.believed, *self.nodes) if node not in self.answered]
        return next(iter(silent), None) or next(reversed(self.believed), self.nodes[0])
