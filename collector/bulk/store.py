"""The counters' folder: log, checkpoint and sealed intervals, and the books in memory that they add up to (shell).

Layout: ``log-*.bin``, ``state-<segment>.bin``, ``names-*.bin`` (:mod:`collector.bulk.checkpoint`) and ``sealed/``.
Methods block; those under "the writer's thread" belong to one thread, the others to the keeper's (:mod:`collector.bulk.lane`).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from collector.bulk import checkpoint
from collector.bulk.books import Books, Decision, Limits, Registered, Taken, read
from collector.bulk.checkpoint import Snapshot
from collector.bulk.log import Log, replace_durably
from collector.bulk.refusals import BulkRefusedError
from collector.bulk.sealed import Sealed, SealedIntervals
from collector.bulk.tally import Tally
from collector.column_batch import decode
from collector.ledger_file import LedgerError

logger = logging.getLogger("collector")


@dataclass(frozen=True, slots=True)
class Kept:
    """A moment of the books to be written as a checkpoint: ``segment`` is the first of the log that is not in it."""

    segment: int
    snapshot: Snapshot


class CounterStore:
    """Books that survive kill -9."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        folder.mkdir(parents=True, exist_ok=True)
        self.sealed = SealedIntervals(folder / "sealed")
        self.sealing: dict[int, Tally] = {}
        self.first_segment = 1
        self._load()

    def close(self) -> None:
        """Let go of the files."""
        self.log.close()

    def _load(self) -> None:
        """The books from what is on disk; raises :class:`LedgerError` when that is damaged."""
        self.log = Log(self._folder)
        self.books = self._restored()
        records = 0
        for frame in self.log.replay(self.first_segment):
            self.books.replay(decode(frame), frame)
            records += 1
        if records:
            logger.info("counters: %d records of the log read again, cursor %d", records, self.books.cursor)

    def _restored(self) -> Books:
        paths = sorted(self._folder.glob("state-*.bin"))
        if not paths:
            books = Books(self._limits)
            books.through = self.sealed.through
            return books
        path = paths[-1]
        try:
            state = checkpoint.read_state(path.read_bytes())
            path = self._folder / state.names
            names = path.read_bytes()
            books = checkpoint.restore(state, names, self._limits, self.sealed.through)
        except (ValueError, OSError) as error:
            raise LedgerError(f"{path} cannot be used ({error}): restore the folder of counters from a copy") from error
        self.first_segment = state.segment
        return books

    # --- the writer's thread ----------------------------------------------------------------------------------------------------

    def apply(self, bodies: Sequence[bytes], *, at: float) -> list[Decision | BulkRefusedError]:
        """Take all of ``bodies``, durable on return with one fsync. After any other error than a refusal: :meth:`recover`."""
        answers: list[Decision | BulkRefusedError] = []
        for body in bodies:
            try:
                answers.append(self.books.take(read(body), body, at=at))
            except BulkRefusedError as refused:
                answers.append(refused)
        records = [a.record for a in answers if isinstance(a, Taken | Registered) and a.record is not None]
        if records:
            self.log.append(records)
        for answer in answers:
            if isinstance(answer, Taken):
                self.books.count(answer.told, answer.increments)
        return answers

    def recover(self) -> None:
        """After an error: what was not durable is cut off, and the books are read anew. Raises ``OSError`` when that fails too."""
        self.log.mend()
        self.log.close()
        self.sealing.clear()
        self._load()

    def take_out(self, start: int) -> tuple[Tally, int]:
        """An open interval's counts, for sealing, and the cursor up to which they have everything."""
        tally = self.sealing[start] = self.books.tallies.pop(start)
        return tally, self.books.cursor

    def put_back(self, start: int, tally: Tally) -> None:
        """Sealing failed: the counts are open again. Not after :meth:`recover`, which has them from the log."""
        if self.sealing.pop(start, None) is tally:
            self.books.tallies.setdefault(start, Tally()).merge(tally)

    def has_sealed(self, one: Sealed) -> None:
        """The interval's counts are in its file."""
        if self.sealing.pop(one.start, None) is None:
            # The books were read anew meanwhile, and hold from the log what the file has too: once more, now that it is there.
            self.log.close()
            self._load()
        self.books.through[one.start] = one.through

    def keep(self, *, forget_before: float) -> Kept:
        """What a checkpoint has to hold, at the beginning of a new segment of the log."""
        self.books.senders.forget(forget_before)
        return Kept(self.log.roll(), checkpoint.snapshot(self.books))

    def has_kept(self, kept: Kept, *, feed_bytes: int) -> None:
        """The checkpoint is on disk: what only the feed still needs may go when it is too much."""
        self.first_segment = kept.segment
        self.log.drop(before=kept.segment, keep_bytes=feed_bytes)

    # --- the keeper's thread --------------------------------------------------------------------------------------------------------

    def seal(self, start: int, tally: Tally, through: int) -> Sealed:
        """Write the interval's next version; raises ``OSError``."""
        return self.sealed.write(start, tally, through, self.books.dictionary)

    def write(self, kept: Kept) -> None:
        """Write a checkpoint, and delete the one before it; raises ``OSError``."""
        names = self._folder / kept.snapshot.names
        if not names.exists():
            replace_durably(names, checkpoint.names_file(kept.snapshot))
        state = self._folder / f"state-{kept.segment:010d}.bin"
        replace_durably(state, checkpoint.state_file(kept.snapshot, kept.segment))
        for pattern, current in (("state-*.bin", state), ("names-*.bin", names)):
            for path in self._folder.glob(pattern):
                if path != current:
                    path.unlink(missing_ok=True)
