"""What a drill sees: incidents and pages as an on-call engineer sees them, by the judgement's API (shell)."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from fivenines.judgement_client import JudgementClient, Unreachable

Progress = Callable[[str], None]


class DrillFailed(Exception):
    """The drill could not be run at all; says why."""


class Watch:
    """What the judgement has said since the drill began."""

    def __init__(self, judgement: JudgementClient, since: float) -> None:
        self._judgement = judgement
        self._since = since
        self.incidents: tuple[dict[str, Any], ...] = ()
        self.pages: tuple[dict[str, Any], ...] = ()
        self.recused: set[str] = set()
        self.actions: tuple[dict[str, Any], ...] = ()
        self.blind_at: float | None = None
        """When the judgement first said that no canary is heard."""
        self.is_blind = False
        self._bad: tuple[int, int] | None = None

    @property
    def failed_probes(self) -> int | None:
        """Attempts of canaries that were bad, from the first look to the last; None before there was one."""
        return None if self._bad is None else self._bad[1] - self._bad[0]

    async def look(self) -> None:
        """Ask again; a judgement that is away for a moment is asked at the next look."""
        with contextlib.suppress(Unreachable):
            status, incidents, pages, actions = await asyncio.to_thread(self._ask)
            self.incidents, self.pages, self.actions = tuple(incidents), tuple(pages), tuple(actions)
            self.recused |= {entry["host"] for entry in status["recused"]}
            self.is_blind = status["state"] == "INSUFFICIENT_DATA"
            if self.is_blind and self.blind_at is None:
                self.blind_at = time.time()
            bad = bad_ever(status)
            self._bad = (self._bad[0] if self._bad else bad, bad)

    def _ask(self) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
        judgement = self._judgement
        incidents = [i for i in judgement.incidents("all", self._since) if i["opened_at"] >= self._since]
        return judgement.status(), incidents, judgement.pages(self._since), judgement.mitigations()


def bad_ever(status: dict[str, Any]) -> int:
    """Bad attempts in the whole region in the longest window, of a ``GET /v1/status``."""
    rows = [row for row in status["availability"] if set(row["scope"]) == {"region"}]
    return sum(row["windows"]["30d"]["bad"] for row in rows)
