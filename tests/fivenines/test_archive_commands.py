"""``fivenines cluster archive`` and ``fivenines cluster restore``, against a real router's front and an archive on disk."""

import asyncio
import json
import shutil

import pytest
from typer.testing import CliRunner

from cluster.archive.directory import DirectoryStore
from fivenines.cli import app
from fivenines.restoring import batches, instant_of
from tests.cluster.front_world import ACCESS_KEY_ID, SECRET, serving
from tests.cluster.test_archive_restore import archived_table


@pytest.fixture
def archive(tmp_path):
    """An archive with thirty items of ``orders``, one written each second from 101 on."""
    asyncio.run(archived_table(DirectoryStore(tmp_path / "archive"), lambda n: 100.0 + n))
    return tmp_path / "archive"


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs a command in a folder without a stack; the exit status and the standard output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)

    def run(*words):
        result = CliRunner().invoke(app, ["cluster", *map(str, words)])
        return result.exit_code, result.stdout, result.stderr

    return run


def test_a_table_is_restored_through_the_stores_api(archive, command, tmp_path):
    """The new table has exactly the items of that time, and the answer says how many, of which partition, and up to which LSN."""
    with serving(tmp_path) as world:
        status, out, err = command(
            "restore", "--table", "orders", "--at", "1970-01-01T00:01:57Z", "--as", "orders-before",
            "--archive", archive, "--endpoint", world.url(), "--json",
        )  # fmt: skip
        assert status == 0, err
        told = json.loads(out)
        assert (told["items"], sum(p["items"] for p in told["partitions"])) == (17, 17)
        assert any(p["later_changes_archived"] for p in told["partitions"])
        items = world.client().scan(TableName="orders-before")["Items"]
        assert sorted(int(item["n"]["N"]) for item in items) == list(range(1, 18))
        assert "17 of 17 items" in err
        status, _, err = command(
            "restore", "--table", "orders", "--as", "orders-before", "--archive", archive, "--endpoint", world.url()
        )
        assert status == 2
        assert "already exists" in err


def test_what_cannot_be_restored_is_said(archive, command):
    """A time that is none, an unknown table, no stack and no archive: one sentence each, exit status 2."""
    to = ("--as", "new", "--archive", archive, "--endpoint", "http://127.77.9.2:1")
    for words, said in [
        (("--table", "orders", "--at", "yesterday", *to), "write it like 2026-11-24T12:00:00Z"),
        (("--table", "orders", "--at", "2999-01-01T00:00:00Z", *to), "future"),
        (("--table", "nothing", *to), "it knows: orders"),
        (("--table", "orders", "--as", "new", "--archive", archive), "--endpoint"),
        (("--table", "orders", "--as", "new", "--archive", "/nowhere", *to[4:]), "no folder"),
    ]:
        status, _, err = command("restore", *words)
        assert (status, said in err) == (2, True), (words, err)


def test_a_whole_archive_verifies_and_a_damaged_one_does_not(archive, command):
    """Exit status 0 when all is well; 1 with the object's name when a byte has changed."""
    status, out, _ = command("archive", "verify", "--archive", archive)
    assert (status, "4 groups, 0 findings" in out) == (0, True), out
    status, out, _ = command("archive", "list", "--archive", archive, "--group", "orders", "--json")
    listed = json.loads(out)
    assert status == 0
    assert sum(group["entries"] for group in listed) == 30
    assert {group["table"] for group in listed} == {"orders"}
    victim = next(path for path in sorted(archive.rglob("*.wal")) if "orders" in str(path))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(bytes(data))
    status, out, _ = command("archive", "verify", "--archive", archive)
    assert (status, f"{victim.relative_to(archive)}: " in out) == (1, True), out
    assert command("archive", "list", "--archive", archive)[0] == 0
    status, _, err = command(
        "restore", "--table", "orders", "--as", "new", "--archive", archive, "--endpoint", "http://127.77.9.2:1"
    )
    assert (status, "checksum" in err) == (1, True)


def test_the_configured_archive_is_used_and_a_wrong_one_is_said(archive, command, tmp_path):
    """Without --archive the configuration's is used; none, or an address that is no archive, is said."""
    shutil.copytree(archive, tmp_path / ".fivenines" / "archive")
    assert command("archive", "list")[0] == 0
    (tmp_path / "off.yaml").write_text('cluster: {archive: {store: "off"}}\n')
    assert "the archive is off" in command("archive", "list", "--config", tmp_path / "off.yaml")[2]
    assert "is no archive" in command("archive", "list", "--archive", "http://x")[2]


def test_times_and_portions():
    """Times are UTC and explicit; portions are of the size that BatchWriteItem takes."""
    assert instant_of("latest") is None
    assert instant_of("2026-11-24T12:00:00Z") == 1795521600.0
    with pytest.raises(ValueError, match="not a time"):
        instant_of("2026-11-24T12:00:00")
    small = [{"pk": {"S": str(n)}} for n in range(60)]
    assert [len(batch) for batch in batches(small)] == [25, 25, 10]
    large = [{"pk": {"S": "x" * 300_000}} for _ in range(30)]
    assert max(len(batch) for batch in batches(large)) == 13
    assert sum(len(batch) for batch in batches(large)) == 30
