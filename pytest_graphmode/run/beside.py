"""What the plugin does because of other plugins that run tests in several processes or threads.

Called by `plugin.py`, and by what reports a test's outcome.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import pytest

_EACH: Final = "graphmode_each"
_THREADS: Final = (
    "its graphs are counted, and its values recorded, for the whole process, where threads can't be told apart"
)


def introduce(node: Any) -> None:
    """Tell a worker of pytest-xdist whether others run the same tests (`--dist each`), which it is not told itself."""
    node.workerinput[_EACH] = node.config.getoption("dist") == "each"


def worker(config: pytest.Config) -> str:
    """`worker gw1: ` in a worker of `--dist each`, to go before what is said of a test; else nothing."""
    told = getattr(config, "workerinput", {})
    return f"worker {told['workerid']}: " if told.get(_EACH) else ""


def keep_to_one_thread(items: Iterable[pytest.Item]) -> None:
    """Have pytest-run-parallel run these tests in one thread, which says why (or skip them, if it is told to)."""
    for item in items:
        item.add_marker(pytest.mark.thread_unsafe(reason=_THREADS))
