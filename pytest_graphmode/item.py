"""Binds tests to variants: parametrizes, seeds, isolates, watches, and gives the verdict on a body that has run."""

from __future__ import annotations

import random
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_graphmode import markers
from pytest_graphmode.backends.base import Backend, BackendSpec
from pytest_graphmode.options import BackendChoice, Settings
from pytest_graphmode.variant import Variant

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet

    from pytest_graphmode.handle import Handle


@dataclass
class Registry:
    """The one registered object of a pytest session: its settings, the backends there are and those loaded."""

    settings: Settings
    specs: Mapping[str, BackendSpec]
    loaded: dict[str, Backend] = field(default_factory=dict)

    def backend(self, name: str) -> Backend:
        if name not in self.loaded:
            self.loaded[name] = self.specs[name].load()
        return self.loaded[name]

    def devices(self, name: str) -> tuple[str, ...]:
        """The devices of a backend; only `cpu`, without importing it, where the machine has no accelerator."""
        return tuple(self.backend(name).devices()) if accelerator_present() else ("cpu",)


REGISTRY = pytest.StashKey[Registry]()
HANDLE = pytest.StashKey["Handle"]()


def accelerator_present() -> bool:
    """Whether this machine can have a GPU: a device node of a driver, or macOS on arm64."""
    if sys.platform == "darwin":
        import platform

        return platform.machine() == "arm64"
    if sys.platform == "win32":
        return True
    return any(
        Path(node).exists() for node in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg", "/dev/accel0")
    )


def parametrize(metafunc: pytest.Metafunc, registry: Registry) -> None:
    """Give a test that uses `graphmode` its variants.

    Raises:
        ValueError, TypeError: a marker has wrong arguments.
    """
    marks = list(metafunc.definition.iter_markers())
    markers.limits(marks, registry.specs)  # wrong arguments are found at collection
    if "graphmode" not in metafunc.fixturenames:
        return
    request = markers.graphmode_request((mark for mark in marks if mark.name == "graphmode"), registry.specs)
    variants = select(registry, request)
    extra = markers.variant_marks(marks, registry.specs)
    if variants:
        params = [variant.param([entry.mark for entry in extra if entry.applies(variant)]) for variant in variants]
    else:
        params = [_skipped(registry, request)]
    metafunc.parametrize("graphmode", params, indirect=True)


def select(registry: Registry, request: markers.GraphmodeRequest) -> list[Variant]:
    """The variants of a test, in the order backend, mode, device, dtype of the command line."""
    settings = registry.settings
    wanted = None if request.backends is None else {choice.name: choice for choice in request.backends}
    dtypes = [dtype for dtype in settings.dtypes if request.dtypes is None or dtype in request.dtypes]
    variants = []
    for choice in settings.backends:
        if wanted is not None and choice.name not in wanted:
            continue
        asked = wanted[choice.name].modes if wanted is not None else None
        for mode in _modes(choice, asked, registry.specs[choice.name]):
            for device in _devices(registry, choice.name, request):
                variants += [Variant(choice.name, mode, device, dtype) for dtype in dtypes]
    return variants


def _modes(choice: BackendChoice, asked: tuple[str, ...] | None, spec: BackendSpec) -> Sequence[str]:
    if choice.modes is None:
        return asked or (spec.default_mode,)
    return [mode for mode in choice.modes if asked is None or mode in asked]


def _devices(registry: Registry, backend: str, request: markers.GraphmodeRequest) -> list[str]:
    present = registry.devices(backend)
    allowed = [names for names in (registry.settings.devices, request.devices) if names is not None]
    return [device for device in present if all(device in names for names in allowed)]


def check_devices(registry: Registry) -> None:
    """Raise pytest.UsageError for a device named in the settings that no selected backend has."""
    if registry.settings.devices is None or not registry.settings.backends:
        return
    present = dict.fromkeys(device for choice in registry.settings.backends for device in registry.devices(choice.name))
    for device in registry.settings.devices:
        if device not in present:
            raise pytest.UsageError(
                f"--graph-devices: there is no {device} here; the selected backends have {', '.join(present)}"
            )


def _skipped(registry: Registry, request: markers.GraphmodeRequest) -> ParameterSet:
    """The one skipped item that stands for a test without variants, with the reason and the cure."""
    if not registry.settings.backends:
        cures = " or ".join(registry.specs[name].cure for name in ("tf", "torch") if name in registry.specs)
        reason = f"no framework is installed: {cures}"
    else:
        selected = ", ".join(choice.name for choice in registry.settings.backends)
        reason = f"the marker graphmode leaves no variant of the selected ones ({selected}): {_asked(request)}"
    return pytest.param(None, id="no-variant", marks=pytest.mark.skip(reason=reason))


def _asked(request: markers.GraphmodeRequest) -> str:
    asked = []
    if request.backends is not None:
        names = (c.name + (f":{'+'.join(c.modes)}" if c.modes else "") for c in request.backends)
        spec = ",".join(names)
        asked.append(f"it asks for backends {spec}; run with --graph-backends={spec}")
    if request.devices is not None:
        asked.append(f"it asks for devices {','.join(request.devices)}")
    if request.dtypes is not None:
        asked.append(
            f"it asks for dtypes {','.join(request.dtypes)}; run with --graph-dtypes={','.join(request.dtypes)}"
        )
    return "; ".join(asked)


def base_id(node: pytest.Item, variant: Variant) -> str:
    """A test's id without its variant, the same for all variants of one test."""
    callspec = getattr(node, "callspec", None)
    if callspec is None:
        return node.nodeid
    others = [part for name, part in zip(callspec.params, callspec._idlist, strict=False) if name != "graphmode"]
    name = getattr(node, "originalname", node.name)
    head = node.nodeid[: len(node.nodeid) - len(node.name)]
    return f"{head}{name}[{'-'.join(others)}]" if others else f"{head}{name}"


def test_seed(settings: Settings, test: str) -> int:
    """A seed below 2**31 from `--graph-seed` and a test's id without its variant."""
    return zlib.crc32(f"{settings.seed}:{test}".encode()) & 0x7FFFFFFF


test_seed.__test__ = False  # type: ignore[attr-defined]


@contextmanager
def running(node: pytest.Item, variant: Variant, registry: Registry) -> Iterator[Handle]:
    """The handle of one variant of a test; what the test does to global state ends with it."""
    import numpy as np

    from pytest_graphmode.handle import UntouchedHandle
    from pytest_graphmode.watch import recording

    backend = registry.backend(variant.backend)
    mode = backend.mode(variant.mode, variant.device)
    seed = test_seed(registry.settings, base_id(node, variant))
    on_build = _build_hook(node)
    with ExitStack() as stack:
        stack.enter_context(backend.isolate())
        stack.enter_context(_restored_random())
        stack.enter_context(backend.precision(variant.dtype))
        stack.enter_context(mode.scope())
        recorder = stack.enter_context(recording(on_build=on_build))
        random.seed(seed)
        np.random.seed(seed)
        backend.seed(seed)
        handle = UntouchedHandle(
            variant,
            backend,
            mode,
            recorder,
            rng=np.random.default_rng(seed),
            skip=pytest.skip,
        )
        node.stash[HANDLE] = handle
        yield handle


def _build_hook(node: pytest.Item):  # type: ignore[no-untyped-def]
    hook = node.config.hook.pytest_graphmode_build
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


@contextmanager
def body(node: pytest.Item, registry: Registry) -> Iterator[None]:
    """Around a test's call: counting begins here, and the markers' verdict ends it."""
    handle = node.stash.get(HANDLE, None)
    limits = markers.limits(node.iter_markers(), registry.specs) if node.own_markers or handle else []
    if handle is None:
        yield
        return
    handle.begin()
    yield
    if not handle.touched:
        pytest.fail(
            "the test asked for graphmode and never used it: use the handle in the body, or drop the argument",
            pytrace=False,
        )
    _judge(handle, limits)


def _judge(handle: Handle, limits: Sequence[markers.Limit]) -> None:
    from pytest_graphmode.budget import verdict

    failure = verdict(handle.recorder.ledger, limits, handle.variant)
    if failure is not None:
        pytest.fail(failure, pytrace=False)
