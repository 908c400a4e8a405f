"""Binds tests to variants: parametrizes, seeds, isolates, watches, and gives the verdict on a body that has run."""

from __future__ import annotations

import random
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Final

import pytest

from pytest_graphmode.ledger import places
from pytest_graphmode.ledger.watcher import recording, watcher
from pytest_graphmode.run import beside
from pytest_graphmode.run.items import BOUND, RECORDER, REGISTRY, fresh_recording, is_agreement, variant_of
from pytest_graphmode.select import naming
from pytest_graphmode.select.registry import Registry, accelerator_present, gather
from pytest_graphmode.select.settings import DEFAULT_BACKENDS, resolve

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet

    from pytest_graphmode.backends.base import Backend
    from pytest_graphmode.handle import Handle
    from pytest_graphmode.ledger.ledger import GraphBuild, GraphLedger
    from pytest_graphmode.ledger.recorder import Recorder
    from pytest_graphmode.select.settings import Settings
    from pytest_graphmode.select.variant import Variant


def configure(config: pytest.Config) -> Registry:
    """The registry of a run, from what the discovery hook offers and the options select.

    Raises:
        pytest.UsageError: an option, an ini value or a backend can't be used.
    """
    try:
        specs = gather(config.hook.pytest_graphmode_backends(config=config))
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"the hook pytest_graphmode_backends: {error}") from error
    registry = Registry(resolve(config, specs), specs)
    try:
        registry.check_devices()
    except ValueError as error:
        settings = registry.settings
        where = f"{settings.origin('graph_devices')}={settings.written['graph_devices']}"
        raise pytest.UsageError(f"{where}: {error}") from None
    for spec in specs.values():
        config.add_cleanup(watcher.register(spec.sources, spec))
    config.add_cleanup(places.shown_from(config.rootpath))
    return registry


def header(registry: Registry) -> str:
    """The line of `pytest_report_header`; it imports nothing, so devices that only a framework can tell are `all`."""
    settings, specs = registry.settings, registry.specs
    hints = " or ".join(specs[name].hint for name in DEFAULT_BACKENDS if name in specs)
    backends = ", ".join(f"{choice} {specs[choice.name].version_shown}" for choice in settings.backends)
    devices = ", ".join(settings.devices or (["all"] if accelerator_present() else ["cpu"]))
    return f"graphmode: {backends or f'no framework installed ({hints})'}; devices: {devices}; seed: {settings.seed}"


# Collection.


def _marks(node: pytest.Item) -> list[pytest.Mark]:
    """The marks on a test, its class and its module that are the plugin's, or look so, closest first."""
    return [mark for mark in node.iter_markers() if mark.name.startswith(("graph_", "graphmode"))]


def parametrize(metafunc: pytest.Metafunc, registry: Registry) -> None:
    """Give a test that uses `graphmode` its variants.

    Raises:
        ValueError, TypeError: a marker has wrong arguments.
    """
    marks = _marks(metafunc.definition)
    if marks:
        from pytest_graphmode.select import markers

        markers.refuse_unknown(marks, metafunc.config)
        markers.check(marks, registry.specs)
    if "graphmode" in metafunc.fixturenames and not naming.names_variants(metafunc.definition):
        metafunc.parametrize("graphmode", _params(registry, marks), indirect=True)


def _params(registry: Registry, marks: Sequence[pytest.Mark]) -> list[ParameterSet]:
    if marks:
        return _params_of(registry, marks)
    if registry.params is None:
        registry.params = _params_of(registry, marks)
    return registry.params


def _params_of(registry: Registry, marks: Sequence[pytest.Mark]) -> list[ParameterSet]:
    """A parameter for each variant, or the one skipped item that stands for a test without variants."""
    from pytest_graphmode.select import markers, selection

    request = markers.graphmode_request(marks, registry.specs)
    variants = selection.select(registry, request)
    if not variants:
        skip = pytest.mark.skip(reason=selection.reason_for_none(registry, request))
        return [pytest.param(None, id="no-variant", marks=skip)]
    extra = markers.variant_marks(marks, registry.specs)
    return [
        variant.param(entry.mark for entry in extra if entry.applies(variant, registry.specs)) for variant in variants
    ]


def mark_parameter(item: pytest.Item, registry: Registry) -> None:
    """Do what the marks of a single parameter ask for, as in `pytest.param(3, marks=pytest.mark.graph_skip(...))`.

    Raises:
        ValueError, TypeError: a marker has wrong arguments, or makes no sense on a parameter, or it names no variant.
    """
    from pytest_graphmode.select import markers

    variant, marks = variant_of(item), list(item.callspec.marks)  # type: ignore[attr-defined]
    if not marks:
        return
    markers.refuse_unknown(marks, item.config)
    markers.check(marks, registry.specs)
    if any(mark.name == "graphmode" for mark in marks):
        raise ValueError("@pytest.mark.graphmode can't narrow one parameter: use graph_skip(variants, reason=...)")
    if variant is not None:
        for entry in markers.variant_marks(marks, registry.specs):
            if entry.applies(variant, registry.specs):
                item.add_marker(entry.mark)


def check_unittest(obj: object, config: pytest.Config) -> None:
    """Find markers with unknown names on a unittest.TestCase, whose methods pytest does not parametrize.

    Raises:
        ValueError: there is one.
    """
    unittest = sys.modules.get("unittest")
    if unittest is None or not isinstance(obj, type) or not issubclass(obj, unittest.TestCase):
        return
    methods = [value for base in obj.__mro__ for value in vars(base).values()]
    found = [getattr(owner, "pytestmark", []) for owner in (obj, *methods)]
    marks = [mark for group in found for mark in (group if isinstance(group, list) else [group])]
    if any(mark.name.startswith("graph_") for mark in marks):
        from pytest_graphmode.select import markers

        markers.refuse_unknown(marks, config)


def may_agree(collector: pytest.Collector, obj: object, collected: Sequence[object]) -> bool:
    """Whether what was collected from an object needs a look by `agreement`; quick, since it is asked of everything."""
    if isinstance(obj, type):  # the mark may be on one method, where it would be silently without effect
        unittest = sys.modules.get("unittest")
        return unittest is not None and issubclass(obj, unittest.TestCase)
    if "graph_agree" in collector.keywords:
        return True
    return any(mark.name == "graph_agree" for node in collected for mark in getattr(node, "own_markers", ()))


def base_id(node: pytest.Item, variant: Variant) -> str:
    """A test's id without its variant, the same for all variants of one test and under every xdist mode."""
    name = getattr(node, "originalname", None) or node.name.partition("[")[0]
    callspec = getattr(node, "callspec", None)
    others = without_variant(callspec.id, variant.id) if callspec is not None else ""
    head = f"{node.parent.nodeid}::{name}" if node.parent is not None else name
    return f"{head}[{others}]" if others else head


def without_variant(parameters: str, variant: str) -> str:
    """`3` of `tf-graph-cpu-3`: the variant stands first, since the plugin parametrizes before others do."""
    if parameters == variant:
        return ""
    if parameters.startswith(f"{variant}-"):
        return parameters[len(variant) + 1 :]
    before, _, after = parameters.partition(f"-{variant}")  # another plugin was quicker
    return before + after


# Running.


def seed_of(seed: int, test: str) -> int:
    """A seed below 2**31 from `--graph-seed` and a test's id without its variant."""
    return zlib.crc32(f"{seed}:{test}".encode()) & 0x7FFFFFFF


@contextmanager
def running(node: pytest.Item, variant: Variant, registry: Registry) -> Iterator[Handle]:
    """The handle of one variant of a test; what the test does to global state ends with it."""
    import numpy as np

    from pytest_graphmode.errors import UnsupportedError
    from pytest_graphmode.run.untouched import UntouchedHandle
    from pytest_graphmode.runtime import Runtime

    try:
        backend = registry.backend(variant.backend)
    except ImportError:
        spec = registry.specs[variant.backend]
        if spec.installed:
            raise
        pytest.skip(f"{variant} was named by the test, and {spec.name} is not installed: {spec.hint}")
    mode = backend.mode(variant.mode, variant.device)
    seed = seed_of(registry.settings.seed, base_id(node, variant))
    with ExitStack() as stack:
        stack.enter_context(backend.isolate())
        stack.enter_context(_restored_random())
        try:
            stack.enter_context(backend.precision(variant.dtype))
        except UnsupportedError as error:
            pytest.skip(str(error))
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
            keys=registry.keys,
        )
        handle = UntouchedHandle(runtime, skip=pytest.skip, recording=fresh_recording(node))
        node.stash[BOUND] = variant, handle
        stack.callback(node.stash.__delitem__, BOUND)
        yield handle


def _seed(backend: Backend, seed: int) -> None:
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    backend.seed(seed)


def seed_call(node: pytest.Item) -> None:
    """Seed right before a variant's function is called, since other plugins (pytest-randomly) do so for every call.

    Not as for the fixtures, or the body would draw the numbers that they have drawn already.
    """
    variant, registry = variant_of(node), node.config.stash[REGISTRY]
    if variant is not None and BOUND in node.stash:
        seed = seed_of(registry.settings.seed, f"{base_id(node, variant)}:call")
        _seed(registry.backend(variant.backend), seed)


@contextmanager
def _recorded(node: pytest.Item) -> Iterator[Recorder]:
    """A recorder for a test, where `body` finds it."""
    with recording(on_build=_build_hook(node)) as recorder:
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
    hook = node.ihook.pytest_graphmode_build
    if not hook.get_hookimpls():
        return None
    return lambda build: hook(config=node.config, nodeid=node.nodeid, build=build)


@contextmanager
def _restored_random() -> Iterator[None]:
    import numpy as np

    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def limited(node: pytest.Item) -> bool:
    """Whether a marker asserts how often graphs are built in this test."""
    keywords = node.keywords
    return ("graph_rebuilds" in keywords or "graph_budget" in keywords) and not is_agreement(node)


def counted(node: pytest.Item) -> bool:
    """Whether a test uses what belongs to one run of it: a handle, a ledger, limits, or the values of its variants."""
    fixtures = getattr(node, "fixturenames", ())
    return "graphmode" in fixtures or "graph_ledger" in fixtures or limited(node) or is_agreement(node)


def concerned(node: pytest.Item, registry: Registry) -> bool:
    """Whether a test is watched: by a fixture, a marker, or since all are."""
    if registry.settings.watch:
        return not is_agreement(node)
    return RECORDER in node.stash or limited(node)


@contextmanager
def body(node: pytest.Item, registry: Registry) -> Iterator[None]:
    """Around the call of a watched test: counting begins here, and the markers' verdict ends it."""
    __tracebackhide__ = True
    from pytest_graphmode.checks.budget import Question, verdict
    from pytest_graphmode.run import failing
    from pytest_graphmode.select import markers

    variant, handle = node.stash.get(BOUND, (None, None))
    try:
        limits = markers.limits(node.iter_markers(), registry.specs, node.own_markers, variant)
    except (TypeError, ValueError) as error:  # of a unittest method: others fail when they are collected
        failing.fail(node, str(error))
    with following(node) as ledger:
        fresh = all(limit.fresh for limit in limits)
        if fresh and (limits or "graph_ledger" in getattr(node, "fixturenames", ())):
            watcher.reset()  # what earlier tests left in the frameworks' caches changes no verdict
        trust = watcher.trust() if limits else None
        node.stash[RECORDER].restart()
        started = perf_counter()
        try:
            yield
        finally:
            _report(node, variant, _counted(ledger, registry.settings), perf_counter() - started)
        if handle is not None and not handle.touched:
            failing.fail(node, _VACUOUS)
        if trust is None:
            return
        question = Question(
            ledger,
            variant,
            static=handle is None or handle.runtime.mode.static,
            per_object=registry.settings.per_object,
            within=registry.settings.within,
            untrusted=trust.broken(),
        )
        failure = verdict(question, limits)
        if failure is not None:
            failing.fail(node, failure, failing.in_brief(failure, ledger))


NOT_PARAMETRIZED: Final = (
    "graphmode must be an argument of the test, or of a fixture that is: its variants are made when the test is "
    "collected, which request.getfixturevalue and unittest.TestCase methods are too late for"
)
_VACUOUS: Final = (
    "the test asked for graphmode and never used it, so its variants all tested the same: "
    "use the handle in the body, or drop the argument"
)


def _counted(ledger: GraphLedger, settings: Settings) -> GraphLedger:
    """What counts by the ini file's `graph_per_object` and `graph_within`."""
    if settings.per_object:
        ledger = ledger.per_object()
    return ledger.without_breaks_outside(settings.within) if settings.within else ledger


def _report(node: pytest.Item, variant: Variant | None, ledger: GraphLedger, seconds: float) -> None:
    """Attach what the test built to its report, from where the terminal, JUnit and other plugins read it."""
    from pytest_graphmode.report import PREFIX, properties

    test = beside.worker(node.config) + (node.nodeid if variant is None else base_id(node, variant))
    kept = [entry for entry in node.user_properties if not entry[0].startswith(PREFIX)]  # a rerun reports anew
    node.user_properties[:] = [*kept, *properties(test, variant, ledger, seconds)]
