"""Flags and ini values, resolved once into a frozen `Settings`: command line beats ini beats default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import pytest

from pytest_graphmode.backends.base import BackendSpec
from pytest_graphmode.variant import DEFAULT_DTYPE, DTYPES, parse_device, split

T = TypeVar("T")

DEFAULT_BACKENDS: Final = ("tf", "torch")
_OPTIONS: Final = {
    "graph_backends": (
        "SPEC",
        "comma list of BACKEND[:MODE[+MODE...]], e.g. tf,torch:eager+compile; all = every installed backend in "
        "every mode (default: those of tf and torch that are installed, in their default modes)",
    ),
    "graph_devices": ("LIST", "comma list of devices, e.g. cpu,gpu:0, or all (default: all)"),
    "graph_dtypes": ("LIST", f"comma list of {', '.join(DTYPES)} (default: {DEFAULT_DTYPE})"),
    "graph_seed": ("N", "seed of random, NumPy and the framework before each variant (default: 0)"),
}


@dataclass(frozen=True)
class BackendChoice:
    """A selected backend; `modes` is None where none was named, `explicit` when a person named the backend."""

    name: str
    modes: tuple[str, ...] | None = None
    explicit: bool = True


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
    for name, (metavar, text) in _OPTIONS.items():
        group.addoption(f"--{name.replace('_', '-')}", metavar=metavar, default=None, help=text)
        parser.addini(name, f"{text[0].upper()}{text[1:]}.", type="string", default=None)
    group.addoption(
        "--graph-watch",
        action="store_true",
        help="keep a ledger for every test of the run, also those that never heard of this plugin",
    )
    group.addoption(
        "--graph-report",
        action="store_true",
        help="print a table of what each test built, and the worst rebuilders with cause and cure",
    )


def resolve(config: pytest.Config, specs: Mapping[str, BackendSpec]) -> Settings:
    """The settings of a run.

    Raises:
        pytest.UsageError: a value is not legal; the message has the legal ones and the cure.
    """

    def setting(name: str, parse: Callable[[str], T], default: T) -> T:
        value = config.getoption(name)
        source = f"--{name.replace('_', '-')}"
        if value is None:
            value, source = config.getini(name), f"{name} (ini)"
        if value in (None, ""):
            return default
        try:
            return parse(str(value))
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
        ValueError: an unknown or missing backend, or an unknown mode, with the legal values and the cure.
    """
    if text.strip() == "all":
        return tuple(BackendChoice(spec.name, spec.modes, explicit=False) for spec in specs.values() if spec.installed)
    choices = [parse_backend(entry, specs) for entry in split(text, "backends")]
    if not choices:
        raise ValueError(f"names no backend: write one of {', '.join(specs)}, or all")
    for choice in choices:
        if not specs[choice.name].installed:
            raise ValueError(f"{choice.name} is not installed: {specs[choice.name].cure}")
    return tuple(_merged(choices))


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


def _merged(choices: Sequence[BackendChoice]) -> list[BackendChoice]:
    """One choice a backend: `torch:eager,torch:compile` is `torch:eager+compile`."""
    merged: dict[str, BackendChoice] = {}
    for choice in choices:
        known = merged.get(choice.name)
        if known is not None and known.modes is not None and choice.modes is not None:
            choice = BackendChoice(choice.name, tuple(dict.fromkeys(known.modes + choice.modes)))
        elif known is not None:
            choice = BackendChoice(choice.name, known.modes or choice.modes)
        merged[choice.name] = choice
    return list(merged.values())


def parse_devices(text: str | Sequence[str]) -> tuple[str, ...] | None:
    """A device list in one spelling, None for `all`.

    Raises:
        ValueError: an entry is not a device.
    """
    entries = split(text, "devices")
    if entries == ["all"]:
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


def header(settings: Settings, specs: Mapping[str, BackendSpec], devices: Sequence[str]) -> list[str]:
    """The lines of `pytest_report_header`."""
    backends = [f"{choice.name}{_modes(choice)} {specs[choice.name].version}" for choice in settings.backends]
    listed = ", ".join(backends) if backends else f"none installed ({specs['torch'].cure})"
    return [f"graphmode: {listed}; devices: {', '.join(devices)}; seed: {settings.seed}"]


def _modes(choice: BackendChoice) -> str:
    return f":{'+'.join(choice.modes)}" if choice.modes else ""
