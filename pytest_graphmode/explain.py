"""The text of a ledger: each function with its builds, their causes and cures, the same for every framework.

Called by `GraphLedger.explain`, the failing assertions of `budget.py` and the terminal report.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_graphmode.ledger import GraphBuild, GraphLedger


def explain(ledger: GraphLedger) -> str:
    """One block a function, `nothing was built` for an empty ledger; no line ends in white space."""
    events = sorted(ledger.events, key=lambda event: event.group)
    blocks = [_function(list(builds), ledger) for _, builds in groupby(events, key=lambda event: event.group)]
    blocks += [f"  graph break at {entry.where}: {entry.reason}" for entry in ledger.graph_breaks]
    blocks += [
        f"  {entry.function} ({entry.location}) fell back to eager execution: {entry.reason}"
        for entry in ledger.fallback_reasons
    ]
    return "\n".join(blocks) if blocks else "  nothing was built"


def _function(builds: list[GraphBuild], ledger: GraphLedger) -> str:
    first = builds[0]
    count = ledger.built(first.group)
    times = "once" if count == 1 else f"{count} times"
    took = f" in {sum(build.seconds for build in builds):.2f} s" if not first.recorded else ""
    lines = [f"  {first.function} ({first.location}) {_VERB[first.recorded]} {times}{took}"]
    widths = _widths(builds)
    for build in builds:
        lines.append(_build(build, widths))
        lines += [f"       {cause}" for cause in build.causes]
    return "\n".join(lines)


_VERB = {False: "built", True: "recorded a graph"}


def _cells(build: GraphBuild) -> list[str]:
    return [f"{argument.name}: {argument.text}" for argument in build.arguments]


def _widths(builds: list[GraphBuild]) -> list[int]:
    rows = [[*map(len, _cells(build))] for build in builds]
    columns = max(map(len, rows))
    return [max(row[index] if index < len(row) else 0 for row in rows) for index in range(columns)]


def _build(build: GraphBuild, widths: list[int]) -> str:
    cells = _cells(build)
    padded = [
        (cell + ("," if index + 1 < len(cells) else "")).ljust(width + 1)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=False))
    ]
    where = f"   called from {build.call_site}" if build.call_site else ""
    nodes = f"{build.nodes:>5} nodes" if not build.failed else "  failed   "
    return f"    {build.number:<3}{' '.join(padded)}    {nodes}{where}".rstrip()
