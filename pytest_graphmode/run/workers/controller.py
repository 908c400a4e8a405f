"""What the process that starts the workers tells each of them, and what it is told by them.

Registered by `hooks.py` where tests are distributed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_graphmode.run import beside
from pytest_graphmode.run.beside import on_this_host
from pytest_graphmode.run.workers import accelerators
from pytest_graphmode.select import options

if TYPE_CHECKING:
    from pytest_graphmode.run.agreement.travelling import Travel
    from pytest_graphmode.select.settings import Settings

# The kinds of `--dist` whose schedulers are told of groups.
_TOGETHER: Final = ("loadgroup", "loadscope", "loadfile")


class Controller:
    """Tells workers what they can't find out, and is told of their tests; in the process that starts them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._specs: Sequence[Any] = ()
        # What the workers told: by node id the group of tests that one stays with, None where it may go anywhere.
        self._groups: dict[str, str | None] = {}

    @property
    def _kind(self) -> str:
        return str(self._config.getoption("dist"))

    @property
    def _settings(self) -> Settings | None:
        """Those of the run; None where nobody gave any."""
        if not options.given(self._config):
            return None
        from pytest_graphmode.select.registry import registry_of

        return registry_of(self._config).settings

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, specs: Sequence[Any]) -> None:
        """Before workers start, say which accelerator each of them sees."""
        self._specs = specs
        if self._settings is not None:
            accelerators.hand_out(specs, self._settings, each=self._kind == "each")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        folder, settings = self._folder_of(node), self._settings
        beside.tell(
            node,
            each=self._kind == "each",
            groups=self._channel(node) if self._kind in _TOGETHER else None,
            folder=None if folder is None else str(folder),
            # The part of an accelerator's memory that it may take; None where it is not limited.
            share=None if settings is None else accelerators.share(self._specs, node.gateway.spec, settings),
        )

    def _channel(self, node: Any) -> Any:
        """A channel on which a worker, on this host or another, tells its groups before it tells xdist its tests."""
        channel = node.gateway.newchannel()
        channel.setcallback(self._groups.update)
        return channel

    # After a scheduler of the project's own, and before xdist's, which is registered later and is last too.
    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """xdist's scheduler of the wanted kind, informed of the groups; None for a kind that keeps nothing together."""
        if self._kind not in _TOGETHER:
            return None
        from pytest_graphmode.run.workers.scheduling import SCHEDULERS

        made = SCHEDULERS[self._kind](config, log)
        made.groups = self._groups
        return made

    # What travels between workers.

    def _folder_of(self, node: Any) -> Path | None:
        """The folder of this run, where a worker can see it; under `--dist each` one for it and its replacements."""
        own = node.gateway.spec
        if self._folder is None or (not on_this_host(own) and not self._kept):
            return None
        if self._kind != "each":
            return self._folder
        name = next((str(number) for number, spec in enumerate(self._specs) if spec is own), node.gateway.id)
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        return folder

    @cached_property
    def _folder(self) -> Path | None:
        """A temporary one, or one beside the records, which other hosts can see; removed at the end of the run."""
        kept = None if all(map(on_this_host, self._specs)) else self._kept
        try:
            if kept is not None:
                kept.mkdir(parents=True, exist_ok=True)
            made = tempfile.mkdtemp(prefix=".run-" if kept else "pytest-graphmode-", dir=kept)
        except OSError:  # without it what another worker holds is run again
            return None
        self._config.add_cleanup(lambda: shutil.rmtree(made, ignore_errors=True))
        return Path(made)

    @property
    def _kept(self) -> Path | None:
        """The folder of `--graph-records`, where this run may write into it."""
        settings = self._settings
        return None if settings is None or settings.frozen else settings.records

    # Crashes.

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Note that a worker went down, before its tests are given to others."""
        travel = _travel(node)
        if error and travel is not None:
            travel.lost()

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: Any) -> None:
        """Say which variant a worker crashed in that ran it for an agreement item."""
        travel = _travel(report.node)
        found = {} if travel is None else travel.unfinished()
        variants = [test for test in found if test != crashitem]
        if variants:
            report.longrepr = f"{report.longrepr}, which ran {', '.join(variants)} for it"
        for failure in filter(None, found.values()):
            report.longrepr = f"{report.longrepr}, to say more of this failure:\n{failure}"


def _travel(node: Any) -> Travel | None:
    from pytest_graphmode.run.agreement.travelling import Travel

    folder = node.workerinput[beside.GRAPHMODE]["folder"]
    return None if folder is None else Travel(Path(folder), node.gateway.id)
