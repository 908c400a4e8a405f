"""Which variants a test runs as: the settings of the run narrowed by the test's marker, or the reason for none.

Called by `execute.py` at collection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_graphmode.select.variant import Variant

if TYPE_CHECKING:
    from pytest_graphmode.backends.specs import BackendSpec
    from pytest_graphmode.select.markers import GraphmodeRequest
    from pytest_graphmode.select.registry import Registry
    from pytest_graphmode.select.settings import BackendChoice


def select(registry: Registry, request: GraphmodeRequest) -> list[Variant]:
    """The variants of a test, in the order backend, mode, device, dtype of the command line."""
    dtypes = _dtypes(registry, request)
    return [
        Variant(backend, mode, device, dtype)
        for backend, mode in _ways(registry, request)
        for device in _devices(registry, backend, request)
        for dtype in dtypes
    ]


def reason_for_none(registry: Registry, request: GraphmodeRequest) -> str:
    """Why `select` found no variant, and what to do about it."""
    specs, settings = registry.specs, registry.settings
    if not settings.backends:
        hints = " or ".join(specs[name].hint for name in ("tf", "torch") if name in specs)
        return f"neither TensorFlow nor PyTorch is installed: {hints}"
    ways = _ways(registry, request)
    if not ways and request.backends is not None:
        asked = ",".join(map(str, request.backends))
        selected = ",".join(map(str, settings.backends))
        missing = [specs[choice.name].hint for choice in request.backends if not specs[choice.name].installed]
        hint = " and ".join([*missing, f"run with --graph-backends={asked}"])
        return _none_left(f"backends {asked}", selected, hint)
    if not _dtypes(registry, request) and request.dtypes is not None:
        asked = ",".join(request.dtypes)
        return _none_left(f"dtypes {asked}", ",".join(settings.dtypes), f"run with --graph-dtypes={asked}")
    there = "; ".join(f"{name} has {', '.join(registry.devices(name))}" for name in dict(ways))
    if settings.devices is not None:
        there += f", {settings.origin('graph_devices')}={','.join(settings.devices)}"
    asked = "" if request.devices is None else f"its marker asks for devices {','.join(request.devices)}"
    return f"no variant is left of the selected ones: {f'{asked} ({there})' if asked else there}"


def _none_left(asked: str, selected: str, hint: str) -> str:
    return f"no variant is left of the selected ones: its marker asks for {asked}, not {selected}; {hint}"


def _ways(registry: Registry, request: GraphmodeRequest) -> list[tuple[str, str]]:
    """The `(backend, mode)` pairs."""
    settings, asked = registry.settings, request.backends
    wanted = None if asked is None else {choice.name: choice for choice in asked}
    return [
        (choice.name, mode)
        for choice in settings.backends
        if wanted is None or choice.name in wanted
        for mode in _modes(choice, None if wanted is None else wanted[choice.name].modes, registry.specs[choice.name])
    ]


def _modes(choice: BackendChoice, asked: tuple[str, ...] | None, spec: BackendSpec) -> Sequence[str]:
    """Modes named for the run are narrowed by the marker; a run that names none takes the marker's."""
    if choice.modes is None:
        return asked or (spec.default_mode,)
    return [mode for mode in choice.modes if asked is None or mode in asked]


def _devices(registry: Registry, backend: str, request: GraphmodeRequest) -> list[str]:
    allowed = [names for names in (registry.settings.devices, request.devices) if names is not None]
    return [device for device in registry.devices(backend) if all(device in names for names in allowed)]


def _dtypes(registry: Registry, request: GraphmodeRequest) -> list[str]:
    return [dtype for dtype in registry.settings.dtypes if request.dtypes is None or dtype in request.dtypes]
