"""CreateTable, DescribeTable, ListTables, DeleteTable; DescribeEndpoints and DescribeLimits (shell)."""

import uuid
from typing import Any

from cluster.api.call import Call, no_such_table
from cluster.api.shapes import at_least_one, choice, constraint, required, table_name
from cluster.errors import ApiError, Invalid, Unreadable
from cluster.ports import ErrorKind, KeyAttribute, StoreError, Table

_INVALID = "One or more parameter values were invalid: "
_MODES = ("PROVISIONED", "PAY_PER_REQUEST")
_KEY_TYPES = ("B", "N", "S")
_ENDPOINT_CACHE_MINUTES = 1440
_ACCOUNT_UNITS = 80_000
_TABLE_UNITS = 40_000
_NOT_SERVED = {
    "GlobalSecondaryIndexes": "global secondary indexes",
    "LocalSecondaryIndexes": "local secondary indexes",
}


async def create_table(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Create a table; it can be used when this answers."""
    table = new_table(parameters, table_id=str(uuid.uuid4()), at=call.now())
    try:
        created = await call.store.create_table(table)
    except StoreError as error:
        if error.kind is ErrorKind.TABLE_EXISTS:
            raise ApiError("ResourceInUseException", f"Table already exists: {table.name}") from error
        raise
    call.table = created.name
    return {"TableDescription": description(call, created)}


def new_table(parameters: dict[str, Any], *, table_id: str, at: float) -> Table:
    """The table that a CreateTable asks for; raises Invalid."""
    name = table_name(parameters)
    hash_key, range_key = _keys(parameters)
    for field, what in _NOT_SERVED.items():
        if parameters.get(field):
            raise Invalid(f"{_INVALID}{field}: this store has no {what}")
    if (parameters.get("StreamSpecification") or {}).get("StreamEnabled"):
        raise Invalid(f"{_INVALID}StreamSpecification: this store has no streams")
    if parameters.get("DeletionProtectionEnabled"):
        raise Invalid(f"{_INVALID}DeletionProtectionEnabled: this store cannot protect a table from deletion")
    mode = choice(parameters, "BillingMode", _MODES, "PROVISIONED")
    reads, writes = _throughput(parameters, mode)
    return Table(
        name=name,
        id=table_id,
        hash_key=hash_key,
        range_key=range_key,
        partitions=(),
        created_at=at,
        status="CREATING",
        billing_mode=mode,
        read_units=reads,
        write_units=writes,
    )


def _keys(parameters: dict[str, Any]) -> tuple[KeyAttribute, KeyAttribute | None]:
    types = {}
    for definition in required(parameters, "AttributeDefinitions"):
        name, kind = _member(definition, "AttributeName"), _member(definition, "AttributeType")
        if kind not in _KEY_TYPES:
            rule = f"Member must satisfy enum value set: [{', '.join(_KEY_TYPES)}]"
            raise constraint(kind, "attributeDefinitions.1.member.attributeType", rule)
        types[name] = kind
    schema = [(_member(e, "AttributeName"), _member(e, "KeyType")) for e in required(parameters, "KeySchema")]
    if [role for _, role in schema] not in (["HASH"], ["HASH", "RANGE"]):
        raise Invalid(
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type"
            if not schema or schema[0][1] != "HASH"
            else "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type"
        )
    names = [name for name, _ in schema]
    if len(set(names)) != len(names):
        raise Invalid("Both the Hash Key and the Range Key element in the KeySchema have the same name")
    if any(name not in types for name in names):
        raise Invalid(
            f"{_INVALID}Some index key attributes are not defined in AttributeDefinitions. "
            f"Keys: [{', '.join(names)}], AttributeDefinitions: [{', '.join(types)}]"
        )
    has_indexes = any(parameters.get(field) for field in _NOT_SERVED)
    if len(types) != len(names) and not has_indexes:
        raise Invalid(
            f"{_INVALID}Number of attributes in KeySchema does not exactly match number of attributes defined in "
            "AttributeDefinitions"
        )
    keys = [KeyAttribute(name, types[name]) for name in names]
    return keys[0], keys[1] if len(keys) > 1 else None


def _member(element: Any, field: str) -> str:
    value = element.get(field) if type(element) is dict else None
    if type(value) is not str:
        raise Unreadable("Unexpected field type")
    return value


def _throughput(parameters: dict[str, Any], mode: str) -> tuple[int, int]:
    given = parameters.get("ProvisionedThroughput")
    if mode == "PAY_PER_REQUEST":
        if given:
            raise Invalid(
                f"{_INVALID}Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"
            )
        return 0, 0
    reads, writes = (given or {}).get("ReadCapacityUnits"), (given or {}).get("WriteCapacityUnits")
    if type(reads) is not int or type(writes) is not int:
        raise Invalid(
            f"{_INVALID}ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED"
        )
    for field, units in (("readCapacityUnits", reads), ("writeCapacityUnits", writes)):
        if units < 1:
            rule = "Member must have value greater than or equal to 1"
            raise constraint(units, f"provisionedThroughput.{field}", rule)
    return reads, writes


def description(call: Call, table: Table) -> dict[str, Any]:
    """A table as DynamoDB describes it. Counts and sizes are 0, as on a table younger than six hours."""
    keys = [(table.hash_key, "HASH")] + ([(table.range_key, "RANGE")] if table.range_key else [])
    described: dict[str, Any] = {
        "AttributeDefinitions": [{"AttributeName": k.name, "AttributeType": k.type} for k, _ in keys],
        "TableName": table.name,
        "KeySchema": [{"AttributeName": k.name, "KeyType": role} for k, role in keys],
        "TableStatus": table.status,
        "CreationDateTime": round(table.created_at, 3),
        "ProvisionedThroughput": {
            "NumberOfDecreasesToday": 0,
            "ReadCapacityUnits": table.read_units,
            "WriteCapacityUnits": table.write_units,
        },
        "TableSizeBytes": 0,
        "ItemCount": 0,
        "TableArn": call.arn(table.name),
        "TableId": table.id,
    }
    if table.billing_mode == "PAY_PER_REQUEST":
        described["BillingModeSummary"] = {"BillingMode": "PAY_PER_REQUEST"}
    return described


async def describe_table(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """What is known of a table."""
    return {"Table": description(call, await call.find(table_name(parameters), named=True))}


async def delete_table(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Delete a table with all its items."""
    name = table_name(parameters)
    await call.find(name, named=True)
    try:
        deleted = await call.store.delete_table(name)
    except StoreError as error:
        if error.kind is ErrorKind.NO_SUCH_TABLE:
            raise ApiError("ResourceNotFoundException", no_such_table(name)) from error
        raise
    return {"TableDescription": description(call, deleted) | {"TableStatus": "DELETING"}}


async def list_tables(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Up to 100 names."""
    limit = at_least_one(parameters, "Limit", at_most=100) or 100
    start = parameters.get("ExclusiveStartTableName") or ""
    names = [name for name in await call.store.tables() if name > start]
    answer: dict[str, Any] = {"TableNames": names[:limit]}
    if len(names) > limit:
        answer["LastEvaluatedTableName"] = names[limit - 1]
    return answer


async def describe_endpoints(call: Call, _parameters: dict[str, Any]) -> dict[str, Any]:
    """The name by which we were called."""
    return {"Endpoints": [{"Address": call.host, "CachePeriodInMinutes": _ENDPOINT_CACHE_MINUTES}]}


async def describe_limits(_call: Call, _parameters: dict[str, Any]) -> dict[str, Any]:
    """DynamoDB's default quotas."""
    return {
        "AccountMaxReadCapacityUnits": _ACCOUNT_UNITS,
        "AccountMaxWriteCapacityUnits": _ACCOUNT_UNITS,
        "TableMaxReadCapacityUnits": _TABLE_UNITS,
        "TableMaxWriteCapacityUnits": _TABLE_UNITS,
    }
