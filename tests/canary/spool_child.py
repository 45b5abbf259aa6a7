"""A host that observes and reports until it is killed; writes down each observation before it hands it over."""

import asyncio
import os
import sys
import time
from pathlib import Path

from canary.clock import Clock
from canary.config import CanaryConfig, EndpointConfig
from canary.plan import hosts
from canary.reporter import Reporter
from canary.tally import Tally
from canary.transport.choice import way_of
from canary.transport.config import SpoolConfig
from tests.canary.test_spool import series


def config_of(folder: Path, url: str) -> CanaryConfig:
    """One host of one zone that asks one endpoint."""
    return CanaryConfig(
        zones=("z",),
        hosts_per_zone=1,
        endpoints=(EndpointConfig(name="standard", host="a.test"),),
        collectors=(url,),
        deadline_seconds=0.2,
        spool=SpoolConfig(dir=folder / "spool"),
    )


async def main(folder: Path, url: str) -> None:
    """One life."""
    config = config_of(folder, url)
    (host,) = hosts(config)
    way = way_of(config, host, f"{time.time_ns():x}", None)
    tally = Tally()
    reporter = Reporter(tally, way.spool, way.transports, Clock(), lambda: None)
    record = os.open(folder / "record", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    began = time.time()
    way.tell_absence(config, host, 1, began)
    os.write(record, f"life {way.told_until or began} {began}\n".encode())
    reporting = asyncio.create_task(reporter.run())
    while True:
        at = time.time()
        os.write(record, f"seen {int(at)} 3\n".encode())
        for _ in range(3):
            tally.success(series(), at, 1.0)
        if int(at * 100) % 7 == 0:
            reporter.hurry()
        await asyncio.sleep(0.01)
        assert not reporting.done()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
