"""What the region's DNS server answers (pure).

Every endpoint's name has one address per router, dead or alive: telling them apart is the client's (and the canary's) business.
Only a router that somebody has *withdrawn* is in no endpoint's answer; its own name still has its address.
``_https._tcp.NAME`` has one SRV record per router, for the loopback where routers differ by port.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from cluster.topology import Topology

TTL_SECONDS = 1
NOBODY = "127.0.250.1"
"""An address at which nothing listens."""
_SRV_PREFIX = dns.name.Name((b"_https", b"_tcp"))


class DnsFault(StrEnum):
    """How an answer can be broken."""

    EMPTY = "empty"
    SERVFAIL = "servfail"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Target:
    """A router in the DNS: its name, its address, its HTTPS port."""

    name: dns.name.Name
    address: str
    port: int
    router: str = ""


@dataclass(frozen=True, slots=True)
class Directory:
    """All names of a region."""

    domain: dns.name.Name
    endpoints: Mapping[dns.name.Name, str]
    targets: tuple[Target, ...]
    existing: frozenset[dns.name.Name]

    def endpoint_of(self, name: dns.name.Name) -> str | None:
        """The endpoint whose name, or whose service name, this is."""
        if name.labels[:2] == _SRV_PREFIX.labels:
            name = dns.name.Name(name.labels[2:])
        return self.endpoints.get(name)

    def exists(self, name: dns.name.Name) -> bool:
        """Whether there is something at or below ``name``."""
        return name in self.existing


def directory(topology: Topology, domain: str) -> Directory:
    """The names of ``topology`` under ``domain``."""
    zone = dns.name.from_text(domain)
    targets = tuple(
        Target(dns.name.from_text(f"{router.name}.routers", zone), router.https.host, router.https.port, router.name)
        for router in topology.routers
    )
    endpoints = {dns.name.from_text(host): endpoint for endpoint, host in topology.endpoint_hosts.items()}
    services = [dns.name.Name(_SRV_PREFIX.labels + name.labels) for name in endpoints]
    names = [*services, *(target.name for target in targets), zone]
    existing = frozenset(above for name in names for above in _from_here_up(name) if above.is_subdomain(zone))
    return Directory(zone, endpoints, targets, existing)


def _from_here_up(name: dns.name.Name) -> list[dns.name.Name]:
    return [dns.name.Name(name.labels[start:]) for start in range(len(name.labels))]


def answer(
    query: dns.message.Message,
    names: Directory,
    faults: Mapping[str, str],
    turn: int,
    withdrawn: Collection[str] = (),
) -> dns.message.Message:
    """The response. ``faults``: endpoint (or ``any``) → :class:`DnsFault`; ``turn`` says which address comes first.

    ``withdrawn``: routers to leave out, as long as there is another one.
    """
    response = dns.message.make_response(query)
    response.flags |= dns.flags.AA
    if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
        response.set_rcode(dns.rcode.NOTIMP if query.opcode() != dns.opcode.QUERY else dns.rcode.FORMERR)
        return response
    question = query.question[0]
    name = question.name.canonicalize()
    if not name.is_subdomain(names.domain) or question.rdclass != dns.rdataclass.IN:
        response.flags &= ~dns.flags.AA
        response.set_rcode(dns.rcode.REFUSED)
        return response
    endpoint = names.endpoint_of(name)
    fault = None if endpoint is None else faults.get(endpoint, faults.get("any"))
    if fault == DnsFault.SERVFAIL:
        response.set_rcode(dns.rcode.SERVFAIL)
    elif not names.exists(name):
        response.set_rcode(dns.rcode.NXDOMAIN)
        _add_soa(response, names)
    else:
        if fault != DnsFault.EMPTY:
            serving = tuple(target for target in names.targets if target.router not in withdrawn) or names.targets
            _add_records(response, question, names, serving, wrong=fault == DnsFault.WRONG, turn=turn)
        if not response.answer:
            _add_soa(response, names)
    return response


def _add_records(
    response: dns.message.Message,
    question: dns.rrset.RRset,
    names: Directory,
    serving: tuple[Target, ...],
    *,
    wrong: bool,
    turn: int,
) -> None:
    name, kind = question.name.canonicalize(), question.rdtype
    first = turn % len(serving)
    rotated = serving[first:] + serving[:first]
    addresses = kind in (dns.rdatatype.A, dns.rdatatype.ANY)
    if name in names.endpoints and addresses:
        found = [NOBODY] if wrong else list(dict.fromkeys(target.address for target in rotated))
        _add(response.answer, question.name, "A", found)
    elif names.endpoint_of(name) is not None and kind in (dns.rdatatype.SRV, dns.rdatatype.ANY):
        _add(response.answer, question.name, "SRV", [f"0 1 {target.port} {target.name}" for target in rotated])
        for target in rotated:
            _add(response.additional, target.name, "A", [NOBODY if wrong else target.address])
    elif addresses:
        found = [target.address for target in names.targets if target.name == name]
        if found:
            _add(response.answer, question.name, "A", found)
    elif name == names.domain and kind == dns.rdatatype.SOA:
        response.answer.append(_soa(names))


def _add(section: list[dns.rrset.RRset], name: dns.name.Name, kind: str, values: list[str]) -> None:
    section.append(dns.rrset.from_text_list(name, TTL_SECONDS, "IN", kind, values))


def _soa(names: Directory) -> dns.rrset.RRset:
    text = f"ns.{names.domain} hostmaster.{names.domain} 1 60 60 600 {TTL_SECONDS}"
    return dns.rrset.from_text(names.domain, TTL_SECONDS, "IN", "SOA", text)


def _add_soa(response: dns.message.Message, names: Directory) -> None:
    """Says for how long "no such thing" may be believed."""
    response.authority.append(_soa(names))
