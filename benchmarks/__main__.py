"""``make bench``: run all benchmarks, or the named ones; a table on standard output and a JSON file each."""

import sys
from collections.abc import Callable

from benchmarks import (
    bulk_counters,
    canary_cost,
    canary_probe,
    collectors_killed,
    confirm_burst,
    false_pages,
    judgement_step,
    ledger_history,
    localization,
    operating_curve,
    page_delay,
    remote_write,
    store_requests,
    table_engine,
    time_to_page,
    wire_decode,
)
from benchmarks.figures import Result

BENCHMARKS: dict[str, Callable[[], Result]] = {
    "bulk_counters": bulk_counters.run,
    "wire-decode": wire_decode.run,
    "judgement-step": judgement_step.run,
    "canary-probe": canary_probe.run,
    "canary-cost": canary_cost.run,
    "collectors_killed": collectors_killed.run,
    "confirm-burst": confirm_burst.run,
    "ledger_history": ledger_history.run,
    "localization": localization.run,
    "store": store_requests.run,
    "table-engine": table_engine.run,
    "remote-write": remote_write.run,
    "false-pages": false_pages.run,
    "page-delay": page_delay.run,
    "operating-curve": operating_curve.run,
    "time-to-page": time_to_page.run,
}


def main(names: list[str]) -> int:
    """Exit status 2 for an unknown name."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there is: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        print(f"{name} …", file=sys.stderr)
        result = BENCHMARKS[name]()
        result.write()
        if result.table:
            print(result.table)
        figures = "" if result.table else "  ".join(f"{key} {value:.4g}" for key, value in result.figures.items())
        ratio = f"{result.ratio:.2f} ×" if result.ratio is not None else "–"
        print(f"{result.name:<16} {ratio:>10}  against {result.against}")
        if figures:
            print(f"{'':<16} {'':>10}  {figures}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
