"""The file of `--graph-lock`: JSON, a line each test and backend:mode.

No two lines share a comma, for the last one never changes, so that git merges lines that were added or changed apart
from each other. Called by `run/locking.py` and `run/lock_keeping.py`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pytest_graphmode.records import replacing
from pytest_graphmode.report.lock import COUNTED, Counts

SCHEMA: Final = 1
_FIRST: Final = f'{{"schema": {SCHEMA}, "graphs": {{'
_LAST: Final = '"": {}}}'
_CONFLICT: Final = re.compile(r"<<<<<<< |\|\|\|\|\|\|\| |=======$|>>>>>>> ")


class LockError(Exception):
    """A file that can't be used as a lock; the message begins with its name and, where there is one, the line."""


def text_of(lines: Mapping[str, Counts]) -> str:
    """The whole file: sorted, a line each, the last one always the same."""
    entries = (f"{_spelled(line)}: {_spelled(lines[line].data())}," for line in sorted(lines))
    return "\n".join([_FIRST, *entries, _LAST, ""])


def _spelled(value: object) -> str:
    """JSON as people read it, but for half a surrogate pair, which no file holds."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def write(file: Path, lines: Mapping[str, Counts]) -> None:
    replacing.write(file, text_of(lines))


def read(file: Path, name: str) -> str | None:
    """The text of a lock, None where there is none yet."""
    try:
        return file.read_text(encoding="utf-8-sig") if file.exists() else None
    except OSError as error:
        raise LockError(f"{name}: it can't be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise LockError(f"{name}:{line}: it is no text in UTF-8: {_cure(name)}") from error


def parse(text: str | None, name: str) -> dict[str, Counts]:
    """The lines of a lock, however it is formatted."""
    if text is None:
        return {}
    rows = text.split("\n")
    for number, row in enumerate(rows, 1):
        if _CONFLICT.match(row.rstrip("\r")):
            raise LockError(
                f"{name}:{number}: a conflict of a merge: keep the lines of both sides and remove the marks; of two "
                "lines for one test keep one, and run its test with --graph-lock-update"
            )
    reader = _Reader(rows, name)
    try:
        data = json.loads(text, object_pairs_hook=reader.members, parse_int=reader.count)
    except json.JSONDecodeError as error:
        raise LockError(f"{name}:{error.lineno}: it is damaged ({error.msg}): {_cure(name)}") from None
    except (ValueError, RecursionError) as error:
        raise LockError(f"{name}:1: it is damaged ({error}): {_cure(name)}") from None
    return _checked(data, rows, name)


class _Reader:
    """Makes objects whose keys are there once, and counts; json has no word on where in the file they are."""

    def __init__(self, rows: Sequence[str], name: str) -> None:
        self._rows, self._name = rows, name
        self._seen: Counter[str] = Counter()

    def members(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            self._seen[key] += 1
            if key in found:
                row = _row(self._rows, key, self._seen[key])
                raise LockError(
                    f"{self._name}:{row}: {key!r} is there twice: keep one of the two, and run the test of its line "
                    "with --graph-lock-update"
                )
            found[key] = value
        return found

    def count(self, digits: str) -> int:
        """What Python reads no number from has more than 4,300 digits; nothing is built as often as 19 have."""
        if len(digits) > 18:
            row = next(number for number, row in enumerate(self._rows, 1) if digits in row)
            raise LockError(f"{self._name}:{row}: {digits[:20]}... is no count: {_cure(self._name)}")
        return int(digits)


def _checked(data: Any, rows: Sequence[str], name: str) -> dict[str, Counts]:
    schema = data.get("schema") if isinstance(data, dict) else None
    if type(schema) is not int or not isinstance(data.get("graphs"), dict):
        raise LockError(f"{name}:1: it is no lock of --graph-lock, which begins with {_FIRST}: {_cure(name)}")
    if schema != SCHEMA:
        raise LockError(
            f"{name}:{_row(rows, 'schema')}: its schema is {schema}, and this version of pytest-graphmode reads "
            f"{SCHEMA}: use the version that wrote it, or remove it and write it anew with --graph-lock-update"
        )
    lines = {}
    for line, entry in data["graphs"].items():
        if line:
            try:
                lines[line] = counts_of(line, entry)
            except ValueError as error:
                raise LockError(f"{name}:{_row(rows, line)}: {error}: {_cure(name)}") from None
    return lines


def counts_of(line: str, entry: Any) -> Counts:
    """What a line of a lock says.

    Raises:
        ValueError: no update writes such a line.
    """
    test, _, mode = line.rpartition(" ")
    if not test or not all(mode.partition(":")):
        raise ValueError(f"{line!r} is no test and backend:mode, as in 'test_net.py::test_net tf:graph'")
    if not isinstance(entry, dict):
        raise ValueError(f"{line!r} has no counts")
    operations = {"operations", "version"} if "operations" in entry or "version" in entry else set()
    if entry.keys() != {*COUNTED, *operations}:
        raise ValueError(
            f"{line!r} has {', '.join(entry) or 'nothing'}: it should have {', '.join(COUNTED)}, with or without "
            "operations and version"
        )
    for name, value in entry.items():
        if name == "version" and not isinstance(value, str):
            raise ValueError(f"version of {line!r} is {value!r}, no text like '2.21'")
        if name != "version" and (type(value) is not int or value < 0):
            raise ValueError(f"{name} of {line!r} is {value!r}, no count")
    return Counts(**entry)


def _row(rows: Sequence[str], key: str, which: int = 1) -> int:
    """The number of the row that a key stands in for the `which`th time."""
    spellings = {json.dumps(key), _spelled(key)}
    found = [number for number, row in enumerate(rows, 1) for one in spellings for _ in range(row.count(one))]
    return found[min(which, len(found)) - 1] if found else 1


def _cure(name: str) -> str:
    return f"restore it (git checkout -- {name}), or remove it and write it anew with --graph-lock-update"
