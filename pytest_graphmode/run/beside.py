"""What the plugin does because of other plugins that run tests in several processes or threads.

Called by `plugin.py`, and by what reports a test's outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import pytest

GRAPHMODE: Final = "graphmode"
_THREADS: Final = (
    "its graphs are counted, and its values recorded, for the whole process, where threads can't be told apart"
)


def tell(node: Any, **said: object) -> None:
    """Tell a worker of pytest-xdist, before it starts, what it can't find out itself."""
    node.workerinput.setdefault(GRAPHMODE, {}).update(said)


def told(config: pytest.Config) -> Mapping[str, Any]:
    """What this worker of pytest-xdist was told; nothing in a process that is none."""
    said: Mapping[str, Any] = getattr(config, "workerinput", {}).get(GRAPHMODE, {})
    return said


def distributed(config: pytest.Config) -> bool:
    """Whether this process has workers of pytest-xdist run the tests: `--dist` alone, without `-n`, starts none."""
    return config.getoption("dist", "no") != "no" and bool(config.getoption("tx", None))


def on_this_host(spec: Any) -> bool:
    """Whether the specification of a worker is of one that this process starts itself, not `via` another host."""
    return bool(spec.popen) and not spec.via


def worker(config: pytest.Config) -> str:
    """`worker gw1: ` in a worker of `--dist each`, to go before what is said of a test; else nothing."""
    return f"worker {config.workerinput['workerid']}: " if told(config).get("each") else ""  # type: ignore[attr-defined]


def keep_to_one_thread(items: Iterable[pytest.Item]) -> None:
    """Have pytest-run-parallel run these tests in one thread, which says why (or skip them, if it is told to)."""
    for item in items:
        item.add_marker(pytest.mark.thread_unsafe(reason=_THREADS))
