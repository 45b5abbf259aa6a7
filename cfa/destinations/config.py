"""Where notices go and which go where: the delivery part of the judgement's section.

A secret is never in the file itself, only the name of the file that holds it. An address with a user and a password in it
is refused, because addresses are shown in logs and in the console.
"""

import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Kind = Literal["log", "webhook", "alertmanager", "pagerduty", "slack", "smtp", "apprise"]
Told = Literal["page", "ticket"]

PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"
LOG_NAME = "log"

_NEEDS: dict[Kind, tuple[tuple[str, ...], ...]] = {
    "log": (),
    "webhook": (("url", "url_file"),),
    "alertmanager": (("url",),),
    "pagerduty": (("routing_key_file",),),
    "slack": (("url_file",),),
    "smtp": (("smtp",),),
    "apprise": (("url_file",),),
}
"""For each kind, groups of fields of which exactly one must be set."""
_MAY: dict[Kind, tuple[str, ...]] = {
    "log": ("url",),
    "webhook": ("token_file", "secret_file", "ca_file"),
    "alertmanager": ("token_file", "ca_file"),
    "pagerduty": ("url", "ca_file"),
    "slack": ("ca_file",),
    "smtp": (),
    "apprise": (),
}
_ADDRESSES = ("url", "url_file", "token_file", "secret_file", "routing_key_file", "smtp", "ca_file")
GATHERS: frozenset[Kind] = frozenset({"slack", "smtp", "apprise"})
"""Kinds that can tell several incidents in one message. The others have an identity for each incident."""


class Frozen(BaseModel):
    """Configuration is read once and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def checked_url(url: str) -> str:
    """An http(s) address without user and password; raises ``ValueError`` that does not repeat them."""
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address must not hold a user or a password; put the secret into a file (token_file)")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not an http:// or https:// address")
    return url


def is_loopback(host: str) -> bool:
    """Whether this name or address never leaves the machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class SmtpConfig(Frozen):
    """A mail server. The certificate is always verified; ``plain`` is for a server on this machine."""

    host: str = "127.0.0.1"
    port: int | None = Field(
        None, ge=1, le=65535, description="none: 587 with starttls, 465 with tls, 25 with plain", validate_default=True
    )
    security: Literal["starttls", "tls", "plain"] = "starttls"
    ca_file: Path | None = Field(None, description="certificate authority of the server; none: the machine's own")
    username: str | None = None
    password_file: Path | None = None
    sender: str = Field(description="the From address")
    recipients: tuple[str, ...] = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.security == "plain" and not is_loopback(self.host):
            raise ValueError("security: plain is only for a server on loopback; use starttls or tls")
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file belong together")
        for address in (self.sender, *self.recipients):
            if "@" not in address or any(character.isspace() or ord(character) < 32 for character in address):
                raise ValueError(f"{address!r} is not a mail address")
        return self


class Destination(Frozen):
    """Where notices go. ``log`` always exists beside these, and is told of everything."""

    kind: Kind
    name: str = Field(
        "", pattern=r"^[A-Za-z0-9_.-]{0,64}$", description="how routes and metrics call it; none: its kind"
    )
    url: str = ""
    url_file: Path | None = Field(
        None, description="file with the address, where the address is a secret (Slack, Apprise)"
    )
    token_file: Path | None = Field(None, description="file with a bearer token (webhook, alertmanager)")
    ca_file: Path | None = Field(None, description="certificate authority of the address; none: the machine's own")
    secret_file: Path | None = Field(None, description="file with the secret that signs a webhook")
    routing_key_file: Path | None = Field(None, description="file with PagerDuty's integration key")
    smtp: SmtpConfig | None = None
    severities: tuple[Told, ...] = Field((), description="what it is told of; none: pages (the log: pages and tickets)")
    fallback: str | None = Field(None, description="destination that is told when this one does not take a page")
    fallback_after_seconds: float = Field(60.0, gt=0, description="how long this one may not take a page")
    fallback_after_attempts: int = Field(8, ge=1, description="or how often; a refusal for good is enough at once")
    group_seconds: float = Field(
        0.0, ge=0, le=3600, description="what follows a page within this time is told in one message; 0: each by itself"
    )
    most_per_minute: int | None = Field(
        None, ge=1, description="more than this waits and is told together; none: no limit"
    )
    broken_after_seconds: float = Field(
        60.0, gt=0, description="a page that is not taken for so long is an incident of its own"
    )

    @field_validator("url")
    @classmethod
    def _url_is_safe(cls, url: str) -> str:
        return checked_url(url) if url and not url.startswith(("file://", "/", ".")) else url

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        given = {name for name in _ADDRESSES if getattr(self, name) not in ("", None)}
        needed = _NEEDS[self.kind]
        for group in needed:
            if len(given & set(group)) != 1:
                raise ValueError(f"a destination of kind {self.kind} needs {' or '.join(group)}")
        strange = given - {name for group in needed for name in group} - set(_MAY[self.kind])
        if strange:
            raise ValueError(f"a destination of kind {self.kind} has no {', '.join(sorted(strange))}")
        if self.kind != "log" and self.url:
            checked_url(self.url)
        if self.group_seconds and self.kind not in GATHERS:
            raise ValueError(
                f"group_seconds is for {', '.join(sorted(GATHERS))}: {self.kind} knows incidents one by one"
            )
        return self

    @property
    def wants(self) -> frozenset[Told]:
        """The severities that it is told of."""
        return frozenset(self.severities or (("page", "ticket") if self.kind == "log" else ("page",)))


class Route(Frozen):
    """Incidents that fit all of the given go to ``to``. What is not given fits everything."""

    severities: tuple[Told, ...] = ()
    scope: dict[str, tuple[str, ...]] = Field(
        {}, description='parts of the scope and their values, e.g. zone: [az1, az2]; ["*"]: any value'
    )
    tables: tuple[str, ...] = Field((), description="one of them is in the incident's scope or blast radius")
    categories: tuple[str, ...] = Field((), description="availability, durability, monitoring")
    to: tuple[str, ...] = Field(min_length=1, description="names of destinations")


class Escalation(Frozen):
    """Who is told when nobody has acknowledged a page."""

    after_seconds: float = Field(gt=0, description="since the page was raised, without an acknowledgement")
    to: tuple[str, ...] = Field(min_length=1)


class Heartbeat(Frozen):
    """A sign of life to a dead-man's switch outside: sent only while the judgement is fed and judges."""

    url: str = ""
    url_file: Path | None = Field(None, description="file with the address, where the address is a secret")
    every_seconds: float = Field(60.0, ge=1)
    kind: Literal["ping", "alertmanager"] = Field(
        "ping",
        description="ping: a POST without a body, as healthchecks.io takes it; alertmanager: an alert that always fires",
    )
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _has_one_address(self) -> Self:
        if bool(self.url) == (self.url_file is not None):
            raise ValueError("a heartbeat needs url or url_file")
        if self.url:
            checked_url(self.url)
        return self


class Pair(Frozen):
    """A second judgement beside this one: one is active, the other follows and takes over."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="who this one is; different at the two")
    peer: str = Field(description="the other's API, e.g. https://cfa-2.example:8082")
    token_file: Path = Field(description="file with the secret that both share")
    lease_seconds: float = Field(
        6.0, ge=2, le=15, description="after so long without a sign of the active one the other takes over"
    )
    ca_file: Path | None = Field(None, description="certificate authority of the other; none: the machine's own")

    @field_validator("peer")
    @classmethod
    def _peer_is_safe(cls, peer: str) -> str:
        return checked_url(peer)


def named(destinations: Iterable[Destination]) -> dict[str, Destination]:
    """Every destination by its name, the log first; a second one of a kind without a name is ``webhook-2``.

    Raises ``ValueError`` when two have the same name.
    """
    found: dict[str, Destination] = {LOG_NAME: Destination(kind="log")}
    numbers: dict[str, int] = {}
    for one in destinations:
        if one.kind == "log":
            found[LOG_NAME] = one
            continue
        numbers[one.kind] = numbers.get(one.kind, 0) + 1
        name = one.name or (one.kind if numbers[one.kind] == 1 else f"{one.kind}-{numbers[one.kind]}")
        if name in found:
            raise ValueError(f"two destinations are called {name}")
        found[name] = one
    return found


def check_names(
    destinations: Iterable[Destination], routes: Iterable[Route], escalations: Iterable[Escalation]
) -> None:
    """Every name that is used is that of a destination; raises ``ValueError`` that lists those there are."""
    known = named(destinations)
    used = {one.fallback for one in known.values() if one.fallback}
    used |= {name for route in routes for name in route.to} | {name for step in escalations for name in step.to}
    if unknown := sorted(used - set(known)):
        raise ValueError(f"no destination is called {', '.join(unknown)}; there are {', '.join(known)}")
