"""When a drill may begin: nothing is wrong, and has not been for some seconds (shell)."""

import asyncio
import time

from cluster.loopback import load_topology
from fivenines.config import Config
from fivenines.drill_watch import DrillFailed, Progress, bad_ever
from fivenines.judgement_client import JudgementClient, Unreachable
from fivenines.wholeness import not_whole
from fivenines.zone_states import ZoneStates, admin_headers

CALM_SECONDS = 5.0
PATIENCE_SECONDS = 180.0
"""A zone that was down catches up, and its lost replicas are built anew, within two minutes."""
LOOK_SECONDS = 0.5


async def until_calm(config: Config, judgement: JudgementClient, progress: Progress) -> None:
    """Until the stack has been well for :data:`CALM_SECONDS`: what went before must not be blamed on a drill.

    Well means: every cell has answered, canaries are heard, no incident is open, every server is up, no witness is recused,
    no probe has failed meanwhile, and every replication group has its replicas and one leader.
    Raises :class:`~fivenines.drill_watch.DrillFailed` when patience ends.
    """
    zones = ZoneStates(load_topology(config.cluster), admin_headers(config))
    deadline, calm_since, told, failed = time.monotonic() + PATIENCE_SECONDS, None, "", -1
    while True:
        trouble, bad = await asyncio.to_thread(_trouble, judgement)
        if trouble is None and bad != failed:
            trouble, failed = (None if failed < 0 else "probes fail"), bad
        if trouble is None and (missing := not_whole(await zones.states(), zones.count)):
            trouble = "; ".join(f"{group}: {why}" for group, why in list(missing.items())[:2])
        now = time.monotonic()
        calm_since = None if trouble else (calm_since or now)
        if calm_since is not None and now - calm_since >= CALM_SECONDS:
            return
        if now > deadline:
            raise DrillFailed(f"the stack is not calm: {trouble}")
        if trouble and trouble != told:
            progress(f"waiting for a calm stack: {trouble}")
            told = trouble
        await asyncio.sleep(LOOK_SECONDS)


def _trouble(judgement: JudgementClient) -> tuple[str | None, int]:
    """What is wrong as far as the judgement knows, and how many probes have ever failed."""
    try:
        status, opened = judgement.status(), judgement.incidents("open")
    except Unreachable as error:
        return str(error), -1
    bad = bad_ever(status)
    if not status["ready"]:
        return f"{status['cells_answered']} of {status['cells_expected']} cells have answered", bad
    if status["state"] == "INSUFFICIENT_DATA":
        return "no canary is heard", bad
    silent = [target["target"] for target in status["targets"] if not target["up"]]
    recused = [entry["host"] for entry in status["recused"]]
    for what, names in (("open", [i["summary"] for i in opened]), ("silent", silent), ("recused", recused)):
        if names:
            return f"{what}: {', '.join(names)}", bad
    return None, bad
