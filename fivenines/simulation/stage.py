"""The stage that a run is lived on: a virtual loop, the store's own log in the trace, and no garbage collector (shell)."""

import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from fivenines.simulation.checkers.verdict import Verdict
from fivenines.simulation.loop import VirtualLoop
from fivenines.simulation.trace import Trace


class Stage(logging.Handler):
    """What is logged goes into the trace; an error in the log is a broken promise."""

    def __init__(self, trace: Trace, verdict: Verdict) -> None:
        super().__init__()
        self.trace, self.verdict = trace, verdict
        self.now: Callable[[], float] = float
        self.expects_errors = False
        """Whether a disk was damaged on purpose, which the store rightly calls an error; an exception never is right."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line of the log."""
        text = record.getMessage()
        self.trace.note(self.now(), record.levelname.lower(), text)
        if record.levelno >= logging.ERROR and (record.exc_info or not self.expects_errors):
            cause = f": {record.exc_info[1]!r}" if record.exc_info else ""
            self.verdict.breaks("no_errors_in_the_log", self.now(), f"{text}{cause}")

    def unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback or a task has failed, and nobody was there to hear it."""
        problem = context.get("exception") or context.get("message")
        self.verdict.breaks("no_errors_in_the_log", self.now(), f"unhandled: {problem!r}")


def act(stage: Stage, story: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Live through a story to its end, in virtual time; what it returns."""
    with _without_collections(), _logging_to(stage), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        stage.now = loop.time
        loop.set_exception_handler(stage.unhandled)
        return runner.run(story())


@contextmanager
def _without_collections() -> Iterator[None]:
    """A collection in the middle would end abandoned generators at a time of its own choosing."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _logging_to(stage: Stage) -> Iterator[None]:
    logger = logging.getLogger("cluster")
    before = logger.level, logger.propagate
    logger.addHandler(stage)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(stage)
        logger.setLevel(before[0])
        logger.propagate = before[1]
