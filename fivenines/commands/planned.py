"""Commands whose names are fixed and whose part is not built yet: they say so, with exit status 2 (shell)."""

import typer

from fivenines.commands.options import fail

silence = typer.Typer(
    help="Mute what is known (not built yet).\n\nExample: fivenines silence list", no_args_is_help=True
)


@silence.command()
def add() -> None:
    """Mute pages of a scope for a time (not built yet).

    Example: fivenines silence add --scope zone=az1 --for 1h
    """
    fail("fivenines silence is not built yet; silence in Alertmanager meanwhile: pages carry their scope as labels")


@silence.command("list")
def list_() -> None:
    """What is muted (not built yet).

    Example: fivenines silence list
    """
    fail("fivenines silence is not built yet; nothing is ever muted here")


@silence.command()
def expire() -> None:
    """End a silence (not built yet).

    Example: fivenines silence expire ID
    """
    fail("fivenines silence is not built yet; nothing is ever muted here")


def backtest() -> None:
    """Replay the ledger against another policy (not built yet).

    Example: fivenines backtest --policy new.yaml
    """
    fail("fivenines backtest is not built yet")
