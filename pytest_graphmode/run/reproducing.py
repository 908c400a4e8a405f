"""The one command that runs a failed variant or agreement item again; called by the hooks of `hooks.py`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from pytest_graphmode.run.concern import is_agreement
from pytest_graphmode.run.items import RERUN, id_of, variant_of
from pytest_graphmode.select import variants
from pytest_graphmode.select.options import flag
from pytest_graphmode.select.registry import registry_of

if TYPE_CHECKING:
    from pytest_graphmode.select.settings import Settings

_TITLE: Final = "to run it again"
# What changes how a test runs, or what it is compared with.
_VALUES: Final = (
    "graph_backends",
    "graph_devices",
    "graph_logical_cpus",
    "graph_dtypes",
    "graph_seed",
    "graph_compiler",
    "graph_records",
    "graph_label",
    "graph_lock",
)
_SWITCHES: Final = ("graph_records_frozen",)


def add_command(item: pytest.Item, report: pytest.TestReport) -> None:
    """Say at the end of a failure how to run that test again."""
    if not report.failed or RERUN in item.stash or not (is_agreement(item) or variant_of(item) is not None):
        return
    say(report, _TITLE, command(item))


def say(report: pytest.TestReport, title: str, text: str) -> None:
    add = getattr(report.longrepr, "addsection", None)
    if add is not None:
        add(title, text, "-")
    else:  # text, of a plugin or of an expected failure that passed
        report.sections.append((title, text))


def command(item: pytest.Item, *more: str) -> str:
    """`pytest --graph-backends=torch:compile 'tests/test_net.py::test_net[torch-compile-cpu]'`, to give to a shell.

    With the options that this run was given, not those of an ini file, and `more`; a variant is chosen out of those
    selected.
    """
    chosen: dict[str, str] = {}
    variant = variant_of(item)
    if variant is not None and not variants.names_variants(item):
        chosen = {
            "graph_backends": f"{variant.backend}:{variant.mode}",
            "graph_devices": variant.device,
            "graph_dtypes": variant.dtype,
        }
    return command_for(item.config, [id_of(item)], more, chosen)


def command_for(
    config: pytest.Config, nodes: Iterable[str], more: Iterable[str], chosen: Mapping[str, str] | None = None
) -> str:
    """The command that runs these tests again, with `more` options; `chosen` values take the place of those given."""
    settings = registry_of(config).settings
    written = {name: settings.written[name] for name in _VALUES if settings.origins.get(name, "").startswith("-")}
    written.update({name: value for name, value in (chosen or {}).items() if name in written})
    given = [argument for name, value in written.items() for argument in _argument(settings, name, value)]
    given += [flag(name) for name in _SWITCHES if config.getoption(name)]
    return shlex.join(["pytest", *given, *more, *dict.fromkeys(_node(config, node) for node in nodes)])


def _node(config: pytest.Config, node: str) -> str:
    """An item's id, from where pytest was started, or a folder that it is in where pytest takes no id of it."""
    file, colons, inside = node.partition("::")
    with suppress(ValueError):  # of another drive of Windows
        file = Path(os.path.relpath(config.rootpath / file, config.invocation_params.dir)).as_posix()
    parents = [] if "[" not in file else [folder for folder in Path(file).parents if "[" not in str(folder)]
    return parents[0].as_posix() if parents else f"{file}{colons}{inside}"


def _argument(settings: Settings, name: str, value: str) -> list[str]:
    return [f"{flag(name)}={value}"] if settings.origins[name] == flag(name) else ["-o", f"{name}={value}"]
