"""What the commands that act on the judgement share: its address, the operators' token, who acts (shell)."""

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fivenines import secrets
from fivenines.commands.options import fail, resolved
from fivenines.durations import seconds_of
from fivenines.judgement_client import JudgementClient

ByOption = Annotated[str | None, typer.Option("--by", help="Who acts; without it whoever is logged in.")]
CfaOption = Annotated[str | None, typer.Option("--cfa", help="URL of the judgement's API.")]
ScopeOption = Annotated[
    list[str] | None,
    typer.Option("--scope", help="key=value, again for each key: zone=az1, endpoint=fips, table=orders-* …"),
]
ForOption = Annotated[str | None, typer.Option("--for", help="How long, e.g. 30m or 2h.")]
StartOption = Annotated[
    str | None, typer.Option("--start", help="A UTC time like 2026-11-24T12:00:00Z; without it now.")
]
EndOption = Annotated[str | None, typer.Option("--end", help="A UTC time, instead of --for.")]
AllOption = Annotated[bool, typer.Option("--all", help="Those that are over, too.")]
CommentOption = Annotated[str, typer.Option("--comment", help="Why; whoever is woken later reads it.")]


def judgement(config: Path | None, url: str | None) -> JudgementClient:
    """A client of the configured judgement, with the operators' token if there is one."""
    settings = resolved(config).cfa
    token_file = settings.operator_token_file
    try:
        token = secrets.read(token_file) if token_file is not None and token_file.exists() else None
    except OSError as error:
        fail(
            f"the operators' token cannot be read: {token_file}: {error.strerror}; run this as the user who runs the judgement"
        )
    return JudgementClient(url or f"http://{settings.host}:{settings.port}", token=token)


def who(by: str | None) -> str:
    """Who acts."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        fail("nobody is logged in here: say who acts with --by NAME")


def scope_of(words: list[str] | None) -> dict[str, str]:
    """``["zone=az1"]`` as a scope; ends with what would be right when it is not one."""
    pairs = [word.partition("=") for word in words or ()]
    if bad := [key for key, equals, value in pairs if not (key and equals and value)]:
        fail(f"--scope is key=value, for example --scope zone=az1, not {bad[0]!r}")
    return {key: value for key, _, value in pairs}


def span(lasts: str | None, start: str | None, end: str | None) -> dict[str, float]:
    """``--for``, ``--start`` and ``--end`` as the API's fields."""
    if (lasts is None) == (end is None):
        fail("say when it ends: --for 1h, or --end 2026-11-24T13:00:00Z")
    found = {"starts_at": moment(start)} if start else {}
    if end is not None:
        return found | {"ends_at": moment(end)}
    try:
        return found | {"for_seconds": seconds_of(lasts or "")}
    except ValueError as error:
        fail(f"--for: {error}")


def moment(text: str) -> float:
    """A UTC time as epoch seconds."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{text!r} is not a time: write 2026-11-24T12:00:00Z")
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
