"""The classic multi-window burn-rate rules, beside the detector for those who want them (pure).

A rule is met while the budget burns at least so many times faster than allowed over its long *and* its short window.
Nothing observed in a window is unknown, and meets no rule. What they cost in false pages: ``docs/alarms.md``.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cfa.windows import BAD, GOOD, Windows

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
LONGEST_SECONDS = 30 * 86_400

Window = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,6}[smhd]$")]


class Rule(BaseModel):
    """One row: the severity of ``burn_rate`` or more over both windows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    severity: Literal["page", "ticket"]
    burn_rate: float = Field(gt=0)
    long: Window
    short: Window

    @model_validator(mode="after")
    def _windows_fit(self) -> "Rule":
        if not self.short_seconds < self.long_seconds <= LONGEST_SECONDS:
            raise ValueError(f"short {self.short} must be less than long {self.long}, and that at most 30d")
        if self.short_seconds % 10 or self.short_seconds < 60:
            raise ValueError(f"short {self.short} must be at least 1m, in whole tens of seconds")
        return self

    @property
    def long_seconds(self) -> int:
        """The long window."""
        return seconds_of(self.long)

    @property
    def short_seconds(self) -> int:
        """The short window."""
        return seconds_of(self.short)


class Rules(BaseModel):
    """The file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[Rule, ...] = Field(min_length=1, max_length=32)


def seconds_of(window: str) -> int:
    """``5m`` is 300."""
    return int(window[:-1]) * UNITS[window[-1]]


def parse(text: str) -> tuple[Rule, ...]:
    """The rules of a file; raises ``ValueError`` that names what is wrong."""
    try:
        return Rules.model_validate(yaml.safe_load(text)).rules
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error


def severities(windows: Windows, allowed: NDArray[np.float64], rules: Sequence[Rule]) -> NDArray[np.int8]:
    """Of every node × side: 2 where a page rule is met, 1 for a ticket rule, else 0."""
    found = np.zeros((len(allowed), 2), np.int8)
    for rule in rules:
        met = _burns(windows, allowed, rule.long_seconds, rule.burn_rate)
        met &= _burns(windows, allowed, rule.short_seconds, rule.burn_rate)
        found[met] = np.maximum(found[met], 2 if rule.severity == "page" else 1)
    return found


def _burns(windows: Windows, allowed: NDArray[np.float64], seconds: int, factor: float) -> NDArray[np.bool_]:
    counts = windows.over(seconds)[: len(allowed)]
    bad, valid = counts[:, :, BAD], counts[:, :, GOOD] + counts[:, :, BAD]
    return np.asarray((valid > 0) & (bad >= factor * allowed[:, None] * valid) & (bad > 0))
