"""The fake store in a process of its own, so that it can be stopped like one: prints its port, serves until it is killed."""

import asyncio

from tests.canary.world import store_server


async def main() -> None:
    """Until killed."""
    async with store_server() as store:
        print(store.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
