"""The generic probes' part of ``fivenines.yaml``: ``canary.checks`` (docs/canary.md has an example of each kind)."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from canary.probes.json_path import steps

MAX_BODY_BYTES = 1024 * 1024


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


def _path(text: str) -> str:
    steps(text)
    return text


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("line breaks and control characters do not belong here")
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]
Line = Annotated[str, AfterValidator(_one_line)]
JsonPath = Annotated[str, AfterValidator(_path)]


class Check(BaseModel):
    """What all kinds have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="unique")
    service: str | None = Field(
        None, max_length=64, description="what it is part of; judged as a table; none: its name"
    )
    cadence_seconds: float | None = Field(None, gt=0, description="none: canary.cadence_seconds")
    deadline_seconds: float | None = Field(None, gt=0, description="none: canary.deadline_seconds")

    @property
    def connection(self) -> Literal["fresh", "pooled"]:
        """``fresh`` unless the kind knows better."""
        return "fresh"


_QUERY_SAFE = "/%:@!$&'()*+,;=-._~?"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL points."""

    host: str
    port: int
    tls: bool
    path: str


@lru_cache(maxsize=1024)
def target(url: str) -> Target:
    """The parts of a URL that is known to be good."""
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=-._~")
    query = f"?{quote(parts.query, safe=_QUERY_SAFE)}" if parts.query else ""
    return Target(parts.hostname or "", parts.port or (443 if tls else 80), tls, path + query)


class HttpCheck(Check):
    """One HTTP request; redirects are answers, not followed."""

    kind: Literal["http"]
    url: Line = Field(description="http:// or https://, with path and query")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    headers: dict[Line, Line] = Field({}, max_length=50)
    body: str | None = Field(None, max_length=65536)
    pooled: bool = Field(False, description="keep the connection for the next time")
    ca_file: Path | None = Field(None, description="certificate authority; none: the machine's own")
    expect_status: tuple[int, ...] = Field((200,), min_length=1, description="any of these")
    expect_headers: dict[Line, Pattern] = Field({}, description="header → regular expression that its value must hold")
    expect_json: dict[JsonPath, JsonValue] = Field(
        {}, description="dotted path → value, e.g. {'db.nodes[0].state': ok}"
    )
    expect_body: tuple[str, ...] = Field((), description="texts that the body must hold")
    expect_body_pattern: Pattern | None = Field(None, description="regular expression that the body must hold")
    max_body_bytes: int = Field(MAX_BODY_BYTES, ge=0, le=MAX_BODY_BYTES)

    @property
    def connection(self) -> Literal["fresh", "pooled"]:
        """As configured."""
        return "pooled" if self.pooled else "fresh"

    @model_validator(mode="after")
    def _check_url(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError(f"url must be http://HOST… or https://HOST…, not {self.url}")
        if parts.username or parts.password:
            raise ValueError("no user name in the url: use headers")
        return self


class TcpCheck(Check):
    """A connection; then, if wanted, something sent and something expected."""

    kind: Literal["tcp"]
    host: Line
    port: int = Field(ge=1, le=65535)
    send: str | None = Field(None, max_length=4096, description="sent once connected")
    expect: Pattern | None = Field(
        None, description="regular expression that what comes back must hold; none: connecting is enough"
    )


class TlsCheck(Check):
    """A handshake: chain and host name verified, days until the certificate ends."""

    kind: Literal["tls"]
    host: Line
    port: int = Field(443, ge=1, le=65535)
    server_name: Line | None = Field(None, description="SNI and verified name; none: host")
    ca_file: Path | None = Field(None, description="certificate authority; none: the machine's own")
    min_days: float = Field(14.0, ge=0, description="fails with certificate_expires_soon when fewer days are left")


class DnsCheck(Check):
    """One question to one name server, over UDP, over TCP when the answer is cut."""

    kind: Literal["dns"]
    query: Line = Field(description="the name")
    type: Literal["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT", "CAA", "HTTPS", "SVCB"] = "A"
    server: str | None = Field(None, description="IP:port; none: canary.resolver, or the machine's first name server")
    expect_rcode: Literal["NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED"] = "NOERROR"
    expect_answers: tuple[str, ...] = Field(
        (), description="records, as in a zone file, that must be among the answers"
    )
    only: bool = Field(False, description="no other answers than expect_answers")
    min_answers: int | None = Field(None, ge=0, description="none: 1, or 0 when expect_rcode is no NOERROR")


class PythonCheck(Check):
    """An async function of an installed package, by its name in the entry point group ``fivenines.probes``."""

    kind: Literal["python"]
    probe: str = Field(min_length=1, max_length=100, description="entry point's name")
    options: dict[str, JsonValue] = Field({}, description="handed to the function")


AnyCheck = Annotated[HttpCheck | TcpCheck | TlsCheck | DnsCheck | PythonCheck, Field(discriminator="kind")]
