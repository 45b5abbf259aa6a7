"""Who gets in: TLS, client certificates, a token that writes and one that only reads."""

import asyncio
import datetime as dt
import ssl
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from cfa.feed import CollectorClient
from cfa.ports import FeedUnavailable
from collector import wire
from collector.config import CollectorConfig
from tests.collector.samples import make_batch, running

Configure = Callable[..., CollectorConfig]


class Authority:
    """Issues certificates into a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._sign(self._name, self._key, ca=True).public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def issue(self, name: str) -> tuple[Path, Path]:
        """The files of a new certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate, secret = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        certificate.write_bytes(self._sign(subject, key, ca=False).public_bytes(serialization.Encoding.PEM))
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        secret.write_bytes(key.private_bytes(*form))
        return certificate, secret


def trusting(authority: Authority, own: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    if own is not None:
        context.load_cert_chain(*own)
    return context


async def post(config: CollectorConfig, tls: ssl.SSLContext, **headers: str) -> tuple[int, Any]:
    url = f"https://127.0.0.1:{config.port}/v1/batches"
    connector = aiohttp.TCPConnector(ssl=tls)
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers) as session,
        session.post(url, data=wire.encode(make_batch(1))) as answer,
    ):
        return answer.status, await answer.json()


async def test_with_a_client_authority_nobody_gets_in_without_its_certificate(
    config_of: Configure, tmp_path: Path
) -> None:
    """A certificate from it: accepted. None, or another authority's: no HTTP at all. The token is asked for besides."""
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    certificate, key = ours.issue("collector")
    (tmp_path / "token").write_text("secret")
    config = config_of(
        tls_certificate_file=certificate,
        tls_key_file=key,
        client_ca_file=ours.file,
        token_file=tmp_path / "token",
    )
    with_ours = trusting(ours, ours.issue("canary"))
    async with running(config):
        assert await post(config, with_ours, Authorization="Bearer secret") == (200, {"status": "accepted"})
        assert (await post(config, with_ours))[0] == 401
        for context in (trusting(ours), trusting(ours, others.issue("stranger"))):
            with pytest.raises(aiohttp.ClientError):
                await post(config, context, Authorization="Bearer secret")
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://127.0.0.1:{config.port}/ready")


async def test_the_judgement_gets_in_with_its_certificate(config_of: Configure, tmp_path: Path) -> None:
    """Its own client reads the feed of a collector that asks for a certificate; without one it gets nothing."""
    ours = Authority(tmp_path, "ours")
    certificate, key = ours.issue("collector")
    config = config_of(tls_certificate_file=certificate, tls_key_file=key, client_ca_file=ours.file)
    canary = trusting(ours, ours.issue("canary"))
    async with running(config):
        assert (await post(config, canary))[0] == 200
        url = f"https://127.0.0.1:{config.port}"
        client = CollectorClient(url, None, trusting(ours, ours.issue("cfa")))
        assert [entry.cursor for entry in await client.read(0, limit=10, wait_seconds=0)] == [1]
        await client.close()
        stranger = CollectorClient(url, None, trusting(ours))
        with pytest.raises(FeedUnavailable):
            await stranger.read(0, limit=10, wait_seconds=0)
        await stranger.close()


async def test_whoever_does_not_finish_a_handshake_is_put_out(config_of: Configure, tmp_path: Path) -> None:
    """A connection that never says a word of TLS is closed after the time for a request."""
    ours = Authority(tmp_path, "ours")
    certificate, key = ours.issue("collector")
    config = config_of(tls_certificate_file=certificate, tls_key_file=key, request_seconds=0.5)
    async with running(config):
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", config.port)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        assert time.monotonic() - began < 5
        writer.close()


async def test_a_token_for_readers_does_not_write(config_of: Configure, tmp_path: Path) -> None:
    """The writers' token does both; without any, nothing is written and nothing but the collector's own figures is read."""
    (tmp_path / "write").write_text("w")
    (tmp_path / "read").write_text("r")
    config = config_of(token_file=tmp_path / "write", read_token_file=tmp_path / "read")
    reads, writes = {"Authorization": "Bearer r"}, {"Authorization": "Bearer w"}
    async with running(config) as client:
        assert (await client.post(make_batch(1), headers=reads))[0] == 401
        assert (await client.post(make_batch(1), headers=writes))[0] == 200
        for path in ("/v1/feed?after=0", "/v1/intervals?start=0&end=1", "/v1/targets", "/v1/failures?start=0&end=1"):
            assert (await client.get(path))[0] == 401
            assert (await client.get(path, headers=reads))[0] == 200
            assert (await client.get(path, headers=writes))[0] == 200
        lease = {"name": "judgement", "holder": "a", "seconds": 5, "epoch": 7}
        url = f"http://127.0.0.1:{config.port}/v1/lease"
        async with aiohttp.ClientSession() as session:
            for body, shown, status in ((lease, {}, 401), (lease, reads, 200), ({**lease, "seconds": 99}, reads, 400)):
                async with session.post(url, json=body, headers=shown) as answer:
                    assert answer.status == status
                    if status == 200:
                        assert (await answer.json())["granted"]
        assert "canary_probe_attempts_total" not in (await client.get("/metrics"))[1]
        assert "canary_probe_attempts_total" in (await client.get("/metrics", headers=reads))[1]
        text = (await client.get("/metrics"))[1]
        assert 'collector_answers_total{route="/v1/feed",status="401"} 1.0' in text
        assert 'collector_refused_total{reason="unauthorized"} 1.0' in text


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"tls_certificate_file": "c"}, "belong together"),
        ({"client_ca_file": "c"}, "needs tls_certificate_file"),
        ({"read_token_file": "t"}, "needs token_file"),
    ],
)
def test_half_a_lock_is_refused(wrong: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        CollectorConfig.model_validate(wrong)
