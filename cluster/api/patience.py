"""Deadlines of many requests under one timer (shell): a timer for each request would cost more than checking its signature."""

import asyncio

_LOOK_SECONDS = 0.25


class Patience:
    """Cancels the tasks whose time is over, within a quarter of a second; made in a running loop or before."""

    def __init__(self) -> None:
        self._until: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()
        self._looks = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, seconds: float) -> "asyncio.Task[object]":
        """The running task may take so long, until :meth:`end`."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        loop = self._loop
        task = asyncio.current_task(loop)
        assert task is not None
        self._until[task] = loop.time() + seconds
        if not self._looks:
            self._looks = True
            loop.call_later(_LOOK_SECONDS, self._look, loop)
        return task

    def end(self, task: "asyncio.Task[object]") -> None:
        """It is done."""
        self._until.pop(task, None)
        self._late.discard(task)

    def ran_out(self, task: "asyncio.Task[object]") -> bool:
        """Whether a cancellation that ``task`` has caught was ours only; then it is taken back."""
        return task in self._late and task.uncancel() <= 0

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task, until in self._until.items():
            if until < now and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._looks = bool(self._until)
        if self._looks:
            loop.call_later(_LOOK_SECONDS, self._look, loop)
