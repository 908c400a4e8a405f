"""Gathers what the reports of tests tell and writes it at the end of a run, in the process that no worker is.

Registered by `hooks.py` in runs with `--graph-json` or `--graph-html`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_graphmode.records.replacing import check_writable
from pytest_graphmode.report.document import Gathered, document
from pytest_graphmode.run import beside, telling
from pytest_graphmode.select.registry import registry_of

if TYPE_CHECKING:
    from pytest_graphmode.select.settings import Settings

ENDED: Final = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
# The options, by pytest's names, with which it only tells of tests or fixtures.
_RUNNING_NOTHING: Final = ("collectonly", "showfixtures", "show_fixtures_per_test")


def refuse_unwritable(settings: Settings, name: str, file: Path) -> None:
    try:
        check_writable(file)
    except OSError as error:
        raise pytest.UsageError(
            f"{settings.given(name)}: the file can't be written: {error.strerror or error}"
        ) from None


class Gatherer:
    """Gathers what was told, whichever process ran the tests."""

    def __init__(self, config: pytest.Config) -> None:
        self.gathered = Gathered()
        self._config = config
        self._started = time.time()
        self._report: dict[str, Any] | None = None
        self._each = config.getoption("dist", "no") == "each"
        self._collected: set[str] = set()
        self._ended: set[str] = set()
        self._interrupted: list[Any] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected.update(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        self._collected.update(ids)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._ended.add(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told = getattr(report, "graphmode_facts", None)
        node: Any = getattr(report, "node", None)
        key = self._key(report.nodeid, node)
        if told is not None:
            self.gathered.add(key, json.loads(told))
        elif report.when not in ("setup", "call", "teardown"):  # xdist's, of an item that a worker went down in
            self.gathered.broken_off(key, crashed=node not in self._interrupted)
            self._ended.add(report.nodeid)

    def _key(self, nodeid: str, node: Any) -> tuple[str, str | None]:
        return nodeid, node.gateway.id if self._each and node is not None else None

    def begun(self, nodeid: str, said: str, node: Any = None) -> None:
        self.gathered.begun(self._key(nodeid, node), json.loads(said))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        channel = node.gateway.newchannel()
        channel.setcallback(lambda told: self.begun(told[0], told[1], node))
        beside.tell(node, begun=channel)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error == "keyboard-interrupt":  # xdist takes the test that a worker was in for one that it crashed in
            self._interrupted.append(node)

    def report(self, exitstatus: int | pytest.ExitCode) -> dict[str, Any]:
        """The whole report, the same for all that write it at the end of a run."""
        if self._report is None:
            run = {
                "started": round(self._started, 3),
                "seconds": round(time.time() - self._started, 3),
                # All tests ran, and not those alone before a failure (-x) or an exit that some code asked for.
                "finished": exitstatus in ENDED and self._collected <= self._ended,
                "exit": int(exitstatus),
            }
            environment = telling.environment(registry_of(self._config))
            self._report = document(self.gathered.items, environment, run)
        return self._report


class ReportWriter:
    """Writes the report of `--graph-json` or `--graph-html`; `write` puts it into a file whole or not at all."""

    def __init__(self, file: Path, gatherer: Gatherer, write: Callable[[Path, dict[str, Any]], None]) -> None:
        self._file, self._gatherer, self._write = file, gatherer, write
        self._said = ""

    # Last, when the workers of pytest-xdist are done.
    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int | pytest.ExitCode) -> None:
        if any(getattr(session.config.option, name, False) for name in _RUNNING_NOTHING):
            self._said = f"no graph report written to {self._file}: no test ran"
            return
        try:
            self._write(self._file, self._gatherer.report(exitstatus))
        except OSError as error:
            self._said = f"ERROR: the graph report can't be written to {self._file}: {error.strerror or error}"
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
        else:
            self._said = f"graph report written to {self._file}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._said:
            terminalreporter.write_sep("-", self._said)
