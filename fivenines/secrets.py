"""The embedded stack's own secrets: random, made once, readable by their owner only (shell)."""

import os
import secrets
from pathlib import Path

from fivenines.wiring import secrets_dir

NAMES = ("admin_token", "transport_token", "collector_token", "operator_token", "store_key")


def ensure(state_dir: Path) -> None:
    """Make every secret that is not there yet."""
    folder = secrets_dir(state_dir)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in NAMES:
        path = folder / name
        if path.exists():
            continue
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(20))


def read(path: Path | None) -> str | None:
    """The secret in ``path``, or None when none is configured."""
    return path.read_text(encoding="ascii").strip() if path else None
