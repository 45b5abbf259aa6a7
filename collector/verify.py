"""Proves one or more ledgers whole, with their histories and counters, or names what is not (shell)."""

from collections.abc import Sequence
from pathlib import Path

from collector.audit_file import Senders, audit_file, audit_senders
from collector.bulk.audit import audit_counters
from collector.finding import Audit
from collector.history.audit import audit_history
from collector.history.store import Store


def verify(ledgers: Sequence[tuple[Path, Store | None]], histories: Sequence[Store] = ()) -> Audit:
    """Look at every ledger's folder with its history (None: it has none), and at ``histories`` without a folder.

    A sender's batches may be spread over several collectors: give all of them, or their holes are found.
    Raises ``FileNotFoundError`` for a folder without a ledger, ``HistoryUnavailable`` for a history that cannot be read.
    """
    audit = Audit()
    senders: Senders = {}
    recorded: dict[str, tuple[Store, dict[str, str]]] = {}
    for folder, store in ledgers:
        found = audit_file(folder, audit, senders)
        audit_counters(folder / "counters", audit, senders)
        if store is not None:
            _, known = recorded.setdefault(store.address, (store, {}))
            known |= found
    for store, known in recorded.values():
        audit_history(store, audit, known)
    for store in histories:
        if store.address not in recorded:
            audit_history(store, audit)
    audit_senders(senders, audit)
    return audit
