"""Game days: a scenario is a file with its expected verdict (pure). What was seen is judged in ``drill_verdict``."""

from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cluster.faults import NOT_BUILT_YET, Fault
from fivenines.durations import seconds_of
from fivenines.power_off import RandomPowerOffs
from fivenines.yaml_lines import line_of, line_of_error

Duration = Annotated[float, BeforeValidator(seconds_of)]
MAX_SCENARIO_BYTES = 256 * 1024


class Frozen(BaseModel):
    """Scenarios are read once and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ScheduledFault(Frozen):
    """A fault with its time: ``at`` from the start of the scenario, ``for`` how long (none: until the end)."""

    at: Duration = 0.0
    lasts: Duration | None = None
    fault: Fault


class Scoped(Frozen):
    """Which incidents are meant: those that are all that is said here. What is left out may be anything."""

    scope: dict[str, str] | None = None
    severity: Literal["page", "ticket", "watch"] | None = None
    category: str | None = Field(None, description="availability or durability")
    finding: str | None = Field(None, description="what the views say together: gray_failure, never_arrived, outage …")


class ExpectedIncident(Frozen):
    """What the page must say. What is left out is not judged."""

    scope: dict[str, str]
    scope_or: tuple[dict[str, str], ...] = Field((), description="scopes that are as right: one router of one zone")
    operations: tuple[Literal["read", "write"], ...] | None = None
    side: Literal["client", "server", "both", "client-only", "server-only"] | None = None
    severity: Literal["page", "ticket"] = "page"
    category: str | None = None
    finding: str | None = None
    within: Duration = 30.0

    @property
    def expected_side(self) -> str | None:
        """The side in the words of an incident."""
        return self.side.removesuffix("-only") if self.side else None

    @property
    def scopes(self) -> tuple[dict[str, str], ...]:
        """Every scope that is right."""
        return (self.scope, *self.scope_or)


class Mitigated(Frozen):
    """What was done about the incident by itself, and how soon canaries saw no failure any more after that."""

    hook: str
    within: Duration = 60.0


class Expectation(Frozen):
    """The verdict that the scenario wants. ``incident: any``: whoever is paged is told, and not judged."""

    incident: ExpectedIncident | Literal["none", "any"] = "none"
    incidents: tuple[ExpectedIncident, ...] = Field((), description="several, instead of 'incident'", max_length=8)
    must_not_fire: tuple[Scoped, ...] = Field((), description="no incident that is all that one of these says")
    pages_at_most: int | None = Field(None, ge=0)
    tickets_at_most: int | None = Field(None, ge=0, description="incidents that never became a page")
    clears_within: Duration | None = None
    clears_after: Duration | None = Field(
        None, description="an expected incident that closes sooner was told to be over while its fault was in force"
    )
    blind_within: Duration | None = Field(None, description="the judgement says so soon that it sees nothing any more")
    mitigated: Mitigated | None = Field(None, description="skipped where the configuration does not act by itself")
    failed_probes_at_most: int | None = Field(None, ge=0, description="attempts of canaries that count as bad")
    recused: tuple[str, ...] = ()
    durable: bool = Field(False, description="nothing acknowledged is lost, nothing is read that nobody wrote")
    whole: bool = Field(False, description="in the end every replication group has its replicas and a leader")
    whole_within: Duration = Field(120.0, description="so long after the last power-off")

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        if self.incidents and self.incident != "none":
            raise ValueError("'incident' is one, 'incidents' are several: give one of the two")
        return self

    @property
    def expected(self) -> tuple[ExpectedIncident, ...]:
        """The incidents that must be there."""
        return (self.incident,) if isinstance(self.incident, ExpectedIncident) else self.incidents

    @property
    def expected_incident(self) -> ExpectedIncident | None:
        """The first incident that must be there, if one must."""
        return next(iter(self.expected), None)


class DrillTraffic(Frozen):
    """Customers of the drill's own, who remember all that they were told. ``rate``: operations a second, in all."""

    table: str = Field("canary", description="one with partitions on every storage node")
    keys: int = Field(200, ge=1, le=10_000)
    rate: float = Field(60.0, gt=0, le=2000)


class Scenario(Frozen):
    """One game day."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    about: str = ""
    lasts: Duration | None = Field(
        None, description="at least this long; a calm day has nothing else to say when it is over"
    )
    faults: tuple[ScheduledFault, ...] = ()
    power_offs: RandomPowerOffs | None = Field(None, description="the entry of 'faults' that has 'random'")
    traffic: DrillTraffic | None = None
    expect: Expectation = Expectation()

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        if (self.power_offs is None) != (self.traffic is None):
            raise ValueError("random power-offs and traffic go together: one breaks, the other one proves")
        if self.power_offs is not None and (self.faults or self.lasts is None):
            raise ValueError("a scenario with random power-offs says how long it lasts, and has no other faults")
        if (self.expect.durable or self.expect.whole) and self.traffic is None:
            raise ValueError("'durable' and 'whole' can be judged where there are random power-offs and traffic")
        return self

    @property
    def faults_over_seconds(self) -> float:
        """When the last fault with a known length is removed, from the start."""
        return max((fault.at + (fault.lasts or 0.0) for fault in self.faults), default=0.0)


class ScenarioError(ValueError):
    """A scenario file that cannot be run; one line a problem."""


def parse(text: str, name: str) -> Scenario:
    """The scenario in ``text`` (YAML); ``name`` is what errors call the file. Raises :class:`ScenarioError`."""
    if len(text) > MAX_SCENARIO_BYTES:
        raise ScenarioError(f"{name}:1: larger than {MAX_SCENARIO_BYTES} bytes")
    try:
        tree, values = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        line = line_of_error(error) if isinstance(error, yaml.YAMLError) else 1
        raise ScenarioError(f"{name}:{line}: not YAML: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(values, dict):
        raise ScenarioError(f"{name}:1: a scenario has the keys name, about, faults, expect")
    places, random = _places(values.get("faults"))
    try:
        return Scenario.model_validate({**values, **_sorted(values.get("faults"), name, tree)})
    except ValidationError as error:
        problems = [
            (_location(tuple(e["loc"]), places, random), e["msg"].removeprefix("Value error, "))
            for e in error.errors()
            if not _of_another_branch(tuple(e["loc"]), e["type"], e["input"])
        ]
        lines = [f"{name}:{line_of(tree, at)}: {'.'.join(map(str, at)) or 'scenario'}: {says}" for at, says in problems]
        raise ScenarioError("\n".join(dict.fromkeys(lines))) from error


def _places(faults: object) -> tuple[list[int], int]:
    """Where in the file's list each scheduled fault stands, and the random one, which the models keep apart."""
    entries = faults if isinstance(faults, list) else []
    random = [index for index, fault in enumerate(entries) if isinstance(fault, dict) and "random" in fault]
    return [index for index in range(len(entries)) if index not in random], next(iter(random), 0)


def _location(location: tuple[str | int, ...], places: list[int], random: int) -> tuple[str | int, ...]:
    """A place in the models as a place in the file."""
    if location[:1] == ("power_offs",):
        return ("faults", random, "random", *location[1:])
    if len(location) > 1 and location[0] == "faults" and isinstance(location[1], int) and location[1] < len(places):
        rest = ["for" if part == "lasts" else part for part in location[2:] if part != "fault"]
        return ("faults", places[location[1]], *rest)
    return tuple(part for part in location if part not in _UNION_BRANCHES)


def _of_another_branch(location: tuple[str | int, ...], kind: str, given: object) -> bool:
    """Whether an error speaks of the choice of a union that was not meant: a word where a mapping stands, or the reverse."""
    branch = next((part for part in location if part in _UNION_BRANCHES), None)
    if branch is None:
        return False
    return kind == "model_type" if branch == "ExpectedIncident" else isinstance(given, dict)


_UNION_BRANCHES = frozenset({"ExpectedIncident", "literal['none','any']"})
"""Words that pydantic puts into a location for the choices of a union, and that are in no file."""


def _sorted(faults: object, name: str, tree: yaml.Node | None) -> dict[str, object]:
    """The file's faults: each within its schedule, random ones apart; what is no list is left to the model to refuse."""
    if not isinstance(faults, list):
        return {"faults": () if faults is None else faults}
    drawn = [index for index, fault in enumerate(faults) if isinstance(fault, dict) and "random" in fault]
    scheduled: dict[str, object] = {"faults": [_schedule(f) for index, f in enumerate(faults) if index not in drawn]}
    if not drawn:
        return scheduled
    first = faults[drawn[0]]
    if len(drawn) > 1 or first.get("kind") != "power_off" or set(first) != {"kind", "random"}:
        raise ScenarioError(
            f"{name}:{line_of(tree, ('faults', drawn[-1]))}: faults: "
            "at most one is random, and it is written {kind: power_off, random: {…}}"
        )
    return scheduled | {"power_offs": first["random"]}


def _schedule(fault: object) -> object:
    """``{at, for, kind, …}`` as a schedule around a fault."""
    if not isinstance(fault, dict):
        return fault
    rest = {key: value for key, value in fault.items() if key not in ("at", "for")}
    return {"at": fault.get("at", 0.0), "lasts": fault.get("for"), "fault": rest}


def not_built(scenario: Scenario) -> list[str]:
    """Kinds of fault that the scenario needs and the store cannot do yet."""
    return sorted(
        {scheduled.fault.kind.value for scheduled in scenario.faults if scheduled.fault.kind in NOT_BUILT_YET}
    )
