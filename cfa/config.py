"""The judgement's section of ``fivenines.yaml``."""

from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from cfa.burn_rate import Rule, parse
from cfa.destinations.config import Destination, Escalation, Frozen, Heartbeat, Pair, Route, check_names
from cfa.mitigation_config import MitigationConfig
from cfa.openslo import targets

__all__ = ["CfaConfig", "CollectorTlsConfig", "Destination", "DurabilityConfig", "Frozen", "Objectives"]


BUILTIN_BURN_RATES = Path(__file__).with_name("burn_rates.yaml")


def _text_of(path: Path) -> str:
    """A file's text; ``ValueError`` names it when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


class Objectives(Frozen):
    """Availability objectives as ratios; a table may have its own."""

    default: float = Field(0.9999, gt=0, lt=1, description="99.99 % for regional tables, 0.99999 for global ones")
    tables: dict[str, float] = Field({}, description="objectives of tables that have one of their own")
    openslo: tuple[Path, ...] = Field(
        (), description="OpenSLO v1 files that name objectives, too; what is written here wins over them"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_openslo(cls, given: Any) -> Any:
        files = given.get("openslo") if isinstance(given, dict) else None
        if not files:
            return given
        found = targets((str(name), _text_of(Path(name))) for name in ([files] if isinstance(files, str) else files))
        default = {} if found.default is None else {"default": found.default}
        return default | given | {"tables": dict(found.tables) | dict(given.get("tables") or {})}


def rules_of(name: str) -> tuple[Rule, ...]:
    """``none``, ``builtin`` or a file; ``ValueError`` says what is wrong with it."""
    if name == "none":
        return ()
    path = BUILTIN_BURN_RATES if name == "builtin" else Path(name)
    try:
        return parse(_text_of(path))
    except ValueError as error:
        raise ValueError(f"burn_rate_rules: {path}: {error}") from error


class DurabilityConfig(Frozen):
    """When what is stored is in danger, though no customer notices: the archive does not take the log."""

    unarchived_seconds: float = Field(
        60.0, gt=0, description="a ticket when an entry has waited so long for the archive; 600 in production"
    )
    wal_budget_ratio: float = Field(
        0.5, gt=0, le=1, description="a page when so much of a node's log budget is spent; at 0.95 it refuses writes"
    )


class CollectorTlsConfig(Frozen):
    """How collectors at https addresses are known, and how the judgement shows who it is."""

    ca_file: Path | None = Field(None, description="certificate authority of the collectors; none: the machine's own")
    certificate_file: Path | None = Field(None, description="our certificate, where collectors ask for one")
    key_file: Path | None = Field(None, description="the certificate's key")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together")
        return self


class CfaConfig(Frozen):
    """What is judged, how rarely a page may be false, and where pages go."""

    region: str = "local"
    zones: tuple[str, ...] = ("az1", "az2", "az3")
    endpoints: tuple[str, ...] = ("standard", "fips", "dualstack", "account")
    host: str = "127.0.0.1"
    port: int = Field(8082, ge=1, le=65535)
    collector: str = "http://127.0.0.1:8081"
    collector_token_file: Path | None = None
    collector_tls: CollectorTlsConfig = CollectorTlsConfig()
    more_ledgers: tuple[str, ...] = Field(
        (), description="URLs of more collectors whose ledgers the report adds to that of collector; same token"
    )
    feeds: tuple[str, ...] = Field(
        (), description="URLs of the collectors whose feeds are judged together; none: collector and more_ledgers"
    )
    data_dir: Path = Path(".fivenines/cfa")
    objectives: Objectives = Objectives()
    false_pages_per_year: float = Field(
        1.0, gt=0, description="for the whole fleet; the evidence threshold is derived from it"
    )
    counters_feed: str | None = Field(
        None,
        description="URL of the collector whose counters of single tables are judged; none: no tables (docs/tables.md)",
    )
    table_groups: str | None = Field(
        None,
        description="a regular expression whose first group, found in a table's name, is the group it is added up in",
    )
    shared_bursts: bool = Field(
        False,
        description="the healthy store has bursts of failures that every host sees: then hosts are not independent witnesses",
    )
    burn_rate_rules: str = Field(
        "none",
        description="multi-window burn-rate rules beside the detector: none, builtin, or a file like cfa/burn_rates.yaml",
    )
    durability: DurabilityConfig = DurabilityConfig()
    destinations: tuple[Destination, ...] = ()
    routes: tuple[Route, ...] = Field((), description="which incidents go where; none: pages to all that want pages")
    escalations: tuple[Escalation, ...] = Field((), description="who is told of a page that nobody acknowledges")
    heartbeat: Heartbeat | None = None
    pair: Pair | None = Field(None, description="the second judgement beside this one; none: this is the only one")
    mitigation: MitigationConfig = MitigationConfig()
    operator_token_file: Path | None = Field(
        None, description="who shows this token may acknowledge, resolve, silence; none: programs on this machine only"
    )
    console_url: str = Field("http://127.0.0.1:8080", description="links in pages start with it")
    matrix_cells: int = Field(
        0,
        ge=0,
        description="how many (zone, endpoint, operation, connection) cells must have answered before /ready; 0: any",
    )

    seldom_asked_seconds: dict[str, float] = Field(
        {},
        description="operations that canaries ask seldom, and how often: their cells are not missed before their turn",
    )

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        check_names(self.destinations, self.routes, self.escalations)
        return self

    @field_validator("burn_rate_rules")
    @classmethod
    def _rules_can_be_read(cls, given: str) -> str:
        rules_of(given)
        return given

    @cached_property
    def burn_rates(self) -> tuple[Rule, ...]:
        """The burn-rate rules that are wanted beside the detector; none by default."""
        return rules_of(self.burn_rate_rules)

    @property
    def feed_urls(self) -> tuple[str, ...]:
        """The collectors whose feeds are judged."""
        return tuple(dict.fromkeys(self.feeds or self.ledger_urls))

    @property
    def ledger_urls(self) -> tuple[str, ...]:
        """The collectors whose ledgers are reported together."""
        known = (self.collector, *self.more_ledgers) if self.more_ledgers or not self.feeds else self.feeds
        return tuple(dict.fromkeys(known))
