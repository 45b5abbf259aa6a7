"""DNS questions and answers as bytes, by dnspython (pure)."""

from dataclasses import dataclass
from functools import lru_cache

import dns.exception
import dns.flags
import dns.message
import dns.rdatatype


@dataclass(frozen=True, slots=True)
class Answer:
    """What a name server said. ``services`` are SRV targets: (name, port)."""

    rcode: int
    truncated: bool
    addresses: tuple[str, ...] = ()
    services: tuple[tuple[str, int], ...] = ()


@lru_cache(maxsize=256)
def _template(name: str, kind: str) -> bytes:
    return dns.message.make_query(name, kind, use_edns=False).to_wire()[2:]


def question(name: str, kind: str, number: int) -> bytes:
    """A recursive query for ``kind`` (A, AAAA, SRV), with this message id."""
    return number.to_bytes(2, "big") + _template(name, kind)


def answers(wire: bytes, asked: bytes) -> bool:
    """Whether ``wire`` is a response to ``asked``: same id, same question section (names compared without case)."""
    if len(wire) < len(asked) or wire[:2] != asked[:2] or not wire[2] & 0x80:
        return False
    return wire[12 : len(asked)].lower() == asked[12:].lower() or wire[4:6] == b"\0\0"


@lru_cache(maxsize=256)
def _parse(wire: bytes) -> Answer | None:
    try:
        message = dns.message.from_wire(b"\0\0" + wire, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return None
    addresses, services = [], []
    for rrset in message.answer:
        for record in rrset:
            if rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
                addresses.append(record.address)
            elif rrset.rdtype == dns.rdatatype.SRV:
                services.append((record.target.to_text(omit_final_dot=True), record.port))
    truncated = bool(message.flags & dns.flags.TC)
    return Answer(int(message.rcode()), truncated, tuple(sorted(addresses)), tuple(sorted(services)))


def parse(wire: bytes) -> Answer | None:
    """The answer, None when it is malformed. The same bytes need not be read twice: only the id differs."""
    return _parse(wire[2:])
