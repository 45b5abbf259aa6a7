"""Certificates made at start, and what a TLS client sees of them."""

import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest

from cluster import certificates
from cluster.config import ClusterConfig
from cluster.topology import build
from tests.cluster.front_world import serving


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("tls")) as served:
        yield served


def handshake(world, name, session=None):
    """The protocol version and session of a verified handshake; raises ssl.SSLError."""
    context = ssl.create_default_context(cafile=world.paths.authority)
    address = world.router.https
    with (
        socket.create_connection((address.host, address.port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=name) as tls,
    ):
        tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert tls.recv(1000).startswith(b"HTTP/1.1 200")
        return tls.version(), tls.session


def test_every_name_has_its_certificate(world):
    """Every endpoint's name, localhost and a router's address verify; another name does not."""
    for name in (*world.topology.endpoint_hosts.values(), "localhost", world.router.https.host, "127.0.0.1"):
        handshake(world, name)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(world, "elsewhere.test")


@pytest.mark.parametrize(
    ("problem", "words"), [("expired", "certificate has expired"), ("unknown_ca", "unable to get local issuer")]
)
def test_a_fault_shows_at_the_next_connection(world, problem, words):
    """A bad certificate is shown while the fault is installed, and not a connection longer."""
    name = world.topology.endpoint_hosts["fips"]
    handshake(world, name)
    world.faults.problem = problem
    with pytest.raises(ssl.SSLCertVerificationError, match=words):
        handshake(world, name)
    world.faults.problem = None
    handshake(world, name)


def test_sessions_are_not_resumed(world):
    """Nothing lets a fresh connection skip the certificate: there are no tickets."""
    _, session = handshake(world, "localhost")
    assert session is None or not session.has_ticket


def test_making_again_keeps_what_is_good(tmp_path):
    """A second start changes nothing; a damaged, mismatched or ageing certificate is made anew under the same authority."""
    config = ClusterConfig(certificates_dir=tmp_path)
    topology = build(config, single=False)
    paths = certificates.ensure(config, topology)
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert certificates.ensure(config, topology) == paths
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == first
    paths.chain("fips").write_text("garbage")
    paths.key("account").write_bytes(paths.key("standard").read_bytes())
    certificates.ensure(config, topology)
    second = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"fips.pem", "fips.key", "account.pem", "account.key"}
    certificates.ensure(config, topology, at=datetime.now(UTC) + timedelta(days=380))
    assert paths.chain("standard").read_bytes() != first["standard.pem"]
    assert paths.authority.read_bytes() == first["ca.pem"]


def test_keys_are_secret(tmp_path):
    """Keys can be read by their owner only."""
    config = ClusterConfig(certificates_dir=tmp_path / "new")
    certificates.ensure(config, build(config, single=False))
    keys = list((tmp_path / "new").glob("*.key"))
    assert len(keys) == 14
    assert all(stat.S_IMODE(key.stat().st_mode) == 0o600 for key in keys)
