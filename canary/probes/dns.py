"""What the answer to a DNS check must hold; messages are read by dnspython (pure)."""

import dns.exception
import dns.message
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from canary.probes.config import DnsCheck


def wrong(check: DnsCheck, wire: bytes) -> tuple[str, str] | None:
    """The first thing that is not as expected: a reason of the outcome table and the detail."""
    try:
        message = dns.message.from_wire(wire, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError) as error:
        return "dns_malformed", str(error)
    rcode = dns.rcode.to_text(message.rcode())
    if rcode != check.expect_rcode:
        return _unanswered(rcode), f"{rcode}, expected {check.expect_rcode}"
    kind = dns.rdatatype.from_text(check.type)
    found = {record.to_text().lower() for rrset in message.answer if rrset.rdtype == kind for record in rrset}
    wanted = {_canonical(check, text) for text in check.expect_answers}
    if wanted - found:
        return "dns_wrong_answers", f"no {', '.join(sorted(wanted - found))} among {', '.join(sorted(found)) or 'none'}"
    if check.only and found - wanted:
        return "dns_wrong_answers", f"unexpected: {', '.join(sorted(found - wanted))}"
    least = check.min_answers if check.min_answers is not None else int(check.expect_rcode == "NOERROR")
    if len(found) < least:
        return ("dns_too_few_answers" if found else "dns_empty"), f"{len(found)} answers, expected {least}"
    return None


def _unanswered(rcode: str) -> str:
    words = {"NXDOMAIN": "dns_nxdomain", "SERVFAIL": "dns_servfail", "REFUSED": "dns_refused"}
    return words.get(rcode, "dns_wrong_rcode")


def _canonical(check: DnsCheck, text: str) -> str:
    """A record as dnspython writes it, so that spelling does not matter; text that is no record stays as it is."""
    try:
        return str(dns.rdata.from_text(dns.rdataclass.IN, check.type, text)).lower()
    except (dns.exception.DNSException, ValueError):
        return text.lower()
