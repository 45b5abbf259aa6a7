"""Every answer is counted, also those to what was no HTTP at all, which no handler ever sees (shell)."""

import logging

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from collector.metrics import Metrics


def counting(metrics: Metrics) -> type[AbstractAccessLogger]:
    """A class for aiohttp's ``access_log_class`` that counts instead of writing a line."""

    class Counting(AbstractAccessLogger):
        """Counts answers by route and status."""

        @property
        def enabled(self) -> bool:
            """Always."""
            return True

        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:  # noqa: ARG002
            """One answer was given."""
            metrics.answers.labels(_route_of(request), str(response.status)).inc()

    return Counting


LOGGER = logging.getLogger("collector.answers")
"""Never written to: aiohttp wants one."""


def _route_of(request: web.BaseRequest) -> str:
    """The route's pattern; ``none`` for what has no route, or was no HTTP and never got as far as being routed."""
    try:
        match = request.match_info if isinstance(request, web.Request) else None
    except AssertionError:  # aiohttp's way to say so
        match = None
    resource = match.route.resource if match is not None else None
    return resource.canonical if resource is not None else "none"
