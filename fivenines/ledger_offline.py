"""The ledger's folder when no collector runs, or beside one that only reads (shell)."""

import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from collector.ledger import Ledger
from collector.ledger_api import ExclusionRequest, listed, statement_of
from collector.ledger_file import LedgerError, database_of
from collector.sealing import read_exclusions


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
