"""Third-party programs that tests start."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

CHROMIUM_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
)  # fmt: skip


def program(*names: str) -> str:
    """The path of the first of ``names`` that is installed; else the test is skipped, or fails where peers are required."""
    for name in names:
        if path := shutil.which(name):
            return path
    reason = f"{' or '.join(names)} is not installed"
    if os.environ.get("FIVENINES_REQUIRE_PEERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def prometheus(config: str, directory: Path) -> AsyncIterator[str]:
    """A Prometheus with ``config``; its URL, once it is ready."""
    binary = program("prometheus")
    (directory / "prometheus.yml").write_text(config)
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        binary, f"--config.file={directory / 'prometheus.yml'}", f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        await _ready(f"{url}/-/ready")
        yield url
    finally:
        process.terminate()
        await process.wait()


async def _ready(url: str) -> None:
    """Wait until it answers 200."""
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.1)


async def dump_dom(url: str, directory: Path, *, milliseconds: int) -> str:
    """The page's elements after Chromium has run it for so long on its virtual clock, which waits for the network only."""
    flags = (*CHROMIUM_FLAGS, f"--user-data-dir={directory}", f"--virtual-time-budget={milliseconds}", "--dump-dom")
    process = await asyncio.create_subprocess_exec(
        program("chromium", "chromium-browser", "google-chrome"), *flags, url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return out.decode()
