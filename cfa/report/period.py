"""An ISO week or a calendar month in UTC (pure)."""

import datetime as dt
import re
from dataclasses import dataclass
from typing import Self

from collector.interval import INTERVAL_SECONDS, interval_of

_FORMS = "a week such as 2026-W47, or a month such as 2026-11"


@dataclass(frozen=True, slots=True)
class Period:
    """``[start, end)`` in UTC epoch seconds; both lie on five-minute borders."""

    name: str
    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The period of that name; raises ``ValueError`` that says what would be right."""
        try:
            if match := re.fullmatch(r"(\d{4})-W(\d{2})", text, flags=re.ASCII):
                first = dt.date.fromisocalendar(int(match[1]), int(match[2]), 1)
                return cls(text, _midnight(first), _midnight(first + dt.timedelta(days=7)))
            if match := re.fullmatch(r"(\d{4})-(\d{2})", text, flags=re.ASCII):
                first = dt.date(int(match[1]), int(match[2]), 1)
                return cls(text, _midnight(first), _midnight((first + dt.timedelta(days=31)).replace(day=1)))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{text!r} does not exist: write {_FORMS} ({error})") from error
        raise ValueError(f"{text!r} is not a period: write {_FORMS}")

    def starts_until(self, now: float) -> range:
        """The starts of its intervals that are over at ``now``: the future is neither up nor down."""
        return range(self.start, max(self.start, min(self.end, interval_of(now))), INTERVAL_SECONDS)


def _midnight(day: dt.date) -> int:
    return int(dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC).timestamp())
