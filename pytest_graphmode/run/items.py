"""What the plugin keeps on pytest's items, and what tells from an item how it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from pytest_graphmode.run.concern import is_agreement
from pytest_graphmode.select import variants
from pytest_graphmode.select.registry import registry_of

if TYPE_CHECKING:
    from pytest_graphmode.handle import Handle
    from pytest_graphmode.ledger.recorder import Recorder
    from pytest_graphmode.records.recording import Recording
    from pytest_graphmode.run.locking import GraphLock
    from pytest_graphmode.run.telling import Facts
    from pytest_graphmode.select.variants import Variant

# On an item while it runs: its variant with the handle of it, its recorder, and what it recorded for agreement.
BOUND: Final[pytest.StashKey[tuple[Variant, Handle]]] = pytest.StashKey()
RECORDER: Final[pytest.StashKey[Recorder]] = pytest.StashKey()
RECORDING: Final[pytest.StashKey[Recording]] = pytest.StashKey()
# What a report is told of an item while it runs, in runs that write one.
FACTS: Final[pytest.StashKey[Facts]] = pytest.StashKey()
# On the configuration: the lock that counts are held against, in runs that have one.
LOCK: Final[pytest.StashKey[GraphLock]] = pytest.StashKey()
# On the item of a variant that is run to say more of a failure: it is in no report, record or count.
RERUN: Final[pytest.StashKey[bool]] = pytest.StashKey()
# On an item while its test function runs.
_CALLED: Final[pytest.StashKey[bool]] = pytest.StashKey()


@contextmanager
def in_call(item: pytest.Item) -> Iterator[None]:
    """Have reports that are made meanwhile known as those of subtests."""
    item.stash[_CALLED] = True
    try:
        yield
    finally:
        item.stash[_CALLED] = False


def is_of_subtest(item: pytest.Item) -> bool:
    """Whether a report that is just made is of a subtest, a part of the call, which pytest's hook does not say."""
    return item.stash.get(_CALLED, False)


def is_locked(node: pytest.Item) -> bool:
    return LOCK in node.config.stash and FACTS in node.stash and not is_agreement(node)


def id_of(item: pytest.Item) -> str:
    """An item's id, to the end of which xdist may add a group in `nodeid`."""
    return f"{item.parent.nodeid}::{item.name}"  # type: ignore[union-attr]


def variant_of(item: pytest.Item) -> Variant | None:
    """What an item runs as; None for one that has no variant.

    Raises:
        ValueError, TypeError: the test names it itself, and there is no such variant.
    """
    callspec = getattr(item, "callspec", None)
    value = callspec.params.get("graphmode") if callspec is not None else None
    if value is None or isinstance(value, variants.Variant):
        return value
    return None if is_agreement(item) else variants.named(value, registry_of(item.config).specs)


def fresh_recording(node: pytest.Item) -> Recording | None:
    """Where a run of a variant records its values; None for a test that has no agreement item."""
    if node.get_closest_marker("graph_agree") is None:
        return None
    from pytest_graphmode.records.recording import Recording

    node.stash[RECORDING] = Recording()
    return node.stash[RECORDING]


def skip_reason(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        # Before 8.4 pytest puts this word before what pytest.xfail() was given.
        return f"expected to fail: {report.wasxfail.removeprefix('reason: ')}".removesuffix(": ")
    return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr).removeprefix("Skipped: ")
