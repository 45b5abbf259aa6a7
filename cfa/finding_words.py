"""The findings in words: what each means, and what to do first because of it (pure)."""

from dataclasses import dataclass
from types import MappingProxyType

from cfa.incident import Finding


@dataclass(frozen=True, slots=True)
class Words:
    """A finding's name for people, what it means, and the first step that follows from it.

    A step that ends in "; " goes on with what the scope says; "" leaves all to the scope.
    """

    name: str
    means: str
    step: str = ""


WORDS: MappingProxyType[Finding, Words] = MappingProxyType(
    {
        "unknown": Words("Failing", "the servers have not been heard since, so it is not known how far requests come"),
        "outage": Words("Outage", "clients fail and the servers fail requests, too"),
        "gray_failure": Words(
            "Gray failure",
            "clients fail while the servers call themselves well",
            "do not trust the servers' dashboards; ",
        ),
        "never_arrived": Words(
            "Requests never arrive",
            "clients fail before any server has their request",
            "look at what lies before the servers (DNS, load balancer, network, power); ",
        ),
        "correctness": Words(
            "Wrong answers",
            "requests are answered, but wrongly: lost or stale writes, deletes that came back, or damaged values",
            "stop what changes data there (deployments, repairs, clean-ups), keep every replica as it is and compare them (scrub)",
        ),
        "masked_by_retries": Words(
            "Hidden from customers",
            "servers fail requests while every canary is well: retries mask it, or canaries do not ask there",
            "nobody is known to be hurt yet, so look before retries no longer help; ",
        ),
        "not_covered": Words(
            "Customers hurt, canaries do not cover it",
            "customers' calls fail after all retries while every canary is well",
            "ask those customers what they do that canaries do not, and let canaries ask it too; ",
        ),
        "monitoring_blind": Words(
            "Monitoring down",
            "no canary is heard: nobody knows what customers get",
            "start the collector and the canaries again; until then the servers' own metrics are all there is",
        ),
        "canaries_in_trouble": Words(
            "Canaries in trouble", "only witnesses of one place see it: their own trouble, not the customers'"
        ),
        "durability": Words(
            "Durability at risk",
            "nobody is hurt yet, but what is stored is in danger",
            "look why the log does not reach the archive (its store, the network to it, its credentials); ",
        ),
    }
)
"""By finding."""
