"""One of two judgements with the scripted judgement: ``pair_child.py NAME DATA_DIR PORT PEER_PORT COLLECTOR[,COLLECTOR] WEBHOOK TOKEN_FILE``."""

import asyncio
import sys
from pathlib import Path

from cfa import engine, server
from cfa.config import CfaConfig, Destination
from cfa.destinations.config import Pair
from tests.cfa.shell_world import ScriptedJudgement

if __name__ == "__main__":
    name, data_dir, port, peer, collector, webhook, token_file = sys.argv[1:]
    engine.SNAPSHOT_SECONDS = 0.2
    engine.SNAPSHOT_SHARE = 1.0
    config = CfaConfig(
        host="127.77.7.1",
        port=int(port),
        collector=collector.split(",")[0],
        more_ledgers=tuple(collector.split(",")[1:]),
        data_dir=Path(data_dir),
        destinations=(Destination(kind="webhook", url=webhook),),
        pair=Pair(name=name, peer=f"http://127.77.7.1:{peer}", token_file=Path(token_file), lease_seconds=2),
    )
    asyncio.run(server.run(config, None, ScriptedJudgement))
