"""The history in a bucket: a real server of S3's protocol, the same files, the same answers, the same audit."""

import os
import random
from collections.abc import Iterator

import boto3
import pytest

from collector.finding import Audit
from collector.history.audit import audit_history
from collector.history.reading import History
from collector.history.store import HistoryUnavailable, open_store
from tests.collector.history_samples import DAY, Written
from tests.collector.test_history import expected, said
from tests.s3_server import s3_server

HOST = "127.77.9.2"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    """A server that speaks S3's protocol, on a port of its own."""
    with s3_server(HOST) as url:
        yield url


@pytest.fixture
def bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    name = f"history-{random.Random(os.urandom(8)).randrange(10**9)}"
    boto3.client("s3", endpoint_url=s3_url).create_bucket(Bucket=name)
    return name


def test_a_history_lives_in_a_bucket(s3_url: str, bucket: str) -> None:
    """Written, read by another process's catalogue, audited; damage and loss are found there as well."""
    address = f"s3://{bucket}/ledger/history"
    written = Written(address, endpoint_url=s3_url)
    known = written.hours(range(DAY, DAY + 7200, 300), random.Random(1))
    history = History(open_store(address, endpoint_url=s3_url))
    history.refresh()
    now = {start: (1, rows) for start, rows in known.items()}
    for kind in ("tables", "cells"):
        assert said(history.totals(kind, DAY, DAY + 86400)) == expected(kind, now)
    names, table = history.interval("abc123", DAY, 1)
    assert len(names) == len({number for number, _ in known[DAY]})
    assert table.shape[1] == len(known[DAY])
    audit = Audit()
    audit_history(history.store, audit)
    assert (audit.findings, audit.checked["manifests"]) == ([], 2)
    paths = history.store.list()
    damaged = next(path for path in paths if path.startswith("intervals/"))
    history.store.write(damaged, history.store.read(damaged)[:-1])
    missing = next(path for path in paths if path.startswith("hourly/cells"))
    history.store.delete(missing)
    audit = Audit()
    audit_history(history.store, audit)
    assert {(one.kind, one.place) for one in audit.findings} == {("damaged_file", damaged), ("file_missing", missing)}


def test_a_bucket_that_is_not_there_is_an_error_with_its_name(s3_url: str, bucket: str) -> None:
    """Not an empty history."""
    store = open_store("s3://no-such-bucket-here/x", endpoint_url=s3_url)
    with pytest.raises(HistoryUnavailable, match="no-such-bucket-here"):
        store.write("manifests/a.json", b"{}")
    with pytest.raises(ValueError, match="s3://BUCKET"):
        open_store("ftp://somewhere")
