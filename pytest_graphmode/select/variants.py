"""What a test body runs as: one `(backend, mode, device, dtype)`, its id, and the patterns that match it.

`collect.py` makes the variants of a test from the settings of the run and the test's marker, or has the reason for
none; a test may also name them itself: `parametrize("graphmode", ["tf", "torch:compile"], indirect=True)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from pytest_graphmode.backends.installed import DEFAULTS, default_hints
from pytest_graphmode.backends.names import DEFAULT_DTYPE, parse_device, parse_dtype
from pytest_graphmode.select.settings import BackendChoice, Specs, parse_backend

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet

    from pytest_graphmode.backends.specs import BackendSpec
    from pytest_graphmode.select.markers import GraphmodeRequest
    from pytest_graphmode.select.registry import Registry


@dataclass(frozen=True)
class Variant:
    """One way to run a test. `str(variant)` is its id, e.g. `torch-compile-cpu-float64`."""

    backend: str
    mode: str
    device: str = "cpu"
    dtype: str = DEFAULT_DTYPE

    def __str__(self) -> str:
        return self.id

    @property
    def id(self) -> str:
        """The dtype stands in it only when it is not the default."""
        parts = [self.backend, self.mode, self.device]
        return "-".join(parts if self.dtype == DEFAULT_DTYPE else [*parts, self.dtype])

    @property
    def keys(self) -> tuple[str, str]:
        """The keyword names that mean this variant in markers, the most specific first: `tf_graph`, `tf`."""
        return (f"{self.backend}_{self.mode}", self.backend)

    def param(self, marks: Iterable[pytest.MarkDecorator | pytest.Mark] = ()) -> ParameterSet:
        return pytest.param(self, id=self.id, marks=tuple(marks))


@dataclass(frozen=True)
class VariantPattern:
    """Matches variants: `tf`, `tf:session`, `torch@gpu`, `torch:compile@gpu:0`, `torch@gpu[bfloat16]`."""

    backend: str
    mode: str | None = None
    device: str | None = None
    dtype: str | None = None

    def __str__(self) -> str:
        where = (f":{self.mode}" if self.mode else "") + (f"@{self.device}" if self.device else "")
        return self.backend + where + (f"[{self.dtype}]" if self.dtype else "")

    def matches(self, variant: Variant) -> bool:
        return (
            self.backend == variant.backend
            and self.mode in (None, variant.mode)
            and self.device in (None, variant.device, variant.device.partition(":")[0])
            and self.dtype in (None, variant.dtype)
        )


def parse_pattern(text: str, specs: Specs) -> VariantPattern:
    """`tf`, `tf:session`, `torch@gpu`, `torch:compile@gpu:0`, `torch@gpu[bfloat16]`."""
    before, bracket, rest = text.strip().partition("[")
    if bracket and not rest.endswith("]"):
        raise ValueError(f"{text!r} does not end with its dtype: write torch[float64], torch:compile@gpu[bfloat16]")
    where, at, device = (part.strip() for part in before.partition("@"))
    choice = parse_backend(where, specs)
    if choice.modes and len(choice.modes) > 1:
        raise ValueError(f"{text!r} names several modes: write one pattern a mode")
    if at:
        device = parse_device(device) if ":" in device else parse_device(device).partition(":")[0]
    dtype = parse_dtype(rest[:-1]) if bracket else None
    return VariantPattern(choice.name, choice.modes[0] if choice.modes else None, device or None, dtype)


def names_variants(node: pytest.Item) -> bool:
    for mark in node.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
        if "graphmode" in (names.replace(",", " ").split() if isinstance(names, str) else names):
            indirect = mark.args[2] if len(mark.args) > 2 else mark.kwargs.get("indirect", False)
            if indirect is not True and "graphmode" not in (indirect or ()):
                raise ValueError(_DIRECT)
            return True
    return False


_DIRECT: Final = (
    "parametrize('graphmode', ...) would hand the test these values instead of a handle that runs as them: "
    "add indirect=True, or indirect=['graphmode']"
)


def named(value: object, specs: Specs) -> Variant:
    """The variant that a parameter names.

    Args:
        value: a `Variant`, its id (`torch-compile-cpu`), or a pattern (`tf`, `torch:compile@gpu:0[bfloat16]`), in which
            the default mode, the CPU and float32 are left out.
    """
    if isinstance(value, Variant):
        return value
    if not isinstance(value, str):
        raise TypeError(f"graphmode can't be {value!r}: name a variant, {_FORMS}")
    try:
        pattern = parse_pattern(value, specs)
    except ValueError as error:
        found = _by_id(value, specs)
        if found is None:
            raise ValueError(f"graphmode can't be {value!r}, which names no variant: {error}; write {_FORMS}") from None
        return found
    mode = pattern.mode or specs[pattern.backend].default_mode
    device = parse_device(pattern.device or "cpu")
    return Variant(pattern.backend, mode, device, pattern.dtype or DEFAULT_DTYPE)


_FORMS: Final = (
    "'tf', 'torch:compile', 'torch@gpu:0[bfloat16]', an id like 'tf-graph-cpu', or a pytest_graphmode.Variant"
)


def _by_id(text: str, specs: Specs) -> Variant | None:
    for name, mode in ((spec.name, mode) for spec in specs.values() for mode in spec.modes):
        if text.startswith(f"{name}-{mode}-"):
            device, _, dtype = text[len(f"{name}-{mode}-") :].partition("-")
            with suppress(ValueError):
                return Variant(name, mode, parse_device(device), parse_dtype(dtype or DEFAULT_DTYPE))
    return None


def parameter_id(value: object, specs: Specs) -> str | None:
    """The id of such a parameter; None for what names no variant."""
    try:
        return named(value, specs).id
    except (ValueError, TypeError):
        return None  # its item fails to be collected


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
        others = [name for name in specs if specs[name].installed and name not in (*DEFAULTS, "numpy")]
        there = f" or run with --graph-backends={','.join(others)}" if others else ""
        return f"neither TensorFlow nor PyTorch is installed: {default_hints(specs)}{there}"
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
