"""The table that `--graph-report` prints at the end of a run, and the functions that were built again most often."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from pytest_graphmode.ledger.describe import counted
from pytest_graphmode.report import COUNTS, Rebuilder, Row
from pytest_graphmode.report.payback import ENOUGH_CALLS, Pace, Payback, paybacks

NOTE: Final = (
    "build: seconds spent building; call: seconds of a warm call of graphmode.function, or else the rest of the test's "
    "time by its calls; ?: calls that the framework does not tell of"
)
PAID: Final = "pays: after how many calls a static graph has paid for its build, against the eager mode of its test"
_NO_CODE: Final = (
    "  torch:compile compiles with aot_eager here, which generates no code: --graph-compiler=inductor for its speed"
)
WORST: Final = 10
_UNITS: Final = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))


def _seconds(value: float) -> str:
    """Three digits with the unit that suits them: `12 us` is easier to read than 1.2e-05."""
    if not value:
        return "-"
    unit, scale = next((pair for pair in _UNITS if value >= 0.9995 * pair[1]), _UNITS[-1])
    return f"{value / scale:.3g} {unit}"


def _cells(row: Row) -> list[str]:
    calls = str(row.calls) if row.calls_known else f"{row.calls or ''}?"
    counts = [calls if name == "calls" else str(getattr(row, name)) for name in COUNTS]
    return [f"  {row.variant}", *counts, _seconds(row.build_seconds), _seconds(row.steady_seconds or row.call_seconds)]


def table(rows: Iterable[Row], *, generating: bool = True) -> list[str]:
    """The lines of the report, by test and variant; tests that built and called nothing are only counted.

    `generating` says whether torch's compiler backend is one that generates code.
    """
    rows = sorted(rows, key=lambda row: (row.test, row.variant))  # xdist's workers report in any order
    if not rows:
        return ["no test was watched: use graphmode or graph_ledger, or run with --graph-watch"]
    shown = [row for row in rows if row.builds or row.calls]
    lines = _aligned(shown, generating=generating) if shown else []
    idle = len(rows) - len(shown)
    if idle:
        lines.append(f"{counted(idle, 'watched test')} built and called no graph")
    return [*lines, *_worst(shown)]


def _aligned(rows: Sequence[Row], *, generating: bool) -> list[str]:
    """A line for each test, and under it one for each variant of it; below all what static graphs cost and gain."""
    paid = _paid(rows)
    cells, head = list(map(_cells, rows)), ["test, variant", *COUNTS, "build", "call"]
    if paid:
        cells = [[*texts, _calls(paid.get((row.test, row.variant)))] for texts, row in zip(cells, rows, strict=True)]
        head.append("pays")
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    lines, test = [_line(head, widths)], None
    for row, texts in zip(rows, cells, strict=True):
        if row.test != test:
            lines.append(row.test)
            test = row.test
        lines.append(_line(texts, widths))
    of_torch = any(variant.startswith("torch-compile-") for _, variant in paid)
    remarks = [_NO_CODE] if of_torch and not generating else []
    return [*lines, NOTE, *([PAID, *_reckoned(paid), *remarks] if paid else [])]


def _paid(rows: Sequence[Row]) -> dict[tuple[str, str], Payback]:
    """By test and variant what a graph cost and gains, in tests that have an eager variant too."""
    tests: dict[str, list[Pace]] = {}
    for row in rows:
        tests.setdefault(row.test, []).append(_pace(row))
    return {(test, found.variant): found for test, paces in tests.items() for found in paybacks(paces)}


def _pace(row: Row) -> Pace:
    calls, steady = row.calls if row.calls_known else None, row.steady_seconds or None
    return Pace(row.variant, row.static, row.build_seconds, steady, row.warm_up_seconds, calls, row.call_seconds)


def _calls(found: Payback | None) -> str:
    """`1319`, `never`, `?` where times are unknown; `~` before what was not measured around calls."""
    if found is None:
        return ""
    return "?" if found.calls is None else f"{'' if found.measured else '~'}{found.calls}"


def _reckoned(paid: Mapping[tuple[str, str], Payback]) -> Iterator[str]:
    """How these numbers come about, the dearest graphs first."""
    known = [(key, found) for key, found in paid.items() if found.calls is not None]
    known.sort(key=lambda pair: pair[1].build, reverse=True)
    if known:
        yield from ("", "static graphs against eager")
    for (test, variant), found in known[:WORST]:
        after = "never pays" if found.calls == "never" else f"pays after {found.calls} call{'s' * (found.calls != 1)}"
        cost = f"build {_seconds(found.build)}" + (f" and warm-up {_seconds(found.warm_up)}" if found.warm_up else "")
        graph, eager = _seconds(found.graph_call or 0.0), _seconds(found.eager_call or 0.0)
        yield f"  {variant} in {test} {after}"
        # The table may have another number of one of them, which was measured and has none to be compared with.
        about, shared = ("", "") if found.measured else ("about ", ", both as shares of the test's time")
        yield f"    {cost}; {about}{graph} a call against {eager} of {found.against}{shared}"
    if len(known) > WORST:
        yield f"  and {len(known) - WORST} more"
    if len(known) < len(paid):
        yield f"  ? where no function was called again, and not all calls are told, or fewer than {ENOUGH_CALLS}"


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = texts
    numbers = (text.rjust(width) for text, width in zip(others, widths[1:], strict=True))
    return " ".join([first.ljust(widths[0]), *numbers]).rstrip()


def _worst(rows: Iterable[Row]) -> list[str]:
    found = [(entry, row) for row in rows for entry in row.rebuilders]
    found.sort(key=lambda pair: pair[0].rebuilds, reverse=True)
    if not found:
        return []
    lines = [line for entry, row in found[:WORST] for line in _rebuilder(entry, row)]
    left = len(found) - WORST
    return ["", "worst rebuilders", *lines, *([f"  and {left} more"] if left > 0 else [])]


def _rebuilder(entry: Rebuilder, row: Row) -> list[str]:
    more = [f"    and {counted(entry.more_causes, 'more cause')}"] if entry.more_causes else []
    return [
        f"  {counted(entry.rebuilds, 'rebuild')} of {entry.function} ({entry.location}) in {row.test}, {row.variant}",
        *(f"    {cause}" for cause in entry.causes),
        *more,
    ]
