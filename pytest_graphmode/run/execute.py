"""Runs a test: seeds, isolates, and watches its body. Called by `plugin.py`; `verdict.py` judges what was watched."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Final

import pytest

from pytest_graphmode.backends import lacking
from pytest_graphmode.backends.names import DEFAULT_DTYPE
from pytest_graphmode.backends.specs import keys
from pytest_graphmode.ledger.durations import CallTimes
from pytest_graphmode.ledger.watcher import recording, watcher
from pytest_graphmode.run import beside, devices, foreign, verdict
from pytest_graphmode.run.concern import is_agreement, limited
from pytest_graphmode.run.items import (
    BOUND,
    FACTS,
    LOCK,
    RECORDER,
    RERUN,
    fresh_recording,
    id_of,
    is_locked,
    variant_of,
)
from pytest_graphmode.select import variants
from pytest_graphmode.select.registry import registry_of

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Backend
    from pytest_graphmode.handle import Handle
    from pytest_graphmode.ledger.ledger import GraphBuild, GraphLedger
    from pytest_graphmode.ledger.recorder import Recorder
    from pytest_graphmode.select.registry import Registry
    from pytest_graphmode.select.settings import Settings
    from pytest_graphmode.select.variants import Variant


def test_of(node: pytest.Item) -> str:
    """The id of the test that an item belongs to, the same for all its variants and under every xdist mode."""
    callspec = getattr(node, "callspec", None)
    if callspec is None or "graphmode" not in callspec.params:
        return id_of(node)
    variant = variant_of(node)
    shown = "agreement" if is_agreement(node) else "no-variant" if variant is None else variant.id
    others = _without_variant(callspec.id, shown)
    head = f"{node.parent.nodeid}::{node.originalname}"  # type: ignore[attr-defined, union-attr]
    return f"{head}[{others}]" if others else head


def _without_variant(parameters: str, variant: str) -> str:
    """`3` of `tf-graph-cpu-3`: the variant stands first, since the plugin parametrizes before others do."""
    if parameters == variant:
        return ""
    if parameters.startswith(f"{variant}-"):
        return parameters[len(variant) + 1 :]
    before, _, after = parameters.partition(f"-{variant}")  # another plugin was quicker
    return before + after


def seed_of(seed: int, test: str) -> int:
    """A seed below 2**31 from `--graph-seed` and a test's id without its variant."""
    return zlib.crc32(f"{seed}:{test}".encode()) & 0x7FFFFFFF


@contextmanager
def running(request: pytest.FixtureRequest) -> Iterator[Handle]:
    """The handle of one variant of a test; what the test does to global state ends with it."""
    import numpy as np

    from pytest_graphmode.backends.tapping import received_by
    from pytest_graphmode.records.recording import receiver
    from pytest_graphmode.run.untouched import UntouchedHandle
    from pytest_graphmode.runtime import Runtime

    node, value, registry = request.node, getattr(request, "param", None), registry_of(request.config)
    if value is None:
        verdict.fail(node, NOT_PARAMETRIZED)
    variant = variants.named(value, registry.specs)
    backend = _installed(registry, variant)
    devices.require(node, registry, variant)
    mode = backend.mode(variant.mode, variant.device)
    seed = seed_of(registry.settings.seed, test_of(node))
    with ExitStack() as stack:
        stack.enter_context(_isolated(backend, variant))
        stack.enter_context(mode.scope())
        recorder = stack.enter_context(_recorded(node))
        _seed(backend, seed)
        runtime = Runtime(
            variant,
            backend,
            mode,
            recorder,
            rng=np.random.default_rng(seed),
            tolerances=registry.settings.tolerances,
            keys=keys(registry.specs),
            placement=devices.placement(registry, variant),
        )
        recorded = fresh_recording(node)
        stack.enter_context(received_by(None if recorded is None else receiver(runtime, recorded)))
        stack.enter_context(runtime.ending)
        handle = UntouchedHandle(runtime, skip=pytest.skip, recording=recorded)
        node.stash[BOUND] = variant, handle
        stack.callback(node.stash.__delitem__, BOUND)
        stack.callback(devices.release, node, backend, variant)
        yield handle


@contextmanager
def _isolated(backend: Backend, variant: Variant) -> Iterator[None]:
    """What a test does to global state ends with the block; a test whose dtype the backend lacks is skipped."""
    from pytest_graphmode.backends.python_mode import random_kept
    from pytest_graphmode.errors import UnsupportedError

    with ExitStack() as stack:
        stack.enter_context(backend.isolate())
        stack.enter_context(random_kept())
        try:
            stack.enter_context(backend.precision(variant.dtype))
        except UnsupportedError as error:
            pytest.skip(str(error))
        if devices.kind(variant.device) != "cpu" and hasattr(backend, "full_precision"):
            backend.full_precision()
        yield


def _installed(registry: Registry, variant: Variant) -> Backend:
    """The backend of a variant; one that the test named itself may not be installed, which skips."""
    try:
        return registry.backend(variant.backend)
    except ImportError:
        spec = registry.specs[variant.backend]
        if spec.installed:
            raise
        pytest.skip(f"{variant} was named by the test, and {spec.name} is not installed: {spec.hint}")


def _seed(backend: Backend, seed: int) -> None:
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    backend.seed(seed)


def seed_call(node: pytest.Item) -> None:
    """Seed right before a variant's function is called, since other plugins (pytest-randomly) do so for every call.

    Not as for the fixtures, or the body would draw the numbers that they have drawn already.
    """
    variant, registry = variant_of(node), registry_of(node.config)
    if variant is not None and BOUND in node.stash:
        seed = seed_of(registry.settings.seed, f"{test_of(node)}:call")
        _seed(registry.backend(variant.backend), seed)


@contextmanager
def _recorded(node: pytest.Item) -> Iterator[Recorder]:
    """A recorder for a test, where `body` finds it."""
    reported = registry_of(node.config).settings.reported
    with recording(on_build=_build_hook(node), reported=reported and RERUN not in node.stash) as recorder:
        if FACTS in node.stash or registry_of(node.config).settings.report:
            recorder.times = CallTimes()
        node.stash[RECORDER] = recorder
        try:
            yield recorder
        finally:
            del node.stash[RECORDER]


@contextmanager
def following(node: pytest.Item) -> Iterator[GraphLedger]:
    """The ledger of a test: of its handle, where it has one, or one of its own."""
    if RECORDER in node.stash:
        yield node.stash[RECORDER].ledger
        return
    with _recorded(node) as recorder:
        yield recorder.ledger


def _build_hook(node: pytest.Item) -> Callable[[GraphBuild], object] | None:
    hook = getattr(node.ihook, "pytest_graphmode_build", None)  # which is known once somebody implements it
    if hook is None or not hook.get_hookimpls() or RERUN in node.stash:
        return None
    return lambda build: hook(config=node.config, nodeid=node.nodeid, build=build)


def before_fixtures(node: pytest.Item) -> None:
    """A test that asserts counts starts from the frameworks' configuration that the run began with."""
    if limited(node) or is_locked(node):
        watcher.start()


def concerned(node: pytest.Item) -> bool:
    """Whether a test is watched: by a fixture, a marker, or since all are."""
    if registry_of(node.config).settings.watch:
        return not is_agreement(node)
    return RECORDER in node.stash or limited(node)


@contextmanager
def body(node: pytest.Item) -> Iterator[None]:
    """Around the call of a watched test: counting begins here, and the markers' verdict ends it."""
    __tracebackhide__ = True
    from pytest_graphmode.select import markers

    registry = registry_of(node.config)
    variant, _ = node.stash.get(BOUND, (None, None))
    try:
        limits = markers.limits(node.iter_markers(), registry.specs, node.own_markers, variant)
    except (TypeError, ValueError) as error:  # of a unittest method: others fail when they are collected
        verdict.fail(node, str(error))
    with following(node) as ledger:
        fresh, held = all(limit.fresh for limit in limits), bool(limits) or is_locked(node)
        if fresh and (held or "graph_ledger" in getattr(node, "fixturenames", ())):
            watcher.reset()  # what earlier tests left in the frameworks' caches changes no verdict
        trust = watcher.trust() if held else None
        node.stash[RECORDER].restart()
        started = perf_counter()
        try:
            lacking_skips = _skipped_where_lacking(node, registry, variant)
            with lacking_skips, foreign.noted(registry, variant), devices.awaited(node, registry, variant):
                yield
        finally:
            counted = _counted(ledger, registry.settings)
            _report(node, variant, counted, perf_counter() - started)
        if RERUN in node.stash:  # of interest are its values, and its counts may be another mode's
            return
        untrusted = {} if trust is None else trust.broken()
        verdict.judge(node, ledger, limits, untrusted)
        if is_locked(node):
            node.config.stash[LOCK].hold(node, counted, untrusted)


@contextmanager
def _skipped_where_lacking(node: pytest.Item, registry: Registry, variant: Variant | None) -> Iterator[None]:
    """Skip a test that fails for want of an operation in its variant's dtype, but never in the default one."""
    __tracebackhide__ = True
    try:
        yield
    except Exception as error:
        if variant is None or variant.dtype == DEFAULT_DTYPE or node.get_closest_marker("xfail"):
            raise
        backend = registry.backend(variant.backend)
        reason = backend.lacks(error, variant.dtype) if hasattr(backend, "lacks") else None
        if reason is None and not lacking.value_is_complex(error, variant.dtype):
            raise
        pytest.skip(f"{variant.backend} can't do this in {variant.dtype}: {reason or error}")


NOT_PARAMETRIZED: Final = (
    "graphmode must be an argument of the test, or of a fixture that is: its variants are made when the test is "
    "collected, which request.getfixturevalue and unittest.TestCase methods are too late for"
)


def _counted(ledger: GraphLedger, settings: Settings) -> GraphLedger:
    """What counts by the ini file's `graph_per_object` and `graph_within`."""
    if settings.per_object:
        ledger = ledger.per_object()
    return ledger.without_breaks_outside(settings.within) if settings.within else ledger


def _report(node: pytest.Item, variant: Variant | None, ledger: GraphLedger, seconds: float) -> None:
    """Attach what the test built to its report, from where the terminal, JUnit and other plugins read it."""
    from pytest_graphmode.report import PREFIX, properties, put, row

    test = beside.worker(node.config) + (node.nodeid if variant is None else test_of(node))
    kept = [entry for entry in node.user_properties if not entry[0].startswith(PREFIX)]  # a rerun reports anew
    _, handle = node.stash.get(BOUND, (None, None))
    runtime = None if handle is None else vars(handle)["runtime"]  # read so, it stays untouched
    static, times = runtime is not None and runtime.mode.static, node.stash[RECORDER].times or CallTimes()
    made = row(test, variant, ledger, seconds, static=static, times=times)
    node.user_properties[:] = [*kept, *properties(made, ledger)]
    put(node.user_properties, verdict="not judged")
    if FACTS in node.stash:
        node.stash[FACTS].counted(ledger, seconds, static=static, times=times)
