"""``fivenines status`` and ``fivenines endpoints`` (shell)."""

import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from fivenines.commands.options import FINDING, ConfigOption, JsonOption, fail, print_json, resolved
from fivenines.judgement_client import JudgementClient, Unreachable
from fivenines.live import render


def status(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    once: Annotated[
        bool, typer.Option("--once", help="Print once and end; so it is anyway when the output is not a terminal.")
    ] = False,
    cfa: Annotated[str | None, typer.Option("--cfa", help="URL of the judgement's API.")] = None,
) -> None:
    """How available is it now: a live table. Exit status 1 while an incident is open.

    Example: fivenines status --json
    """
    client = JudgementClient(cfa or _cfa_url(resolved(config)))
    console = Console()
    try:
        if as_json:
            body = client.status()
            print_json(body)
            raise typer.Exit(FINDING if body["incidents_open"] else 0)
        if once or not console.is_terminal:
            opened = client.incidents("open")
            console.print(render(client.status(), opened))
            raise typer.Exit(FINDING if opened else 0)
        _live(client, console)
    except Unreachable as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit from None


def _live(client: JudgementClient, console: Console) -> None:
    with Live(console=console, auto_refresh=False, screen=False) as live:
        while True:
            live.update(render(client.status(), client.incidents("open")), refresh=True)
            time.sleep(1.0)


def _cfa_url(config: Any) -> str:
    return f"http://{config.cfa.host}:{config.cfa.port}"


def endpoints(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    env: Annotated[
        bool, typer.Option("--env", help='Shell lines that set the credentials: eval "$(fivenines endpoints --env)".')
    ] = False,
) -> None:
    """The store's endpoints, and how boto3 and the AWS CLI reach them.

    Example: eval "$(fivenines endpoints --env)"; aws dynamodb list-tables --endpoint-url http://127.0.1.1:8000
    """
    from fivenines.endpoints import listing, shell_lines  # noqa: PLC0415

    listed = listing(resolved(config))
    if env:
        typer.echo("\n".join(shell_lines(listed)))
    elif as_json:
        print_json(listed)
    else:
        for endpoint in listed["endpoints"]:
            typer.echo(f"{endpoint['name']:<10} {endpoint['https_url']}  (DNS {listed['dns']}, CA {listed['ca_file']})")
            typer.echo(f"{'':<10} {'  '.join(endpoint['urls'])}")
        typer.echo("\nCredentials of the bundled store:\n  " + "\n  ".join(shell_lines(listed)))
