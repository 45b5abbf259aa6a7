"""The judgement, asked over HTTP at most once per half second however many browsers look (shell)."""

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass

import aiohttp

logger = logging.getLogger("dashboards")

FRESH_SECONDS = 0.5
PATIENCE_SECONDS = 2.0
BODY_BYTES_MAX = 16 * 1024 * 1024
PATHS_MAX = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """What the judgement answered; ``problem`` is set, and ``status`` 0, when it did not."""

    status: int
    body: bytes
    problem: str | None = None


class Judgement:
    """A client with a small cache; concurrent askers of one path share one request."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url.rstrip("/")
        self._session = session
        self._asked: OrderedDict[str, tuple[float, asyncio.Task[Answer]]] = OrderedDict()
        self.requests = 0

    async def get(self, path: str) -> Answer:
        """The answer to ``GET path``, at most :data:`FRESH_SECONDS` old; never raises, never takes longer than the patience."""
        now = time.monotonic()
        known = self._asked.get(path)
        if known is None or (known[1].done() and now - known[0] > FRESH_SECONDS):
            known = (now, asyncio.create_task(self._fetch(path)))
            self._asked[path] = known
            self._asked.move_to_end(path)
            self._forget()
        return await asyncio.shield(known[1])

    async def close(self) -> None:
        """Cancel what is under way."""
        tasks = [task for _, task in self._asked.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self) -> None:
        """Keep the cache small: the paths asked longest ago go, unless under way."""
        for path in [p for p, (_, task) in self._asked.items() if task.done()]:
            if len(self._asked) <= PATHS_MAX:
                return
            del self._asked[path]

    async def _fetch(self, path: str) -> Answer:
        """One request, one try."""
        self.requests += 1
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                async with self._session.get(self._url + path) as response:
                    body = await response.content.read(BODY_BYTES_MAX + 1)
                    while len(body) <= BODY_BYTES_MAX and (more := await response.content.read(BODY_BYTES_MAX)):
                        body += more
                    if len(body) > BODY_BYTES_MAX:
                        return Answer(0, b"", "The judgement's answer is too large")
                    return Answer(response.status, body)
        except TimeoutError:
            return Answer(0, b"", f"The judgement did not answer within {PATIENCE_SECONDS:.0f} s")
        except (aiohttp.ClientError, OSError) as error:
            logger.info("judgement unreachable: %s", error)
            return Answer(0, b"", f"The judgement at {self._url} cannot be reached")
