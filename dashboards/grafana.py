"""Pushes the dashboards to Grafana through ``grafana-api`` (shell).

Anything of the shape of :class:`Face` will do, so that a maintained fork of the client can take its place. Pushing
twice changes nothing the second time.
"""

import re
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import requests
from grafana_api.grafana_api import GrafanaClientError, GrafanaException, GrafanaServerError, GrafanaUnauthorizedError
from grafana_api.grafana_face import GrafanaFace

from dashboards.boards.render import Json, to_json
from dashboards.build import BOARDS
from dashboards.config import GrafanaConfig

PATIENCE_SECONDS = 10.0
GRAFANAS_OWN = ("id", "version")
"""Keys that Grafana adds to a dashboard; they differ from one Grafana to the next."""


class GrafanaError(Exception):
    """The push failed; the text says what to do."""


class GrafanaUnreachable(GrafanaError):
    """No answer, or not Grafana's."""


class GrafanaRefused(GrafanaError):
    """Grafana answered no."""


class TokenMissing(GrafanaError):
    """The token file cannot be read or is empty."""


class Folders(Protocol):
    """Grafana's folders."""

    def get_all_folders(self) -> list[Json]:
        """All folders that the token may see."""
        ...

    def create_folder(self, title: str, uid: str | None = None) -> Json:
        """Make one."""
        ...


class Dashboards(Protocol):
    """Grafana's dashboards."""

    def get_dashboard(self, dashboard_uid: str) -> Json:
        """``{"dashboard": …, "meta": …}``; raises when there is none."""
        ...

    def update_dashboard(self, dashboard: Json) -> Json:
        """Create or replace one."""
        ...


class Face(Protocol):
    """As much of ``grafana_api.GrafanaFace`` as we use."""

    folder: Folders
    dashboard: Dashboards


def push(config: GrafanaConfig, face: Face | None = None) -> list[str]:
    """Send every board into the configured folder; one line per board says what happened. Raises :class:`GrafanaError`."""
    try:
        face = face or connect(config)
        folder = _folder_uid(face, config.folder)
        return [_upsert(face, config, folder, to_json(board)) for board in BOARDS.values()]
    except GrafanaUnauthorizedError as error:
        raise GrafanaRefused(f"{config.url} does not accept the token; is grafana.token_file current?") from error
    except GrafanaClientError as error:
        raise GrafanaRefused(_refusal(config, error)) from error
    except GrafanaServerError as error:
        raise GrafanaUnreachable(f"{config.url} answered {error.status_code}; try again when it is well") from error
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        reason = (
            "does not answer like Grafana" if not isinstance(error, requests.RequestException) else "cannot be reached"
        )
        raise GrafanaUnreachable(f"{config.url} {reason}: {error}; is grafana.url right?") from error


def connect(config: GrafanaConfig) -> Face:
    """A client with a timeout; without a token file it says nothing of who it is. Raises :class:`TokenMissing`."""
    parts = urlsplit(config.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise GrafanaError(f"grafana.url must be http:// or https:// and a host, not {config.url!r}")
    path = parts.path.strip("/")
    token = _token(config.token_file)
    face = GrafanaFace(
        auth=token,
        host=f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname,
        port=parts.port,
        url_path_prefix=f"{path}/" if path else "",
        protocol=parts.scheme,
        timeout=PATIENCE_SECONDS,
    )
    if not token:
        face.api.auth = None
    return cast("Face", face)


def _token(path: Path | None) -> str:
    """The token; empty when none is configured."""
    if path is None:
        return ""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenMissing(f"grafana.token_file {path} cannot be read: {error}") from error
    if not token:
        raise TokenMissing(f"grafana.token_file {path} is empty; put a service account's token there")
    return token


def _folder_uid(face: Face, title: str) -> str:
    """The folder's uid; it is made when it is not there."""
    for folder in face.folder.get_all_folders():
        if folder["title"] == title:
            return str(folder["uid"])
    uid = re.sub(r"[^A-Za-z0-9_-]+", "-", title)[:40]
    return str(face.folder.create_folder(title, uid=uid)["uid"])


def _upsert(face: Face, config: GrafanaConfig, folder: str, dashboard: Json) -> str:
    """Create, update or leave alone."""
    known = _known(face, dashboard["uid"])
    address = f"{config.url.rstrip('/')}/d/{dashboard['uid']}"
    if known is not None and _same(known, dashboard, folder):
        return f"{dashboard['title']}: unchanged, {address}"
    message = {"dashboard": dashboard, "folderUid": folder, "overwrite": True, "message": "pushed by fivenines"}
    face.dashboard.update_dashboard(message)
    return f"{dashboard['title']}: {'created' if known is None else 'updated'}, {address}"


def _known(face: Face, uid: str) -> Json | None:
    """What Grafana holds under this uid."""
    try:
        return face.dashboard.get_dashboard(uid)
    except GrafanaException as error:
        if error.status_code == 404:
            return None
        raise


def _same(known: Json, dashboard: Json, folder: str) -> bool:
    """Would pushing change anything?"""
    held: dict[str, Any] = {key: value for key, value in known["dashboard"].items() if key not in GRAFANAS_OWN}
    wanted = {key: value for key, value in dashboard.items() if key not in GRAFANAS_OWN}
    return held == wanted and known.get("meta", {}).get("folderUid") == folder


def _refusal(config: GrafanaConfig, error: GrafanaClientError) -> str:
    """What Grafana's no means for the reader."""
    if error.status_code == 403:
        return f"{config.url}: the token may not do this; it needs the Editor role ({error.message})"
    return f"{config.url} refused: {error.message}"
