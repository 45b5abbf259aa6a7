"""Which way a scenario is run: by its incident, or by what customers of its own have kept account of (shell)."""

from fivenines import drill_run, power_off_run
from fivenines.config import Config
from fivenines.control import ControlClient
from fivenines.drill_verdict import Verdict
from fivenines.drill_watch import Progress
from fivenines.drills import Scenario
from fivenines.judgement_client import JudgementClient


async def run_one(
    scenario: Scenario,
    config: Config,
    control: ControlClient,
    judgement: JudgementClient,
    *,
    seed: int,
    progress: Progress,
) -> Verdict:
    """Run one scenario on the stack; raises :class:`~fivenines.drill_watch.DrillFailed` when it cannot begin."""
    if scenario.power_offs is None:
        return await drill_run.run(scenario, config, control, judgement, seed=seed, progress=progress)
    return await power_off_run.run(scenario, config, control, judgement, seed=seed, progress=progress)
