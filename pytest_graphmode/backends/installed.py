"""Which frameworks are installed, in which versions, found without importing one, and whether a GPU can be here.

pytest's header says so in every run, so it imports little, and has what must be known of TensorFlow and PyTorch for
that; what else there is to know of them stands in `specs.py`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shlex
import sys
from collections.abc import Mapping
from typing import Final


class Framework:
    """What a backend's framework is called by Python and by pip, as in `specs.BackendSpec`."""

    def __init__(self, module: str, distributions: tuple[str, ...], requires: str, tested: tuple[str, ...]) -> None:
        self.module, self.distributions, self.requires, self.tested = module, distributions, requires, tested

    @property
    def installed(self) -> bool:
        """Whether the framework can be imported, found without importing it."""
        try:
            spec = importlib.util.find_spec(self.module)
        except (ImportError, ValueError):
            return False
        return spec is not None and spec.origin is not None  # a folder without __init__.py has no origin

    @property
    def version(self) -> str:
        """The framework's version, `unknown` where no distribution by a known name is installed."""
        return next(filter(None, map(_version, self.distributions)), "unknown")

    @property
    def version_shown(self) -> str:
        """The version, and what a reader should know of it: that it is older or newer than those tested."""
        version = self.version
        if not self.tested or version == "unknown":
            return version
        oldest, newest = self.tested
        if release(version, oldest) < release(oldest):
            return f"{version} (older than {oldest}, the oldest tested)"
        if release(version, newest) > release(newest):
            return f"{version} (newer than the tested {newest})"
        return version

    @property
    def hint(self) -> str:
        """The command that installs the framework, as any shell takes it: zsh takes bare brackets for a pattern."""
        return f"pip install {shlex.quote(self.requires or self.distributions[0])}"


# By the names of the backends that run without being named.
DEFAULTS: Final = {
    "tf": Framework(
        "tensorflow",
        ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos", "tf-nightly"),
        "pytest-graphmode[tf]",
        ("2.16", "2.21"),
    ),
    "torch": Framework("torch", ("torch",), "pytest-graphmode[torch]", ("2.4", "2.15")),
}


def default_hints(frameworks: Mapping[str, Framework]) -> str:
    """What installs the frameworks that run without being named."""
    return " or ".join(frameworks[name].hint for name in DEFAULTS if name in frameworks)


def accelerator_present() -> bool:
    """Whether this machine can have a GPU: a device node of a driver, or macOS on arm64."""
    if sys.platform == "darwin":
        import platform

        return platform.machine() == "arm64"
    if sys.platform == "win32":
        return True
    nodes = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg", "/dev/accel0")
    return any(map(os.path.exists, nodes))


def release(version: str, like: str | None = None) -> tuple[int, ...]:
    """`(2, 13, 0)` of `2.13.0+cpu`, no more numbers than `like` has; by hand, since packaging takes time to import."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    numbers = tuple(map(int, match.group().split("."))) if match else ()
    return numbers if like is None else numbers[: like.count(".") + 1]


def _version(distribution: str) -> str | None:
    try:
        found = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    # Not `found.version` at once, which reads the whole description of a package as if it were an e-mail.
    _, _, version = (found.read_text("METADATA") or "").partition("\nVersion: ")
    return version.partition("\n")[0].strip() or found.version
