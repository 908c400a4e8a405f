"""The backends of a run: gathered from the discovery hook, checked, and loaded when a variant first needs one.

Made by `registry_of`; everything that acts on a test asks it for backends and devices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from pytest_graphmode.backends.installed import accelerator_present
from pytest_graphmode.backends.names import extension, logical_names
from pytest_graphmode.backends.specs import BackendSpec
from pytest_graphmode.select.options import REGISTRY
from pytest_graphmode.select.settings import Settings, resolve

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Backend


class Registry:
    """The one registered object of a pytest session: its settings, the backends there are and those loaded.

    `params` keeps the parameters of tests that carry no marker of the plugin, which are the same for all of them.
    `share` is the part of an accelerator's memory that backends may take, None for all of it.
    """

    def __init__(self, settings: Settings, specs: Mapping[str, BackendSpec], share: float | None = None) -> None:
        self.settings = settings
        self.specs = specs
        self._share = share
        self.params: list[Any] | None = None
        self._loaded: dict[str, Backend] = {}
        self._there: dict[str, tuple[str, ...]] = {}

    def backend(self, name: str) -> Backend:
        if name not in self._loaded:
            self._loaded[name] = backend = self.specs[name].load()
            if self._share is not None and hasattr(backend, "limit_memory"):
                backend.limit_memory(self._share)
        return self._loaded[name]

    def devices(self, name: str) -> tuple[str, ...]:
        """The devices of a backend that a run may choose from; `cpu` alone where only that was named."""
        return ("cpu",) if self.settings.devices == ("cpu",) else self.there(name)

    def there(self, name: str) -> tuple[str, ...]:
        """All devices of a backend; those of the CPU, without importing it, where no other can be wanted or there."""
        if name not in self._there:
            cpus = logical_names(self.settings.logical_cpus if self.specs[name].logical_cpus else 1)
            self._there[name] = tuple(self.backend(name).devices()) if self._others_possible(cpus) else cpus
        return self._there[name]

    def _others_possible(self, cpus: tuple[str, ...]) -> bool:
        """Whether a backend could have other devices than these.

        Those that no device node tells of are looked for where they are named: Intel's GPUs, whose nodes are as a
        screen's, and CPUs that a conftest divides.
        """
        named = [device for device in self.settings.devices or () if device not in cpus]
        silent = any(device.startswith(("xpu", "cpu")) for device in named)
        return accelerator_present() or extension() is not None or silent

    def devices_shown(self) -> tuple[str, ...]:
        """What pytest's header says of devices, which imports no framework: `all` where only one can tell."""
        if self.settings.devices:
            return self.settings.devices
        others = accelerator_present() or extension() is not None
        return ("all",) if others else logical_names(self.settings.logical_cpus)

    def check_devices(self) -> None:
        """Find devices named in the settings that are not there, or not on a backend that was named too.

        Raises:
            ValueError: with the devices that there are.
        """
        wanted = self.settings.devices
        if wanted is None or not self.settings.backends:
            return
        present = {choice.name: self.devices(choice.name) for choice in self.settings.backends}
        there = "; ".join(f"{name} has {', '.join(devices)}" for name, devices in present.items())
        for device in wanted:
            if not any(device in devices for devices in present.values()):
                hint = logical_hint(device) if any(self.specs[name].logical_cpus for name in present) else ""
                raise ValueError(f"there is no {self.settings.device_written(device)} here: {there}{hint}")
        for choice in self.settings.backends:
            if choice.explicit and not set(wanted) & set(present[choice.name]):
                where = self.settings.origin("graph_backends")
                raise ValueError(f"{choice.name} has none of these devices, but was named in {where}: {there}")


def logical_hint(device: str) -> str:
    """What makes `cpu:1` where there is none; nothing for other devices."""
    kind, _, index = device.partition(":")
    return f"; --graph-logical-cpus={int(index) + 1} makes it for TensorFlow and JAX" if kind == "cpu" else ""


def registry_of(config: pytest.Config) -> Registry:
    """The registry of a run, made at the first need of it."""
    made = config.stash.get(REGISTRY, None)
    return _make(config) if made is None else made


def _make(config: pytest.Config) -> Registry:
    """From what the discovery hook offers and the options select.

    Raises:
        pytest.UsageError: an option, an ini value or a backend can't be used.
    """
    try:
        specs = gather(config.hook.pytest_graphmode_backends(config=config))
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"the hook pytest_graphmode_backends: {error}") from error
    share = getattr(config, "workerinput", {}).get("graphmode", {}).get("share")
    registry = config.stash[REGISTRY] = Registry(resolve(config, specs), specs, share)
    if registry.settings.logical_cpus != 1:
        from pytest_graphmode.select import dividing

        dividing.divide(config, registry.settings, specs)  # before anybody looks for devices
    try:
        registry.check_devices()
    except ValueError as error:
        settings = registry.settings
        where = f"{settings.origin('graph_devices')}={settings.written['graph_devices']}"
        raise pytest.UsageError(f"{where}: {error}") from None
    from pytest_graphmode.ledger.watcher import watcher

    for spec in specs.values():
        config.add_cleanup(watcher.register(spec.sources, spec))
    return registry


def gather(found: Iterable[Iterable[BackendSpec]]) -> dict[str, BackendSpec]:
    """The backends that the discovery hook's implementations returned, by name, the plugin's own first.

    Raises:
        TypeError: something else than backend specs was returned.
        ValueError: two backends have one name.
    """
    specs: dict[str, BackendSpec] = {}
    for group in found:
        if not isinstance(group, (list, tuple)) or not all(isinstance(spec, BackendSpec) for spec in group):
            raise TypeError(f"it must return a list of pytest_graphmode.BackendSpec, not {group!r}")
        for spec in group:
            if spec.name in specs:
                raise ValueError(
                    f"two backends are named {spec.name!r}: {specs[spec.name].target} and {spec.target}; "
                    "a backend can't replace another, give the new one a name of its own"
                )
            specs[spec.name] = spec
    return specs
