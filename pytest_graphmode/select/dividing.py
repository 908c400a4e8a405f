"""`--graph-logical-cpus`: selected frameworks divide the CPU once they are imported, before anything can use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from pytest_graphmode.ledger.importing import ImportWatch

if TYPE_CHECKING:
    from pytest_graphmode.backends.specs import BackendSpec
    from pytest_graphmode.select.settings import Settings


def divide(config: pytest.Config, settings: Settings, specs: Mapping[str, BackendSpec]) -> None:
    """Divide the CPU in the selected frameworks that are imported, and in others when they are, until the run ends."""
    selected = [specs[choice.name] for choice in settings.backends]
    by_module = {spec.module: spec for spec in selected if spec.logical_cpus}

    def imported(module: str) -> None:
        by_module[module].divide_cpu(settings.logical_cpus)

    watch = ImportWatch(by_module, imported)
    config.add_cleanup(watch.remove)
    try:
        watch.begin()
    except RuntimeError as error:
        origin = settings.origin("graph_logical_cpus")
        raise pytest.UsageError(f"{origin}={settings.logical_cpus}: {error}") from None
