"""Commands whose names are fixed and whose part is not built yet: they say so, with exit status 2 (shell)."""

from fivenines.commands.options import fail


def backtest() -> None:
    """Replay the ledger against another policy (not built yet).

    Example: fivenines backtest --policy new.yaml
    """
    fail("fivenines backtest is not built yet")
