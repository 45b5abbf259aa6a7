"""One process of the stack, as the supervisor and the command line start it (shell).

``python -m fivenines.part canary --zone az1 --config FILE`` runs until it is told to stop, or until its supervisor is gone.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from prometheus_client import disable_created_metrics

from fivenines.config import Config, ConfigError, load

KINDS = ("zone", "dns", "canary", "collector", "cfa", "console", "traffic")


def coroutine_of(kind: str, config: Config, zone: str | None) -> Awaitable[None]:
    """The coroutine that is the part. Rooms are imported here, so that a process loads only its own."""
    needs_zone = zone or ""
    match kind:
        case "zone":
            from cluster.process import run_zone  # noqa: PLC0415

            return run_zone(config.cluster, needs_zone)
        case "dns":
            from cluster.dns import run as run_dns  # noqa: PLC0415

            return run_dns(config.cluster)
        case "canary":
            from canary.process import run as run_canary  # noqa: PLC0415

            return run_canary(config.canary, needs_zone)
        case "collector":
            from collector.server import run as run_collector  # noqa: PLC0415

            return run_collector(config.collector)
        case "cfa":
            from cfa.server import run as run_cfa  # noqa: PLC0415

            return run_cfa(config.cfa)
        case "console":
            from dashboards.console.app import run as run_console  # noqa: PLC0415

            return run_console(config.console)
        case "traffic":
            from fivenines.traffic import run as run_traffic  # noqa: PLC0415

            return run_traffic(config.traffic)
    raise ValueError(f"no part '{kind}'; there is: {', '.join(KINDS)}")


async def until_stopped(make: Callable[[], Awaitable[None]], parent_pipe: int | None = None) -> None:
    """Run what ``make`` makes until SIGINT, SIGTERM, or the end of the supervisor's pipe; then cancel it and wait for its end."""
    loop = asyncio.get_running_loop()
    work = asyncio.ensure_future(make())
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, work.cancel)
    if parent_pipe is not None:
        # The supervisor holds the other end and never writes: readable means that it is gone.
        loop.add_reader(parent_pipe, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


def settle() -> None:
    """What has been imported stays: no garbage collection need walk over it again.

    A full one stood still for 54 ms, and a canary's probes with it (`make bench NAME=canary-cost`).
    Young objects are looked at every 2,000 instead of every 700: most are gone by then.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2000, 20, 50)


def serve(kind: str, config: Config, zone: str | None, parent_pipe: int | None = None) -> None:
    """Run a part in this process until it is stopped."""

    def made() -> Awaitable[None]:
        work = coroutine_of(kind, config, zone)
        settle()
        return work

    disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double what every part's /metrics shows

    work = until_stopped(made, parent_pipe)
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)


def configure_logging() -> None:
    """One line an event, UTC, on standard error."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=os.environ.get("FIVENINES_LOG", "INFO"),
        format="%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )


def main() -> int:
    """Entry point of ``python -m fivenines.part``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--zone")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--parent-pipe", type=int)
    arguments = parser.parse_args()
    configure_logging()
    try:
        config = load(arguments.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    serve(arguments.kind, config, arguments.zone, arguments.parent_pipe)
    return 0


if __name__ == "__main__":
    sys.exit(main())
