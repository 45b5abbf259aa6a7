"""What the zones of the embedded store say of themselves: their groups, and a scrub of all that they lead (shell)."""

import asyncio
from typing import Any

import aiohttp

from cluster.topology import Topology
from fivenines import secrets
from fivenines.config import Config
from fivenines.wiring import secrets_dir

SCRUB_SECONDS = 120.0


def admin_headers(config: Config) -> dict[str, str]:
    """What a request to the zones' admin APIs of this folder's stack shows."""
    token = secrets.read(secrets_dir(config.state_dir) / "admin_token")
    return {"Authorization": f"Bearer {token}"} if token else {}


def scrub_verdict(groups: dict[str, Any]) -> str:
    """What ``POST /scrub`` of all zones says, in a word, or in as many as are needed."""
    wrong = [
        f"{name}: {view['mismatches']} differ, {view['repaired']} repaired, {view['undecided']} undecided"
        for name, view in sorted(groups.items())
        if not view["clean"]
    ]
    partial = [f"{name}: only {', '.join(v['replicas'])}" for name, v in sorted(groups.items()) if not v["complete"]]
    return "; ".join(wrong + partial) or ("clean" if groups else "nothing was scrubbed")


class ZoneStates:
    """The admin APIs of all zones."""

    def __init__(self, topology: Topology, headers: dict[str, str]) -> None:
        self._urls = [f"http://{zone.admin}" for zone in topology.zones]
        self._headers = headers
        self.count = len(self._urls)

    async def states(self) -> list[dict[str, Any] | None]:
        """``GET /state`` of every zone; None of one that does not answer."""
        timeout = aiohttp.ClientTimeout(total=3.0)
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout) as http:

            async def one(url: str) -> dict[str, Any] | None:
                try:
                    async with http.get(f"{url}/state") as answer:
                        body: dict[str, Any] = await answer.json()
                        return body if answer.status == 200 else None
                except (aiohttp.ClientError, TimeoutError, OSError):
                    return None

            return await asyncio.gather(*(one(url) for url in self._urls))

    async def scrub(self) -> str:
        """``clean`` when every zone has compared all replicas that it leads, with the archive, and nothing differs; or what does."""
        timeout = aiohttp.ClientTimeout(total=SCRUB_SECONDS)
        groups: dict[str, Any] = {}
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout) as http:
            for url in self._urls:
                try:
                    async with http.post(f"{url}/scrub") as answer:
                        answer.raise_for_status()
                        groups |= (await answer.json())["groups"]
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    return f"{url} did not scrub: {error or type(error).__name__}"
        return scrub_verdict(groups)
