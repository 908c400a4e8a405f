"""`--graph-trace`: for each test that fails, what the framework's own experts ask for.

Registered by `hooks.py` where the option is given. Frameworks write into a folder aside while a test runs; when it
fails that is copied to its place, and else removed. The variants of a test with an agreement item wait for that.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from pytest_graphmode.ledger.importing import ImportWatch
from pytest_graphmode.ledger.watcher import watcher
from pytest_graphmode.records.folder import place
from pytest_graphmode.run import beside
from pytest_graphmode.run.agreement.item import RUN, Agreement
from pytest_graphmode.run.items import RERUN
from pytest_graphmode.run.reproducing import say
from pytest_graphmode.select.registry import registry_of

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Tracer
    from pytest_graphmode.backends.specs import BackendSpec

_TITLE: Final = "graph trace"


def use(config: pytest.Config) -> None:
    registry = registry_of(config)
    root = registry.settings.trace
    assert root is not None
    try:
        root.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=root).close()
    except OSError as error:
        given = registry.settings.given("graph_trace")
        raise pytest.UsageError(f"{given}: it can't be written to: {error.strerror}") from None
    traces = Traces(root, _aside(config), [spec for spec in registry.specs.values() if spec.tracer])
    config.pluginmanager.register(traces, "graphmode-traces")
    config.add_cleanup(traces.end)


def _aside(config: pytest.Config) -> Path:
    """A folder for what may not be kept; that of the run where it has workers, which compare each other's variants."""
    shared = beside.told(config).get("folder")
    if shared and Path(shared).is_dir():
        return Path(shared) / "traces"
    made = tempfile.mkdtemp(prefix="pytest-graphmode-")
    config.add_cleanup(lambda: shutil.rmtree(made, ignore_errors=True))
    return Path(made)


class Traces:
    """The folder of a run, and what writes into it."""

    def __init__(self, root: Path, aside: Path, specs: Sequence[BackendSpec]) -> None:
        self._root = root
        self._aside = aside
        self._specs: Mapping[str, BackendSpec] = {spec.module: spec for spec in specs}
        self._tracers: dict[str, Tracer] = {}
        self._broken: dict[str, str] = {}
        self._folder: Path | None = None
        self._imports = ImportWatch(set(self._specs), self._imported)
        watcher.proving = self._paused

    # Before all others, whose fixtures may compile something.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        if not isinstance(item, Agreement) and RERUN not in item.stash:
            self._stop()
            folder = place(self._aside, item.nodeid)
            shutil.rmtree(folder, ignore_errors=True)  # of an earlier attempt
            self._write_into(folder)
        return (yield)

    # Around all others, which may turn a failure into an expected one.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if RERUN in item.stash:
            return report
        tests = [item.nodeid]
        if isinstance(item, Agreement):
            tests = [variant.nodeid for variant in item.variants]
        elif report.failed or report.when == "teardown":
            self._stop()
        if report.failed:
            said = list(self._keep(tests))
            if said:
                say(report, _TITLE, "\n".join(said))
        elif report.when == "teardown" and (isinstance(item, Agreement) or RUN not in item.stash):
            for test in tests:
                shutil.rmtree(place(self._aside, test), ignore_errors=True)
        return report

    def end(self) -> None:
        watcher.proving = nullcontext
        self._stop()
        for tracer in self._tracers.values():
            tracer.end()
        if self._root.is_dir() and not any(self._root.iterdir()):
            self._root.rmdir()

    # While a test runs.

    def _write_into(self, folder: Path) -> None:
        self._folder = folder
        self._imports.begin()

    def _imported(self, module: str) -> None:
        """Have a framework write, once it is there: in the middle of an import, which must not fail for this."""
        if self._folder is None or module in self._broken:
            return
        try:
            if module not in self._tracers:
                self._tracers[module] = self._specs[module].load_tracer()
            self._tracers[module].start(self._folder / module)
        except Exception as error:
            self._broken[module] = f"{type(error).__name__}: {error}"

    def _stop(self) -> None:
        if self._folder is None:
            return
        self._folder = None
        self._imports.remove()
        for tracer in self._tracers.values():
            tracer.stop()

    @contextmanager
    def _paused(self) -> Iterator[None]:
        """The plugin's own probes of event sources are no part of the test in which they happen to be run."""
        folder = self._folder
        self._stop()
        try:
            yield
        finally:
            if folder is not None:
                self._write_into(folder)

    # When it has failed.

    def _keep(self, tests: Iterable[str]) -> Generator[str, None, None]:
        """Bring the traces of tests to their places; what to say of each."""
        for test in tests:
            made = place(self._aside, test)
            if made.is_dir():
                kept = place(self._root, test)
                try:
                    _put(made, kept)
                except OSError as error:
                    yield f"{kept} could not be kept: {error.strerror or error}"
                else:
                    yield str(kept)
        for module, reason in self._broken.items():
            yield f"none of {module}: {reason}"


def _put(made: Path, kept: Path) -> None:
    """Copy a folder to its place, whole, where an older one is replaced."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=kept.parent) as part:
        shutil.copytree(made, Path(part) / "new")
        if kept.exists():
            kept.rename(Path(part) / "old")
        (Path(part) / "new").rename(kept)
