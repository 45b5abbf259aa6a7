"""The operations that are served: name → what runs it, the shape of its request, its class and its largest body (shell)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from cluster.api.call import Call
from cluster.api.operations import batches, items, ranges, tables
from cluster.api.shapes import EXPRESSION_FIELDS, Shape

TARGET_PREFIX = "DynamoDB_20120810."
MAX_BODY_BYTES = 16 * 1024 * 1024
SMALL_BODY_BYTES = 4 * 1024 * 1024
"""Enough for a 400 KB item in the longest JSON escapes; only batches may be larger."""

Run = Callable[[Call, dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Operation:
    """``kind``: its class in the words of the glossary; ``side``: read or write; ``get``: strong or eventual decides the class."""

    run: Run
    shape: Shape
    kind: str
    side: str
    get: bool = False
    max_body_bytes: int = SMALL_BODY_BYTES

    def kind_of(self, parameters: dict[str, Any]) -> str:
        """The class of one request."""
        if not self.get:
            return self.kind
        return "strong_read" if _is_strong(parameters) else "eventual_read"


def _is_strong(parameters: dict[str, Any]) -> bool:
    wanted = parameters.get("RequestItems")
    if type(wanted) is dict:
        return bool(wanted) and all(type(w) is dict and w.get("ConsistentRead") is True for w in wanted.values())
    return parameters.get("ConsistentRead") is True


_WRITE: Shape = EXPRESSION_FIELDS | {
    "ConditionExpression": str,
    "ReturnValues": str,
    "ReturnValuesOnConditionCheckFailure": str,
    "ReturnItemCollectionMetrics": str,
}
_PAGE: Shape = EXPRESSION_FIELDS | {
    "FilterExpression": str,
    "ProjectionExpression": str,
    "IndexName": str,
    "Select": str,
    "Limit": int,
    "ConsistentRead": bool,
    "ExclusiveStartKey": dict,
}
_TABLE: Shape = {"TableName": str}
_CREATE: Shape = _TABLE | {
    "AttributeDefinitions": list,
    "KeySchema": list,
    "BillingMode": str,
    "ProvisionedThroughput": dict,
    "GlobalSecondaryIndexes": list,
    "LocalSecondaryIndexes": list,
    "StreamSpecification": dict,
    "DeletionProtectionEnabled": bool,
}
_BATCH: Shape = {"RequestItems": dict, "ReturnConsumedCapacity": str, "ReturnItemCollectionMetrics": str}
_GET: Shape = EXPRESSION_FIELDS | {"Key": dict, "ConsistentRead": bool, "ProjectionExpression": str}

OPERATIONS: dict[str, Operation] = {
    "GetItem": Operation(items.get_item, _GET, "eventual_read", "read", get=True),
    "PutItem": Operation(items.put_item, _WRITE | {"Item": dict}, "write", "write"),
    "UpdateItem": Operation(items.update_item, _WRITE | {"Key": dict, "UpdateExpression": str}, "write", "write"),
    "DeleteItem": Operation(items.delete_item, _WRITE | {"Key": dict}, "write", "write"),
    "Query": Operation(
        ranges.query, _PAGE | {"KeyConditionExpression": str, "ScanIndexForward": bool}, "query", "read"
    ),
    "Scan": Operation(ranges.scan, _PAGE | {"Segment": int, "TotalSegments": int}, "query", "read"),
    "BatchGetItem": Operation(
        batches.batch_get_item, _BATCH, "eventual_read", "read", get=True, max_body_bytes=MAX_BODY_BYTES
    ),
    "BatchWriteItem": Operation(batches.batch_write_item, _BATCH, "write", "write", max_body_bytes=MAX_BODY_BYTES),
    "CreateTable": Operation(tables.create_table, _CREATE, "control", "write"),
    "DescribeTable": Operation(tables.describe_table, _TABLE, "control", "read"),
    "ListTables": Operation(tables.list_tables, {"ExclusiveStartTableName": str, "Limit": int}, "control", "read"),
    "DeleteTable": Operation(tables.delete_table, _TABLE, "control", "write"),
    "DescribeEndpoints": Operation(tables.describe_endpoints, {}, "control", "read"),
    "DescribeLimits": Operation(tables.describe_limits, {}, "control", "read"),
}


def operation_name(target: str) -> str:
    """The operation in an ``X-Amz-Target`` header, or ""."""
    return target[len(TARGET_PREFIX) :] if target.startswith(TARGET_PREFIX) else ""
