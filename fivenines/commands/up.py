"""``fivenines up``: everything on this machine (shell)."""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from fivenines.commands.options import ConfigOption, configured, fail
from fivenines.config import Config
from fivenines.judgement_client import JudgementClient, Unreachable
from fivenines.live import render
from fivenines.preflight import InTheWay
from fivenines.stack import Stack, StackFailed, running


def up(
    config: ConfigOption = None,
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", help="Data, logs, certificates, secrets; default .fivenines.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No live table, only progress and events.")] = False,
) -> None:
    """Start the store, its canaries, collector, judgement and console here; Ctrl-C ends all of it.

    Example: fivenines up
    """
    loaded = configured(config)
    if state_dir is not None:
        loaded = loaded.model_copy(update={"state_dir": state_dir})
    try:
        asyncio.run(_up(loaded, live=not quiet and sys.stdout.isatty()))
    except (InTheWay, StackFailed) as error:
        fail(f"fivenines up: {error}")
    except KeyboardInterrupt:
        raise typer.Exit from None


async def _up(config: Config, *, live: bool) -> None:
    stop = asyncio.Event()
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    started = False

    def on_signal() -> None:
        stop.set()
        if not started and task is not None:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    with contextlib.suppress(asyncio.CancelledError):
        async with running(config, _say) as stack:
            started = True
            _greet(stack)
            await (_show(stack, stop) if live else _tell_events(stack, stop))
            _say("stopping")
    _say("stopped; nothing is left running")


def _say(line: str) -> None:
    typer.echo(f"fivenines: {line}", err=True)


def _greet(stack: Stack) -> None:
    state = stack.state()
    typer.echo(f"\n  Console   {state['console']}")
    typer.echo("  Next      fivenines drill run zone-power-off     (in another terminal: .venv/bin/fivenines …)")
    typer.echo("  Look      fivenines status · fivenines incidents · fivenines endpoints")
    typer.echo(f"  Logs      {stack.config.state_dir / 'logs'}")
    typer.echo("  Stop      Ctrl-C\n")
    sys.stdout.flush()


async def _show(stack: Stack, stop: asyncio.Event) -> None:
    client = JudgementClient(stack.state()["cfa"])
    with Live(console=Console(), auto_refresh=False) as live:
        while not stop.is_set():
            with contextlib.suppress(Unreachable):
                status, incidents = await asyncio.to_thread(lambda: (client.status(), client.incidents("open")))
                live.update(render(status, incidents), refresh=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0)


async def _tell_events(stack: Stack, stop: asyncio.Event) -> None:
    """Without a terminal: a line when an incident opens, pages or closes."""
    client = JudgementClient(stack.state()["cfa"])
    seen: dict[str, tuple[str, str]] = {}
    while not stop.is_set():
        with contextlib.suppress(Unreachable):
            for incident in await asyncio.to_thread(client.incidents, "all", stack.started_at):
                now = (incident["state"], incident["severity"])
                if seen.get(incident["id"]) != now:
                    seen[incident["id"]] = now
                    _say(f"incident {incident['state']} ({incident['severity']}): {incident['summary']}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1.0)
