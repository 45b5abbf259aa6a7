"""Talks to a collector about its ledger, or to the ledger's folder when no collector runs (shell)."""

import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from collector.ledger import Ledger
from collector.ledger_api import ExclusionRequest, listed, statement_of
from collector.ledger_file import LedgerError, database_of
from collector.sealing import read_exclusions

SECONDS = 120.0


class NoCollector(OSError):
    """Nothing listens there."""


class LedgerRefused(OSError):
    """The collector said no; the text is its reason."""


class LedgerClient:
    """One collector."""

    def __init__(self, url: str, token_file: Path | None) -> None:
        self._url = url
        self._token_file = token_file

    async def get(self, path: str, parameters: dict[str, str]) -> Any:
        """The JSON of an answer; raises :class:`NoCollector` or :class:`LedgerRefused`."""
        return await self._ask("GET", path, params=parameters)

    async def post(self, path: str, value: dict[str, Any]) -> Any:
        """The same for something to be done."""
        return await self._ask("POST", path, json=value)

    async def _ask(self, method: str, path: str, **what: Any) -> Any:
        headers = {}
        if self._token_file is not None and self._token_file.exists():
            headers["Authorization"] = f"Bearer {self._token_file.read_text().strip()}"
        timeout = aiohttp.ClientTimeout(total=SECONDS, connect=3.0)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
                session.request(method, self._url + path, **what) as answer,
            ):
                body = await answer.read()
        except (aiohttp.ClientConnectorError, ConnectionRefusedError) as error:
            raise NoCollector(f"no collector at {self._url}; is `fivenines up` running?") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise LedgerRefused(f"{self._url}: {error or 'no answer'}") from error
        if answer.status >= 300:
            raise LedgerRefused(f"HTTP {answer.status}: {body[:300].decode(errors='replace')}")
        return msgspec.json.decode(body)


def exclude_offline(folder: Path, body: bytes, *, at: float) -> int:
    """Write an exclusion down in a folder that no collector uses; its next start makes the versions. Raises ValueError or OSError."""
    try:
        wanted = msgspec.json.decode(body, type=ExclusionRequest)
        ledger = Ledger(_existing(folder))
    except (LedgerError, msgspec.DecodeError) as error:
        raise ValueError(str(error)) from error
    try:
        with ledger.transaction() as database:
            known = read_exclusions(database)
        return ledger.exclude(statement_of(wanted, known, at=at))
    finally:
        ledger.close()


def exclusions_offline(folder: Path) -> list[dict[str, Any]]:
    """Every statement, read beside a collector that may be running."""
    uri = f"{database_of(_existing(folder)).absolute().as_uri()}?mode=ro"
    database = sqlite3.connect(uri, uri=True)
    try:
        return listed(read_exclusions(database))
    except sqlite3.Error as error:
        raise OSError(f"{folder}: {error}; has a collector of this version run there?") from error
    finally:
        database.close()


def _existing(folder: Path) -> Path:
    if not database_of(folder).exists():
        raise FileNotFoundError(
            f"{database_of(folder)} does not exist: set collector.data_dir, or start a collector first"
        )
    return folder
