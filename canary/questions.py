"""What a cell asks at a tick, and what must be true of the answer: operations, items and history brought together (pure)."""

from collections.abc import Callable, Sequence

import msgspec

from canary.history import Before, History, Wrong
from canary.plan import SINGLE, Cell, Host, Key, Subject, is_second_turn, item_prefix, key_index, peer, subject
from canary.probes import answers, dynamodb
from canary.probes.dynamodb import Question
from canary.probes.items import BadItem, ItemKey
from collector.observation import OperationClass

BATCH_KEYS = 4


class Asked(msgspec.Struct, frozen=True):
    """One question under way. ``check`` reads the body of a good answer; ``ended`` is told how it went, whatever came.

    ``check`` raises :class:`~canary.probes.items.BadItem` or says what is wrong; its second argument is when the answer came.
    ``one_partition``: the answer's node and partition are those of ``key``.
    """

    question: Question
    key: Key
    check: Callable[[bytes, float], Wrong | None]
    ended: Callable[[bool, float], None]
    one_partition: bool


class Turn(msgspec.Struct, frozen=True):
    """When and where: the tick's number, the keys there are, monotonic ``at`` and the wall clock. ``key``: this one, not the tick's."""

    number: int
    keys: Sequence[Key]
    at: float
    wall_ms: int
    key: Key | None = None


def _nothing(_good: bool, _at: float) -> None:
    """Reads change nothing when they end."""


class Questions:
    """One host's questions to a table."""

    def __init__(self, table: str, host: Host, everyone: Sequence[Host], history: History) -> None:
        self._table = table
        self._host = host
        self._everyone = tuple(everyone)
        self._history = history
        self._makers: dict[OperationClass, Callable[[Cell, Key, Turn], Asked]] = {
            OperationClass.WRITE: self._write,
            OperationClass.STRONG_READ: self._read,
            OperationClass.EVENTUAL_READ: self._read,
            OperationClass.QUERY: self._query,
            OperationClass.TRANSACTION: self._transaction,
            OperationClass.BATCH: self._batch,
            OperationClass.CONTROL: self._control,
        }

    def ask(self, cell: Cell, turn: Turn) -> Asked:
        """The question of a cell at a turn; a write is under way from now on."""
        key = turn.key or turn.keys[key_index(turn.number, cell.index, self._host.rank, len(turn.keys))]
        return self._makers[cell.operation](cell, key, turn)

    def _subject(self, cell: Cell, turn: Turn) -> Subject:
        return Subject.MAIN if turn.key else subject(cell.operation, turn.number, len(turn.keys))

    def _prefix(self, cell: Cell, host: Host | None = None) -> str:
        return item_prefix((host or self._host).name, cell.endpoint, cell.connection)

    def _write(self, cell: Cell, key: Key, turn: Turn) -> Asked:
        about = self._subject(cell, turn)
        brief = about is Subject.BRIEF
        deletes = brief and is_second_turn(turn.number, len(turn.keys))
        return self.write_item((key.pk, self._prefix(cell) + about), key, turn, brief=brief, deletes=deletes)

    def write_item(self, item: ItemKey, key: Key, turn: Turn, *, brief: bool = False, deletes: bool = False) -> Asked:
        """PutItem or DeleteItem of an item of our own."""
        history = self._history
        what = history.begin_write(item, at=turn.at, written_ms=turn.wall_ms, brief=brief, deletes=deletes)
        asked = dynamodb.delete(self._table, item) if deletes else dynamodb.put(self._table, item, what)

        def ended(good: bool, at: float) -> None:
            history.end_write(item, version=what.version, acknowledged=good, at=at)

        return Asked(asked, key, _any_object, ended, one_partition=True)

    def _read(self, cell: Cell, key: Key, turn: Turn) -> Asked:
        about = self._subject(cell, turn)
        other = peer(self._everyone, self._host, turn.number, len(turn.keys)) if about is Subject.PEER else None
        name = Subject.BRIEF if about is Subject.BRIEF else Subject.MAIN
        strong = cell.operation is OperationClass.STRONG_READ
        return self.read_item((key.pk, self._prefix(cell, other) + name), key, turn, strong=strong, own=other is None)

    def read_item(self, item: ItemKey, key: Key, turn: Turn, *, strong: bool, own: bool = True) -> Asked:
        """GetItem of an item of ours, or of another zone's host."""
        history, before = self._history, self._history.begin_read(item, turn.at)

        def check(body: bytes, at: float) -> Wrong | None:
            return history.end_read(item, before, answers.one(body, item), strong=strong, at=at, own=own)

        return Asked(dynamodb.get(self._table, item, strong=strong), key, check, _nothing, one_partition=True)

    def _query(self, cell: Cell, key: Key, turn: Turn) -> Asked:
        prefix = self._prefix(cell)
        expected = {
            prefix + name: self._before((key.pk, prefix + name), turn) for name in (Subject.BRIEF, Subject.MAIN)
        }

        def check(body: bytes, at: float) -> Wrong | None:
            found, covered = answers.queried(body, key.pk, prefix)
            for sort_key, before in expected.items():
                if covered is None or sort_key <= covered:
                    got = found.get(sort_key)
                    wrong = self._history.end_read((key.pk, sort_key), before, got, strong=True, at=at)
                    if wrong is not None:
                        return wrong
            return None

        return Asked(dynamodb.query(self._table, key.pk, prefix), key, check, _nothing, one_partition=True)

    def _batch(self, cell: Cell, key: Key, turn: Turn) -> Asked:
        first = turn.keys.index(key) if key in turn.keys else 0
        chosen = [turn.keys[(first + i) % len(turn.keys)] for i in range(min(BATCH_KEYS, len(turn.keys)))]
        items = tuple((one.pk, self._prefix(cell) + Subject.MAIN) for one in chosen)
        befores = {item: self._before(item, turn) for item in items}

        def check(body: bytes, at: float) -> Wrong | None:
            for item, got in answers.batch(body, self._table, items).items():
                wrong = self._history.end_read(item, befores[item], got, strong=True, at=at)
                if wrong is not None:
                    return wrong
            return None

        return Asked(dynamodb.batch_get(self._table, items), key, check, _nothing, one_partition=False)

    def _transaction(self, cell: Cell, key: Key, turn: Turn) -> Asked:
        """Written and read in turns: two items, in two partitions where there are two."""
        first = turn.keys.index(key) if key in turn.keys else 0
        other = turn.keys[(first + 1) % len(turn.keys)]
        pair = f"{self._prefix(cell)}pair/{key.pk}+{other.pk}/"
        items = ((key.pk, pair + "a"), (other.pk, pair + "b"))
        # Rounds, not ticks: each pair is written in one round over the keys and read in the next.
        reads = turn.number // len(turn.keys) % 2 == 1
        return self._transact_get(items, key, turn) if reads else self._transact_write(items, key, turn)

    def _transact_write(self, items: tuple[ItemKey, ...], key: Key, turn: Turn) -> Asked:
        history = self._history
        what = history.begin_write(*items, at=turn.at, written_ms=turn.wall_ms)

        def ended(good: bool, at: float) -> None:
            history.end_write(*items, version=what.version, acknowledged=good, at=at)

        asked = dynamodb.transact_write(self._table, [(item, what) for item in items])
        return Asked(asked, key, _any_object, ended, one_partition=False)

    def _transact_get(self, items: tuple[ItemKey, ...], key: Key, turn: Turn) -> Asked:
        befores = [self._before(item, turn) for item in items]

        def check(body: bytes, at: float) -> Wrong | None:
            for item, before, got in zip(items, befores, answers.transaction(body, items), strict=True):
                wrong = self._history.end_read(item, before, got, strong=True, at=at)
                if wrong is not None:
                    return wrong
            return None

        return Asked(dynamodb.transact_get(self._table, items), key, check, _nothing, one_partition=False)

    def _control(self, cell: Cell, key: Key, turn: Turn) -> Asked:
        """Two descriptions, then a list."""
        lists = (turn.number + cell.index) % 3 == 2

        def check(body: bytes, _at: float) -> Wrong | None:
            if lists:
                answers.listed(body)
            else:
                answers.described(body, self._table)
            return None

        asked = dynamodb.list_tables() if lists else dynamodb.describe_table(self._table)
        return Asked(asked, key, check, _nothing, one_partition=False)

    def _before(self, item: ItemKey, turn: Turn) -> Before:
        return self._history.begin_read(item, turn.at)


def _any_object(body: bytes, _at: float) -> Wrong | None:
    answers.parsed(body)
    return None


def judged(asked: Asked, body: bytes, at: float) -> Wrong | None:
    """What is wrong with the content of a good answer, None for nothing."""
    try:
        return asked.check(body, at)
    except BadItem as bad:
        return Wrong(bad.reason, str(bad))


KEYED = SINGLE | {OperationClass.QUERY}
"""Operations on one partition: those that a partition's quarantine asks again."""
