"""Runs the judgement's part with the scripted judgement until it is killed: ``crash_child.py DATA_DIR PORT COLLECTOR WEBHOOK``."""

import asyncio
import sys
from pathlib import Path

from cfa import engine, server
from cfa.config import CfaConfig, Destination
from tests.cfa.shell_world import ScriptedJudgement

if __name__ == "__main__":
    data_dir, port, collector, webhook = sys.argv[1:]
    engine.SNAPSHOT_SECONDS = 0.2
    engine.SNAPSHOT_SHARE = 1.0
    config = CfaConfig(
        host="127.77.7.1",
        port=int(port),
        collector=collector,
        data_dir=Path(data_dir),
        destinations=(Destination(kind="webhook", url=webhook),),
    )
    asyncio.run(server.run(config, None, ScriptedJudgement))
