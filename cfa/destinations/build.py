"""The configured destinations, ready to be sent to (shell)."""

from pathlib import Path
from typing import TypeVar

from cfa.config import CfaConfig
from cfa.destinations.alertmanager import AlertmanagerDestination
from cfa.destinations.by_apprise import AppriseDestination
from cfa.destinations.config import GATHERS, LOG_NAME, named
from cfa.destinations.config import Destination as Configured
from cfa.destinations.log import LogDestination
from cfa.destinations.pagerduty import PagerDutyDestination
from cfa.destinations.port import Destination
from cfa.destinations.slack import SlackDestination
from cfa.destinations.smtp import SmtpDestination
from cfa.destinations.webhook import WebhookDestination
from cfa.pacing import Pace

PAGES_FILE = "pages.log"

T = TypeVar("T")


def destinations(config: CfaConfig) -> list[Destination]:
    """The log first, then what is configured; raises ``RuntimeError`` when a package is missing."""
    return [_made(name, one, config) for name, one in named(config.destinations).items()]


def paces(config: CfaConfig) -> dict[str, Pace]:
    """How each destination is paced."""
    return {
        name: Pace(gathers=one.kind in GATHERS, group_seconds=one.group_seconds, most_per_minute=one.most_per_minute)
        for name, one in named(config.destinations).items()
        if name != LOG_NAME
    }


def _made(name: str, one: Configured, config: CfaConfig) -> Destination:
    console = config.console_url
    match one.kind:
        case "log":
            path = Path(one.url.removeprefix("file://")) if one.url else config.data_dir / PAGES_FILE
            return LogDestination(path, console)
        case "webhook":
            url = one.url_file or one.url
            return WebhookDestination(
                name, url, console, one.token_file, secret_file=one.secret_file, ca_file=one.ca_file
            )
        case "alertmanager":
            return AlertmanagerDestination(name, one.url, console, one.token_file, one.ca_file)
        case "pagerduty":
            return PagerDutyDestination(name, _given(one.routing_key_file), console, one.url, one.ca_file)
        case "slack":
            return SlackDestination(name, _given(one.url_file), console, one.ca_file)
        case "smtp":
            return SmtpDestination(name, _given(one.smtp), console)
        case "apprise":
            return AppriseDestination(name, _given(one.url_file), console)


def _given(value: T | None) -> T:
    """What the configuration's check has made sure of."""
    assert value is not None
    return value
