"""Operators' actions on their way to the judgement: asked, put in their place, written down, found again (shell).

The engine's loop takes them between entries. Each is committed together with what followed from it before whoever asked
is answered; after a restart the actions since the snapshot are taken at the same places.
"""

import asyncio
from collections import deque
from collections.abc import Iterable

from cfa.incident import IncidentEvent
from cfa.operators import Action, Recorded, Refusal
from cfa.ports import Judge, Operated

WAITING_MOST = 64

Answer = Recorded | Refusal


class Actions:
    """The queue of what is asked, and the script of what an earlier life did. ``asked`` wakes the engine's loop."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge if isinstance(judge, Operated) else None
        self._script: deque[Recorded] = deque()
        self._number = self._judge.applied_actions if self._judge else 0
        self._waiting: list[tuple[Action, asyncio.Future[Answer]]] = []
        self._made: list[Recorded] = []
        self.asked = asyncio.Event()

    @property
    def applied(self) -> int:
        """The number of the last action that the judgement has taken."""
        return self._number

    @property
    def following(self) -> bool:
        """Whether actions of an earlier life are still to be taken."""
        return bool(self._script)

    def follow(self, known: Iterable[Recorded]) -> None:
        """What is written down and not in the judgement's snapshot."""
        self._script = deque(sorted(known, key=lambda recorded: recorded.number))

    def replay(self, before: int) -> list[IncidentEvent]:
        """Takes the actions whose place is before the entry ``before``; what follows was told already, under the same names."""
        events: list[IncidentEvent] = []
        while self._judge is not None and self._script and self._script[0].after < before:
            recorded = self._script.popleft()
            self._number = recorded.number
            events += self._judge.act(recorded)
        return events

    async def ask(self, action: Action) -> Answer:
        """What became of an action; answers when it is durable."""
        if len(self._waiting) >= WAITING_MOST:
            return Refusal("too_many", f"{WAITING_MOST} actions wait already; try again in a second")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((action, answer))
        self.asked.set()
        return await answer

    def take_asked(self) -> list[tuple[Action, asyncio.Future[Answer]]]:
        """All that is asked and still waited for; the loop answers each."""
        self.asked.clear()
        taken, self._waiting = self._waiting, []
        return [(action, answer) for action, answer in taken if not answer.done()]

    def refusal(self, action: Action, at: float) -> Refusal | None:
        """Why an action cannot be done now, or None."""
        if self._judge is None:
            return Refusal("bad_value", "this judgement takes no actions")
        if self._script:
            return Refusal("catching_up", "the judgement has just started and is catching up; try again in a moment")
        return self._judge.refuses(action, at)

    def do(self, action: Action, *, after: int, at: float) -> tuple[Recorded, list[IncidentEvent]]:
        """Takes a new action after the entry ``after``; to be committed with :meth:`made`."""
        self._number += 1
        recorded = Recorded(number=self._number, after=after, at=at, action=action)
        self._made.append(recorded)
        return recorded, self._judge.act(recorded) if self._judge else []

    def made(self) -> tuple[Recorded, ...]:
        """New actions since the last call: to be written down with the next commit."""
        made, self._made = tuple(self._made), []
        return made
