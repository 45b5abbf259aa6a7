"""Who a program belongs to, by configuration, and a bound on how many there can be (pure)."""

from dataclasses import dataclass

from collector.customers.config import CustomerConfig, CustomersConfig

OTHER = "other"
"""The customer, or the table, that stands for all beyond the bound."""
UNNAMED = "unnamed"
"""The customer of programs that do not say who they are."""
NAME_LENGTH_MAX = 255


@dataclass(frozen=True, slots=True)
class Who:
    """A customer's name, its zone and the table meant; "" where it is not known."""

    name: str
    zone: str
    table: str


class NobodyError(ValueError):
    """Not a customer of ours; the text is a short word why: ``unknown_customer`` or ``bad_name``."""


class Directory:
    """Learns names up to its bounds; ``overflowed`` counts what went to :data:`OTHER`."""

    def __init__(self, config: CustomersConfig) -> None:
        self._config = config
        self._known = {word: one for one in config.known for word in (one.name, *one.ids)}
        self._tables: dict[str, set[str]] = {one.name: {one.table} for one in config.known}
        self._cache: dict[tuple[str, str, str], Who] = {}
        self.overflowed = 0

    def who(self, identity: str, table: str = "", zone: str = "") -> Who:
        """The customer behind ``identity``, which may carry a table: ``orders-service/orders``. Raises :class:`NobodyError`."""
        key = (identity, table, zone)
        found = self._cache.get(key)
        if found is None:
            found = self._find(identity, table, zone)
            if OTHER not in (found.name, found.table) and len(self._cache) < 100_000:
                self._cache[key] = found
        return found

    def _find(self, identity: str, table: str, zone: str) -> Who:
        _check(identity, table, zone)
        known, said = self._configured(identity)
        if known is not None:
            return Who(known.name, zone or known.zone, self._table(known.name, table or said or known.table))
        if not self._config.others:
            raise NobodyError("unknown_customer")
        name, _, said = identity.rpartition("/") if "/" in identity else (identity, "", "")
        name = name or UNNAMED
        if name not in self._tables:
            if len(self._tables) >= self._config.customers_max + len(self._config.known):
                self.overflowed += 1
                return Who(OTHER, "", "")
            self._tables[name] = set()
        return Who(name, zone, self._table(name, table or said))

    def _configured(self, identity: str) -> tuple[CustomerConfig | None, str]:
        if identity in self._known:
            return self._known[identity], ""
        front, _, table = identity.rpartition("/")
        return self._known.get(front), table

    def _table(self, name: str, table: str) -> str:
        seen = self._tables[name]
        if table in seen or not table:
            return table
        if len(seen) >= self._config.tables_max:
            self.overflowed += 1
            return OTHER
        seen.add(table)
        return table


def _check(*words: str) -> None:
    for word in words:
        if len(word) > NAME_LENGTH_MAX or not word.isprintable():
            raise NobodyError("bad_name")
