"""Prints the table of the speed budget: `python -m tests.benchmarks [ROW ...]`."""

from __future__ import annotations

import argparse
import platform

from tests.benchmarks import calls, memory, processes
from tests.benchmarks.measure import Row

ROWS = {**processes.ROWS, **calls.ROWS, **memory.ROWS}
HEAD = ("what", "ours", "counterpart", "measured", "limit", "")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("row", nargs="*", help="rows to measure (default: all of them)")
    names = parser.parse_args().row or list(ROWS)
    print(f"CPython {platform.python_version()}, {platform.machine()}; medians of pairs run in turn")
    print(table([ROWS[name]() for name in names]))


def table(rows: list[Row]) -> str:
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


if __name__ == "__main__":
    main()
