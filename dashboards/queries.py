"""Every PromQL expression of the dashboards, in one place (pure).

Names come from ``docs/api.md`` (the store), ``docs/metrics.md`` (the judgement) and the metrics of canary and collector. Three rules: a counter is read
through ``rate`` or ``increase`` and aggregated; its range is ``$__rate_interval``; a counter that does not exist until
something happens ends in ``or vector(0)``, so that "nothing happened" and "nothing is known" look different.
The variables ``$region`` and ``$zone`` filter by labels that the scrape configuration adds (:mod:`dashboards.prometheus`).
"""

RATE = "$__rate_interval"
JUDGE = 'region=~"$region"'
"""Selects the judgement's own metrics."""
SERVERS = 'region=~"$region", zone=~"$zone"'
"""Selects servers by where they stand."""
CELLS = 'region=~"$region", zone=~"$zone"'
"""Selects matrix cells by the zone that asked."""

# The verdict
INCIDENTS_OPEN = f"sum(cfa_incidents_open{{{JUDGE}}}) or vector(0)"
AVAILABILITY_NOW = f'min by (side) (cfa_availability_ratio{{{JUDGE}, scope_kind="region", window="5m"}})'
BUDGET_LEFT = f'min by (side) (cfa_error_budget_remaining_ratio{{{JUDGE}, scope_kind="region", window="30d"}})'
CELLS_SEEN = (
    f'count(sum by (zone, endpoint, operation, connection) (cfa_matrix_attempts{{{CELLS}, result=~"good|bad"}}) > 0)'
    f" / count(sum by (zone, endpoint, operation, connection) (cfa_matrix_attempts{{{CELLS}}}))"
)
FEED_LAG = f"max(cfa_feed_lag_seconds{{{JUDGE}}})"
RECUSED = f"sum(cfa_recused{{{JUDGE}}}) or vector(0)"
SERVERS_DOWN = f'count(up{{{SERVERS}, job=~"router|node"}} == 0) or vector(0)'

# Customers, as the canaries see them
AVAILABILITY_BY_ZONE = f'min by (scope) (cfa_availability_ratio{{{JUDGE}, scope_kind="zone", window="5m"}})'
AVAILABILITY_BY_ENDPOINT = f'min by (scope) (cfa_availability_ratio{{{JUDGE}, scope_kind="endpoint", window="5m"}})'
OBJECTIVE = f"max(cfa_objective_ratio{{{JUDGE}}})"
MATRIX = f"min by (zone, endpoint) (cfa_matrix_availability_ratio{{{CELLS}}})"
BURN_RATE = f'max by (window) (cfa_burn_rate{{{JUDGE}, scope_kind="region", window=~"5m|1h|6h"}})'
ATTEMPTS_BAD = f'sum by (zone, endpoint) (cfa_matrix_attempts{{{CELLS}, result="bad"}})'
ATTEMPTS_UNOBSERVED = f'sum by (zone) (cfa_matrix_attempts{{{CELLS}, result="unobserved"}})'
CUSTOMER_LATENCY_P99 = f'max by (operation) (cfa_matrix_latency_seconds{{{CELLS}, quantile="0.99"}})'

# The servers' own view
REQUESTS_BY_OUTCOME = f"sum by (outcome) (rate(store_requests_total{{{SERVERS}}}[{RATE}]))"
SERVER_FAULT_SHARE = (
    f'1 - sum by (endpoint) (rate(store_requests_total{{{SERVERS}, outcome="success"}}[{RATE}]))'
    f' / sum by (endpoint) (rate(store_requests_total{{{SERVERS}, outcome=~"success|server_fault"}}[{RATE}]))'
)
SERVER_LATENCY_P99 = (
    "histogram_quantile(0.99, sum by (operation, le) "
    f"(rate(store_request_duration_seconds_bucket{{{SERVERS}}}[{RATE}])))"
)
LEADERS = f"sum by (zone) (store_leader{{{SERVERS}}})"
ELECTIONS = f"sum by (zone) (increase(store_elections_total{{{SERVERS}}}[{RATE}]))"
FSYNC_P99 = f"histogram_quantile(0.99, sum by (zone, le) (rate(store_wal_fsync_seconds_bucket{{{SERVERS}}}[{RATE}])))"
REPLICA_LAG = f"max by (zone) (store_replica_lag_entries{{{SERVERS}}})"
REFUSED = f"sum by (reason) (rate(store_refused_total{{{SERVERS}}}[{RATE}])) or vector(0)"
UP = f'min by (job, zone) (up{{{SERVERS}, job=~"router|node|canary"}})'

# The machinery that watches and judges
PROBES = f'sum by (outcome) (rate(canary_probe_attempts_total{{{SERVERS}, vantage=""}}[{RATE}]))'
"""The canaries' own counters: the collector shows the same attempts merged, with a vantage."""
PROBE_LATENESS_P99 = (
    f"histogram_quantile(0.99, sum by (zone, le) (rate(canary_probe_lateness_seconds_bucket{{{SERVERS}}}[{RATE}])))"
)
PROBE_QUEUE = f"max by (zone, host) (canary_queue_length{{{SERVERS}}})"
BATCHES = f"sum by (result) (rate(collector_batches_total{{{JUDGE}}}[{RATE}]))"
COMMIT_P99 = f"histogram_quantile(0.99, sum by (le) (rate(collector_commit_seconds_bucket{{{JUDGE}}}[{RATE}])))"
FEED_BEHIND = f"max(collector_feed_lag_entries{{{JUDGE}}})"
PAGES = f"sum by (event) (increase(cfa_pages_total{{{JUDGE}}}[{RATE}])) or vector(0)"
DELIVERIES = f"sum by (destination, outcome) (increase(cfa_deliveries_total{{{JUDGE}}}[{RATE}])) or vector(0)"
OUTBOX = f"sum by (destination) (cfa_outbox_pending{{{JUDGE}}}) or vector(0)"

TIME_TO_PAGE = f"max by (quantile) (cfa_time_to_page_month_seconds{{{JUDGE}}})"
"""Pages are too rare for a rate of the histogram: the judgement counts those of 30 days itself."""
BROKEN = f"sum by (destination) (cfa_destination_broken{{{JUDGE}}})"
PAGE_WAITS = f"max by (destination) (cfa_page_waits_seconds{{{JUDGE}}})"
SECOND_ROUTES = f"sum by (origin) (increase(cfa_second_route_notices_total{{{JUDGE}}}[{RATE}])) or vector(0)"
HEARTBEAT_AGE = f"max(cfa_heartbeat_age_seconds{{{JUDGE}}}) or vector(0)"
ACTIVE = f"sum(cfa_active{{{JUDGE}}})"

VARIABLES = {
    "region": "label_values(up, region)",
    "zone": 'label_values(up{region=~"$region"}, zone)',
}
"""The dashboard's variables: name → the query that lists their values."""


def filled(expression: str, *, rate_interval: str = "1m") -> str:
    """``expression`` as Grafana would send it with everything chosen: for a parser or for Prometheus itself."""
    filled_in = expression.replace(RATE, rate_interval)
    for name in VARIABLES:
        filled_in = filled_in.replace(f"${name}", ".*")
    return filled_in
