"""What the process that starts the workers tells each of them, and what it is told by them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_graphmode.run.beside import GRAPHMODE, on_this_host
from pytest_graphmode.select import options

if TYPE_CHECKING:
    from pytest_graphmode.run.agreement.travelling import Travel
    from pytest_graphmode.select.settings import Settings

# What the workers told: by node id the group of tests that one stays with, None where it may go anywhere.
_GROUPS: Final = pytest.StashKey[dict[str, "str | None"]]()
# The folder of this run: made for the first worker that can see it.
_FOLDER: Final = pytest.StashKey["Path | None"]()
# The kinds of `--dist` whose schedulers are told of groups.
_TOGETHER: Final = ("loadgroup", "loadscope", "loadfile")


def introduce(node: Any) -> None:
    """Tell a worker what it can't find out itself."""
    kind = node.config.getoption("dist")
    folder = _folder_of(node)
    node.workerinput[GRAPHMODE] = {
        "each": kind == "each",
        "groups": _channel(node) if kind in _TOGETHER else None,
        "folder": None if folder is None else str(folder),
        "share": _share(node),
    }


# Accelerators.


def hand_out_accelerators(config: pytest.Config, specs: Sequence[Any]) -> None:
    """Before workers start, say which accelerator each of them sees."""
    settings = _settings(config)
    if settings is not None:
        from pytest_graphmode.run.workers import accelerators

        accelerators.hand_out(specs, settings, each=config.getoption("dist") == "each")


def _share(node: Any) -> float | None:
    """The part of an accelerator's memory that a worker may take; None where it is not limited."""
    settings = _settings(node.config)
    if settings is None:
        return None
    from pytest_graphmode.run.workers import accelerators

    return accelerators.share(node.nodemanager.specs, node.gateway.spec, settings)


def _settings(config: pytest.Config) -> Settings | None:
    """Those of the run; None where nobody gave any."""
    if not options.given(config):
        return None
    from pytest_graphmode.select.registry import registry_of

    return registry_of(config).settings


# Which tests stay together.


def _channel(node: Any) -> Any:
    """A channel on which a worker, on this host or another, tells its groups before it tells xdist its tests."""
    channel = node.gateway.newchannel()
    channel.setcallback(_groups(node.config).update)
    return channel


def _groups(config: pytest.Config) -> dict[str, str | None]:
    return config.stash.setdefault(_GROUPS, {})


def scheduler(config: pytest.Config, log: Any) -> Any:
    """xdist's scheduler of the wanted kind, informed of the groups; None for a kind that keeps nothing together."""
    kind = config.getoption("dist")
    if kind not in _TOGETHER:
        return None
    from pytest_graphmode.run.workers.scheduling import SCHEDULERS

    made = SCHEDULERS[kind](config, log)
    made.groups = _groups(config)
    return made


# What travels between workers.


def _folder_of(node: Any) -> Path | None:
    """The folder of this run, where a worker can see it; under `--dist each` one for it and those that replace it."""
    specs = node.nodemanager.specs
    hosts = not all(map(on_this_host, specs))
    folder = _folder(node.config, hosts)
    if folder is None or (not on_this_host(node.gateway.spec) and not _kept(node.config)):
        return None
    if node.config.getoption("dist") != "each":
        return folder
    own = folder / next(
        (str(number) for number, spec in enumerate(specs) if spec is node.gateway.spec), node.gateway.id
    )
    own.mkdir(exist_ok=True)
    return own


def _folder(config: pytest.Config, hosts: bool) -> Path | None:
    """A temporary one, or one beside the records, which other hosts can see; removed at the end of the run."""
    if _FOLDER not in config.stash:
        kept = _kept(config) if hosts else None
        try:
            if kept is not None:
                kept.mkdir(parents=True, exist_ok=True)
            made = tempfile.mkdtemp(prefix=".run-" if kept else "pytest-graphmode-", dir=kept)
        except OSError:  # without it what another worker holds is run again
            config.stash[_FOLDER] = None
        else:
            config.stash[_FOLDER] = Path(made)
            config.add_cleanup(lambda: shutil.rmtree(made, ignore_errors=True))
    return config.stash[_FOLDER]


def _kept(config: pytest.Config) -> Path | None:
    """The folder of `--graph-records`, where this run may write into it."""
    settings = _settings(config)
    return None if settings is None or settings.frozen else settings.records


# Crashes.


def lost(node: Any) -> None:
    """Note that a worker went down, before its tests are given to others."""
    travel = _travel(node)
    if travel is not None:
        travel.lost()


def explain_crash(crashed: str, report: Any) -> None:
    """Say which variant a worker crashed in that ran it for an agreement item."""
    travel = _travel(report.node)
    found = {} if travel is None else travel.unfinished()
    variants = [test for test in found if test != crashed]
    if variants:
        report.longrepr = f"{report.longrepr}, which ran {', '.join(variants)} for it"
    for failure in filter(None, found.values()):
        report.longrepr = f"{report.longrepr}, to say more of this failure:\n{failure}"


def _travel(node: Any) -> Travel | None:
    from pytest_graphmode.run.agreement.travelling import Travel

    folder = node.workerinput[GRAPHMODE]["folder"]
    return None if folder is None else Travel(Path(folder), node.gateway.id)
