"""How a storage node's requests and answers are counted: operation classes and outcomes (pure)."""

from cluster.ports import ErrorKind
from cluster.routing.messages import (
    Body,
    ConditionFalse,
    ReadItem,
    ReadPage,
    ReadRange,
    Refused,
    WriteInvalid,
    WriteItem,
)


def operation_of(body: ReadItem | ReadRange | ReadPage | WriteItem) -> str:
    """``write``, ``strong_read``, ``eventual_read`` or ``query``."""
    if isinstance(body, WriteItem):
        return "write"
    if isinstance(body, ReadItem):
        return "strong_read" if body.strong else "eventual_read"
    return "query"


_FAULT_OF = {
    ErrorKind.THROTTLED: "throttled",
    ErrorKind.TABLE_EXISTS: "customer_fault",
    ErrorKind.NO_SUCH_TABLE: "customer_fault",
}


def outcome_of(answer: Body) -> str:
    """``success``, ``throttled``, ``customer_fault`` or ``server_fault``."""
    if isinstance(answer, Refused):
        return _FAULT_OF.get(answer.kind, "server_fault")
    return "customer_fault" if isinstance(answer, ConditionFalse | WriteInvalid) else "success"
