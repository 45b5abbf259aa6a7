"""What to do next, for the kind of thing that is hurt (pure).

A table of first steps for someone who was just woken: look, contain, confirm. Policy is data; the runbooks go deeper.
"""

from collections.abc import Mapping

FIRST: dict[str, tuple[str, ...]] = {
    "zone": (
        "Shift traffic away from {zone}: take its routers out of DNS or out of the load balancer.",
        "Ask whether the zone lost power, network or a deployment: do its servers answer (see “Servers” below)?",
        "Watch the writes of the other zones: they must come back by themselves within seconds, under new leaders.",
    ),
    "endpoint": (
        "Resolve {endpoint} by hand and look at its certificate: a name or a certificate hurts one endpoint everywhere.",
        "If only {endpoint} is hurt, point customers at another endpoint while it is mended.",
        "Look at the last change of DNS records and certificates.",
    ),
    "zone endpoint": (
        "Take {endpoint} in {zone} out of DNS; the other zones serve it.",
        "Look at the routers of {zone}: one listener or one certificate file is likely.",
    ),
    "router": (
        "Take {router} out of DNS, then look at its log and its last deployment.",
        "Confirm that its neighbours in the zone carry the traffic.",
    ),
    "node": (
        "Look at {node}: disk latency, disk space, and whether it leads partitions.",
        "Move its leaders away or restart it; the two other replicas of each group serve meanwhile.",
    ),
    "table": (
        "Look for throttling, a schema change or a hot key in {table}.",
        "Tell the owners of {table}: other tables are well.",
    ),
    "partition": (
        "Find the leader of {partition} and whether it moved or cannot commit.",
        "Look for a hot key; a hot partition asks for a split, not for a restart.",
    ),
    "version": (
        "Roll version {version} back, or stop its deployment: other versions answer well.",
        "Confirm that failures end where the old version is back.",
    ),
    "operation": (
        "Look at what was deployed or configured for {operation} alone: other operations answer well.",
        "Roll it back before you look for the cause.",
    ),
    "observer": (
        "Suspect the witness {observer} first: its own network, clock or load.",
        "Customers elsewhere are well; no store was blamed.",
    ),
    "observer_zone": (
        "Only canaries in {observer_zone} see this: look at that zone's network and resolver first.",
        "Ask a customer in {observer_zone} whether they see it too.",
    ),
    "region": (
        "Everything is hurt: look for what all zones share (DNS, certificates, a deployment, authentication, configuration).",
        "Roll back what changed last; do not evacuate a zone, all of them are hurt.",
    ),
}
SERVERS: dict[str, str] = {
    "silent": "The servers do not answer: they are down or cut off. Use the machine's console, not its network.",
    "ok": "The servers see no errors: look at what lies before them (DNS, TLS, load balancer, network).",
    "bad": "The servers count errors too: their logs, by the request ids below, will name the cause.",
}
REASONS: tuple[tuple[str, str], ...] = (
    ("dns_", "The name does not resolve: check the DNS records and the name servers."),
    ("certificate_", "The certificate is refused: renew it or roll it back."),
    ("tls_", "The TLS handshake fails: check certificate, ciphers and the clock."),
)
"""What the most frequent reason says by its first word; such a step comes first."""
AFTER = "When it is over, this page closes itself and every destination is told; the record stays under this address."


def steps(
    scope: Mapping[str, str], *, reasons: Mapping[str, int], server_verdict: str, is_open: bool
) -> tuple[str, ...]:
    """The first steps, in order."""
    if not is_open:
        return ("Nothing now: it is over. Keep the examples' request ids for the review.",)
    chosen = FIRST.get(_kind(scope), FIRST["region"])
    words = {"zone": "the zone", "endpoint": "the endpoint", "table": "the table", **scope}
    worst = max(reasons, key=lambda reason: (reasons[reason], reason), default="")
    telling = [step for prefix, step in REASONS if worst.startswith(prefix)]
    said = [SERVERS[server_verdict]] if server_verdict in SERVERS else []
    return (*telling, *(step.format_map(words) for step in chosen), *said, AFTER)


def _kind(scope: Mapping[str, str]) -> str:
    """The narrowest known kind of ``scope``."""
    if "zone" in scope and "endpoint" in scope:
        return "zone endpoint"
    order = (
        "version",
        "node",
        "router",
        "observer",
        "observer_zone",
        "partition",
        "table",
        "endpoint",
        "zone",
        "operation",
        "region",
    )
    return next((kind for kind in order if kind in scope), "region")
