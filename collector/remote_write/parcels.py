"""Feed entries and frames into requests: the same entries and frames always give the same samples (pure)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from collector.merged import Changed, Sample, Totals, missed_sample, samples
from collector.observation import Vantage
from collector.remote_write import message
from collector.remote_write.frames import Frame, is_full
from collector.series import FeedEntry

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A series: its name and labels."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One request's series, each with all its points, so that requests may be sent in any order, and side by side."""

    series: tuple[tuple[bytes, tuple[tuple[int, float], ...]], ...]

    @property
    def samples(self) -> int:
        """How many samples it holds."""
        return sum(len(points) for _, points in self.series)

    def body(self) -> bytes:
        """As a ``WriteRequest``, not yet compressed."""
        return message.request(message.series(labels, points) for labels, points in self.series)

    def by_time(self) -> "list[Parcel]":
        """The same samples, a parcel for each time, in order: what is wrong with one must not cost the others."""
        times = sorted({at for _, points in self.series for at, _ in points})
        return [
            Parcel(tuple((labels, chosen) for labels, points in self.series if (chosen := _at(points, time))))
            for time in times
        ]


def _at(points: Sequence[tuple[int, float]], time: int) -> tuple[tuple[int, float], ...]:
    return tuple(point for point in points if point[0] == time)


class Packer:
    """Folds entries into ``totals`` and packs what is to be told of them."""

    def __init__(self, totals: Totals, *, external: Iterable[tuple[str, str]], step_ms: int, samples_max: int) -> None:
        self.totals = totals
        self._external = tuple(external)
        self._step_ms = step_ms
        self._samples_max = samples_max
        self._encoded: dict[Key, bytes] = {}
        self._told = {(name, labels) for name, labels, _ in self._samples(self._everything())}

    def pack(
        self, before: Frame, frames: Sequence[Frame], entries: Sequence[FeedEntry]
    ) -> tuple[list[Parcel], Changed]:
        """The parcels for ``frames``, and which totals have changed. ``entries``: all after ``before.cursor``, in order."""
        points: dict[Key, list[tuple[int, float]]] = {}
        ever = Changed()
        waiting = iter(entries)
        entry = next(waiting, None)
        for frame in frames:
            changed = Changed()
            while entry is not None and entry.cursor <= frame.cursor:
                self._fold(entry, changed)
                entry = next(waiting, None)
            ever.cells |= changed.cells
            ever.missed |= changed.missed
            self._tell(frame.at_ms, self._everything() if is_full(before, frame) else changed, points)
            before = frame
        return list(self._parcels(points)), ever

    def _everything(self) -> Changed:
        return Changed(set(self.totals.cells), set(self.totals.missed))

    def _fold(self, entry: FeedEntry, changed: Changed) -> None:
        recused = False
        if entry.vantage is not Vantage.SERVER:
            recused = self.totals.hear(entry.host, entry.health, entry.received_at)
        self.totals.fold(entry.readings, recused=recused, changed=changed)
        self.totals.miss(entry.zone, entry.unobserved, changed)

    def _samples(self, which: Changed) -> Iterator[Sample]:
        for cell in sorted(which.cells):
            yield from samples(cell, self.totals.cells[cell])
        for key in sorted(which.missed):
            yield missed_sample(key, self.totals.missed[key])

    def _tell(self, at_ms: int, which: Changed, points: dict[Key, list[tuple[int, float]]]) -> None:
        """A series begins with a zero one step before its first value: ``increase`` sees only what grows."""
        for name, labels, value in self._samples(which):
            key = (name, labels)
            mine = points.setdefault(key, [])
            if key not in self._told:
                self._told.add(key)
                mine.append((at_ms - self._step_ms, 0.0))
            mine.append((at_ms, float(value)))

    def _parcels(self, points: dict[Key, list[tuple[int, float]]]) -> Iterator[Parcel]:
        parcel: list[tuple[bytes, tuple[tuple[int, float], ...]]] = []
        size = 0
        for key, mine in points.items():
            if parcel and size + len(mine) > self._samples_max:
                yield Parcel(tuple(parcel))
                parcel, size = [], 0
            parcel.append((self._labels(key), tuple(mine)))
            size += len(mine)
        if parcel:
            yield Parcel(tuple(parcel))

    def _labels(self, key: Key) -> bytes:
        encoded = self._encoded.get(key)
        if encoded is None:
            name, labels = key
            own = {label for label, _ in labels}
            external = [pair for pair in self._external if pair[0] not in own]
            encoded = self._encoded[key] = message.labels(name, (*labels, *external))
        return encoded
