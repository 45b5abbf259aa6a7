"""The AWS command line works through each endpoint."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.front_world import ACCESS_KEY_ID, SECRET, serving

AWS = Path(sys.executable).with_name("aws")
ENDPOINTS = ["standard", "fips", "dualstack", "account"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("cli")) as served:
        yield served


@pytest.fixture
def environment(world, monkeypatch):
    """What a user has in the environment."""
    settings = {"HOME": str(world.paths.directory), "AWS_DEFAULT_REGION": "eu-west-3", "AWS_PAGER": ""}
    settings |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def driver():
    """The AWS command line inside this process: starting Python anew each time is slow."""
    from awscli.clidriver import create_clidriver

    return create_clidriver()


@pytest.fixture
def aws(world, environment, driver, capsys):
    """Runs ``aws dynamodb …``; the parsed output."""

    def run(endpoint, *arguments):
        capsys.readouterr()
        status = driver.main(["dynamodb", *arguments, "--endpoint-url", world.url(endpoint)])
        output = capsys.readouterr()
        assert status == 0, output.err
        return json.loads(output.out) if output.out else None

    return run


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_table_is_made_written_and_queried(aws, endpoint):
    """Create, put and query through one endpoint, as a user types it."""
    table = f"cli-{endpoint}"
    keys = ("--key-schema", "AttributeName=pk,KeyType=HASH", "AttributeName=n,KeyType=RANGE")
    types = ("--attribute-definitions", "AttributeName=pk,AttributeType=S", "AttributeName=n,AttributeType=N")
    made = aws(endpoint, "create-table", "--table-name", table, *keys, *types, "--billing-mode", "PAY_PER_REQUEST")
    assert made["TableDescription"]["TableStatus"] == "ACTIVE"
    item = {"pk": {"S": "a"}, "n": {"N": "1.5"}, "who": {"S": "you"}}
    aws(endpoint, "put-item", "--table-name", table, "--item", json.dumps(item))
    values = ("--expression-attribute-values", '{":p": {"S": "a"}, ":n": {"N": "1.50"}}')
    condition = ("--key-condition-expression", "pk = :p AND n = :n")
    assert aws(endpoint, "query", "--table-name", table, *condition, *values)["Items"] == [item]
    got = aws(endpoint, "get-item", "--table-name", table, "--key", '{"pk": {"S": "a"}, "n": {"N": "1.5"}}')
    assert got["Item"] == item


def test_the_command_itself(world, environment):
    """The program on the disk does it too, over HTTPS, trusting our authority."""
    url = f"https://{world.router.https}"
    command = [sys.executable, str(AWS), "dynamodb", "list-tables", "--endpoint-url", url]
    trust = {"AWS_CA_BUNDLE": str(world.paths.authority)}
    done = subprocess.run(command, env=os.environ | trust, capture_output=True, text=True, timeout=60, check=False)
    assert "TableNames" in done.stdout, done.stderr
