"""What operators do, over HTTP: acknowledge, note, resolve, silences and maintenance windows, as ``docs/api.md`` says (shell)."""

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from cfa.engine import Engine
from cfa.incident import Severity
from cfa.operators import Action, ActionKind, Recorded, Refusal
from cfa.ports import Operated
from cfa.silence import Mute, MuteKind
from cfa.state import StateStore

BODY_BYTES_MOST = 16 * 1024
ACTIONS_A_MINUTE_MOST = 120
STATUS = {
    "unknown_incident": 404,
    "unknown_silence": 404,
    "closed": 409,
    "not_open": 409,
    "exists": 409,
    "too_many": 429,
    "bad_value": 422,
    "catching_up": 503,
}


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an acknowledgement, a note or a resolve by hand."""

    by: str
    text: str = ""


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a new silence or maintenance window. ``id``: sent again, it is not made twice."""

    by: str
    scope: dict[str, str] = {}
    ends_at: float | None = None
    for_seconds: float | None = None
    starts_at: float | None = None
    operations: tuple[str, ...] = ()
    severity: Severity = "page"
    comment: str = ""
    exclusion: int | None = None
    id: str | None = None


class Refused(Exception):
    """An answer that is no success: ``status``, a word for programs, a sentence for people."""

    def __init__(self, status: int, word: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.word, self.detail = status, word, detail


class OperatorApi:
    """The routes that change something. ``refused`` counts what is not done, by reason."""

    def __init__(
        self, engine: Engine, store: StateStore, token_file: Path | None, count: Callable[[str], None] = lambda _: None
    ) -> None:
        self._engine = engine
        self._store = store
        self._token_file = token_file
        self._count = count
        self._lately: deque[float] = deque()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Adds every route."""
        for kind in ("acknowledge", "note", "resolve"):
            router.add_post(f"/v1/incidents/{{id}}/{kind}", self._answered(self._about_incident))
        for kind in ("silences", "maintenance"):
            router.add_get(f"/v1/{kind}", self._answered(self._listed))
            router.add_post(f"/v1/{kind}", self._answered(self._mute))
            router.add_delete(f"/v1/{kind}/{{id}}", self._answered(self._expire))
        router.add_get("/v1/actions", self._answered(self._journal))

    def _answered(self, handler: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
        async def answer(request: web.Request) -> web.Response:
            try:
                if request.method != "GET":
                    self._admit(request)
                found: web.Response = await handler(request)
            except Refused as refused:
                self._count(refused.word)
                return _json({"error": refused.word, "detail": refused.detail}, refused.status)
            return found

        return answer

    # --- who may ask, and how much --------------------------------------------------------------------------------------

    def _admit(self, request: web.Request) -> None:
        """The token where one is configured, else this machine only; never a web page that a browser was lured to."""
        shown = request.headers.get("Authorization")
        if self._token_file is not None:
            if not _same(shown or "", f"Bearer {self._token()}"):
                raise Refused(401, "unauthorized", "send the operators' token: Authorization: Bearer …")
        elif not _is_loopback(request.remote):
            detail = "without cfa.operator_token_file only programs on the judgement's own machine may act"
            raise Refused(403, "not_from_here", detail)
        elif "Origin" in request.headers:
            raise Refused(403, "not_from_here", "browsers may not act without a token: set cfa.operator_token_file")
        now = time.monotonic()
        while self._lately and now - self._lately[0] > 60:
            self._lately.popleft()
        if len(self._lately) >= ACTIONS_A_MINUTE_MOST:
            raise Refused(429, "too_many", f"at most {ACTIONS_A_MINUTE_MOST} actions a minute")
        self._lately.append(now)

    def _token(self) -> str:
        """Read anew each time, so that it may be rotated."""
        try:
            token = self._token_file.read_text().strip() if self._token_file else ""
        except OSError as error:
            raise Refused(503, "token_unreadable", f"the operators' token cannot be read: {error.strerror}") from error
        if not token:
            raise Refused(503, "token_unreadable", "the operators' token file is empty")
        return token

    # --- what is asked --------------------------------------------------------------------------------------------------

    async def _about_incident(self, request: web.Request) -> web.Response:
        """``POST /v1/incidents/ID/acknowledge``, ``…/note``, ``…/resolve``."""
        said = await _body(request, Said)
        kind: ActionKind = request.path.rsplit("/", 1)[1]  # type: ignore[assignment]  # as the routes say
        await self._do(Action(kind=kind, by=said.by, subject=request.match_info["id"], text=said.text))
        return _json(await self._incident(request.match_info["id"]))

    async def _incident(self, name: str) -> dict[str, Any]:
        live = next((one for one in self._engine.judge.incidents() if one.id == name), None)
        found = live or await self._store.run(self._store.incident, name)
        return {} if found is None else found.to_json()

    async def _mute(self, request: web.Request) -> web.Response:
        """``POST /v1/silences`` and ``/v1/maintenance``."""
        wanted = await _body(request, Wanted)
        kind = _kind(request)
        mute = self._made(wanted, kind)
        known = {one.id: one for one in self._mutes()}.get(mute.id)
        if known is not None and wanted.id is not None:
            return _json(asdict(known))  # asked again, as the first answer was lost
        await self._do(Action(kind="mute", by=wanted.by, subject=mute.id, text=wanted.comment, mute=mute))
        return _json(asdict(mute), 201)

    def _made(self, wanted: Wanted, kind: MuteKind) -> Mute:
        now = self._engine.now()
        starts_at = now if wanted.starts_at is None else wanted.starts_at
        if (wanted.ends_at is None) == (wanted.for_seconds is None):
            raise Refused(422, "bad_value", "say when it ends: ends_at, or for_seconds")
        ends_at = wanted.ends_at if wanted.ends_at is not None else starts_at + (wanted.for_seconds or 0.0)
        if kind == "silence" and not wanted.scope:
            raise Refused(422, "bad_value", "say what is muted: scope; everything in the region is scope region=NAME")
        return Mute(
            id=wanted.id or f"{kind[0]}-{secrets.token_hex(4)}",
            kind=kind,
            scope=wanted.scope,
            operations=wanted.operations,
            severity=wanted.severity,
            starts_at=starts_at,
            ends_at=ends_at,
            author=wanted.by,
            comment=wanted.comment,
            exclusion=wanted.exclusion,
        )

    async def _expire(self, request: web.Request) -> web.Response:
        """``DELETE /v1/silences/ID`` and ``/v1/maintenance/ID``; ``?by=`` says who."""
        name, kind = request.match_info["id"], _kind(request)
        if not any(one.id == name and one.kind == kind for one in self._mutes()):
            raise Refused(404, "unknown_silence", f"there is no {kind} {name}")
        await self._do(Action(kind="expire", by=request.query.get("by", ""), subject=name))
        return _json(asdict(next(one for one in self._mutes() if one.id == name)))

    async def _listed(self, request: web.Request) -> web.Response:
        """``GET /v1/silences`` and ``/v1/maintenance``; ``?state=all`` has those that are over, too."""
        kind, now = _kind(request), self._engine.now()
        everything = request.query.get("state", "active") == "all"
        found = [one for one in self._mutes() if one.kind == kind and (everything or now < one.over_at)]
        key = "silences" if kind == "silence" else "maintenance"
        return _json({key: [{**asdict(one), "in_force": one.in_force(now)} for one in found]})

    async def _journal(self, request: web.Request) -> web.Response:
        """``GET /v1/actions?since=EPOCH``: who did what, newest first."""
        try:
            since = float(request.query.get("since", 0.0))
        except ValueError as error:
            raise Refused(400, "bad_value", "since is a number of seconds since 1970") from error
        found = await self._store.run(self._store.newest_actions, since)
        return _json({"actions": [{"number": one.number, "at": one.at, **asdict(one.action)} for one in found]})

    def _mutes(self) -> list[Mute]:
        judge = self._engine.judge
        return judge.mutes() if isinstance(judge, Operated) else []

    async def _do(self, action: Action) -> Recorded:
        found = await self._engine.act(action)
        if isinstance(found, Refusal):
            raise Refused(STATUS[found.reason], found.reason, found.detail)
        return found


async def _body(request: web.Request, kind: type[Any]) -> Any:
    """The body as a value; a form or plain text, which any web page may send, is no JSON."""
    if request.content_type != "application/json":
        raise Refused(415, "not_json", "send JSON, with Content-Type: application/json")
    body = await request.content.read(BODY_BYTES_MOST + 1)
    while len(body) <= BODY_BYTES_MOST and (more := await request.content.read(BODY_BYTES_MOST)):
        body += more
    if len(body) > BODY_BYTES_MOST:
        raise Refused(413, "oversized", f"at most {BODY_BYTES_MOST} bytes")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Refused(422, "bad_value", str(error)) from error


def _kind(request: web.Request) -> MuteKind:
    return "silence" if request.path.startswith("/v1/silences") else "maintenance"


def _same(shown: str, wanted: str) -> bool:
    """Constant time, whatever the lengths."""
    digests = [hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (shown, wanted)]
    return hmac.compare_digest(*digests)


def _is_loopback(remote: str | None) -> bool:
    try:
        return remote is not None and ipaddress.ip_address(remote).is_loopback
    except ValueError:
        return False


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
