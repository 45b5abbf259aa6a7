"""Asks the judgement's API, and does what operators do, for commands (shell)."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

MAX_ANSWER_BYTES = 64 * 1024 * 1024


class Unreachable(Exception):
    """The judgement does not answer; the text says where it was sought and what to do."""


class NotDone(Exception):
    """The judgement refuses; the text is its reason."""


class JudgementClient:
    """``base_url`` is the judgement's, e.g. ``http://127.0.0.1:8082``; ``token`` is the operators'."""

    def __init__(self, base_url: str, timeout_seconds: float = 3.0, token: str | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._timeout_seconds = timeout_seconds
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def status(self) -> dict[str, Any]:
        """``GET /v1/status``."""
        return self._get("/v1/status")

    def incidents(self, state: str = "all", since: float | None = None) -> list[dict[str, Any]]:
        """``GET /v1/incidents``, newest first."""
        query = {"state": state} | ({"since": f"{since:.3f}"} if since is not None else {})
        found: list[dict[str, Any]] = self._get(f"/v1/incidents?{urllib.parse.urlencode(query)}")["incidents"]
        return found

    def pages(self, since: float) -> list[dict[str, Any]]:
        """``GET /v1/pages``."""
        found: list[dict[str, Any]] = self._get(f"/v1/pages?since={since:.3f}")["pages"]
        return found

    def mitigations(self) -> list[dict[str, Any]]:
        """What was done about incidents by itself: the actions of ``GET /v1/mitigations``, newest first."""
        found: list[dict[str, Any]] = self.mitigation()["actions"]
        return found

    def mitigation(self) -> dict[str, Any]:
        """``GET /v1/mitigations``."""
        return self._get("/v1/mitigations")

    def incident(self, name: str) -> dict[str, Any]:
        """``GET /v1/incidents/ID``; raises :class:`NotDone` when there is none."""
        return self._get(f"/v1/incidents/{urllib.parse.quote(name, safe='')}")

    def tables(self, order: str, limit: int) -> dict[str, Any]:
        """``GET /v1/tables``; raises :class:`NotDone` when no counters are judged."""
        return self._get(f"/v1/tables?{urllib.parse.urlencode({'order': order, 'limit': limit})}")

    def table(self, name: str) -> dict[str, Any]:
        """``GET /v1/tables/NAME``."""
        return self._get(f"/v1/tables/{urllib.parse.quote(name, safe='')}")

    def about(self, name: str, kind: str, by: str, text: str) -> dict[str, Any]:
        """Acknowledges, notes or resolves an incident; the incident as it is then."""
        path = f"/v1/incidents/{urllib.parse.quote(name, safe='')}/{kind}"
        return self._ask("POST", path, {"by": by, "text": text})

    def mutes(self, kind: str, *, everything: bool) -> list[dict[str, Any]]:
        """``GET /v1/silences`` or ``/v1/maintenance``."""
        found: list[dict[str, Any]] = self._get(f"/v1/{kind}?state={'all' if everything else 'active'}")[kind]
        return found

    def mute(self, kind: str, wanted: dict[str, Any]) -> dict[str, Any]:
        """A new silence or maintenance window."""
        return self._ask("POST", f"/v1/{kind}", wanted)

    def expire(self, kind: str, name: str, by: str) -> dict[str, Any]:
        """Ends one now."""
        query = urllib.parse.urlencode({"by": by})
        return self._ask("DELETE", f"/v1/{kind}/{urllib.parse.quote(name, safe='')}?{query}")

    def _get(self, path: str) -> dict[str, Any]:
        return self._ask("GET", path)

    def _ask(self, method: str, path: str, value: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token and method != "GET" else {}
        if value is not None:
            headers["Content-Type"] = "application/json"
        body = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(self._base_url + path, body, headers, method=method)  # noqa: S310 -- the judgement's own address
        try:
            with self._opener.open(request, timeout=self._timeout_seconds) as answer:
                found: dict[str, Any] = json.loads(answer.read(MAX_ANSWER_BYTES))
                return found
        except urllib.error.HTTPError as error:
            raise NotDone(_reason(error)) from error
        except (urllib.error.URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Unreachable(
                f"the judgement does not answer at {self._base_url} ({reason}); start everything with 'fivenines up' (or 'make up')"
            ) from error


def _reason(error: urllib.error.HTTPError) -> str:
    """What the judgement says of its refusal, and what helps."""
    try:
        said = json.loads(error.read(MAX_ANSWER_BYTES))
        reason = str(said.get("detail") or said.get("error"))
    except (ValueError, AttributeError, OSError):
        reason = f"HTTP {error.code}"
    if error.code == 401:
        reason += "; the token is the content of cfa.operator_token_file (give the configuration with --config)"
    return reason
