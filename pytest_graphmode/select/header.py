"""The plugin's line in pytest's header, by what is installed; it is printed in every run, so it imports no more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest

from pytest_graphmode.backends.builtin import BACKENDS
from pytest_graphmode.select.options import REGISTRY

DEFAULT_BACKENDS: Final = ("tf", "torch")


def header(config: pytest.Config) -> str:
    """The line of `pytest_report_header`; it imports nothing, so devices that only a framework can tell are `all`."""
    registry = config.stash.get(REGISTRY, None)
    specs = {spec.name: spec for spec in BACKENDS} if registry is None else registry.specs
    hints = " or ".join(specs[name].hint for name in DEFAULT_BACKENDS if name in specs)
    seed, named, chosen = 0, None, {name: name for name in DEFAULT_BACKENDS if specs[name].installed}
    if registry is not None:
        seed, named = registry.settings.seed, registry.settings.devices
        chosen = {choice.name: str(choice) for choice in registry.settings.backends}
    backends = ", ".join(f"{text} {specs[name].version_shown}" for name, text in chosen.items())
    devices = ", ".join(named or (["all"] if accelerator_present() else ["cpu"]))
    return f"graphmode: {backends or f'no framework installed ({hints})'}; devices: {devices}; seed: {seed}"


def accelerator_present() -> bool:
    """Whether this machine can have a GPU: a device node of a driver, or macOS on arm64."""
    if sys.platform == "darwin":
        import platform

        return platform.machine() == "arm64"
    if sys.platform == "win32":
        return True
    nodes = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg", "/dev/accel0")
    return any(Path(node).exists() for node in nodes)
