"""Calls a mitigation's hook: a command with its arguments, or a URL (shell).

Both get one JSON object and have a deadline; neither ever sees a shell line.
"""

import asyncio
import contextlib
import json
import os
from typing import Any, Literal

import aiohttp

from cfa.mitigation_config import Hook

Verb = Literal["do", "check", "undo"]
OUTPUT_BYTES_MOST = 4096
NOT_YET_STATUS = 1
"""Exit status of a ``check`` that says "not well yet"; HTTP says it with 409. Anything else that is not 0 or 2xx is an error."""
_PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")


class HookFailed(Exception):
    """The hook could not be carried out; the text says why."""


async def call(hook: Hook, verb: Verb, body: dict[str, Any]) -> bool:
    """True: done, or (``check``) well. False: ``check`` says not yet. Raises :class:`HookFailed`."""
    payload = json.dumps({"verb": verb, "hook": hook.name, **body}).encode()
    try:
        async with asyncio.timeout(hook.timeout_seconds):
            return await (_command(hook, verb, payload) if hook.command else _post(hook, verb, payload))
    except TimeoutError as error:
        raise HookFailed(f"{hook.name} did not {verb} within {hook.timeout_seconds:g} s") from error
    except OSError as error:
        raise HookFailed(f"{hook.name}: {error.strerror or error}") from error


async def _command(hook: Hook, verb: Verb, payload: bytes) -> bool:
    """Runs the program with a bare environment; it is killed with its children when time is up."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *hook.command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment | {"FIVENINES_VERB": verb, "FIVENINES_HOOK": hook.name},
        start_new_session=True,
    )
    try:
        said = await _talk(process, payload)
        status = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            await process.wait()
    if status == 0:
        return True
    if verb == "check" and status == NOT_YET_STATUS:
        return False
    raise HookFailed(f"{hook.name} ended with status {status}: {said.decode(errors='replace').strip()[:300]}")


async def _talk(process: asyncio.subprocess.Process, payload: bytes) -> bytes:
    """Gives the program its input, and reads what it complains of: a little is kept, the rest is read and dropped."""
    assert process.stdin is not None
    assert process.stderr is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(payload)
        await process.stdin.drain()
    process.stdin.close()
    kept = b""
    while chunk := await process.stderr.read(OUTPUT_BYTES_MOST):
        kept = (kept + chunk)[:OUTPUT_BYTES_MOST]
    return kept


async def _post(hook: Hook, verb: Verb, payload: bytes) -> bool:
    headers = {"Content-Type": "application/json"}
    if hook.token_file is not None:
        headers["Authorization"] = f"Bearer {hook.token_file.read_text(encoding='utf-8').strip()}"
    connector = None if hook.socket is None else aiohttp.UnixConnector(str(hook.socket))
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.post(hook.url, data=payload, headers=headers, allow_redirects=False) as answer,
        ):
            said = (await answer.content.read(OUTPUT_BYTES_MOST)).decode(errors="replace")
            if answer.status < 300:
                return True
            if verb == "check" and answer.status == 409:
                return False
            raise HookFailed(f"{hook.name} answered {answer.status}: {said.strip()[:300]}")
    except aiohttp.ClientError as error:
        raise HookFailed(f"{hook.name}: {error}") from error
