"""The command line: ``fivenines …`` (shell). Exit status: 0 well, 1 a finding, 2 wrong use or nothing to talk to."""

import typer

from fivenines.commands import (
    archive,
    backtest,
    config,
    dashboards,
    drill,
    fault,
    incidents,
    ledger,
    maintenance,
    mitigation,
    parts,
    report,
    rules,
    silence,
    status,
    tables,
    up,
)

app = typer.Typer(
    name="fivenines",
    help="Availability monitoring and canaries for replicated, multi-zone stores.\n\nExample: fivenines up",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("up")(up.up)
app.command("status")(status.status)
app.command("endpoints")(status.endpoints)
app.command("incidents")(incidents.incidents)
app.command("mitigation")(mitigation.mitigation)
app.command("tables")(tables.tables)
app.command("report")(report.report)
app.command("backtest")(backtest.backtest)
app.add_typer(config.app, name="config")
app.add_typer(fault.app, name="fault")
app.add_typer(drill.app, name="drill")
app.add_typer(ledger.ledger, name="ledger")
app.add_typer(dashboards.app, name="dashboards")
app.add_typer(rules.app, name="rules")
app.add_typer(silence.silence, name="silence")
app.add_typer(maintenance.maintenance, name="maintenance")
parts.cluster.add_typer(archive.archive, name="archive")
parts.cluster.command("restore")(archive.restore)
app.add_typer(parts.cluster, name="cluster")
app.add_typer(parts.canary, name="canary")
app.add_typer(parts.collector, name="collector")
app.add_typer(parts.cfa, name="cfa")
app.add_typer(parts.console, name="console")


def main() -> None:
    """Entry point of the ``fivenines`` command."""
    app()


if __name__ == "__main__":
    main()
