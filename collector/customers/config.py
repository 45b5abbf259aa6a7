"""The ``customers`` part of the collector's section of ``fivenines.yaml``."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from collector.observation import Outcome


class CustomerConfig(BaseModel):
    """One customer: a name, and by what its programs are known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=255, description="what figures and reports call it")
    ids: tuple[str, ...] = Field(
        (), description="AWS_CSM_CLIENT_ID, service.name (OTLP) or job (remote write); the name itself always counts"
    )
    table: str = Field("", max_length=255, description="the table meant when a program does not say one")
    zone: str = Field("", max_length=255, description="where its programs run, when they do not say")


class CounterRule(BaseModel):
    """Which Prometheus counter (remote write) becomes readings, and what its labels mean; a label that is missing is unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str = Field(min_length=1)
    level: Literal["attempt", "call"] = "attempt"
    customer_label: str = "job"
    table_label: str = "table"
    operation_label: str = Field("operation", description="a class of ours (write, …) or an API's name (PutItem, …)")
    outcome_label: str = Field("outcome", description="an outcome of ours, an HTTP status, or a word of `outcomes`")
    outcomes: dict[str, Outcome] = Field({}, description="what other words in outcome_label mean")
    zone_label: str = "zone"


DEFAULT_RULES = (
    CounterRule(metric="fivenines_customer_attempts_total", level="attempt"),
    CounterRule(metric="fivenines_customer_calls_total", level="call"),
)


class CustomersConfig(BaseModel):
    """Who the customers are, and how much they may say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    known: tuple[CustomerConfig, ...] = Field((), description="customers by name; others are named by what they say")
    others: bool = Field(True, description="whether customers that are not in `known` are taken at all")
    customers_max: int = Field(200, ge=1, le=10_000, description="what is beyond is counted together as 'other'")
    tables_max: int = Field(200, ge=1, le=10_000, description="per customer; what is beyond is the table 'other'")
    csm_host: str = Field("127.0.0.1", description="events hold access keys in clear: leave it on loopback")
    csm_port: int | None = Field(
        None, ge=0, le=65535, description="UDP port of SDK client-side monitoring; SDKs send to 31000; none or 0: off"
    )
    csm_buffer_bytes: int = Field(8 * 1024 * 1024, ge=4096, description="socket buffer asked of the kernel")
    csm_services: tuple[str, ...] = Field(
        ("DynamoDB",), description="events of other services are ignored, and counted"
    )
    endpoints: dict[str, str] = Field({}, description="host or host:port that programs ask → endpoint's name")
    counters: tuple[CounterRule, ...] = Field(DEFAULT_RULES, description="Prometheus counters taken by remote write")
    streams_max: int = Field(20_000, ge=1, description="metric streams remembered (OTLP and remote write)")
