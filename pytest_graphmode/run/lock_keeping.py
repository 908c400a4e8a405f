"""Updates the lock of `--graph-lock`, and tells of tests without a line and lines without a test.

In the process that no worker is: at the end of a run, from what the reports of tests told, or from the JSON report of
another machine (`--graph-lock-from`), without a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_graphmode.ledger.describe import counted
from pytest_graphmode.records.replacing import check_writable
from pytest_graphmode.report import lock, lock_file
from pytest_graphmode.report.document import ReportError, read
from pytest_graphmode.report.lock import Counts, Frameworks
from pytest_graphmode.run import beside, locking, reproducing, writing
from pytest_graphmode.run.items import LOCK
from pytest_graphmode.run.locking import TOLD, UPDATE, LockedTests
from pytest_graphmode.select.registry import registry_of

if TYPE_CHECKING:
    from pytest_graphmode.select.settings import Settings

Lines = Mapping[str, Counts]
# Of more, the rest is counted.
_MOST: Final = 20
# What narrows a run to a part of the tests, by pytest's names of the options.
_NARROWING: Final = (
    *("keyword", "markexpr", "file_or_dir", "lf", "stepwise", "deselect", "ignore", "ignore_glob"),
    *("collectonly", "inifilename"),
)
# What makes no sense where no test runs.
_SHORT: Final = ("-k", "-m")
_LONG: Final = (
    *("--lf", "--last-failed", "--sw", "--stepwise", "--deselect", "--ignore", "--ignore-glob"),
    *("--co", "--collect-only", "--collectonly", "--graph-json", "--graph-html", "--graph-report", "--junitxml"),
)


def use(config: pytest.Config) -> None:
    """Tell at the end of a run, or update then."""
    settings = registry_of(config).settings
    if settings.lock_update is not None:
        if config.getoption("dist", "no") == "each":
            raise pytest.UsageError(
                f"{UPDATE}: --dist=each runs each test in several environments, and a lock is of one: update it without"
            )
        writing.refuse_unwritable(settings, "graph_lock", config.stash[LOCK].file)
    config.pluginmanager.register(LockKeeper(config), "graphmode-lock")


class LockKeeper:
    """Knows at the end of a run what all tests counted, whichever process ran them."""

    def __init__(self, config: pytest.Config) -> None:
        gatherer = config.pluginmanager.get_plugin("graphmode-gathering")
        tests = config.pluginmanager.get_plugin("graphmode-locked-tests")
        assert isinstance(gatherer, writing.Gatherer)
        assert isinstance(tests, LockedTests)
        self._config, self._lock, self._tests, self._gatherer = config, config.stash[LOCK], tests, gatherer
        self._settings = registry_of(config).settings
        self._of_workers: list[Mapping[str, str] | None] = []
        self._said: list[str] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        beside.tell(node, lock={"text": self._lock.text, "ci": self._lock.ci})

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        output = getattr(node, "workeroutput", None)  # none of a worker that crashed
        if output is not None:
            self._of_workers.append(output.get(TOLD))

    # Last, when the workers of pytest-xdist are done.
    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int | pytest.ExitCode) -> None:
        if self._config.option.collectonly:
            return
        if self._settings.lock_update is None:
            self._said = [*self._tests_without_line(), *self._lines_without_test()]
        elif exitstatus not in writing.ENDED:
            self._said = [f"{self._lock.name} is left as it was: the run did not come to its end"]
        else:
            try:
                self._said = update(self._settings, self._changed)
            except lock_file.LockError as error:
                self._said = [f"ERROR: {error}"]
                session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._said:
            terminalreporter.write_sep("=", "graph lock")
        for line in self._said:
            terminalreporter.write_line(line)

    def _changed(self, lines: Lines) -> Lines:
        operations = self._settings.lock_update == "operations"
        gone = self._gone()
        lines = {line: counts for line, counts in lines.items() if line not in gone}
        return lock.updated(lines, self._gatherer.gathered.items, self._lock.frameworks, operations=operations)

    def _gone(self) -> Mapping[str, str]:
        """The lines that no test has, with what to say of them, as every process that collected tests found.

        None in a part of a run.
        """
        options = self._config.option
        part = any(getattr(options, name, None) for name in _NARROWING)
        # Other ini values than this plugin's may say what tests are called.
        part = part or not all(one.lstrip().startswith("graph_") for one in options.override_ini or ())
        if part or self._config.invocation_params.dir.resolve() != self._config.rootpath.resolve():
            return {}
        found = self._of_workers if beside.distributed(self._config) else [self._tests.gone]
        first, *others = [gone or {} for gone in found] or [{}]
        return {line: why for line, why in first.items() if all(line in other for other in others)}

    def _tests_without_line(self) -> Iterator[str]:
        items = [item for item in self._gatherer.gathered.items if item.get("unlocked")]
        unlocked = sorted({line for item in items for line in item["unlocked"]})
        nodes = _few(item["node"] for item in items)
        return self._told(unlocked, f"missing in {self._lock.name}", "write", nodes)

    def _lines_without_test(self) -> Iterator[str]:
        lines = [f"{line}{why}" for line, why in sorted(self._gone().items())]
        return self._told(lines, f"in {self._lock.name} without a test", "remove", [])

    def _told(self, lines: Sequence[str], what: str, verb: str, nodes: Sequence[str]) -> Iterator[str]:
        if lines:
            yield f"{counted(len(lines), 'line')} {what}:"
            yield from _listed(lines)
            command = reproducing.command_for(self._config, nodes, locking.update_options(self._config))
            yield f"to {verb} {'it' if len(lines) == 1 else 'them'}: {command}"


def _few(nodes: Iterable[str]) -> Sequence[str]:
    """Ids of functions, of their files where these are too many for a command, or none for all tests."""
    parts = [node.partition("::") for node in nodes]  # a folder's name may have brackets too
    functions = list(dict.fromkeys(f"{file}{colons}{inside.partition('[')[0]}" for file, colons, inside in parts))
    files = list(dict.fromkeys(file for file, _, _ in parts))
    return next((some for some in (functions, files) if len(some) <= _MOST // 2), [])


def _listed(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in lines[:_MOST])
    if len(lines) > _MOST:
        yield f"  and {len(lines) - _MOST} more"


def update(settings: Settings, change: Callable[[Lines], Lines]) -> list[str]:
    """Change the file as it is now, which another run may have updated meanwhile; what was done, in lines to print."""
    file, name = settings.lock, settings.written["graph_lock"]
    assert file is not None
    text = lock_file.read(file, name)
    before = lock_file.parse(text, name)
    after = change(before)
    if text == lock_file.text_of(after):
        return [f"{name}: nothing changed, {counted(len(after), 'line')}"]
    try:
        check_writable(file)
        lock_file.write(file, after)
    except OSError as error:
        raise lock_file.LockError(f"{name}: it can't be written: {error.strerror or error}") from error
    changed = lock.told(before, after)
    return [f"{name} written, {counted(len(after), 'line')}:", *_listed(changed)]


def update_from_report(config: pytest.Config) -> int:
    """Update the lock from the report of another run, and run nothing."""
    settings = registry_of(config).settings
    locking.refuse(settings)
    assert settings.lock_from is not None
    origin = f"--graph-lock-from={settings.written['graph_lock_from']}"
    of_runs = list(_arguments_of_runs(config))
    if of_runs:
        raise pytest.UsageError(f"{origin}: it runs no test and writes no report: leave out {' '.join(of_runs)}")
    try:
        report = read(settings.lock_from)
        items, frameworks = _told_by(report, locking.frameworks(registry_of(config)))
        operations = settings.lock_update == "operations"
        said = update(settings, lambda lines: _readable(lock.updated(lines, items, frameworks, operations=operations)))
    except ReportError as error:
        raise pytest.UsageError(f"{origin}: {error}") from None
    except lock_file.LockError as error:
        raise pytest.UsageError(f"{settings.origin('graph_lock')}: {error}") from None
    except (AttributeError, KeyError, TypeError) as error:
        raise pytest.UsageError(f"{origin}: it is no report of --graph-json, or damaged ({error!r})") from None
    except ValueError as error:
        raise pytest.UsageError(f"{origin}: the report is damaged: {error}") from None
    print("\n".join([*said, *_not_taken(items)]))
    return pytest.ExitCode.OK


def _arguments_of_runs(config: pytest.Config) -> Iterator[str]:
    """What the command line has that chooses tests or reports on them; what the ini file has is for other runs."""
    given = [str(argument) for argument in config.invocation_params.args]
    yield from (one for one in given if one.startswith(_SHORT) or one.partition("=")[0] in _LONG)
    yield from (path for path in config.option.file_or_dir if path in given)


def _readable(lines: Lines) -> Lines:
    """The lines, of which a ValueError says that the next run can't read one."""
    return {line: lock_file.counts_of(line, counts.data()) for line, counts in lines.items()}


def _not_taken(items: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The tests of a report whose lines an update from it leaves alone, and why, those that failed first."""
    left = sorted((item for item in items if not lock.may_be_taken(item)), key=lambda one: one["outcome"] == "skipped")
    if left:
        yield f"{counted(len(left), 'test')} of the report left as {'it was' if len(left) == 1 else 'they were'}:"
        said = [[f"{one['node']}: {one['outcome']}", *(one["text"] or "").splitlines()[:1]] for one in left]
        yield from _listed(list(map(", ".join, said)))


def _told_by(report: dict[str, Any], here: Frameworks) -> tuple[list[dict[str, Any]], Frameworks]:
    """The tests of a report, and the frameworks of its machine."""
    if any(test["test"].startswith("worker ") for test in report["tests"]):
        raise ReportError("it is of a run with --dist=each, in several environments, and a lock is of one")
    items = [{**variant, "test": test["test"]} for test in report["tests"] for variant in test["variants"]]
    for item in items:
        for mode, counts in item["modes"].items():  # each by itself, since sums hide what is below 0
            values = {name: counts[name] for name in (*lock.COUNTED, "operations")}
            lock_file.counts_of(f"{item['test']} {mode}", {**values, "version": ""})
    versions = {name: one["version"] for name, one in report["environment"]["frameworks"].items()}
    return items, Frameworks(versions, here.counting)
