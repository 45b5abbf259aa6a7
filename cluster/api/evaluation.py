"""What a write makes of an item: the condition, the update, the limits (pure). The leader's half of the API."""

from cluster.api.attributes import key_attributes
from cluster.api.capacity import MAX_ITEM_BYTES, item_bytes
from cluster.api.expressions import binding
from cluster.api.expressions.updates import Update
from cluster.errors import ApiError
from cluster.ports import ConditionFailed, InvalidWrite, Item, Table, WriteRequest, WriteResult


def evaluate(request: WriteRequest, table: Table, old: Item | None) -> WriteResult:
    """The result of ``request`` (checked by the front) on ``old``; raises ConditionFailed or InvalidWrite.

    ``old`` is left as it is. Satisfies :class:`cluster.ports.Evaluate`.
    """
    try:
        return _evaluated(request, table, old)
    except ApiError as error:
        raise InvalidWrite(error.message) from error


def _evaluated(request: WriteRequest, table: Table, old: Item | None) -> WriteResult:
    parameters = request.parameters
    condition = parameters.get(binding.CONDITION)
    if condition is not None:
        tree = binding.parse(binding.CONDITION, condition).tree
        if not tree.holds(old or {}, binding.scope_of(parameters)):
            raise ConditionFailed(old)
    if request.operation == "PutItem":
        return WriteResult(old=old, new=_fitting(parameters["Item"], "Item size has exceeded the maximum allowed size"))
    if request.operation == "DeleteItem":
        return WriteResult(old=old, new=None)
    return _updated(request, table, old)


def _updated(request: WriteRequest, table: Table, old: Item | None) -> WriteResult:
    parameters = request.parameters
    before = old if old is not None else {a.name: parameters["Key"][a.name] for a in key_attributes(table)}
    text = parameters.get(binding.UPDATE)
    if text is None:
        return WriteResult(old=old, new=before)
    scope = binding.scope_of(parameters)
    update: Update = binding.parse(binding.UPDATE, text).tree
    new = update.apply(before, scope)
    touched = dict.fromkeys(str(steps[0]) for steps in update.paths(scope))
    return WriteResult(
        old=old,
        new=_fitting(new, "Item size to update has exceeded the maximum allowed size"),
        updated=tuple(touched),
    )


def _fitting(item: Item, complaint: str) -> Item:
    if item_bytes(item) > MAX_ITEM_BYTES:
        raise InvalidWrite(complaint)
    return item
