"""The text of a ledger: each function with its builds, their causes and hints, the same for every framework.

Called by `GraphLedger.explain`, the failing assertions of `budget.py` and the terminal report.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING, Final

from pytest_graphmode.ledger.builds import AFTER_BREAK
from pytest_graphmode.ledger.describe import counted, listed

if TYPE_CHECKING:
    from pytest_graphmode.ledger.ledger import GraphBuild, GraphLedger

# A function with more builds, or a build with more arguments, is shown by its first and last.
_MOST_BUILDS: Final = 20
_MOST_ARGUMENTS: Final = 8
_RECORDED: Final = (
    "an eager framework records a graph on every call: allow for it, or run the function in a static mode"
)


def explain(ledger: GraphLedger) -> str:
    """One block a function, `nothing was built` for an empty ledger; no line ends in white space."""
    blocks = [_function(builds, ledger) for builds in _by_function(ledger.events)]
    blocks += [f"  graph break at {entry.where}: {entry.reason}" for entry in ledger.graph_breaks]
    blocks += [
        f"  {entry.function} ({entry.location}) fell back to eager execution: {entry.reason}"
        for entry in ledger.fallback_reasons
    ]
    notes = [f"  note: {note}" for note in ledger.notes]
    return "\n".join([*(blocks or ["  nothing was built"]), *_machinery(ledger), *notes])


def _by_function(events: Sequence[GraphBuild]) -> list[list[GraphBuild]]:
    """The builds of each function, the rest of one after a graph break behind the function itself."""
    ordered = sorted(events, key=lambda event: event.group)
    groups = [list(builds) for _, builds in groupby(ordered, key=lambda event: event.group)]
    heads = {(builds[0].function, builds[0].file): builds[0].group for builds in reversed(groups)}

    def position(builds: list[GraphBuild]) -> tuple[int, int]:
        first = builds[0]
        name = first.function.removesuffix(AFTER_BREAK)
        parent = heads.get((name, first.file), first.group) if first.resumed else first.group
        return parent, first.group

    return sorted(groups, key=position)


def _machinery(ledger: GraphLedger) -> Iterator[str]:
    """What was built besides, so that nobody misses it in the counts."""
    names = dict.fromkeys(f"{build.function} ({build.location})" for build in ledger.internal)
    if names:
        count = counted(len(ledger.internal), "build")
        yield f"  not counted: {count} of the framework's own machinery, {listed(names)}"


def _function(builds: Sequence[GraphBuild], ledger: GraphLedger) -> str:
    first = builds[0]
    count = ledger.built(first.group)
    times = {0: "again without a graph", 1: "once"}.get(count, f"{count} times")
    took = f" in {sum(build.seconds for build in builds):.2f} s" if not first.recorded else ""
    built = "recorded a graph" if first.recorded else "built"
    head = f"  {first.function} ({first.location}) {built} {times}{took}"
    causes = [f"       {_RECORDED}"] if first.recorded and count > 1 else []
    return "\n".join([head, *_rows(builds), *causes])


def _rows(builds: Sequence[GraphBuild]) -> Iterator[str]:
    """The lines of a function's builds; `skipped` of them are summed up."""
    half = _MOST_BUILDS // 2
    skipped = max(len(builds) - _MOST_BUILDS, 0)
    shown = [*builds[:half], *builds[half + skipped :]]
    signatures = _aligned([_cells(build) for build in shown])
    digits = len(str(shown[-1].number))
    for position, (build, signature) in enumerate(zip(shown, signatures, strict=True)):
        if skipped and position == half:
            yield f"    ... {skipped} more builds"
        where = f"   called from {build.call_site}" if build.call_site else ""
        yield f"    {build.number:<{digits}}  {signature}{_size(build)}{where}".rstrip()
        for cause in build.causes:
            yield f"       {cause}"


def _cells(build: GraphBuild) -> list[str]:
    cells = [f"{argument.name}: {argument.text}" for argument in build.arguments]
    if len(cells) > _MOST_ARGUMENTS:
        cells[_MOST_ARGUMENTS - 1 :] = [f"and {len(cells) - _MOST_ARGUMENTS + 1} more"]
    return [f"{cell}," for cell in cells[:-1]] + cells[-1:]


def _aligned(rows: Sequence[list[str]]) -> list[str]:
    """Each row's cells as one text, columns under each other and all texts of one length."""
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    texts = [" ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
    longest = max(map(len, texts))
    return [text.ljust(longest) for text in texts]


def _size(build: GraphBuild) -> str:
    if build.failed:
        return f"{'failed':>19}"
    if build.graphless:
        return f"{'no graph':>19}"
    return f"{build.nodes:>13} {'node ' if build.nodes == 1 else 'nodes'}"
