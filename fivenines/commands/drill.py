"""``fivenines drill list|run`` (shell)."""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from fivenines.commands.options import FINDING, ConfigOption, JsonOption, configured, fail, print_json
from fivenines.config import Config
from fivenines.control import ControlError, NotRunning
from fivenines.drill_report import Row, lines, table
from fivenines.drill_run import a_stack
from fivenines.drill_start import run_one
from fivenines.drill_verdict import could_not_run
from fivenines.drill_watch import DrillFailed
from fivenines.drills import Scenario, ScenarioError, not_built
from fivenines.durations import seconds_of
from fivenines.preflight import InTheWay
from fivenines.scenario_files import from_file, named, names
from fivenines.stack import StackFailed

app = typer.Typer(
    help="Game days: break the store and judge the page.\n\nExample: fivenines drill run zone-power-off",
    no_args_is_help=True,
)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """The scenarios that come with fivenines.

    Example: fivenines drill list
    """
    scenarios = [named(name) for name in names()]
    if as_json:
        return print_json([{"name": s.name, "about": s.about} for s in scenarios])
    for scenario in scenarios:
        typer.echo(f"{scenario.name:<26} {scenario.about}")
    return None


@app.command("run")
def run_(
    name: Annotated[str | None, typer.Argument(help="A scenario of 'fivenines drill list', or 'all'.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Your own scenario (YAML) instead of a named one.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Random power-offs, their traffic and faults with a probability draw from it.")
    ] = 0,
    lasts: Annotated[
        str | None, typer.Option("--lasts", help="Run this long instead, e.g. 2m: a shorter calm, fewer power-offs.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Of 'all' these alone; may be given again.")] = None,
    skip: Annotated[list[str] | None, typer.Option("--skip", help="Of 'all' not these; may be given again.")] = None,
    repeat: Annotated[int, typer.Option("--repeat", min=1, max=100, help="All of it so many times over.")] = 1,
    simulated: Annotated[bool, typer.Option("--simulated", help="In simulated time (not built yet).")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a drill against the running stack, or by itself when none runs. Exit status 1 when the verdict is not as expected.

    Between drills it waits until the stack has been well for five seconds: no open incident, every server up, every
    replication group whole, no failed probe.

    Example: fivenines drill run all --skip calm --skip power-off-random --repeat 5
    """
    if simulated:
        fail("fivenines drill run --simulated is not built yet; leave it out to run on real processes")
    try:
        chosen = _some_of(_chosen(name, file, lasts), only or [], skip or [])
        rows = asyncio.run(_run_all(configured(config), chosen * repeat, seed))
    except (ScenarioError, ValueError, InTheWay, StackFailed, NotRunning, ControlError, DrillFailed) as error:
        fail(f"fivenines drill: {error}")
    except ExceptionGroup as group:
        fail(f"fivenines drill: {_first(group)}")
    _report(rows, as_json)
    raise typer.Exit(0 if all(row.verdict is None or row.verdict.passed for row in rows) else FINDING)


def _chosen(name: str | None, file: Path | None, lasts: str | None) -> list[Scenario]:
    if (name is None) == (file is None):
        raise ScenarioError("give a name of 'fivenines drill list', 'all', or --file FILE")
    if file is not None:
        scenarios = [from_file(file)]
    else:
        scenarios = [named(each) for each in names()] if name == "all" else [named(name or "")]
    if lasts is None:
        return scenarios
    seconds = seconds_of(lasts)
    # Of all only those are shortened that say how long they last: the others end by themselves.
    return [s.model_copy(update={"lasts": seconds}) if s.lasts or name != "all" else s for s in scenarios]


def _some_of(scenarios: list[Scenario], only: list[str], skip: list[str]) -> list[Scenario]:
    unknown = sorted({*only, *skip} - {scenario.name for scenario in scenarios})
    if unknown:
        raise ScenarioError(f"--only and --skip name scenarios that are to be run; there is no {', '.join(unknown)}")
    left = [s for s in scenarios if s.name not in skip and (not only or s.name in only)]
    if not left:
        raise ScenarioError("--only and --skip leave nothing to run")
    return left


async def _run_all(config: Config, scenarios: list[Scenario], seed: int) -> list[Row]:
    def progress(line: str) -> None:
        typer.echo(f"  {line}", err=True)

    rows: list[Row] = []
    async with a_stack(config, progress) as (control, judgement):
        for scenario in scenarios:
            typer.echo(f"{scenario.name}: {scenario.about}", err=True)
            started = time.monotonic()
            missing = not_built(scenario)
            if missing:
                rows.append(Row(scenario.name, None, f"{', '.join(missing)} is not built yet", 0.0))
                continue
            if scenario.expect.mitigated and (mode := judgement.mitigation()["mode"]) != "act":
                rows.append(Row(scenario.name, None, f"cfa.mitigation.mode is {mode}, not act", 0.0))
                continue
            try:
                verdict = await run_one(scenario, config, control, judgement, seed=seed, progress=progress)
            except (DrillFailed, ControlError, ExceptionGroup) as error:
                reason = _first(error)
                if len(scenarios) == 1 or not isinstance(reason, DrillFailed | ControlError):
                    raise
                verdict = could_not_run(scenario, seed, str(reason))
            rows.append(Row(scenario.name, verdict, verdict.reason, time.monotonic() - started))
            progress(f"{'pass' if verdict.passed else 'FAIL'} {scenario.name}: {verdict.reason}")
    return rows


def _report(rows: list[Row], as_json: bool) -> None:
    if as_json:
        for row in rows:
            shown = {"scenario": row.scenario, "skipped": row.reason} if row.verdict is None else row.verdict.to_json()
            sys.stdout.write(json.dumps(shown) + "\n")
        return
    if len(rows) == 1 and rows[0].verdict is not None:
        typer.echo("\n".join(lines(rows[0].verdict)))
        return
    typer.echo("\n".join(table(rows)))


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
