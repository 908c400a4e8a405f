"""What `python -m pytest_graphmode records` does with folders: list one, compare two, remove what belongs to no test.

Each function yields lines, those that are no good news as `Complaint`.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from pytest_graphmode.ledger.describe import counted
from pytest_graphmode.records import archive
from pytest_graphmode.records.archive import Record, RecordError
from pytest_graphmode.records.disagreement import Allowed, Pair, Side, disagreement
from pytest_graphmode.records.folder import Folder, nearest, stale
from pytest_graphmode.records.replacing import UNFINISHED

# A file that a run began to write so long ago has no one any more who would end it.
_ABANDONED: Final = 3600.0


class Complaint(str):
    """A line that makes the command fail."""


def listing(root: Path) -> Iterator[str]:
    for test, records in _by_test(found := list(_read(root))).items():
        yield test
        width = max(len(record.origin.name) for record in records)
        yield from (f"  {record.origin.name:{width}}  {_summary(record)}" for record in records)
    yield from (line for line in found if isinstance(line, Complaint))


def _summary(record: Record) -> str:
    origin = record.origin
    names = [_counted(entry) for kind in ("values", "taps") for entry in record.description[kind]]
    shown = ", ".join(names if len(names) <= 6 else [*names[:5], f"{len(names) - 5} more"])
    seed = f"seed {origin.seed}, " if origin.seed else ""
    apart = f", did not agree with {record.disagreed_with}" if record.disagreed_with else ""
    return f"{shown} ({seed}Python {origin.python}, {origin.platform}, {_size(record.size)}){apart}"


def _counted(entry: dict[str, Any]) -> str:
    steps = sum(run["steps"] for run in entry["runs"])
    return entry["name"] if steps == 1 else f"{entry['name']} x{steps}"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.4g} GB"


def _read(root: Path) -> Iterator[Record | Complaint]:
    return map(_record, Folder(root).all())


def _record(file: Path) -> Record | Complaint:
    try:
        return archive.read(file)
    except RecordError as error:
        return Complaint(str(error))


def _by_test(found: Iterable[Record | Complaint]) -> dict[str, list[Record]]:
    tests: dict[str, list[Record]] = {}
    for record in found:
        if isinstance(record, Record):
            tests.setdefault(record.origin.test, []).append(record)
    return dict(sorted(tests.items()))


def diff(before: Path, after: Path, allowed: Allowed) -> Iterator[str]:
    """How the records of a folder differ from the nearest ones of another, by the words of the agreement item."""
    found = [list(_read(root)) for root in (before, after)]
    yield from (line for lines in found for line in lines if isinstance(line, Complaint))
    old, new = map(_by_test, found)
    failures: list[str | None] = []
    for test in sorted({*old, *new}):
        if test not in old or test not in new:
            yield Complaint(f"{test}: only in {before if test in old else after}")
            continue
        for record in new[test]:
            reference = nearest(old[test], record.origin)
            failures.append(_difference((record, after), (reference, before), allowed))
            if failures[-1] is not None:
                yield Complaint(f"{test}:\n{failures[-1]}")
    differing = len(failures) - failures.count(None)
    differ = f"{differing or 'none'} of them {'differs' if differing == 1 else 'differ'}"
    yield f"{counted(len(failures), 'record')} compared, {differ}"


def _difference(after: tuple[Record, Path], before: tuple[Record, Path], allowed: Allowed) -> str | None:
    side, reference = (
        Side(f"{root}/{record.origin.name}", record.origin.dtype, record.origin.device, record.recording)
        for record, root in (after, before)
    )
    record, wanted = after[0], before[0]
    reason = stale(record, wanted.origin, record.names)
    notes = [] if reason is None else [f"{side.name} was {reason}."]
    try:
        return disagreement([Pair(side, reference, allowed, "the record")], notes)
    except RecordError as error:  # damaged since it was looked through
        return str(error)


def test_files(root: Path) -> set[str]:
    return {record.origin.test.partition("::")[0] for record in _read(root) if isinstance(record, Record)}


def prune(root: Path, tests: Container[str], *, dry: bool) -> Iterator[str]:
    """Remove the records of tests that are not among `tests`, and what killed runs left; `dry` only tells."""
    told = "would remove" if dry else "removed"
    for found in _read(root):
        if isinstance(found, Complaint):
            yield found
        elif found.origin.test not in tests:
            yield f"{told} {found.file}: there is no test {found.origin.test}"
            _remove(found.file, root, dry=dry)
    for file in Folder(root).all(UNFINISHED):
        if time.time() - file.stat().st_mtime > _ABANDONED:
            yield f"{told} {file}: a run that was killed left it"
            _remove(file, root, dry=dry)


def _remove(file: Path, root: Path, *, dry: bool) -> None:
    if dry:
        return
    file.unlink()
    for folder in file.relative_to(root).parents:
        if folder == Path() or any((root / folder).iterdir()):
            break
        (root / folder).rmdir()
