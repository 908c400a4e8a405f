"""The tests that runs with a lock have here, the lines of their lock, and what changes either."""

from collections.abc import Callable
from pathlib import Path

from pytest_graphmode.report.lock import Counts
from pytest_graphmode.report.lock_file import parse, read, write
from tests.project import Result

LOCK = "--graph-lock=graphs.lock"
UPDATE = "--graph-lock-update"
SUITE = """
import toylib

@pytest.mark.parametrize("size", [1, 2])
def test_net(graphmode, size):
    f = graphmode.function(abs)
    for _ in range(size):
        f(-1)

def test_plain(graph_ledger):
    toylib.jit(abs)(-1)
"""
NET_1, NET_2 = "test_a.py::test_net[1] toy:graph", "test_a.py::test_net[2] toy:graph"
PLAIN, GONE = "test_a.py::test_plain toy:graph", "test_a.py::test_gone toy:graph"
ONE = Counts(1, 0, 0, 0)
ALL = {NET_1: ONE, NET_2: ONE, PLAIN: ONE}
Run = Callable[..., Result]


def locked(file: str = "graphs.lock") -> dict[str, Counts]:
    return parse(read(Path(file), file), file)


def add(*lines: str) -> None:
    """Add lines to the lock, by hand."""
    write(Path("graphs.lock"), {**locked(), **dict.fromkeys(lines, ONE)})


def edit(before: str, after: str, file: str = "test_a.py") -> None:
    text = Path(file).read_text(encoding="utf-8")
    assert before in text
    Path(file).write_text(text.replace(before, after), encoding="utf-8")
