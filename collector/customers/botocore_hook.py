"""A botocore event hook: a program's own attempts and calls, by table, counted exactly (shell).

    from collector.customers.botocore_hook import watch
    watch(boto3.client("dynamodb"), customer="orders-service", collector="http://127.0.0.1:8081")

Unlike client-side monitoring it knows the table and the consistency asked for, and no datagram can be lost. It listens to
the same events as botocore's own monitor (``botocore/monitoring.py``) and needs the standard library only.
"""

import logging
import time
from typing import Any

from collector.customers.recorder import Key, Recorder
from collector.customers.vocabulary import operation_of, outcome_of, table_of
from collector.observation import Connection, Level, Observation, Outcome, Phase

logger = logging.getLogger("fivenines.customer")

_OURS = "fivenines_call"


class _Call:
    """One call on its way. ``status``, ``code``, ``exception``: of the attempt that ended last."""

    __slots__ = ("at", "attempt_at", "attempt_began", "began", "code", "exception", "operation", "status", "table")

    def __init__(self, api: str, params: dict[str, Any]) -> None:
        self.table = table_in(params)
        self.operation = operation_of(api, strong=strong_in(params))
        self.at = self.attempt_at = time.time()
        self.began = self.attempt_began = time.monotonic()
        self.status: int | None = None
        self.code: str | None = None
        self.exception: str | None = None


class Hook:
    """Event handlers that count into a recorder. Nothing that goes wrong here reaches the program."""

    def __init__(self, recorder: Recorder, endpoint: str | None = None) -> None:
        self._recorder = recorder
        self._endpoint = endpoint

    def register(self, events: Any) -> None:
        """Listen to a client's or a session's events, for DynamoDB only."""
        handlers = {
            "before-parameter-build.dynamodb": self._begin,
            "request-created.dynamodb": self._attempt_begins,
            "response-received.dynamodb": self._attempt_ends,
            "after-call.dynamodb": self._end,
            "after-call-error.dynamodb": self._end,
        }
        for name, handler in handlers.items():
            events.register_last(name, _careful(handler), unique_id=f"fivenines-{name}")

    def _begin(self, params: Any, model: Any, context: Any, **_: Any) -> None:
        context[_OURS] = _Call(model.name, params if isinstance(params, dict) else {})

    def _attempt_begins(self, request: Any, **_: Any) -> None:
        call: _Call = request.context[_OURS]
        call.attempt_at, call.attempt_began = time.time(), time.monotonic()

    def _attempt_ends(self, parsed_response: Any, context: Any, exception: Any, **_: Any) -> None:
        call: _Call = context[_OURS]
        answer = parsed_response or {}
        metadata, error = answer.get("ResponseMetadata", {}), answer.get("Error", {})
        call.status = metadata.get("HTTPStatusCode")
        call.code = error.get("Code")
        call.exception = None if exception is None or answer else type(exception).__name__
        outcome, reason = outcome_of(call.status, call.code, call.exception)
        latency = (time.monotonic() - call.attempt_began) * 1000
        failure = None
        if outcome is not Outcome.SUCCESS:
            detail = error.get("Message") or (str(exception) if exception is not None else None)
            failure = self._failure(
                call, (outcome, reason), latency, request_id=metadata.get("RequestId"), detail=detail
            )
        self._recorder.count(self._key(call, Level.ATTEMPT), call.attempt_at, outcome, latency, failure)

    def _end(self, context: Any, **_: Any) -> None:
        """A call came back, or raised: it is what its last attempt was; one that was never sent is the program's own fault."""
        call: _Call = context.pop(_OURS)
        outcome, _reason = outcome_of(call.status, call.code, call.exception)
        self._recorder.count(self._key(call, Level.CALL), call.at, outcome, (time.monotonic() - call.began) * 1000)

    def _key(self, call: _Call, level: Level) -> Key:
        return Key(call.operation, call.table, level, self._endpoint)

    def _failure(
        self,
        call: _Call,
        what: tuple[Outcome, str],
        latency: float,
        *,
        request_id: str | None,
        detail: str | None,
    ) -> Observation:
        return Observation(
            at=call.attempt_at,
            endpoint=self._endpoint or "",
            connection=Connection.POOLED,
            operation=call.operation,
            table=call.table,
            outcome=what[0],
            reason=what[1][:255],
            phase=Phase.WAIT if call.status is None else Phase.HTTP,
            status=call.status,
            request_id=None if request_id is None else request_id[:255],
            detail=None if detail is None else detail[:512],
            total_ms=latency,
        )


def watch(
    client_or_session: Any,
    *,
    customer: str,
    collector: str = "http://127.0.0.1:8081",
    token: str | None = None,
    zone: str = "",
    endpoint: str | None = None,
) -> Recorder:
    """Count what a boto3 client, resource or session (or a botocore one) does from now on; the recorder, to :meth:`Recorder.close`.

    ``endpoint``: the endpoint's name in figures, if it should be told apart. Raises ``ValueError`` when ``collector`` is no URL.
    """
    recorder = Recorder(customer, collector, token=token, zone=zone)
    Hook(recorder, endpoint).register(_events_of(client_or_session))
    return recorder


def _events_of(one: Any) -> Any:
    if hasattr(one, "get_component"):
        return one.get_component("event_emitter")
    if hasattr(one, "events"):
        return one.events
    meta = one.meta
    return (meta.client.meta if hasattr(meta, "client") else meta).events


def table_in(params: dict[str, Any]) -> str:
    """The table that a request is about; "" when it is about none, or about several."""
    name = params.get("TableName")
    if isinstance(name, str):
        return table_of(name)
    names = set()
    if isinstance(params.get("RequestItems"), dict):
        names = {table_of(str(word)) for word in params["RequestItems"]}
    elif isinstance(params.get("TransactItems"), list):
        actions = (action for item in params["TransactItems"] if isinstance(item, dict) for action in item.values())
        names = {table_of(str(a.get("TableName", ""))) for a in actions if isinstance(a, dict)}
    return names.pop() if len(names) == 1 else ""


def strong_in(params: dict[str, Any]) -> bool:
    """Whether a read asks for consistency."""
    return params.get("ConsistentRead") is True


def _careful(handler: Any) -> Any:
    """The handler, which keeps its troubles to itself and answers nothing (an answer would change the call)."""

    def handle(**told: Any) -> None:
        try:
            handler(**told)
        except Exception:
            logger.debug("an SDK event was not counted", exc_info=True)

    return handle
