"""``fivenines drill list|run`` (shell)."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fivenines.commands.options import FINDING, ConfigOption, JsonOption, configured, fail, print_json
from fivenines.config import Config
from fivenines.control import ControlError, NotRunning
from fivenines.drill_run import DrillFailed, a_stack, run
from fivenines.drills import Scenario, ScenarioError, Verdict, describe
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
        int, typer.Option("--seed", help="Goes into the verdict; faults with a probability draw from it.")
    ] = 0,
    lasts: Annotated[
        str | None, typer.Option("--lasts", help="Run at least this long instead, e.g. 60s: a shorter calm.")
    ] = None,
    simulated: Annotated[bool, typer.Option("--simulated", help="In simulated time (not built yet).")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a drill against the running stack, or by itself when none runs. Exit status 1 when the verdict is not as expected.

    Example: fivenines drill run zone-power-off --json
    """
    if simulated:
        fail("fivenines drill run --simulated is not built yet; leave it out to run on real processes")
    try:
        scenarios = _chosen(name, file)
        if lasts is not None:
            scenarios = [scenario.model_copy(update={"lasts": seconds_of(lasts)}) for scenario in scenarios]
        verdicts = asyncio.run(_run_all(configured(config), scenarios, seed))
    except (ScenarioError, ValueError, InTheWay, StackFailed, NotRunning, ControlError, DrillFailed) as error:
        fail(f"fivenines drill: {error}")
    except ExceptionGroup as group:
        fail(f"fivenines drill: {_first(group)}")
    _report(verdicts, as_json)
    raise typer.Exit(0 if all(verdict.passed for verdict in verdicts) else FINDING)


def _chosen(name: str | None, file: Path | None) -> list[Scenario]:
    if (name is None) == (file is None):
        raise ScenarioError("give a name of 'fivenines drill list', 'all', or --file FILE")
    if file is not None:
        return [from_file(file)]
    return [named(each) for each in names()] if name == "all" else [named(name or "")]


async def _run_all(config: Config, scenarios: list[Scenario], seed: int) -> list[Verdict]:
    def progress(line: str) -> None:
        typer.echo(f"  {line}", err=True)

    async with a_stack(config, progress) as (control, judgement):
        verdicts = []
        for scenario in scenarios:
            typer.echo(f"{scenario.name}: {scenario.about}", err=True)
            verdicts.append(await run(scenario, control, judgement, seed=seed, progress=progress))
        return verdicts


def _report(verdicts: list[Verdict], as_json: bool) -> None:
    if as_json:
        for verdict in verdicts:
            sys.stdout.write(json.dumps(verdict.to_json()) + "\n")
        return
    for verdict in verdicts:
        times = (
            ("detected", verdict.detected_seconds),
            ("paged", verdict.paged_seconds),
            ("cleared", verdict.cleared_seconds),
        )
        shown = "  ".join(f"{what} {seconds:.1f} s" for what, seconds in times if seconds is not None)
        scope = describe(verdict.scope) if verdict.scope else "no incident"
        typer.echo(
            f"{'pass' if verdict.passed else 'FAIL'}  {verdict.scenario:<26} {verdict.pages} pages  {scope:<24} {shown}  {verdict.reason}"
        )


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
