"""An HTTP check's request, and what its answer must hold (pure)."""

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from canary.probes.config import HttpCheck, target
from canary.probes.json_path import equal, find

_SHOWN = 80


@lru_cache(maxsize=1024)
def _request(method: str, url: str, headers: tuple[tuple[str, str], ...], body: str | None, host: str) -> bytes:
    given = {name.lower() for name, _ in headers}
    lines = [f"{method} {target(url).path} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {host}")
    if "user-agent" not in given:
        lines.append("User-Agent: fivenines-canary")
    lines += [f"{name}: {value}" for name, value in headers]
    payload = (body or "").encode()
    if payload or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(payload)}")
    return "\r\n".join((*lines, "", "")).encode() + payload


def request(check: HttpCheck, host: str) -> bytes:
    """The HTTP/1.1 request; ``host``: the Host header unless the check sets its own. Built once."""
    return _request(check.method, check.url, tuple(check.headers.items()), check.body, host)


def wrong(check: HttpCheck, status: int, headers: Mapping[str, str], body: bytes) -> tuple[str, str] | None:
    """The first thing that is not as expected: a reason of the outcome table and the detail; header names in lower case."""
    if status not in check.expect_status:
        return "unexpected_status", f"status {status}, expected {', '.join(map(str, check.expect_status))}"
    for name, pattern in check.expect_headers.items():
        value = headers.get(name.lower())
        if value is None or not re.search(pattern, value):
            return "header_mismatch", f"{name}: {_short(value)}, expected /{pattern}/"
    if len(body) > check.max_body_bytes:
        return "body_too_large", f"{len(body)} bytes, at most {check.max_body_bytes}"
    return _wrong_body(check, body)


def _wrong_body(check: HttpCheck, body: bytes) -> tuple[str, str] | None:
    text = body.decode("utf-8", "replace") if check.expect_body or check.expect_body_pattern else ""
    for part in check.expect_body:
        if part not in text:
            return "body_mismatch", f"no {_short(part)} in {len(body)} bytes"
    if check.expect_body_pattern and not re.search(check.expect_body_pattern, text):
        return "body_mismatch", f"nothing like /{check.expect_body_pattern}/ in {len(body)} bytes"
    return _wrong_json(check, body) if check.expect_json else None


def _wrong_json(check: HttpCheck, body: bytes) -> tuple[str, str] | None:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return "json_mismatch", f"not JSON: {error}"
    for path, wanted in check.expect_json.items():
        found = find(document, path)
        if not equal(found, wanted):
            return "json_mismatch", f"{path} is {_short(found)}, expected {_short(wanted)}"
    return None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
