"""What was said by the flags and ini values of `options.py`: command line beats ini beats default.

Resolved once, by `registry_of`, into a `Settings`. What parses a value raises a ValueError that has what is legal, and
`resolve` makes it a `pytest.UsageError` that says where the value was given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar

import pytest

from pytest_graphmode.backends.installed import DEFAULTS
from pytest_graphmode.backends.names import DEFAULT_DTYPE, DTYPES, parse_device, parse_dtype, split
from pytest_graphmode.backends.specs import BackendSpec
from pytest_graphmode.select.options import flag

T = TypeVar("T")
Specs = Mapping[str, BackendSpec]
Kind = Literal["file", "folder"]


class BackendChoice(NamedTuple):
    """A selected backend; `modes` is None where none was named, `explicit` when a person named the backend."""

    name: str
    modes: tuple[str, ...] | None = None
    explicit: bool = True

    def __str__(self) -> str:
        return f"{self.name}:{'+'.join(self.modes)}" if self.modes else self.name


class Settings(NamedTuple):
    """What the options and ini values say.

    Attributes:
        devices: None for all.
        logical_cpus: how many devices TensorFlow and JAX divide the CPU into.
        seed: a non-negative int.
        records: the folder that records are kept in, None for none; `label` is this environment's name in them, None
            for the framework with its version, and `frozen` says to write none.
        trace: the folder that traces of failed tests are kept in, None for none.
        json: the file that the JSON report is written to, None for none; `html` that of the page.
        lock: the file that counts are held against, None for none; `lock_update` says what is written into it, None
            for nothing, and `lock_from` is the report that it is updated from, None for this run.
        compiler: torch's compiler backend, None where nobody named one.
        progress: whether a live line of a long test is shown on a terminal.
        per_object: whether functions are told apart by object too, where a marker does not say.
        within: the packages whose graph breaks count; empty for all.
        tolerances: the project's own, by `dtype` or `device.dtype`; see `pytest_graphmode.checks.tolerances`.
        origins: for each setting that somebody gave, where: `--graph-devices`, `graph_devices (in tox.ini)`.
        written: what was given, as it was written.
    """

    backends: tuple[BackendChoice, ...] = ()
    devices: tuple[str, ...] | None = None
    logical_cpus: int = 1
    dtypes: tuple[str, ...] = (DEFAULT_DTYPE,)
    seed: int = 0
    watch: bool = False
    report: bool = False
    records: Path | None = None
    label: str | None = None
    frozen: bool = False
    trace: Path | None = None
    json: Path | None = None
    html: Path | None = None
    lock: Path | None = None
    lock_update: Literal["counts", "operations"] | None = None
    lock_from: Path | None = None
    compiler: str | None = None
    progress: bool = True
    per_object: bool = False
    within: tuple[str, ...] = ()
    tolerances: Mapping[str, tuple[float | None, float | None]] = MappingProxyType({})
    origins: Mapping[str, str] = MappingProxyType({})
    written: Mapping[str, str] = MappingProxyType({})

    @property
    def reported(self) -> bool:
        """Whether the run writes a report that shows builds one by one, with the graphs drawn."""
        return self.json is not None or self.html is not None

    def origin(self, name: str) -> str:
        """Where a setting comes from, for messages: the option's name where nobody gave it."""
        return self.origins.get(name, flag(name))

    def given(self, name: str) -> str:
        """A setting with its value, as somebody gave it: `--graph-seed=3`."""
        return f"{self.origin(name)}={self.written[name]}"

    def device_written(self, device: str) -> str:
        """A device as somebody wrote it, with its name where that is another: `cuda (gpu:0)`."""
        entries = (entry.strip() for entry in self.written.get("graph_devices", "").split(","))
        written = next((one for one in entries if one not in ("", "all") and parse_device(one) == device), device)
        return device if written == device else f"{written} ({device})"


def resolve(config: pytest.Config, specs: Specs) -> Settings:
    given = _Given(config)
    return Settings(
        backends=given.value("graph_backends", lambda text: parse_backends(text, specs), default_backends(specs)),
        devices=given.value("graph_devices", parse_devices, None),
        logical_cpus=given.value("graph_logical_cpus", parse_logical_cpus, 1),
        dtypes=given.value("graph_dtypes", parse_dtypes, (DEFAULT_DTYPE,)),
        seed=given.value("graph_seed", parse_seed, 0),
        watch=given.switch("graph_watch"),
        report=given.switch("graph_report"),
        records=given.path("graph_records", "folder"),
        label=given.value("graph_label", parse_label, None),
        frozen=given.frozen("graph_records_frozen"),
        trace=given.path("graph_trace", "folder"),
        json=given.path("graph_json", "file"),
        html=given.path("graph_html", "file"),
        lock=given.path("graph_lock", "file"),
        lock_update=config.getoption("graph_lock_update"),
        lock_from=None if config.getoption("graph_lock_from") is None else given.path("graph_lock_from", "file"),
        compiler=given.value("graph_compiler", parse_compiler, None),
        progress=given.value("graph_progress", parse_progress, True),
        per_object=bool(given.ini("graph_per_object")),
        within=given.lines("graph_within", parse_within, ()),
        tolerances=given.lines("graph_tolerances", _parse_tolerances, {}),
        origins=given.origins,
        written=given.written,
    )


class _Given:
    """What was given where: the command line beats the ini file."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.origins: dict[str, str] = {}
        self.written: dict[str, str] = {}
        self._files: dict[str, str] = {}

    def value(self, name: str, parse: Callable[[str], T], default: T) -> T:
        value = self._config.getoption(name)
        if value is not None:
            self.origins[name] = flag(name)
        elif not (value := self.ini(name)):
            return default
        self.written[name] = value
        return self._parsed(name, parse, value)

    def switch(self, name: str) -> bool:
        return bool(self._config.getoption(name) or self.ini(name))

    def path(self, name: str, kind: Kind) -> Path | None:
        """A path, which the command line gives from where pytest was started, an ini file from where it stands."""
        path = self.value(name, lambda text: parse_path(text, kind), None)
        if path is None:
            return None
        start, ini = self._config.invocation_params.dir, self._config.inipath
        if ini is not None and self.origins[name].endswith(")"):
            start = ini.parent
        found: Path = self._parsed(name, lambda path: require_kind(path, kind), start / path)
        if kind == "file" and name != "graph_lock_from":  # which is read only
            self._require_own(name, found)
        return found

    def _require_own(self, name: str, file: Path) -> None:
        """Refuse a file that another option writes too."""
        junit = self._config.getoption("xmlpath", None)
        files = {**self._files, **({f"--junitxml={junit}": os.path.realpath(junit)} if junit else {})}
        given, path = f"{self.origins[name]}={self.written[name]}", os.path.realpath(file)
        other = next((other for other, taken in files.items() if taken == path), None)
        if other is not None:
            raise pytest.UsageError(f"{given}: {other} writes this file too: give each a file of its own")
        self._files[given] = path

    def frozen(self, name: str) -> bool:
        """Whether records are golden values, of which there must be a folder."""
        asked = self.switch(name)
        if asked and "graph_records" not in self.written:
            raise pytest.UsageError(f"{flag(name)} compares with records: name their folder, --graph-records=DIR")
        return asked

    def lines(self, name: str, parse: Callable[[Sequence[str]], T], default: T) -> T:
        """A setting that stands in the ini file only, some lines of it."""
        value = self.ini(name)
        return self._parsed(name, parse, value) if value else default

    def ini(self, name: str) -> Any:
        """The ini file's value, of the type it was declared with."""
        try:
            value = self._config.getini(name)
        # What pytest finds wrong with a bool names neither key nor file (a ValueError up to pytest 9.0).
        except (TypeError, ValueError, pytest.UsageError) as error:
            raise pytest.UsageError(f"{self._place(name)}: {error}") from None
        if value:
            self.origins[name] = self._place(name)
        return value

    def _place(self, name: str) -> str:
        overridden = getattr(self._config.option, "override_ini", None) or ()
        if any(entry.partition("=")[0] == name for entry in overridden):
            return f"-o {name}"
        return f"{name} (in {self._config.inipath})"

    def _parsed(self, name: str, parse: Callable[[Any], T], value: Any) -> T:
        try:
            return parse(value)
        except LineError as error:
            raise pytest.UsageError(f"{self._place_of_line(name, error.line)}: {error}") from None
        except ValueError as error:
            raise pytest.UsageError(f"{self.origins[name]}={value}: {error}") from None

    def _place_of_line(self, name: str, line: str) -> str:
        """`graph_within (in tox.ini, line 3) 'a-b'`, the number where the line is found again."""
        path, place = self._config.inipath, self.origins[name]
        if path is not None and place.endswith(")"):
            numbered = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            number = next((number for number, text in numbered if line in text), None)
            if number is not None:
                place = f"{place[:-1]}, line {number})"
        return f"{place} {line!r}"


class LineError(ValueError):
    """What is wrong with one line of an ini value that has several."""

    def __init__(self, line: str, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def _parse_tolerances(lines: Sequence[str]) -> Mapping[str, tuple[float | None, float | None]]:
    from pytest_graphmode.checks.tolerances import parse  # here, since pytest imports this module in every run

    table: dict[str, tuple[float | None, float | None]] = {}
    for line in lines:
        try:
            key, value = parse(line)
            if key in table:
                raise ValueError(f"{key} has a line already")
        except ValueError as error:
            raise LineError(line, str(error)) from None
        table[key] = value
    return table


def parse_path(text: str, kind: Kind) -> Path:
    if not text.strip():
        raise ValueError(f"names no {kind}")
    return Path(text)


def require_kind(path: Path, kind: Kind) -> Path:
    """The path of what is a file or folder, as wanted, or not there yet."""
    try:
        there, exists = "folder" if path.is_dir() else "file", path.exists()
    except OSError as error:  # too long
        raise ValueError(f"no {kind} can have this name: {error.strerror}") from None
    if exists and there != kind:
        raise ValueError(f"there is a {there} of this name: name a {kind}")
    return path


def parse_within(lines: Sequence[str]) -> tuple[str, ...]:
    """Packages, one a line or several with commas."""
    found: dict[str, None] = {}
    for line in lines:
        for name in split(line, "packages"):
            if not all(part.isidentifier() for part in name.split(".")):
                raise LineError(line, f"{name!r} is not a package: write names as in an import, mypackage.models")
            found[name] = None
    return tuple(found)


def default_backends(specs: Specs) -> tuple[BackendChoice, ...]:
    """Those of `tf` and `torch` that are installed."""
    names = [name for name in DEFAULTS if name in specs and specs[name].installed]
    return tuple(BackendChoice(name, None, explicit=False) for name in names)


def parse_backends(text: str, specs: Specs) -> tuple[BackendChoice, ...]:
    """`tf,torch:eager+compile` as choices, in the order given; `all` as every installed backend in every mode."""
    entries = split(text, "backends")
    choices = [parse_backend(entry, specs) for entry in entries if entry != "all"]
    for choice in choices:
        if not specs[choice.name].installed:
            raise ValueError(f"{choice.name} is not installed: {specs[choice.name].hint}")
    if "all" in entries:
        named = {choice.name for choice in choices}
        installed = (spec for spec in specs.values() if spec.installed)
        return tuple(BackendChoice(spec.name, spec.modes, explicit=spec.name in named) for spec in installed)
    if not choices:
        raise ValueError(f"names no backend: write one of {', '.join(specs)}, or all")
    return merged(choices, specs)


def parse_backend(entry: str, specs: Specs) -> BackendChoice:
    """One `BACKEND[:MODE[+MODE...]]`."""
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


def merged(choices: Iterable[BackendChoice], specs: Specs) -> tuple[BackendChoice, ...]:
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
    """A device list in one spelling, None for `all`."""
    entries = split(text, "devices")
    if not entries:
        raise ValueError("names no device: write cpu, gpu:0, ... or all")
    devices = tuple(dict.fromkeys(parse_device(entry) for entry in entries if entry != "all"))
    return None if "all" in entries else devices


def parse_logical_cpus(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 64:
        raise ValueError("the number of logical CPUs must be an integer from 1 to 64")
    return int(text)


def parse_dtypes(text: str | Sequence[str]) -> tuple[str, ...]:
    entries = split(text, "dtypes")
    if not entries:
        raise ValueError(f"names no dtype: the dtypes are {', '.join(DTYPES)}")
    return tuple(dict.fromkeys(map(parse_dtype, entries)))


def parse_label(text: str) -> str:
    if not text.strip():
        raise ValueError("names no environment: write a name like cuda-12, or leave it out")
    return text.strip()


def parse_seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**32:
        raise ValueError("the seed must be an integer from 0 to 4294967295")
    return int(text)


def parse_compiler(text: str) -> str:
    """The name of a compiler backend of torch; torch is asked whether there is one once somebody imports it."""
    name = text.strip()
    if not name:
        raise ValueError("names no compiler backend: write eager, aot_eager, inductor or another one that torch has")
    return name


def parse_progress(text: str) -> bool:
    if text not in ("auto", "off"):
        raise ValueError("the progress is auto or off")
    return text == "auto"
