"""What a host's probes work with (shell)."""

from collections.abc import Sequence
from dataclasses import dataclass

from canary.attempt import Asker
from canary.checks import Checks
from canary.clock import Clock
from canary.config import CanaryConfig
from canary.confirm import Confirmer
from canary.keys import KeyBook
from canary.metrics import Metrics
from canary.plan import Host
from canary.pool import Pool
from canary.quarantine import Quarantine
from canary.questions import Questions
from canary.recorder import Recorder
from canary.reporter import Reporter
from canary.selfcheck import SelfCheckRunner
from canary.signature import Signer
from canary.transport.asks import AskSource


@dataclass(frozen=True, slots=True)
class Parts:
    """All of one host but the keys and the metrics, which hosts share. ``keys`` is None when there is no store to ask."""

    config: CanaryConfig
    host: Host
    host_count: int
    asker: Asker
    pool: Pool
    clock: Clock
    signer: Signer
    keys: KeyBook | None
    questions: Questions
    checks: Checks
    recorder: Recorder
    quarantine: Quarantine
    confirmer: Confirmer
    asks: Sequence[AskSource]
    reporter: Reporter
    selfcheck: SelfCheckRunner
    metrics: Metrics
