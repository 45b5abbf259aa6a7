"""Which destinations an incident concerns: by severity, scope, table and category (pure)."""

from collections.abc import Iterable, Sequence

from cfa.destinations.config import LOG_NAME, Destination, Route, Told, named
from cfa.incident import Incident


class Routes:
    """The configured destinations and routes.

    The log is told of everything. Without routes, a destination is told of every incident of a severity that it wants. With
    routes, of those that a route sends to it; a page that no route knows goes to everybody who wants pages, so that a hole
    in the routes loses none.
    """

    def __init__(self, wants: dict[str, frozenset[Told]], routes: Sequence[Route] = ()) -> None:
        self._wants = wants
        self._routes = tuple(routes)

    @classmethod
    def of(cls, destinations: Iterable[Destination], routes: Sequence[Route] = ()) -> "Routes":
        """As configured."""
        return cls({name: one.wants for name, one in named(destinations).items()}, routes)

    @classmethod
    def everywhere(cls, names: Iterable[str]) -> "Routes":
        """Every page to everybody, tickets to the log alone."""
        both: frozenset[Told] = frozenset({"page", "ticket"})
        pages: frozenset[Told] = frozenset({"page"})
        return cls({name: both if name == LOG_NAME else pages for name in names})

    @property
    def names(self) -> tuple[str, ...]:
        """All destinations, the log first."""
        return tuple(self._wants)

    def to(self, incident: Incident, severity: Told) -> tuple[str, ...]:
        """Whom to tell, in the order of the configuration."""
        willing = [name for name, wants in self._wants.items() if severity in wants]
        if not self._routes:
            return tuple(willing)
        fitting = [route for route in self._routes if _fits(route, incident, severity)]
        if not fitting and severity == "page":
            return tuple(willing)
        chosen = {name for route in fitting for name in route.to} | {LOG_NAME}
        return tuple(name for name in willing if name in chosen)


def _fits(route: Route, incident: Incident, severity: Told) -> bool:
    if route.severities and severity not in route.severities:
        return False
    if route.categories and incident.category not in route.categories:
        return False
    for part, values in route.scope.items():
        if part not in incident.scope or ("*" not in values and incident.scope[part] not in values):
            return False
    tables = {incident.scope.get("table", ""), *incident.blast_radius.tables}
    return not route.tables or bool(tables & set(route.tables))
