"""Rows that weigh: a ledger of many builds, and a process that runs many small variant tests."""

from __future__ import annotations

import tracemalloc

from tests.benchmarks.measure import Row, pytest_command, run
from tests.benchmarks.processes import folder

BUILDS = 10_000


def ledger() -> Row:
    from pytest_graphmode.ledger.identity import Identity
    from pytest_graphmode.ledger.ledger import BuildReport, tensor_argument, value_argument
    from pytest_graphmode.ledger.watcher import recording

    tracemalloc.start()
    with recording() as recorder:
        before, _ = tracemalloc.get_traced_memory()
        for index in range(BUILDS):
            arguments = (tensor_argument("x", "float32", (index, 3)), value_argument("training", bool(index % 2)))
            identity = Identity("step", f"/project/model_{index % 50}.py", index % 50)
            recorder.build(BuildReport("tf", "graph", identity, arguments, nodes=20, call_site="test_model.py:7"))
        after, _ = tracemalloc.get_traced_memory()
        assert recorder.ledger.builds == BUILDS
    tracemalloc.stop()
    used = (after - before) / 2**20
    return Row("memory of a ledger of 10,000 builds", f"{used:.1f} MB", "", used, 20, "MB")


# All tests of one backend come before those of the other, which would be imported between the two looks at the memory.
_SMALL = """
import numpy as np, pytest, tensorflow, torch

@pytest.mark.parametrize("number", range(COUNT))
def test_small(graphmode, number):
    step = graphmode.function(lambda x: x * 2 + number)
    assert graphmode.numpy(step(np.ones(3)))[0] == 2 + number
"""

_CONFTEST = """
import gc, psutil
SEEN = []

def resident():
    return psutil.Process().memory_info().rss

def pytest_runtest_logfinish(nodeid):
    SEEN.append(None)
    if len(SEEN) in (200, 2000):
        gc.collect()
        with open("resident.txt", "a") as out:
            out.write(f"{resident()}\\n")
"""


def growth() -> Row:
    """Resident memory after 2,000 tests against that after the first 200, by when everything is imported and warm."""
    with folder(test_small=_SMALL.replace("COUNT", "1000"), conftest=_CONFTEST) as path:
        run(pytest_command("--graph-backends=tf,torch", "test_small.py"), path)
        start, end = map(int, (path / "resident.txt").read_text().split())
    percent = 100 * (end - start) / start
    return Row("process growth over 2,000 variant tests", f"{end >> 20} MB", f"{start >> 20} MB", percent, 5, "%")


ROWS = {"ledger": ledger, "growth": growth}
