"""A customer's program: it asks a table in a loop, with the SDK's own retries, and counts what its calls came to.

``python program.py PORT TABLE CALLS``: prints ``{"success": …, "throttled": …, …}``. It knows nothing of who listens,
unless a collector's URL is given as well: then it is a program that uses the hook.
"""

import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError, ReadTimeoutError
from botocore.exceptions import ConnectionError as NotConnectedError


def main() -> None:
    """Ask, and print the count."""
    port, table, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
    client = boto3.client(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="eu-west-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(read_timeout=0.4, connect_timeout=5, retries={"max_attempts": 2}, max_pool_connections=8),
    )
    recorder = None
    if len(sys.argv) > 4:
        from collector.customers.botocore_hook import watch

        recorder = watch(client, customer="orders-service", collector=sys.argv[4], zone="az1")
    with ThreadPoolExecutor(8) as pool:
        counted = Counter(pool.map(lambda number: ask(client, table, number), range(calls)))
    if recorder is not None:
        heavy = {"aiohttp", "msgspec", "numpy", "pyarrow", "pydantic"} & set(sys.modules)
        assert not heavy, f"the hook brought {heavy} into the program"
    print(json.dumps(counted))


def ask(client, table: str, number: int) -> str:  # type: ignore[no-untyped-def]
    """One call, and what came of it."""
    try:
        if number % 2:
            client.put_item(TableName=table, Item={"pk": {"S": str(number)}})
        else:
            client.get_item(TableName=table, Key={"pk": {"S": str(number)}}, ConsistentRead=True)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ProvisionedThroughputExceededException":
            return "throttled"
        return "server_fault" if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500 else "customer_fault"
    except ReadTimeoutError:
        return "timeout"
    except (NotConnectedError, HTTPClientError):
        return "unreachable"
    return "success"


if __name__ == "__main__":
    main()
