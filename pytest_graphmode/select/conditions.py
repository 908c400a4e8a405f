"""Where a marker applies: `when="torch<2.9"`, `when="platform==linux,device==gpu"`.

Called by `markers.py`, for which a TypeError or ValueError says what is legal. Versions are read from the metadata of
what is installed, so that nothing is imported for them.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from platform import python_version
from typing import TYPE_CHECKING, Final

from pytest_graphmode.backends.names import parse_device

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

    from pytest_graphmode.backends.specs import BackendSpec
    from pytest_graphmode.select.settings import Specs
    from pytest_graphmode.select.variants import Variant

_CLAUSE: Final = re.compile(r"([A-Za-z][\w.-]*?)?\s*(===|~=|==|!=|<=|>=|<|>)\s*([^\s<>=!~]+)")
_FORM: Final = "write NAME<VERSION, several with commas, like 'torch>=2.4,torch<2.9' or 'platform==linux'"
_PLATFORMS: Final = {"linux": "linux", "darwin": "darwin", "macos": "darwin", "win32": "win32", "windows": "win32"}


@dataclass(frozen=True)
class Clause:
    """One comparison; `name` is a backend's name, `python`, `platform` or `device`."""

    name: str
    operator: str
    value: str

    def holds(self, specs: Specs, variant: Variant | None) -> bool:
        """Whether it does here; of a device only a test that runs as a variant has one."""
        if self.name == "platform":
            return (sys.platform == self.value) is (self.operator == "==")
        if self.name == "device":
            names = () if variant is None else (variant.device, variant.device.partition(":")[0])
            return (self.value in names) is (self.operator == "==")
        version = python_version().rstrip("+") if self.name == "python" else _installed(specs[self.name])
        return version is not None and _specifier(self.operator + self.value).contains(version, prereleases=True)


def when_holds(text: object, specs: Specs, variant: Variant | None) -> bool:
    """Whether all clauses of a `when=` hold; None always does.

    A version of what is not installed holds for nothing; a nightly counts as PEP 440 has it, so that 2.9.0.dev1 is not
    below 2.9.
    """
    return text is None or all(clause.holds(specs, variant) for clause in parse(text, specs))


def parse(text: object, specs: Specs) -> tuple[Clause, ...]:
    """`torch>=2.4,<2.9` as clauses; one that names nothing goes on about the one before it."""
    if not isinstance(text, str):
        raise TypeError(f"when must be a string like 'torch<2.9', not {text!r}")
    clauses: list[Clause] = []
    for entry in text.split(","):
        match = _CLAUSE.fullmatch(entry.strip())
        if match is None or not (match[1] or clauses):
            raise ValueError(f"when={text!r}: {entry.strip()!r} is no comparison: {_FORM}")
        name = _named(match[1], specs, text) if match[1] else clauses[-1].name
        clauses.append(Clause(name, match[2], _value(name, match[2], match[3], text)))
    return tuple(clauses)


def _named(name: str, specs: Specs, text: str) -> str:
    """The backend's name for any name of its framework."""
    wanted = re.sub(r"[-_.]+", "-", name).lower()
    for spec in specs.values():
        if wanted in (spec.name.lower(), spec.module.lower(), *map(str.lower, spec.distributions)):
            return spec.name
    if wanted in ("python", "platform", "device"):
        return wanted
    legal = dict.fromkeys(known for spec in specs.values() for known in (spec.name, spec.distributions[0]))
    raise ValueError(
        f"when={text!r}: unknown name {name!r}: the names are {', '.join(legal)}, python, platform, device"
    )


def _value(name: str, operator: str, value: str, text: str) -> str:
    """A value in the one spelling that is compared."""
    if name not in ("platform", "device"):
        try:
            _specifier(operator + value)
        except ValueError:
            raise ValueError(f"when={text!r}: {operator}{value} is no version specifier of PEP 440: {_FORM}") from None
        return value
    if operator not in ("==", "!="):
        raise ValueError(f"when={text!r}: a {name} is == or != another, not {operator}")
    if name == "device":
        device = parse_device(value)
        return device if ":" in value else device.partition(":")[0]
    if value not in _PLATFORMS and value != sys.platform:
        raise ValueError(f"when={text!r}: unknown platform {value!r}: the platforms are {', '.join(_PLATFORMS)}")
    return _PLATFORMS.get(value, value)


def _specifier(text: str) -> SpecifierSet:
    from packaging.specifiers import SpecifierSet  # here, since most runs have no `when`

    return SpecifierSet(text)


def _installed(spec: BackendSpec) -> str | None:
    if not spec.installed:
        return None
    if spec.version == "unknown":
        raise ValueError(
            f"the version of {spec.module} is unknown: none of {', '.join(spec.distributions)} is installed"
        )
    return spec.version
