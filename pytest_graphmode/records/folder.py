"""The folder that records are kept in: which file is whose, which record is stale, and which is the nearest.

Called by the agreement item and by `python -m pytest_graphmode records`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_graphmode.records import archive
from pytest_graphmode.records.archive import Record, RecordError
from pytest_graphmode.records.origin import Origin
from pytest_graphmode.records.recording import Recording

SUFFIX: Final = ".npz"
# Names that every file system takes, and tells apart if it doesn't know upper case. Windows takes none that ends with a
# dot, nor the names of its devices whatever their suffix.
_PLAIN: Final = re.compile(r"[a-z0-9_.,=+\[\]-]*[a-z0-9_=+\[\]-]")
_OTHERS: Final = re.compile(r"[^A-Za-z0-9_.,=+\[\]-]+")
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_LONGEST: Final = 60
_LONGEST_PATH: Final = 140


@dataclass(frozen=True)
class Folder:
    """A folder of records. Nothing outside of it is touched, whatever a test is called."""

    root: Path

    def file(self, origin: Origin) -> Path:
        name = _names([origin.variant.replace(":", "."), origin.label], origin.name)
        return place(self.root, origin.test) / ("@".join(name) + SUFFIX)

    def files(self, test: str) -> list[Path]:
        folder = place(self.root, test)
        try:
            return sorted(file for file in folder.iterdir() if file.suffix == SUFFIX) if folder.exists() else []
        except OSError as error:
            raise RecordError(f"{folder}: the records can't be read: {error.strerror}") from error

    def records(self, test: str, but: Container[Path] = ()) -> list[Record]:
        """The records of a test, but those in these files."""
        found = [archive.read(file) for file in self.files(test) if file not in but]
        for record in found:
            if record.origin.test != test:
                raise RecordError(f"{record.file}: it is a record of another test, {record.origin.test}: move it away")
        return found

    def write(self, origin: Origin, recording: Recording) -> None:
        """Keep a recording, in place of an older one."""
        file, before = self.file(origin), None
        try:
            if not file.parent.resolve().is_relative_to(self.root.resolve()):
                raise RecordError(f"{file}: it would be outside of {self.root}, by a link: remove that")
            if os.path.lexists(file) and (before := archive.read(file)).origin.test != origin.test:
                raise RecordError(f"{file}: it is a record of another test: move it away")
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            there = next((part for part in file.parents if part.exists()), self.root)
            reason = f"{there} is no folder" if not there.is_dir() else error.strerror
            raise RecordError(f"{file}: the record can't be written: {reason}") from error
        archive.write(file, origin, recording, before=before)

    def judge(self, origin: Origin, disagreed_with: str) -> None:
        """Note in a record what it does not agree with, "" where it does with all that it was compared with."""
        file = self.file(origin)
        record = archive.read(file)
        if record.disagreed_with != disagreed_with:
            archive.write(file, record.origin, record.recording(), disagreed_with)

    def all(self, suffix: str = SUFFIX) -> list[Path]:
        """All files with a suffix, those of other tests too; links to other folders are not followed."""
        return sorted(Path(at, name) for at, _, names in os.walk(self.root) for name in names if name.endswith(suffix))


def place(root: Path, test: str) -> Path:
    """The folder of a test in another one, by its id: never outside of that, and one of its own."""
    file, _, inside = test.partition("::")
    names, bracket, parameters = inside.partition("[")
    parts = [*file.split("/"), *names.split("::")]
    parts[-1] += bracket + parameters
    return root.joinpath(*_names(parts, test))


def _names(parts: Sequence[str], whole: str) -> list[str]:
    """Names of files and folders for the parts of an id; with a hash of it where they are not the parts themselves."""
    if all(map(_is_plain, parts)) and sum(map(len, parts)) <= _LONGEST_PATH:
        return list(parts)
    names = [_OTHERS.sub("_", part)[:_LONGEST].strip(".,") or "_" for part in parts]
    names = [f"_{name}" if _DEVICES.fullmatch(name) else name for name in names]
    if sum(map(len, names)) > _LONGEST_PATH:
        names = names[-1:]
    digest = hashlib.sha256(whole.encode(errors="surrogatepass")).hexdigest()
    return [*names[:-1], f"{names[-1]}-{digest[:16]}"]


def _is_plain(part: str) -> bool:
    return len(part) <= _LONGEST and _PLAIN.fullmatch(part) is not None and not _DEVICES.fullmatch(part)


def stale(record: Record, now: Origin, names: Iterable[str]) -> str | None:
    """Why a record can't be compared with what a test records now under these names; None where it can."""
    wanted, had = sorted(names), sorted(record.names)
    if record.origin.source != now.source:
        return "made by another version of the test's source"
    if record.origin.seed != now.seed:
        return f"made with seed {record.origin.seed}, not {now.seed}"
    if wanted != had:
        return f"it holds {', '.join(had) or 'nothing'}, and the test records {', '.join(wanted) or 'nothing'}"
    return None


def nearest(records: Sequence[Record], origin: Origin) -> Record:
    """The one of the same label, then the same variant, then the same backend, then the same dtype, then any."""
    kinds = ("label", "variant", "backend", "dtype", "device")

    def distance(record: Record) -> tuple[list[bool], str]:
        return [getattr(record.origin, kind) != getattr(origin, kind) for kind in kinds], record.origin.name

    return min(records, key=distance)
