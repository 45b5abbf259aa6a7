"""TLS certificates made at start: an authority, one certificate per endpoint, and the bad ones that faults show (shell).

:func:`ensure` is called once before the zones start; every zone then loads what it made with :func:`server_context`. Making is
idempotent: what is still good is kept, so that clients' trust in the authority survives a restart.
"""

import fcntl
import ipaddress
import logging
import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster.api.injection import FrontFaults
from cluster.config import ClusterConfig
from cluster.topology import Topology

logger = logging.getLogger("cluster")

Problem = Literal["expired", "unknown_ca"]
PROBLEMS: tuple[Problem, ...] = ("expired", "unknown_ca")
_AUTHORITY_DAYS = 3650
_LEAF_DAYS = 397
_RENEW_BEFORE = timedelta(days=30)
_SLACK = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the files are. ``authority`` is what clients must trust (PEM)."""

    directory: Path

    @property
    def authority(self) -> Path:
        """The authority's certificate."""
        return self.directory / "ca.pem"

    def chain(self, endpoint: str, problem: str | None = None) -> Path:
        """The endpoint's certificate, good or with a problem."""
        return self.directory / f"{endpoint}{f'-{problem}' if problem else ''}.pem"

    def key(self, endpoint: str, problem: str | None = None) -> Path:
        """The key of :meth:`chain`."""
        return self.chain(endpoint, problem).with_suffix(".key")


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that signs others, with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def ensure(config: ClusterConfig, topology: Topology, *, at: datetime | None = None) -> Paths:
    """Make what is missing, damaged or near its end, and say where everything is. Raises OSError."""
    now = at or datetime.now(UTC)
    paths = Paths(config.certificates_dir)
    paths.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (paths.directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # zones that start by hand at the same moment must not mix their pairs
        _ensure_all(paths, topology, now)
    return paths


def _ensure_all(paths: Paths, topology: Topology, now: datetime) -> None:
    authority = _ensure_authority(paths.authority, "fivenines local authority", now)
    stranger = _ensure_authority(paths.directory / "stranger.pem", "an authority that nobody trusts", now)
    for endpoint, host in topology.endpoint_hosts.items():
        names = _names(endpoint, host, topology)
        for problem in (None, *PROBLEMS):
            signer = stranger if problem == "unknown_ca" else authority
            chain, key = paths.chain(endpoint, problem), paths.key(endpoint, problem)
            if not _is_good(chain, key, signer, names, now, expired=problem == "expired"):
                begins = now - timedelta(days=_LEAF_DAYS) if problem == "expired" else now - _SLACK
                ends = now - timedelta(days=1) if problem == "expired" else now + timedelta(days=_LEAF_DAYS)
                _make_leaf(chain, key, signer, names, (begins, ends))
                logger.info("certificate=%s made until=%s", chain.name, ends.date())


def _names(endpoint: str, host: str, topology: Topology) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName(host)]
    if endpoint == next(iter(topology.endpoint_hosts)):
        addresses = sorted({router.https.host for router in topology.routers} | {"127.0.0.1"})
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        names.append(x509.DNSName("localhost"))
    return names


def _ensure_authority(path: Path, common_name: str, now: datetime) -> Authority:
    try:
        certificate, key = _load(path, path.with_suffix(".key"))
        if _same_key(certificate, key) and certificate.not_valid_after_utc > now + timedelta(days=_LEAF_DAYS):
            return Authority(certificate, key)
    except (OSError, ValueError, TypeError):
        logger.info("certificate=%s is missing or damaged; making another", path.name)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(name, name, key.public_key(), (now - _SLACK, now + timedelta(days=_AUTHORITY_DAYS)))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_pair(path, path.with_suffix(".key"), certificate, key)
    return Authority(certificate, key)


def _make_leaf(
    chain: Path, key_path: Path, signer: Authority, names: list[x509.GeneralName], validity: tuple[datetime, datetime]
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(names[0].value)[:64])])
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
    certificate = (
        _builder(subject, signer.certificate.subject, key.public_key(), validity)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer_id, critical=False)
        .sign(signer.key, hashes.SHA256())
    )
    _write_pair(chain, key_path, certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, validity: tuple[datetime, datetime]
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _load(chain: Path, key_path: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{key_path} is not an elliptic curve key")
    return x509.load_pem_x509_certificate(chain.read_bytes()), key


def _same_key(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bool:
    return certificate.public_key() == key.public_key()


def _is_good(
    chain: Path, key_path: Path, signer: Authority, names: Iterable[x509.GeneralName], now: datetime, *, expired: bool
) -> bool:
    """Whether the pair can be kept: belongs together, is signed by ``signer`` for ``names``, and is (not) expired."""
    try:
        certificate, key = _load(chain, key_path)
        certificate.verify_directly_issued_by(signer.certificate)
        said = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # noqa: BLE001  # whatever is wrong with it, it is made anew
        return False
    lasts = certificate.not_valid_after_utc > now + _RENEW_BEFORE
    over = certificate.not_valid_after_utc < now
    return _same_key(certificate, key) and list(said) == list(names) and (over if expired else lasts)


def _write_pair(chain: Path, key_path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(key_path, pem, 0o600)
    _write(chain, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace a file at once, so that nobody reads half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)


def server_context(paths: Paths, topology: Topology, faults: FrontFaults) -> ssl.SSLContext:
    """The context for a router's HTTPS address: the certificate is chosen anew at every handshake, by SNI and faults.

    There are no session tickets, so that a fresh connection always sees (and checks) the certificate of the moment. A name we do
    not know, or none, gets the first endpoint's certificate. The chosen endpoint is left on the TLS object as ``endpoint``.
    """
    contexts: dict[tuple[str, str | None], ssl.SSLContext] = {
        (endpoint, problem): _context(paths.chain(endpoint, problem), paths.key(endpoint, problem))
        for endpoint in topology.endpoint_hosts
        for problem in (None, *PROBLEMS)
    }
    by_host = {host: endpoint for endpoint, host in topology.endpoint_hosts.items()}
    first = next(iter(topology.endpoint_hosts))

    def choose(tls: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        endpoint = by_host.get((name or "").lower(), first)
        tls.endpoint = endpoint  # type: ignore[attr-defined]  # read by the connection
        problem = faults.tls_problem(endpoint)
        tls.context = contexts[endpoint, problem if problem in PROBLEMS else None]

    entry = _context(paths.chain(first), paths.key(first))
    entry.sni_callback = choose
    return entry


def _context(chain: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(chain, key)
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    return context
