"""What `--graph-lock` locks: what a test counted, how that compares with its line, and what an update changes.

`lock_file.py` reads and writes the lines, `run/locking.py` holds tests against them and `run/lock_keeping.py` updates
them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from pytest_graphmode.backends.names import DEFAULT_DTYPE

COUNTED: Final = ("builds", "rebuilds", "breaks", "fallbacks")
# What a report has as `failed_by` of a test that all but the lock was content with.
BY_LOCK: Final = "lock"
Modes = Mapping[str, Mapping[str, int]]
Item = Mapping[str, Any]


class Counts(NamedTuple):
    """What one test built in one mode.

    Attributes:
        operations: those captured in first builds; None where they are not locked.
        version: major.minor of the framework that captured them.
    """

    builds: int = 0
    rebuilds: int = 0
    breaks: int = 0
    fallbacks: int = 0
    operations: int | None = None
    version: str = ""

    def data(self) -> dict[str, Any]:
        locked = self._asdict()
        return locked if self.operations is not None else {name: locked[name] for name in COUNTED}


class Seen(NamedTuple):
    """What one test built in one mode in this run; `place` is `@gpu:0[float64]`, "" on the CPU and for plain tests."""

    test: str
    mode: str
    place: str
    counts: Counts

    @property
    def line(self) -> str:
        return f"{self.test} {self.mode}{self.place}"

    @property
    def line_of_mode(self) -> str:
        return f"{self.test} {self.mode}"


Lines = Mapping[str, Counts]


def test_in(line: str) -> str:
    """`test_net.py::test_net` of `test_net.py::test_net tf:graph@gpu:0`."""
    return line.rpartition(" ")[0]


def mode_in(line: str) -> str:
    """`tf:graph` of `test_net.py::test_net tf:graph@gpu:0`."""
    return re.split(r"[@\[]", line.rpartition(" ")[2])[0]


def by_test(lines: Lines) -> dict[str, dict[str, Counts]]:
    found: dict[str, dict[str, Counts]] = {}
    for line, counts in lines.items():
        found.setdefault(test_in(line), {})[line] = counts
    return found


# What a test counted.


class Frameworks(NamedTuple):
    """What there is that could count.

    Attributes:
        versions: of the installed frameworks, by the names of their backends.
        counting: the backends whose tests have a line also where nothing was counted.
    """

    versions: Mapping[str, str]
    counting: Collection[str]


def seen(test: str, item: Item, frameworks: Frameworks) -> Iterator[Seen]:
    """What is locked of a test, from the `variant` and `modes` that its report tells.

    A variant has one line, of all that it built: what autograd records on every call belongs to it in its own mode
    alone. A plain test has a line for each mode in which it built graphs that are built once and run many times.
    """
    variant, modes = item["variant"], item["modes"]
    static = {mode: counted for mode, counted in modes.items() if not counted["recorded"]}
    if variant is None:
        found = [Seen(test, mode, "", _summed({mode: counted}, mode, frameworks)) for mode, counted in static.items()]
        yield from (one for one in found if any(one.counts[: len(COUNTED)]))
        return
    own = f"{variant['backend']}:{variant['mode']}"
    counted = {**static, **({own: modes[own]} if own in modes else {})}
    place = "" if variant["device"] == "cpu" else f"@{variant['device']}"
    place += "" if variant["dtype"] == DEFAULT_DTYPE else f"[{variant['dtype']}]"
    counts = _summed(counted, own, frameworks)
    if variant["backend"] in frameworks.counting or any(counts[: len(COUNTED)]):
        yield Seen(test, own, place, counts)


def unshown(test: str, found: Iterable[Seen], lines: Lines, frameworks: Frameworks) -> Iterator[Seen]:
    """The modes that a plain test has `lines` of and built nothing in, though their frameworks are installed."""
    shown = {one.line for one in found}
    for line in lines:
        mode = mode_in(line)
        if line not in shown and mode.partition(":")[0] in frameworks.versions:
            nothing = _summed({}, mode, frameworks)
            yield Seen(test, mode, line.rpartition(" ")[2].removeprefix(mode), nothing)


def _summed(modes: Modes, own: str, frameworks: Frameworks) -> Counts:
    """The counts of all modes, and the operations that the framework of `own` captured."""
    backend = own.partition(":")[0]
    operations = sum(one["operations"] for mode, one in modes.items() if mode.partition(":")[0] == backend)
    version = frameworks.versions.get(backend, "unknown")
    release = re.match(r"\d+\.\d+", version)
    sums = {name: sum(one[name] for one in modes.values()) for name in COUNTED}
    return Counts(**sums, operations=operations, version=release.group() if release else version)


# Comparison.


class Change(NamedTuple):
    """One count that is another than the lock has."""

    name: str
    before: int
    after: int
    worse: bool

    def __str__(self) -> str:
        what = self.name.removesuffix("s") if self.before == 1 else self.name
        return f"was {self.before} {what.replace('_', ' ')}, now {self.after}"


def changes(locked: Counts, now: Counts) -> Iterator[Change]:
    """More rebuilds, breaks and fallbacks are worse, and so is less that is built or captured: it compiles no more.

    Rebuilds are builds as well, so what is built is compared without them.
    """
    for name in COUNTED[1:]:
        before, after = getattr(locked, name), getattr(now, name)
        if before != after:
            yield Change(name, before, after, after > before)
    before, after = locked.builds - locked.rebuilds, now.builds - now.rebuilds
    if before != after and locked.rebuilds == now.rebuilds:
        yield Change("builds", locked.builds, now.builds, after < before)
    elif before != after:
        yield Change("first_builds", before, after, after < before)
    if locked.operations is not None and now.operations is not None and locked.version == now.version:
        before, after = locked.operations, now.operations
        if before != after:
            yield Change("operations", before, after, after < before)


def line_for(lines: Lines, one: Seen) -> str | None:
    """The line that holds for a variant or plain test: its own, else that of its mode; None where there is neither."""
    return next((line for line in (one.line, one.line_of_mode) if line in lines), None)


# Update.


def updated(lines: Lines, items: Iterable[Item], frameworks: Frameworks, *, operations: bool) -> dict[str, Counts]:
    """The lines with what the tests that may be taken have counted; those of all others are left as they are.

    `operations` has operations locked too; otherwise they are where the line had them.
    """
    kept, found, locked = dict(lines), [], by_test(lines)
    for item in items:
        if may_be_taken(item):
            here = list(seen(item["test"], item, frameworks))
            found += here
            if item["variant"] is None:
                for one in unshown(item["test"], here, locked.get(item["test"], {}), frameworks):
                    kept.pop(one.line, None)
    return merged(kept, found, operations=operations)


def may_be_taken(item: Item) -> bool:
    """Whether an update takes what a test counted: it passed, or failed by the lock alone."""
    passed = item["outcome"] == "passed" or (item["outcome"] == "failed" and item.get("failed_by") == BY_LOCK)
    return passed and item.get("counts") is not None


def merged(lines: Lines, found: Iterable[Seen], *, operations: bool) -> dict[str, Counts]:
    """The lines with what tests counted now; a mode has further lines only for devices and dtypes that differ."""
    result = dict(lines)
    by_mode: dict[str, list[Seen]] = {}
    for one in found:
        by_mode.setdefault(one.line_of_mode, []).append(one)
    for mode, group in by_mode.items():
        group.sort(key=lambda one: one.place)  # the CPU and the usual dtype first
        if not group[0].place or mode not in lines:
            first = group.pop(0)
            result.pop(first.line, None)
            result[mode] = _counts(first, lines.get(mode), operations)
        for one in group:
            result.pop(one.line, None)
            counts = _counts(one, lines.get(one.line, lines.get(mode)), operations)
            if counts != result[mode]:
                result[one.line] = counts
    return result


def _counts(one: Seen, before: Counts | None, operations: bool) -> Counts:
    if operations or (before is not None and before.operations is not None):
        return one.counts
    return one.counts._replace(operations=None, version="")


def told(before: Lines, after: Lines) -> list[str]:
    said = []
    for line in sorted({*before, *after}):
        old, new = before.get(line), after.get(line)
        if old is None and new is not None:
            said.append(f"{line}: new")
        elif new is None:
            said.append(f"{line}: removed")
        elif old is not None and old != new:
            said.append(f"{line}: {', '.join(map(str, changes(old, new))) or 'operations locked anew'}")
    return said
