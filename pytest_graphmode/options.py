"""What the plugin adds to pytest's --help and --markers, and what was said there.

Flags and ini values are resolved once, by `item.configure`, into a frozen `Settings`: command line beats ini beats
default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import pytest

from pytest_graphmode.backends.base import BackendSpec
from pytest_graphmode.names import DEFAULT_DTYPE, DTYPES, parse_device, split

T = TypeVar("T")

DEFAULT_BACKENDS: Final = ("tf", "torch")
_VALUES: Final = {
    "graph_backends": (
        "SPEC",
        """comma list of BACKEND[:MODE[+MODE...]], e.g. tf,torch:eager+compile; all = every installed backend in every
        mode (default: those of tf and torch that are installed, in their default modes)""",
    ),
    "graph_devices": ("LIST", "comma list of devices, e.g. cpu,gpu:0, or all (default: all)"),
    "graph_dtypes": ("LIST", f"comma list of {', '.join(DTYPES)} (default: {DEFAULT_DTYPE})"),
    "graph_seed": ("N", "seed of random, NumPy and the framework before each variant (default: 0)"),
}
_SWITCHES: Final = {
    "graph_watch": "keep a ledger for every test of the run, also those that never heard of this plugin",
    "graph_report": "print a table of what each test built, and the worst rebuilders with cause and hint",
}
_MARKERS: Final = (
    "graphmode(backends=None, devices=None, dtypes=None): narrow the variants of a test, class or module",
    """graph_rebuilds(count=None, *, at_most=None, **by_backend): how often graphs may be built again during the test,
    e.g. graph_rebuilds(0), graph_rebuilds(tf=0, torch=499, torch_compile=0)""",
    """graph_budget(*, builds=None, rebuilds=None, breaks=None, nodes=None, seconds=None, internal=False): upper limits,
    each a number or a dict by backend or backend_mode; with internal=True on the framework's own machinery too""",
    """graph_agree(*, rtol=None, atol=None, reference=None): adds an item that compares what the variants recorded
    with graphmode.agree""",
    "graph_skip(variants, *, reason): skip the variants matching 'tf', 'tf:session', 'torch:compile@gpu'",
    """graph_xfail(variants, *, reason, raises=None, strict=True): expect the variants matching 'tf', 'tf:session',
    'torch:compile@gpu' to fail""",
)


@dataclass(frozen=True)
class BackendChoice:
    """A selected backend; `modes` is None where none was named, `explicit` when a person named the backend."""

    name: str
    modes: tuple[str, ...] | None = None
    explicit: bool = True

    def __str__(self) -> str:
        return f"{self.name}:{'+'.join(self.modes)}" if self.modes else self.name


@dataclass(frozen=True)
class Settings:
    """What the options and ini values say.

    `devices` is None for all; `seed` a non-negative int.
    """

    backends: tuple[BackendChoice, ...] = ()
    devices: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] = (DEFAULT_DTYPE,)
    seed: int = 0
    watch: bool = False
    report: bool = False


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("graphmode", "graphmode: TensorFlow, PyTorch and JAX variants of tests")
    for name, (metavar, lines) in _VALUES.items():
        text = _one_line(lines)
        group.addoption(f"--{name.replace('_', '-')}", metavar=metavar, default=None, help=text)
        parser.addini(name, f"{text[0].upper()}{text[1:]}.", type="string", default=None)
    for name, text in _SWITCHES.items():
        group.addoption(f"--{name.replace('_', '-')}", action="store_true", help=text)


def register_markers(config: pytest.Config) -> None:
    for description in _MARKERS:
        config.addinivalue_line("markers", _one_line(description))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def resolve(config: pytest.Config, specs: Mapping[str, BackendSpec]) -> Settings:
    """The settings of a run.

    Raises:
        pytest.UsageError: a value is not legal; the message has the legal ones and the hint.
    """

    def setting(name: str, parse: Callable[[str], T], default: T) -> T:
        value, source = config.getoption(name), f"--{name.replace('_', '-')}"
        if value is None:
            value, source = config.getini(name), f"{name} (in {config.inipath})"
            if not value:
                return default
        try:
            return parse(value)
        except ValueError as error:
            raise pytest.UsageError(f"{source}={value}: {error}") from None

    return Settings(
        backends=setting("graph_backends", lambda text: parse_backends(text, specs), default_backends(specs)),
        devices=setting("graph_devices", parse_devices, None),
        dtypes=setting("graph_dtypes", parse_dtypes, (DEFAULT_DTYPE,)),
        seed=setting("graph_seed", parse_seed, 0),
        watch=bool(config.getoption("graph_watch")),
        report=bool(config.getoption("graph_report")),
    )


def default_backends(specs: Mapping[str, BackendSpec]) -> tuple[BackendChoice, ...]:
    """Those of `tf` and `torch` that are installed."""
    names = [name for name in DEFAULT_BACKENDS if name in specs and specs[name].installed]
    return tuple(BackendChoice(name, None, explicit=False) for name in names)


def parse_backends(text: str, specs: Mapping[str, BackendSpec]) -> tuple[BackendChoice, ...]:
    """`tf,torch:eager+compile` as choices, in the order given; `all` as every installed backend in every mode.

    Raises:
        ValueError: an unknown or missing backend, or an unknown mode, with the legal values and the hint.
    """
    entries = split(text, "backends")
    if "all" in entries:
        return tuple(BackendChoice(spec.name, spec.modes, explicit=False) for spec in specs.values() if spec.installed)
    choices = [parse_backend(entry, specs) for entry in entries]
    if not choices:
        raise ValueError(f"names no backend: write one of {', '.join(specs)}, or all")
    for choice in choices:
        if not specs[choice.name].installed:
            raise ValueError(f"{choice.name} is not installed: {specs[choice.name].hint}")
    return merged(choices, specs)


def parse_backend(entry: str, specs: Mapping[str, BackendSpec]) -> BackendChoice:
    """One `BACKEND[:MODE[+MODE...]]`.

    Raises:
        ValueError: an unknown backend or mode, with the legal ones.
    """
    name, colon, modes = (part.strip() for part in entry.partition(":"))
    if name not in specs:
        raise ValueError(f"unknown backend {name!r}: the backends are {', '.join(specs)}")
    if not colon:
        return BackendChoice(name)
    named = tuple(dict.fromkeys(mode.strip() for mode in modes.split("+")))
    for mode in named:
        if mode not in specs[name].modes:
            raise ValueError(f"unknown mode {mode!r} of {name}: its modes are {', '.join(specs[name].modes)}")
    return BackendChoice(name, named)


def merged(choices: Iterable[BackendChoice], specs: Mapping[str, BackendSpec]) -> tuple[BackendChoice, ...]:
    """One choice a backend: `torch:eager,torch:compile` is `torch:eager+compile`, and `torch` beside it its default."""
    by_name: dict[str, list[BackendChoice]] = {}
    for choice in choices:
        by_name.setdefault(choice.name, []).append(choice)
    return tuple(BackendChoice(name, _modes(group, specs[name])) for name, group in by_name.items())


def _modes(choices: Sequence[BackendChoice], spec: BackendSpec) -> tuple[str, ...] | None:
    if all(choice.modes is None for choice in choices):
        return None
    return tuple(dict.fromkeys(mode for choice in choices for mode in choice.modes or (spec.default_mode,)))


def parse_devices(text: str | Sequence[str]) -> tuple[str, ...] | None:
    """A device list in one spelling, None for `all`.

    Raises:
        ValueError: an entry is not a device.
    """
    entries = split(text, "devices")
    if "all" in entries:
        return None
    if not entries:
        raise ValueError("names no device: write cpu, gpu:0, ... or all")
    return tuple(dict.fromkeys(map(parse_device, entries)))


def parse_dtypes(text: str | Sequence[str]) -> tuple[str, ...]:
    """A dtype list.

    Raises:
        ValueError: an entry is not a floating dtype.
    """
    entries = split(text, "dtypes")
    for entry in entries:
        if entry not in DTYPES:
            raise ValueError(f"unknown dtype {entry!r}: the dtypes are {', '.join(DTYPES)}")
    if not entries:
        raise ValueError(f"names no dtype: the dtypes are {', '.join(DTYPES)}")
    return tuple(dict.fromkeys(entries))


def parse_seed(text: str) -> int:
    """A seed.

    Raises:
        ValueError: not a non-negative integer below 2**32.
    """
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**32:
        raise ValueError("the seed must be an integer from 0 to 4294967295")
    return int(text)
