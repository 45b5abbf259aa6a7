"""A router's front: from an HTTP request to an operation and back (shell).

Checks in DynamoDB's order: size, method and content type, JSON, operation, signature, types, then the operation's own.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import msgspec
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from cluster.api.call import Call
from cluster.api.catalogue import OPERATIONS, SMALL_BODY_BYTES, Operation, operation_name
from cluster.api.connection import Request, Response
from cluster.api.injection import FrontFaults
from cluster.api.metrics import RouterMetrics
from cluster.api.patience import Patience
from cluster.api.seen import IDS_MAX, SeenRequests
from cluster.api.shapes import check_shape
from cluster.api.signature import Keyring, read_claim
from cluster.config import ClusterConfig
from cluster.errors import KINDS, MEANINGS, ApiError, Outcome, Unreadable, by_status
from cluster.ports import ErrorKind, Store, StoreError, Via

logger = logging.getLogger("cluster")

_JSON = "application/x-amz-json-1.0"
_CONTENT_TYPES = (_JSON, "application/json")
_BATCH_REQUESTS_AT_ONCE = 64
_DATA_SECONDS = 10.0
_CONTROL_SECONDS = 30.0
_UNKNOWN = b"<UnknownOperationException/>\n"
_REFUSALS = {
    "malformed": "BadRequestException",
    "header_too_large": "RequestHeaderTooLargeException",
    "too_large": "RequestEntityTooLargeException",
    "timeout": "RequestTimeoutException",
    "pipelined": "BadRequestException",
    "too_many_connections": "ServiceUnavailable",
    "overloaded": "ServiceUnavailable",
}
_COUNTED = {
    "MissingAuthenticationTokenException": "unsigned",
    "IncompleteSignatureException": "incomplete_signature",
    "InvalidSignatureException": "invalid_signature",
    "UnrecognizedClientException": "unknown_client",
    "SerializationException": "malformed",
    "UnknownOperationException": "unknown_operation",
}
"""Errors that are also counted as refusals, and under which word."""
_THROTTLING_REASON = {"write": "TableWriteKeyRangeThroughputExceeded", "read": "TableReadKeyRangeThroughputExceeded"}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Front:
    """Answers the requests of one router."""

    def __init__(
        self,
        *,
        router: str,
        store: Store,
        config: ClusterConfig,
        hosts: Mapping[str, str],
        secrets: Mapping[str, str],
        faults: FrontFaults,
        metrics: RouterMetrics,
    ) -> None:
        self._router, self._store, self._config = router, store, config
        self._endpoint_by_host = {host: endpoint for endpoint, host in hosts.items()}
        self._keyring, self._faults, self.metrics = Keyring(secrets), faults, metrics
        self._gate = asyncio.Semaphore(_BATCH_REQUESTS_AT_ONCE)
        self._patience = Patience()
        self._date = ("", 0)
        self._seen = SeenRequests(self._now())

    # --- the connection's questions -------------------------------------------------------------------------------------

    def max_body_bytes(self, headers: dict[str, str]) -> int:
        """Only batches may be larger than one item can be."""
        operation = OPERATIONS.get(operation_name(headers.get("x-amz-target", "")))
        return SMALL_BODY_BYTES if operation is None else operation.max_body_bytes

    def refuse(self, reason: str) -> Response:
        """The answer to something that is no proper request."""
        self.metrics.refused(reason)
        error = ApiError(_REFUSALS[reason])
        return self._response(error.meaning.status, _encode(error.body()), Via())

    async def answer(self, request: Request) -> Response:
        """The answer to any request."""
        if request.method == "POST" and request.target == "/":
            if request.headers.get("content-type", "").partition(";")[0] in _CONTENT_TYPES:
                return await self._serve(request)
        elif request.method == "GET" and request.target == "/":
            return self._response(
                200, f"healthy: {request.headers.get('host', '')} ".encode(), Via(), kind="text/plain"
            )
        elif request.method == "GET" and request.target == "/metrics":
            return self._metrics_page()
        elif request.method == "GET" and request.target.startswith("/requests?ids="):
            return self._seen_page(request.target[len("/requests?ids=") :].split(","))
        self.metrics.refused("not_found")
        return self._response(404, _UNKNOWN, Via(), kind="text/plain")

    def _metrics_page(self) -> Response:
        if self._faults.metrics_muted(self._router):
            return self._response(503, b"metrics are muted\n", Via(), kind="text/plain")
        self.metrics.runs(self._version())
        return self._response(200, generate_latest(self.metrics.registry), Via(), kind=CONTENT_TYPE_LATEST)

    def _seen_page(self, ids: list[str]) -> Response:
        """What became of requests; whoever asks knows their ids, and nobody guesses those."""
        now = self._now()
        if len(ids) > IDS_MAX or not self._seen.admits(now):
            self.metrics.refused("requests_asked_too_much")
            return self._response(503, b"at most 100 ids at once, 10 questions a second\n", Via(), kind="text/plain")
        return self._response(200, _encode(self._seen.find(ids, now)), Via(), kind="application/json")

    # --- operations -----------------------------------------------------------------------------------------------------

    async def _serve(self, request: Request) -> Response:
        started, request_id = time.perf_counter(), random.getrandbits(208)
        self._seen.arrived(request_id, request.headers.get("amz-sdk-invocation-id", ""), self._now())
        call = Call(
            store=self._store,
            region=self._config.region,
            account=self._config.account,
            now=self._now,
            gate=self._gate,
            host=request.headers.get("host", ""),
            body_bytes=len(request.body),
        )
        endpoint = self._endpoint_by_host.get(call.host.partition(":")[0], request.endpoint)
        name = operation_name(request.headers.get("x-amz-target", ""))
        operation = OPERATIONS.get(name)
        kind = "" if operation is None else operation.kind
        error: ApiError | None = None
        answer: dict[str, Any] = {}
        try:
            parameters = self._read(request, operation)
            assert operation is not None
            kind = operation.kind_of(parameters)
            self._inject(endpoint, operation, parameters, call)
            answer = await self._run(
                operation, call, parameters, _CONTROL_SECONDS if kind == "control" else _DATA_SECONDS
            )
        except ApiError as told:
            error = told
        except Exception as trouble:  # noqa: BLE001  # whatever happens, the customer gets an answer
            error = self._told(trouble, call, operation)
        except asyncio.CancelledError:
            self._seen.answered(request_id, 500, "cut_off", time.perf_counter() - started)
            raise
        outcome = Outcome.SUCCESS if error is None else error.meaning.outcome
        if error is not None and error.name in _COUNTED:
            self.metrics.refused(_COUNTED[error.name])
        took = time.perf_counter() - started
        self.metrics.answered(call.table, kind, endpoint, outcome.value, took)
        if error is None:
            self._seen.answered(request_id, 200, "", took)
            return self._response(200, _encode(answer), call.via, request_id=request_id)
        self._seen.answered(request_id, error.meaning.status, error.name, took)
        return self._response(error.meaning.status, _encode(error.body()), call.via, request_id=request_id)

    async def _run(
        self, operation: Operation, call: Call, parameters: dict[str, Any], seconds: float
    ) -> dict[str, Any]:
        """The operation's answer; raises TimeoutError after ``seconds``."""
        task = self._patience.begin(seconds)
        try:
            return await operation.run(call, parameters)
        except asyncio.CancelledError:
            if self._patience.ran_out(task):
                raise TimeoutError from None
            raise
        finally:
            self._patience.end(task)

    def _read(self, request: Request, operation: Operation | None) -> dict[str, Any]:
        """The parameters of a request that is readable, known, signed and well shaped."""
        try:
            parameters = _decode(request.body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Unreadable("") from error
        if type(parameters) is not dict:
            raise Unreadable("")
        if operation is None:
            raise ApiError("UnknownOperationException")
        if self._config.signatures == "verify":
            self._keyring.verify(request.headers, request.body, self._now())
        elif self._config.signatures == "parse":
            read_claim(request.headers)
        check_shape(parameters, operation.shape)
        return parameters

    def _inject(self, endpoint: str, operation: Operation, parameters: dict[str, Any], call: Call) -> None:
        """Raise the error that an installed fault wants; it is counted as one of the table that was asked for."""
        named = parameters.get("TableName") or next(iter(parameters.get("RequestItems") or ()), None)
        status = self._faults.error_for(self._router, endpoint, operation.side, named)
        if status is not None:
            call.table = named if isinstance(named, str) else ""
            raise ApiError(by_status(status))

    def _told(self, trouble: Exception, call: Call, operation: Operation | None) -> ApiError:
        """An exception in the customer's words."""
        if isinstance(trouble, StoreError):
            call.via = trouble.via
            extra = None
            if trouble.kind is ErrorKind.THROTTLED and operation is not None:
                reason = _THROTTLING_REASON[operation.side]
                extra = {"ThrottlingReasons": [{"reason": reason, "resource": call.arn(call.table)}]}
            name = KINDS[trouble.kind]
            says = str(trouble) if MEANINGS[name].outcome is Outcome.CUSTOMER_FAULT else ""
            return ApiError(name, "" if says == trouble.kind.value else says, extra=extra)
        if isinstance(trouble, TimeoutError):
            logger.warning("router=%s gave up on a request that took too long table=%s", self._router, call.table)
        else:
            logger.error("router=%s failed on a request table=%s", self._router, call.table, exc_info=trouble)
        return ApiError("InternalServerError")

    def _now(self) -> float:
        return self._faults.wall_clock(self._router)

    def _version(self) -> str:
        """What this router says that it runs."""
        return self._faults.version_of(self._router) or self.metrics.own_version

    # --- answers --------------------------------------------------------------------------------------------------------

    def _response(self, status: int, body: bytes, via: Via, *, kind: str = _JSON, request_id: int = 0) -> Response:
        headers = [
            f"Content-Type: {kind}",
            f"x-amzn-RequestId: {request_id or random.getrandbits(208):052X}",
            f"x-amz-crc32: {crc32(body)}",
            f"x-router: {self._router}",
            f"x-fivenines-version: {self._version()}",
            f"Date: {self._http_date()}",
        ]
        if via.node is not None:
            headers.append(f"x-replica: {via.node}")
        if via.partition is not None:
            headers.append(f"x-partition: {via.partition}")
        return Response(status, body, headers)

    def _http_date(self) -> str:
        """The Date header, made once a second."""
        now = int(self._now())
        if self._date[1] != now:
            self._date = (time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now)), now)
        return self._date[0]
