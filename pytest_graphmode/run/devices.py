"""What a variant's device needs around a test: that it is there, that its errors and memory are this test's alone.

Called by `execute.py`.
"""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Backend
    from pytest_graphmode.backends.placement import Placement
    from pytest_graphmode.select.registry import Registry
    from pytest_graphmode.select.variants import Variant

_FAILED: Final = pytest.StashKey[bool]()
_LATE: Final = (
    "{device} said so when it was waited for at the end of the test: it computes later than it is told to, so that an "
    "operation anywhere in the test can be what failed"
)


def kind(device: str) -> str:
    """`gpu` for `gpu:1`."""
    return device.partition(":")[0]


class _Lost(NamedTuple):
    """A device that failed so that nothing but a new process can use it, as after an assertion in a CUDA kernel."""

    variant: Variant
    test: str
    reason: str


_LOST: Final = pytest.StashKey[_Lost]()


def require(node: pytest.Item, registry: Registry, variant: Variant) -> None:
    """Skip a variant that the test named itself and that has no device here; fail where an option promised one.

    A device that was lost takes its framework with it, and with the driver what other frameworks have there.
    """
    lost = node.config.stash.get(_LOST, None)
    if lost and (variant.backend == lost.variant.backend or kind(variant.device) == kind(lost.variant.device)):
        raise pytest.fail.Exception(
            f"{variant} can't run in this process any more: {lost.test} left {lost.variant.device} of "
            f"{lost.variant.backend} unusable ({lost.reason}). Mend that test first, or run this one apart from it",
            pytrace=False,
        )
    if variant.device == "cpu":
        return
    there = registry.backend(variant.backend).devices()
    if variant.device in there:
        return
    has = f"{variant.backend} has {', '.join(there)}"
    if variant.device in registry.there(variant.backend):
        origin, count = registry.settings.origin("graph_logical_cpus"), registry.settings.logical_cpus
        raise pytest.fail.Exception(
            f"{origin}={count} made no {variant.device}: {has}, since something else has divided the CPU", pytrace=False
        )
    pytest.skip(f"{variant} was named by the test, and there is no {variant.device} here: {has}")


def placement(registry: Registry, variant: Variant) -> Placement | None:
    """What results are checked against: nothing where there is only the CPU for them."""
    from pytest_graphmode.backends.placement import Placement

    alone = variant.device == "cpu" and registry.there(variant.backend) == ("cpu",)
    return None if alone else Placement(variant.device, variant.id)


@contextmanager
def awaited(node: pytest.Item, registry: Registry, variant: Variant | None) -> Iterator[None]:
    """Around a test's body: what its device computes is done when the block ends, and what failed fails this test."""
    synchronize = None if variant is None else getattr(registry.backend(variant.backend), "synchronize", None)
    if variant is None or synchronize is None:
        yield
        return
    try:
        yield
    except BaseException:
        node.stash[_FAILED] = True
        with suppress(Exception):  # what else went wrong is no later test's either
            synchronize(variant.device)
        raise
    try:
        synchronize(variant.device)
    except Exception as error:
        node.stash[_FAILED] = True
        if hasattr(error, "add_note"):  # since Python 3.11
            error.add_note(_LATE.format(device=variant.device))
        raise


def release(node: pytest.Item, backend: Backend, variant: Variant) -> None:
    """After a test that failed on an accelerator, which may be for want of memory: the next one has all of it.

    What the failed one made is held by its frames, which `sys.last_value` keeps for a debugger until the next test.
    """
    failed = node.stash.get(_FAILED, False)
    node.stash[_FAILED] = False
    if not failed or kind(variant.device) == "cpu":
        return
    error = getattr(sys, "last_value", None)
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        for frame, _ in traceback.walk_tb(error.__traceback__):
            _ = frame.f_locals  # pytest has read it, and up to Python 3.12 that left a copy, brought up to date here
        error = error.__cause__ or error.__context__
    gc.collect()
    if hasattr(backend, "release_memory"):
        try:
            backend.release_memory(variant.device)
        except Exception as lost:
            reason = str(lost).strip().partition("\n")[0] or type(lost).__name__
            node.config.stash.setdefault(_LOST, _Lost(variant, node.nodeid, reason))
