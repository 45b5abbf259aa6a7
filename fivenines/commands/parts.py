"""``fivenines cluster|canary|collector|cfa|console run``: one part, as deployed in production (shell)."""

from typing import Annotated

import typer

from cfa.destinations.by_apprise import MissingPackage
from fivenines.commands.options import ConfigOption, fail, resolved
from fivenines.config import Config
from fivenines.part import configure_logging, serve

cluster = typer.Typer(help="The bundled store.\n\nExample: fivenines cluster run --zone az1", no_args_is_help=True)
canary = typer.Typer(help="The canaries.\n\nExample: fivenines canary run --zone az1", no_args_is_help=True)
collector = typer.Typer(help="The collector.\n\nExample: fivenines collector run", no_args_is_help=True)
console = typer.Typer(help="The built-in console.\n\nExample: fivenines console run", no_args_is_help=True)
cfa = typer.Typer(help="The judgement: customer-facing alarms.\n\nExample: fivenines cfa run", no_args_is_help=True)

ZoneOption = Annotated[str, typer.Option("--zone", help="Which zone's.")]


@cluster.callback()
@canary.callback()
@collector.callback()
@cfa.callback()
@console.callback()
def _family() -> None:
    """One part, as deployed in production."""


@cluster.command("run")
def run_cluster(zone: ZoneOption, config: ConfigOption = None) -> None:
    """One zone of the store: its routers, storage nodes and MemDS, in this process; ``--zone dns`` serves the endpoints' names.

    Example: fivenines cluster run --zone az1 --config fivenines.yaml
    """
    loaded = resolved(config)
    if zone == "dns":
        return _serve("dns", loaded, None)
    _check_zone(zone, loaded.cluster.zones)
    return _serve("zone", loaded, zone)


@canary.command("run")
def run_canary(zone: ZoneOption, config: ConfigOption = None) -> None:
    """The canary hosts of one zone, in this process.

    Example: fivenines canary run --zone az1 --config fivenines.yaml
    """
    loaded = resolved(config)
    _check_zone(zone, loaded.canary.zones)
    if not loaded.canary.endpoints and not loaded.canary.checks:
        fail("fivenines canary run: canary.endpoints and canary.checks are empty; name what to ask in fivenines.yaml")
    _serve("canary", loaded, zone)


@collector.command("run")
def run_collector(config: ConfigOption = None) -> None:
    """The collector.

    Example: fivenines collector run --config fivenines.yaml
    """
    _serve("collector", resolved(config), None)


@cfa.command("run")
def run_cfa(config: ConfigOption = None) -> None:
    """The judgement: reads the collector's feed, opens incidents, pages.

    Example: fivenines cfa run --config fivenines.yaml
    """
    _serve("cfa", resolved(config), None)


@console.command("run")
def run_console(config: ConfigOption = None) -> None:
    """The console: shows what the judgement says.

    Example: fivenines console run --config fivenines.yaml
    """
    _serve("console", resolved(config), None)


def _serve(kind: str, config: Config, zone: str | None) -> None:
    configure_logging()
    try:
        serve(kind, config, zone)
    except (OSError, MissingPackage) as error:
        fail(f"fivenines: {error}")


def _check_zone(zone: str, zones: tuple[str, ...]) -> None:
    if zone not in zones:
        fail(f"there is no zone '{zone}'; there is: {', '.join(zones)}")
