"""``fivenines mitigation``: what was done about incidents by itself, and why not (shell)."""

import datetime as dt
from typing import Any

import typer

from fivenines.commands.options import ConfigOption, JsonOption, configured, fail, print_json
from fivenines.judgement_client import JudgementClient, Unreachable


def mitigation(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What is decided about each open incident, and what was done, undone, or would have been done.

    Example: fivenines mitigation
    """
    cfa = configured(config).cfa
    try:
        view = JudgementClient(f"http://{cfa.host}:{cfa.port}").mitigation()
    except Unreachable as error:
        fail(f"fivenines mitigation: {error}")
    if as_json:
        return print_json(view)
    hooks = ", ".join(f"{hook['name']} (for a {hook['on']})" for hook in view["hooks"]) or "none"
    typer.echo(f"mode {view['mode']}; hooks: {hooks}")
    for decision in view["decisions"]:
        typer.echo(f"{decision['incident']}: {decision['reason'].replace('_', ' ')}")
    for action in view["actions"]:
        typer.echo(_line(action))
    if not view["actions"]:
        typer.echo("nothing was done yet")
    return None


def _line(action: dict[str, Any]) -> str:
    """One action: when, what, about which incident, and what came of it."""
    began = dt.datetime.fromtimestamp(action["decided_at"], tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
    if action["dry_run"]:
        came = "dry run"
    elif action["error"]:
        came = f"failed: {action['error']}"
    elif action["done_at"] is None:
        came = "begun; whether it was done is not known"
    else:
        came = "done"
        if action["recovered_at"] is not None:
            came += f", canaries well {action['recovered_at'] - action['done_at']:.1f} s after it"
        if action["undone_at"] is not None:
            came += f", taken back after {action['undone_at'] - action['done_at']:.0f} s"
    return f"{began}  {action['hook']:<16} {action['incident']}  {came}"
