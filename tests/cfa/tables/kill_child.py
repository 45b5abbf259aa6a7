"""A collector or a judgement in a process that can be killed: ``kill_child.py collector|cfa DATA_DIR PORT [COLLECTOR]``."""

import asyncio
import sys
from pathlib import Path

if __name__ == "__main__":
    part, data_dir, port, *more = sys.argv[1:]
    if part == "collector":
        from collector import server as collector
        from collector.config import CollectorConfig

        asyncio.run(collector.run(CollectorConfig(port=int(port), data_dir=Path(data_dir))))
    else:
        from cfa import server
        from cfa.config import CfaConfig
        from cfa.tables import lane

        lane.CHECKPOINT_SECONDS, lane.CHECKPOINT_SHARE = 0.0, 1e9
        config = CfaConfig(port=int(port), data_dir=Path(data_dir), collector=more[0], counters_feed=more[0])
        asyncio.run(server.run(config))
