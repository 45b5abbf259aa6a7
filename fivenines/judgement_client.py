"""Asks the judgement's API, for commands (shell)."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

MAX_ANSWER_BYTES = 64 * 1024 * 1024


class Unreachable(Exception):
    """The judgement does not answer; the text says where it was sought and what to do."""


class JudgementClient:
    """``base_url`` is the judgement's, e.g. ``http://127.0.0.1:8082``."""

    def __init__(self, base_url: str, timeout_seconds: float = 3.0) -> None:
        self._base_url = base_url.rstrip("/")
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

    def _get(self, path: str) -> dict[str, Any]:
        try:
            with self._opener.open(self._base_url + path, timeout=self._timeout_seconds) as answer:
                body: dict[str, Any] = json.loads(answer.read(MAX_ANSWER_BYTES))
                return body
        except (urllib.error.URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Unreachable(
                f"the judgement does not answer at {self._base_url} ({reason}); start everything with 'fivenines up' (or 'make up')"
            ) from error
