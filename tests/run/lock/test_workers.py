"""The lock under pytest-xdist."""

from pathlib import Path

import pytest

from pytest_graphmode.report.lock import Counts
from tests.project import Project, Result
from tests.run.lock.suite import GONE, LOCK, NET_1, NET_2, ONE, PLAIN, UPDATE, Run, add, edit, locked


@pytest.mark.slow
def test_workers(run: Run, toy: Project, lock: Path) -> None:
    pytest.importorskip("xdist")
    add(GONE)
    edit("        f(-1)", "        f(-1), f(-2.0)")
    edit(
        "def test_plain",
        "@pytest.mark.graph_agree\ndef test_two(graphmode):\n"
        "    graphmode.agree(x=graphmode.function(abs)(-1))\n\ndef test_plain",
    )

    def spread(*arguments: str, **outcomes: int) -> Result:
        return toy.run("--graph-backends=toy,numpy", LOCK, "-n2", *arguments, apart=True, **outcomes)

    result = spread(passed=6, failed=2)
    result.says(
        "*was 0 rebuilds, now 1, because *", "1 line missing in graphs.lock:", "1 line in graphs.lock without a test:"
    )
    spread(UPDATE, passed=8)
    several, two = locked(), Counts(2, 1, 0, 0)
    assert several == {NET_1: two, NET_2: two, PLAIN: ONE, "test_a.py::test_two toy:graph": ONE}
    run("--graph-backends=toy,numpy", passed=8)


@pytest.mark.slow
def test_a_test_that_a_worker_crashed_in_keeps_its_line(run: Run, toy: Project, lock: Path) -> None:
    pytest.importorskip("xdist")
    edit("    toylib.jit(abs)(-1)", "    import os; os._exit(1)")
    edit("        f(-1)", "        f(-1), f(-2.0)")
    toy.run("--graph-backends=toy", LOCK, "-n1", UPDATE, apart=True)
    assert locked() == {NET_1: Counts(2, 1, 0, 0), NET_2: Counts(2, 1, 0, 0), PLAIN: ONE}
