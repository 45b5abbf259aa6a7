"""The object stores behind one interface: memory, a directory, and S3 (a real server of its protocol)."""

import asyncio
import os

import pytest

from cluster.archive.directory import DRAFTS, DirectoryStore
from cluster.archive.keys import manifest_key, segment_key
from cluster.archive.memory import MemoryStore
from cluster.archive.opening import default_directory, open_address, open_configured
from cluster.archive.s3 import S3Store, make_client
from cluster.archive.store import ArchiveUnavailable, names
from cluster.config import ArchiveConfig, ClusterConfig
from tests.cluster.archive_world import GROUP, World
from tests.s3_server import s3_server

HOST = "127.77.9.1"


@pytest.fixture(scope="module")
def s3_url():
    """A server that speaks S3's protocol, on a port of its own."""
    with s3_server(HOST) as url:
        yield url


@pytest.fixture
def credentials(tmp_path):
    """A file in the format of ~/.aws/credentials."""
    path = tmp_path / "credentials"
    path.write_text("[default]\naws_access_key_id = test\naws_secret_access_key = test\n")
    return path


@pytest.fixture(params=["memory", "directory", "s3"])
def store(request, tmp_path):
    """Each kind of store, empty."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "directory":
        return DirectoryStore(tmp_path / "archive")
    url = request.getfixturevalue("s3_url")
    client = make_client(endpoint_url=url, region="us-east-1", credentials_file=request.getfixturevalue("credentials"))
    bucket = f"b{os.getpid()}-{abs(hash(request.node.name)) % 10**9}"
    client.create_bucket(Bucket=bucket)
    return S3Store(client, bucket=bucket, prefix="some/where")


async def test_an_object_is_stored_once(store):
    """The first put wins, later ones say so and change nothing."""
    assert await store.put_if_absent("g/0/1.wal", b"first")
    assert not await store.put_if_absent("g/0/1.wal", b"second")
    assert await store.get("g/0/1.wal") == b"first"
    assert await store.get("g/0/2.wal") is None


async def test_of_many_puts_at_once_one_wins(store):
    """A race for a name has exactly one winner, whose bytes stay."""
    won = await asyncio.gather(*(store.put_if_absent("g/0/7.wal", b"%d" % i) for i in range(8)))
    assert sum(won) == 1
    assert await store.get("g/0/7.wal") == b"%d" % won.index(True)


async def test_names_come_in_order_and_after_a_name(store):
    """A listing is of one prefix, ordered, and can begin after any name."""
    for name in ("g/0/3.wal", "g/0/1.wal", "g/0/2.wal", "g/0/2.wal.manifest", "g/01/1.wal", "h/0/1.wal"):
        await store.put_if_absent(name, b"x")
    assert await store.list("g/0/") == ("g/0/1.wal", "g/0/2.wal", "g/0/2.wal.manifest", "g/0/3.wal")
    assert await store.list("g/0/", after="g/0/2.wal") == ("g/0/2.wal.manifest", "g/0/3.wal")
    assert await store.list("g/0/", after="g/0/15") == ("g/0/2.wal", "g/0/2.wal.manifest", "g/0/3.wal")
    assert await store.list("nothing/") == ()
    assert len(await names(store, "")) == 6


async def test_a_removed_object_is_gone(store):
    """Retention can remove an object, and removing one that is not there is no error."""
    await store.put_if_absent("g/0/1.wal", b"x")
    await store.delete("g/0/1.wal")
    await store.delete("g/0/1.wal")
    assert await store.get("g/0/1.wal") is None


async def test_the_agents_fill_any_store(store):
    """Three replicas archive and verify their log in every kind of store."""
    world = World(store=store)
    world.write(7)
    await world.pass_time(30)
    assert [p.agent.archived_lsn(GROUP) for p in world.peers] == [7, 7, 7]
    first = segment_key(GROUP, 1)
    assert set(await names(store, "")) >= {first, manifest_key(first), segment_key(GROUP, 6)}


async def test_a_directory_keeps_no_half_written_object(tmp_path):
    """What a crash leaves of a put is in the folder of drafts, never under the object's name, and is not listed."""
    store = DirectoryStore(tmp_path)
    (tmp_path / DRAFTS).mkdir()
    (tmp_path / DRAFTS / "1-2").write_bytes(b"half")
    assert await names(store, "") == []
    assert await store.put_if_absent("g/0/1.wal", b"whole")
    assert [p.name for p in (tmp_path / DRAFTS).iterdir()] == ["1-2"]
    with pytest.raises(ValueError, match="not a name"):
        await store.put_if_absent("../escape", b"x")


async def test_a_directory_that_cannot_be_written_is_unavailable(tmp_path):
    """An error of the file system says that the archive is unavailable, and where."""
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(ArchiveUnavailable, match=str(blocked)):
        await DirectoryStore(blocked).put_if_absent("g/0/1.wal", b"x")


async def test_s3_that_does_not_answer_is_unavailable(credentials):
    """Nobody listening, or a bucket that is not there, is the archive being unavailable, not a crash."""
    client = make_client(endpoint_url=f"http://{HOST}:1", region="us-east-1", credentials_file=credentials)
    with pytest.raises(ArchiveUnavailable, match="does not answer"):
        await S3Store(client, bucket="b").get("k")


async def test_s3_refuses_what_arrives_changed(s3_url, credentials):
    """The digest that is sent with an object is checked by the store: other bytes are refused."""
    client = make_client(endpoint_url=s3_url, region="us-east-1", credentials_file=credentials)
    client.create_bucket(Bucket="checked")
    await S3Store(client, bucket="checked").put_if_absent("k", b"content")
    found = client.head_object(Bucket="checked", Key="k", ChecksumMode="ENABLED")
    assert found["ChecksumSHA256"] == "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M="
    with pytest.raises(ArchiveUnavailable, match="refuses"):
        await S3Store(client, bucket="no-such-bucket").put_if_absent("k", b"x")


def test_the_configured_archive(tmp_path):
    """By default the archive lies beside the data; off means none; an address names any other."""
    config = ClusterConfig(data_dir=tmp_path / "cluster")
    assert default_directory(config.data_dir) == tmp_path / "archive"
    assert isinstance(open_configured(config), DirectoryStore)
    assert open_configured(ClusterConfig(archive=ArchiveConfig(store="off"))) is None
    with pytest.raises(ArchiveUnavailable, match="bucket"):
        open_configured(ClusterConfig(archive=ArchiveConfig(store="s3")))
    s3 = ArchiveConfig(store="s3", bucket="b", region="us-east-1", endpoint_url=f"http://{HOST}:1")
    assert isinstance(open_configured(ClusterConfig(archive=s3)), S3Store)
    assert isinstance(open_address("s3://bucket/prefix", s3), S3Store)
    assert isinstance(open_address(f"file://{tmp_path}", s3), DirectoryStore)
    for wrong in ("ftp://x/y", str(tmp_path / "nothing")):
        with pytest.raises(ArchiveUnavailable):
            open_address(wrong, s3)
