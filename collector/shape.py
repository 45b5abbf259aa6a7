"""The strict shape of a batch (pure): every field known, every text short, every count a sane integer.

The contract's dataclasses tolerate unknown fields when they are decoded. Here they are mirrored, once, as structs that
forbid unknown fields and bound every number and text, so that the checks run in msgspec's C decoder and its message
names the offending field.
"""

import dataclasses
import types
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from collector.wire import Batch

TEXT_LENGTH_MAX = 256
LONG_TEXT_LENGTH_MAX = 2048
COUNT_MAX = 1_000_000_000
"""Of one reading; a ledger interval then holds the sum of nine thousand million such readings in 64 bits."""

_SHORT_TEXT = Annotated[str, msgspec.Meta(max_length=TEXT_LENGTH_MAX)]
_LONG_TEXT = Annotated[str, msgspec.Meta(max_length=LONG_TEXT_LENGTH_MAX)]
_NAME = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_LENGTH_MAX)]
_COUNT = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]
_BY_FIELD: dict[str, Any] = {
    "host": _NAME,
    "boot": _NAME,
    "detail": _LONG_TEXT,
    "count": _COUNT,
    "counts": _COUNT,
    "latency": _COUNT,
    "sequence": Annotated[int, msgspec.Meta(ge=1, le=2**53)],
}


def _strict(kind: Any, field: str, seen: dict[Any, Any]) -> Any:
    """``kind`` with bounds: dataclasses and structs become forbidding structs, texts and counts get their limits."""
    if kind is str or kind is int:
        return _BY_FIELD.get(field, _SHORT_TEXT if kind is str else int)
    is_record: bool = dataclasses.is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))
    if is_record:
        return seen.get(kind) or _mirror(kind, seen)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        return types.GenericAlias(tuple, (_strict(arguments[0], field, seen), ...))
    if origin is dict:
        return types.GenericAlias(dict, (arguments[0], _strict(arguments[1], field, seen)))
    if origin in (Union, types.UnionType):
        return Union[tuple(_strict(part, field, seen) for part in arguments)]  # noqa: UP007 (built at run time)
    return kind


def _mirror(kind: Any, seen: dict[Any, Any]) -> type[msgspec.Struct]:
    hints = get_type_hints(kind)
    fields: list[Any] = []
    for name, required, default in _fields(kind):
        bounded = _strict(hints[name], name, seen)
        fields.append((name, bounded) if required else (name, bounded, default))
    seen[kind] = msgspec.defstruct(kind.__name__, fields, kw_only=True, frozen=True, forbid_unknown_fields=True)
    return seen[kind]  # type: ignore[no-any-return]


def _fields(kind: Any) -> list[tuple[str, bool, Any]]:
    if dataclasses.is_dataclass(kind):
        return [(f.name, f.default is dataclasses.MISSING, f.default) for f in dataclasses.fields(kind)]
    return [(f.name, f.required, f.default) for f in msgspec.structs.fields(kind)]


_DECODER = msgspec.json.Decoder(_mirror(Batch, {}))


def check(body: bytes) -> None:
    """Raise ValueError, naming the field by its path (``$.readings[3].series.host``), unless ``body`` is a strict batch."""
    try:
        _DECODER.decode(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
