"""``make fuzz SECONDS=600``: attack a collector for so long; exit status 1 when something was not as it must be."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.storm import storm

GROWTH_BYTES_MAX = 48 * 1024 * 1024


def main() -> int:
    """Exit status 0 or 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="fivenines-fuzz-") as folder:
        report = asyncio.run(storm(Path(folder), seconds=arguments.seconds, seed=arguments.seed))
    print(report.summary())
    return int(bool(report.wrong) or report.growth_bytes() > GROWTH_BYTES_MAX)


if __name__ == "__main__":
    sys.exit(main())
