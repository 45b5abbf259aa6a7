"""Carries mitigations out: looks at the incidents, calls hooks, writes down what was done, takes it back (shell).

What is decided is in :mod:`cfa.mitigation`. An action is written down before its hook is called: after kill -9 an action that
may have been done counts as done and is never called again by itself.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from cfa import mitigation_hooks
from cfa.incident import Incident
from cfa.mitigation import Choice, Reason, Situation, Taken, Undo, decide, followed, key_of, undo
from cfa.mitigation_config import Hook, MitigationConfig
from cfa.mitigation_hooks import HookFailed

logger = logging.getLogger("cfa.mitigation")

LOOK_SECONDS = 0.5
CHECK_SECONDS = 5.0
"""Between two questions whether what was taken out is well."""
KEPT = 200
"""Actions that are remembered, newest first."""

Note = Callable[[str, str], Awaitable[None]]
"""Writes a line into an incident's timeline: its id, and the text."""


class Journal:
    """The actions, in a small file that is replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.taken: list[Taken] = []
        if path.exists():
            self.taken = [Taken(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]

    def put(self, taken: Taken) -> None:
        """Adds it, or replaces the one of the same key; durable when this returns."""
        self.taken = [*(t for t in self.taken if t.key != taken.key), taken][-KEPT:]
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps([asdict(t) for t in self.taken], indent=1), encoding="utf-8")
        beside.replace(self._path)


def _is_open(incident: Incident) -> bool:
    return incident.state == "open"


class Mitigator:
    """One judgement's mitigations.

    ``incidents`` and ``status`` are the judgement's; ``leads``: of two judgements side by side only the one that may speak
    acts; ``clock``: the incidents' own.
    """

    def __init__(
        self,
        config: MitigationConfig,
        journal: Journal,
        *,
        incidents: Callable[[], Sequence[Incident]],
        status: Callable[[], dict[str, Any]],
        note: Note,
        leads: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config, self._journal = config, journal
        self._incidents, self._status, self._leads = incidents, status, leads
        self._note, self._clock = note, clock
        self._reasons: dict[str, Reason] = {}
        self._checked_at: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled. A mistake in here must not end the judgement: it is logged, and the next look comes."""
        while True:
            try:
                await self.look()
            except Exception:
                logger.exception("mitigation failed to look")
            await asyncio.sleep(LOOK_SECONDS)

    def view(self) -> dict[str, Any]:
        """For ``GET /v1/mitigations``: the mode, the answer for each open incident, and what was done, newest first."""
        return {
            "mode": self._config.mode,
            "hooks": [{"name": hook.name, "on": hook.on, "undo": hook.undo} for hook in self._config.hooks],
            "decisions": [{"incident": name, "reason": reason} for name, reason in sorted(self._reasons.items())],
            "actions": [asdict(taken) for taken in reversed(self._journal.taken)],
        }

    async def answer(self, _request: web.Request) -> web.Response:
        """``GET /v1/mitigations``."""
        return web.json_response(self.view())

    async def look(self) -> None:
        """One look: decide about each open incident, follow what was done, take back what is over."""
        if not self._leads() or not (self._reasons or self._in_hand() or any(map(_is_open, self._incidents()))):
            return
        situation = self._situation()
        for incident in [i for i in situation.incidents if i.state == "open"]:
            choice = decide(self._config, incident, situation)
            await self._tell_change(incident, choice)
            if choice.hook is not None and choice.reason in (Reason.ACT, Reason.DRY_RUN):
                await self._take(incident, choice.hook, situation.at)
                situation = self._situation()
        known = {incident.id for incident in situation.incidents if incident.state == "open"}
        self._reasons = {name: reason for name, reason in self._reasons.items() if name in known}
        for taken in self._in_hand():
            await self._follow(taken, situation)

    def _in_hand(self) -> list[Taken]:
        """What was really done and is to be followed or taken back yet."""
        undoable = {hook.name for hook in self._config.hooks if hook.undo}
        done = [taken for taken in self._journal.taken if taken.done_at is not None and taken.in_force]
        return [taken for taken in done if taken.hook in undoable or taken.recovered_at is None]

    def _situation(self) -> Situation:
        status = self._status()
        return Situation(
            at=self._clock(),
            incidents=tuple(self._incidents()),
            blind=status.get("state") == "INSUFFICIENT_DATA",
            zone_of_router={target["target"]: target["zone"] for target in status.get("targets", ())},
            taken=tuple(self._journal.taken),
        )

    async def _tell_change(self, incident: Incident, choice: Choice) -> None:
        """A new reason goes to the log, and, when a hook was meant for the incident, into its timeline."""
        if self._reasons.get(incident.id) is choice.reason:
            return
        self._reasons[incident.id] = choice.reason
        logger.info("%s: %s (%s)", incident.id, choice.reason, choice.hook.name if choice.hook else "no hook")
        quiet = (Reason.ACT, Reason.DRY_RUN, Reason.TAKEN, Reason.YOUNG, Reason.OFF)
        if choice.hook is not None and choice.reason not in quiet:
            await self._note(incident.id, f"{choice.hook.name} is not called: {choice.reason.replace('_', ' ')}")

    async def _take(self, incident: Incident, hook: Hook, at: float) -> None:
        dry = self._config.mode == "dry_run"
        taken = Taken(
            key=key_of(incident, hook),
            hook=hook.name,
            incident=incident.id,
            scope=dict(incident.scope),
            decided_at=at,
            dry_run=dry,
            failures=incident.evidence.failures,
        )
        self._journal.put(taken)
        if dry:
            await self._note(incident.id, f"dry run: {hook.name} would be called now")
            return
        body = {"key": taken.key, "scope": taken.scope, "incident": incident.to_json()}
        try:
            await mitigation_hooks.call(hook, "do", body)
        except HookFailed as error:
            self._journal.put(replace(taken, error=str(error)))
            logger.warning("%s failed for %s: %s", hook.name, incident.id, error)
            await self._note(incident.id, f"{hook.name} failed: {error}")
            return
        self._journal.put(replace(taken, done_at=self._clock()))
        await self._note(
            incident.id, f"{hook.name} is done, {self._clock() - incident.opened_at:.1f} s after the opening"
        )

    async def _follow(self, taken: Taken, situation: Situation) -> None:
        now = followed(taken, situation)
        if now != taken:
            self._journal.put(now)
            if now.recovered_at is not None and now.done_at is not None:
                took = now.recovered_at - now.done_at
                await self._note(
                    taken.incident, f"canaries see no failure any more since {took:.1f} s after {taken.hook} was done"
                )
        if now.in_force and now.done_at is not None:
            await self._perhaps_undo(now, situation)

    async def _perhaps_undo(self, taken: Taken, situation: Situation) -> None:
        if undo(self._config, taken, situation, healthy=None) is not Undo.UNHEALTHY:
            return
        if situation.at - self._checked_at.get(taken.key, 0.0) < CHECK_SECONDS:
            return
        self._checked_at[taken.key] = situation.at
        hook = next(hook for hook in self._config.hooks if hook.name == taken.hook)
        body = {"key": taken.key, "scope": taken.scope, "incident": {"id": taken.incident}}
        try:
            healthy = await mitigation_hooks.call(hook, "check", body)
            if undo(self._config, taken, self._situation(), healthy=healthy) is Undo.UNDO:
                await mitigation_hooks.call(hook, "undo", body)
                self._journal.put(replace(taken, undone_at=self._clock()))
                await self._note(
                    taken.incident, f"{taken.hook} is taken back: the incident is over and the check is well"
                )
        except HookFailed as error:
            logger.warning("%s cannot be taken back yet: %s", taken.hook, error)
