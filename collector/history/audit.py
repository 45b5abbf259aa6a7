"""Whether a history is whole: every file, every manifest, every sum, and nothing that should not be there (shell)."""

import hashlib
import io
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from collector.finding import Audit, holes
from collector.history import arrow, layout, manifest
from collector.history.layout import DAY_SECONDS, OUTCOME_COLUMNS
from collector.history.manifest import Manifest, ManifestError, Part
from collector.history.plan import Known
from collector.history.store import HistoryUnavailable, Store


def audit_history(store: Store, audit: Audit, recorded: Mapping[str, str] | None = None) -> None:
    """Read every object. ``recorded``: path → digest of the manifests that a ledger's SQLite file knows.

    Raises :class:`HistoryUnavailable` when there is nothing to be had at all.
    """
    paths = set(store.list())
    manifests, removed = _manifests(store, paths, audit)
    for path, digest in (recorded or {}).items():
        if path not in manifests and path in paths:
            continue  # damaged, which has been said
        if path not in manifests:
            audit.find("manifest_missing", path, "the ledger knows it, the history has it no more")
        elif manifests[path].digest != digest:
            audit.find("manifest_changed", path, "it is not the one that the ledger wrote")
    _chains(manifests, audit)
    named = {part.path for one in manifests.values() for part in one.parts}
    for path in sorted(paths - named - set(manifests) - removed):
        if not path.startswith("manifests/"):
            audit.find("unknown_file", path, "no manifest names it: a reader of the folder would count it")
    live = {path: one for path, one in manifests.items() if layout.removal(path) not in removed}
    reading = _Reading(store, paths, audit)
    for path, one in live.items():
        if one.seconds != DAY_SECONDS:
            reading.hour(path, one)
            audit.checked["versions"] += len(one.versions)
    _versions(live, audit)
    reading.days(live)


def _manifests(store: Store, paths: set[str], audit: Audit) -> tuple[dict[str, Manifest], set[str]]:
    found: dict[str, Manifest] = {}
    removed = {path for path in paths if path.endswith(".removed.json")}
    for path in sorted(one for one in paths - removed if one.startswith("manifests/")):
        audit.checked["manifests"] += 1
        try:
            one = manifest.decode(store.read(path))
        except (ManifestError, HistoryUnavailable, FileNotFoundError) as error:
            audit.find("damaged_manifest", path, str(error))
            continue
        naming = layout.day_manifest if one.seconds == DAY_SECONDS else layout.hour_manifest
        if path != naming(one.start, one.ledger, one.number):
            audit.find("manifest_misplaced", path, "it speaks of another hour, ledger or number")
        found[path] = one
    return found, removed


def _chains(manifests: Mapping[str, Manifest], audit: Audit) -> None:
    """Each ledger's manifests are numbered without holes, and each holds the digest of the one before."""
    for ledger in sorted({one.ledger for one in manifests.values()}):
        chain = {one.serial: (path, one) for path, one in manifests.items() if one.ledger == ledger}
        for first, last in holes(chain):
            audit.find("manifest_missing", f"ledger {ledger}", f"manifests {first}–{last} are not there")
        for serial, (path, one) in sorted(chain.items()):
            before = chain.get(serial - 1)
            if before is not None and one.previous != before[1].digest:
                audit.find("manifest_changed", before[0], f"{path} was written after another one than this")


Sums = dict[tuple[int, int], tuple[int, list[int]]]
"""``(start, version)`` → rows, and the sum of each outcome."""


class _Reading:
    """Files against their manifests; the sums of those that are well are remembered, for the days."""

    def __init__(self, store: Store, paths: set[str], audit: Audit) -> None:
        self._store = store
        self._paths = paths
        self._audit = audit
        self._sums: dict[str, Sums] = {}

    def hour(self, path: str, one: Manifest) -> None:
        """An hour's files against its manifest, and its roll-ups against its intervals."""
        said = {(v.start, v.version): v.rows for v in one.versions}
        found = [(part, self._part(part)) for part in one.parts]
        for part, sums in found:
            for start, version in (sums or {}).keys() - said.keys():
                self._audit.find("unknown_version", part.path, f"interval {start} version {version} is not in {path}")
        if any(sums is None for _, sums in found):
            return
        whole = _added([sums for part, sums in found if part.kind == "intervals" and sums])
        for (start, version), rows in said.items():
            have = whole.get((start, version), (0, []))[0]
            if have != rows:
                self._audit.find("rows_differ", path, f"interval {start} version {version}: {have} rows, not {rows}")
        for part, sums in found:
            if part.kind in layout.ROLLUPS and _counts(sums or {}) != _counts(whole):
                self._audit.find("sums_differ", part.path, f"{path}: the roll-up does not add up to the intervals")

    def days(self, live: Mapping[str, Manifest]) -> None:
        """A day's roll-up is the sum of the versions that it says it holds."""
        known = Known()
        for path, one in live.items():
            known.add(path, one)
        for path, one in live.items():
            if one.seconds == DAY_SECONDS:
                wanted = {sealed.start: sealed.version for sealed in one.versions}
                hours = [reading.manifest for reading in known.hours(one.ledger, wanted)]
                for part in one.parts:
                    self._day(path, part, wanted, hours)

    def _day(self, path: str, part: Part, wanted: Mapping[int, int], hours: Sequence[Manifest]) -> None:
        sums = self._part(part)
        pieces = [self._sums.get(piece.path) for hour in hours for piece in hour.of_kind(part.kind)]
        if sums is None or None in pieces:
            return
        held = [
            {key: value for key, value in (piece or {}).items() if wanted.get(key[0]) == key[1]} for piece in pieces
        ]
        if _counts(sums) != _counts(_added(held)):
            self._audit.find("sums_differ", part.path, f"{path}: the day does not add up to its hours")

    def _part(self, part: Part) -> Sums | None:
        """The file's sums; None, and the finding, when it is not what the manifest says."""
        if part.path not in self._paths:
            self._audit.find("file_missing", part.path, "a manifest names it")
            return None
        self._audit.checked["files"] += 1
        data = self._store.read(part.path)
        if len(data) != part.bytes or hashlib.sha256(data).hexdigest() != part.sha256:
            problem = f"its SHA-256 is not that of its manifest ({len(data)} bytes, {part.bytes} said)"
            self._audit.find("damaged_file", part.path, problem)
            return None
        try:
            table = pq.read_table(io.BytesIO(data))
        except (pa.ArrowException, OSError) as error:
            self._audit.find("damaged_file", part.path, f"not a Parquet file: {error}")
            return None
        self._audit.checked["rows"] += table.num_rows
        if table.num_rows != part.rows or arrow.sums(table) != part.sums:
            self._audit.find("sums_differ", part.path, "rows or sums are not those of its manifest")
            return None
        self._sums[part.path] = _by_version(table)
        return self._sums[part.path]


def _counts(sums: Sums) -> dict[tuple[int, int], list[int]]:
    return {key: counts for key, (_, counts) in sums.items()}


def _added(many: Sequence[Sums]) -> Sums:
    total: Sums = {}
    for sums in many:
        for key, (rows, counts) in sums.items():
            have = total.get(key, (0, [0] * len(counts)))
            total[key] = (have[0] + rows, [a + b for a, b in zip(have[1], counts, strict=True)])
    return total


def _by_version(table: pa.Table) -> Sums:
    if not table.num_rows:
        return {}
    starts, versions = arrow.starts_of(table), table["version"].to_numpy().astype(np.int64)
    keys, place = np.unique(np.stack([starts, versions]), axis=1, return_inverse=True)
    place = place.reshape(-1)
    rows = np.bincount(place, minlength=keys.shape[1])
    counts = np.zeros((len(OUTCOME_COLUMNS), keys.shape[1]), dtype=np.int64)
    for row, name in enumerate(OUTCOME_COLUMNS):
        np.add.at(counts[row], place, table[name].to_numpy())
    return {
        (int(start), int(version)): (int(rows[i]), counts[:, i].tolist()) for i, (start, version) in enumerate(keys.T)
    }


def _versions(live: Mapping[str, Manifest], audit: Audit) -> None:
    versions: dict[tuple[str, int], list[int]] = {}
    for path, one in live.items():
        for sealed in one.versions if one.seconds != DAY_SECONDS else ():
            have = versions.setdefault((one.ledger, sealed.start), [])
            if sealed.version in have:
                audit.find(
                    "version_twice", path, f"interval {sealed.start} version {sealed.version} is in another file, too"
                )
            have.append(sealed.version)
    for (ledger, start), have in versions.items():
        for first, last in holes(have):
            audit.find(
                "version_missing", f"ledger {ledger}, interval {start}", f"versions {first}–{last} are not there"
            )
