"""Holds the counts of tests against the lock of `--graph-lock`, in the process that runs them.

Registered by `hooks.py` in runs that have one; `execute.py` asks it.
`lock_keeping.py` updates the file and tells of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from pytest_graphmode.ledger.watcher import watcher
from pytest_graphmode.report import lock, lock_file, put
from pytest_graphmode.report.lock import Change, Counts, Frameworks, Seen
from pytest_graphmode.run import beside, reproducing, verdict
from pytest_graphmode.run.concern import is_agreement
from pytest_graphmode.run.execute import test_of
from pytest_graphmode.run.items import FACTS, LOCK, variant_of
from pytest_graphmode.select import markers, variants
from pytest_graphmode.select.options import flag, in_ci
from pytest_graphmode.select.registry import registry_of

if TYPE_CHECKING:
    from pytest_graphmode.ledger.ledger import GraphLedger
    from pytest_graphmode.select.registry import Registry
    from pytest_graphmode.select.settings import Settings

# What a worker of pytest-xdist tells of the lines that have no test.
TOLD: Final = "graphmode_lock"
UPDATE: Final = flag("graph_lock_update")


def refuse(settings: Settings) -> None:
    given = UPDATE if settings.lock_update else flag("graph_lock_from") if settings.lock_from else None
    if given is None:
        return
    if settings.lock is None:
        raise pytest.UsageError(f"{given}: there is no lock to update: name its file, --graph-lock=FILE")
    if in_ci():
        raise pytest.UsageError(
            f"{given}: CI is set, and where it is the lock is read only, so that what it accepts is in a commit: leave "
            f"it out, and update {settings.written['graph_lock']} where you work"
        )


def update_options(config: pytest.Config) -> list[str]:
    """What makes a command that runs tests again one that writes their lines."""
    return [UPDATE, *([flag("graph_watch")] if config.getoption("graph_watch") else [])]


def frameworks(registry: Registry) -> Frameworks:
    specs = registry.specs.values()
    return Frameworks(
        {spec.name: spec.version for spec in specs if spec.installed}, [spec.name for spec in specs if spec.sources]
    )


class GraphLock:
    """The lock of a run.

    Attributes:
        text: the whole file, which workers of pytest-xdist are told, as they may run where it is not.
        ci: whether tests without a line fail.
    """

    def __init__(self, config: pytest.Config) -> None:
        registry = registry_of(config)
        settings = registry.settings
        assert settings.lock is not None
        self.file = settings.lock
        self.name = settings.written["graph_lock"]
        told = beside.told(config).get("lock")
        self.ci: bool = in_ci() if told is None else told["ci"]
        self.text: str | None = lock_file.read(self.file, self.name) if told is None else told["text"]
        self.lines = lock_file.parse(self.text, self.name)
        self.frameworks = frameworks(registry)
        self._updating = settings.lock_update is not None
        self._by_test = lock.by_test(self.lines)

    def hold(self, node: pytest.Item, ledger: GraphLedger, untrusted: Mapping[str, str]) -> None:
        """Fail a test that builds other than its lines have, or in CI has none; or if its backend is `untrusted`.

        One that is expected to fail is not held to it: pytest would take a failure by the lock for the expected one.
        """
        __tracebackhide__ = True
        if _expected_to_fail(node):
            return
        said = node.stash[FACTS].said
        test = test_of(node)
        lines = self._by_test.get(test, {})
        found = list(lock.seen(test, said, self.frameworks))
        if said["variant"] is None:
            found += lock.unshown(test, found, lines, self.frameworks)
        for one in found:
            backend = one.mode.partition(":")[0]
            if backend in untrusted:
                _fail(node, _NOT_COUNTED.format(backend, untrusted[backend]), by=None)
        if not self._updating:
            said["unlocked"] = [one.line for one in found if lock.line_for(lines, one) is None]
            self._compare(node, ledger, [(one, lines[line]) for one in found if (line := lock.line_for(lines, one))])

    def _compare(self, node: pytest.Item, ledger: GraphLedger, pairs: list[tuple[Seen, Counts]]) -> None:
        __tracebackhide__ = True
        texts, worse = [], False
        for one, locked in pairs:
            part = ledger if node.stash[FACTS].said["variant"] else ledger.select(*one.mode.split(":"))
            changed = list(lock.changes(locked, one.counts))
            worse = worse or any(change.worse for change in changed)
            if changed:
                texts.append(f"{self._changed(one, changed, part)}\n{part.explain()}")
        command = reproducing.command(node, *update_options(node.config))
        if texts:
            text = "\n".join([*texts, f"  {'where that is meant' if worse else 'so that it stays so'}: {command}"])
            _fail(node, text, "; ".join(text.partition("\n")[0] for text in texts))
        unlocked = node.stash[FACTS].said["unlocked"]
        if unlocked and self.ci:
            modes = ", ".join(line.rpartition(" ")[2] for line in unlocked)
            _fail(node, f"{self.name} has no line of this test for {modes}: write it where you work, {command}")

    def _changed(self, one: Seen, changed: list[Change], ledger: GraphLedger) -> str:
        how = "worse" if any(change.worse for change in changed) else "better"
        reasons = [f"{change}{_reason(change, ledger)}" for change in sorted(changed, key=lambda one: not one.worse)]
        return f"{', '.join(reasons)} ({one.mode}, {how} than in {self.name})"


def _expected_to_fail(node: pytest.Item) -> bool:
    """Whether an xfail mark, of pytest's or by `graph_xfail`, holds for a test."""
    # Nothing public knows whether a mark's condition, a text, holds.
    from _pytest.skipping import evaluate_xfail_marks

    return not node.config.option.runxfail and evaluate_xfail_marks(node) is not None


_NOT_COUNTED: Final = (
    "the graphs of {} are not counted, so they can't be held against the lock: {}. "
    "Use a version that README names as tested, or a later pytest-graphmode"
)


def _fail(node: pytest.Item, text: str, brief: str | None = None, by: str | None = lock.BY_LOCK) -> NoReturn:
    __tracebackhide__ = True
    node.stash[FACTS].said["failed_by"] = by
    put(node.user_properties, verdict="broken", reason=brief or text)
    verdict.fail(node, text, brief)


def _reason(change: Change, ledger: GraphLedger) -> str:
    reason = next(_reasons(change, ledger), "") if change.worse else ""
    return f", because {' '.join(reason.split())}" if reason else ""


def _reasons(change: Change, ledger: GraphLedger) -> Iterator[str]:
    """Why a count is worse, the best first."""
    if change.name == "rebuilds":
        yield from (build.cause.what for build in ledger.events if build.rebuild and build.cause is not None)
        if any(build.recorded for build in ledger.events):
            yield "eager code records a graph on every call"
    if change.name in ("breaks", "builds", "first_builds", "operations"):
        places = [f"at {entry.where}: {entry.reason}" for entry in ledger.graph_breaks]
        if places:
            yield f"the graph breaks {' and '.join(places[:3])}{' and elsewhere' if len(places) > 3 else ''}"
    if change.name != "breaks":
        fallen = ledger.fallback_reasons
        yield from (f"{entry.function} fell back to eager execution: {entry.reason}" for entry in fallen)
    if change.name in ("builds", "first_builds", "operations"):
        seen = list(dict.fromkeys(build.function for build in ledger.events))
        yield f"only {', '.join(seen[:3])}{' ...' if len(seen) > 3 else ''} was built" if seen else "nothing was built"


class LockedTests:
    """Starts tests that are locked from one state, and finds the lines that no test has."""

    def __init__(self, held: GraphLock) -> None:
        self._lock = held
        self._items: list[pytest.Item] = []
        self._partial = False
        self._files: set[str] = set()
        self._skipped: list[str] = []
        self.gone: dict[str, str] | None = None

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self._items.append(item)

    def pytest_deselected(self) -> None:
        self._partial = True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._partial = self._partial or report.failed
        self._files.add(report.nodeid)
        if report.skipped:
            self._skipped.append(report.nodeid)

    def pytest_collection_modifyitems(self) -> None:
        watcher.begin()

    # First, before what is known of the test is attached to its report.
    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        facts = item.stash.get(FACTS, None)
        if facts is not None and (call.when == "setup" or (call.when == "teardown" and call.excinfo is not None)):
            facts.said["failed_by"] = None  # of an attempt before, or no more by the lock alone

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if not self._partial and set(self._items) <= set(session.items):
            tests = self._without_test(session)
            self.gone = {line: "" for line in self._lock.lines if lock.test_in(line) in tests}
            self.gone |= dict.fromkeys(self._left_out(session.items), " (left out by what the test is marked with)")
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[TOLD] = self.gone
        self._items.clear()

    def _without_test(self, session: pytest.Session) -> set[str]:
        """The locked tests that are gone: their file is, or was collected without them.

        None where this run has none of the locked tests: it is of another folder.
        """
        here, locked = set(map(test_of, session.items)), set(map(lock.test_in, self._lock.lines))
        if not here & locked:
            return set()
        skipped = tuple(f"{node}{end}" for node in self._skipped for end in ("::", "/"))
        root = session.config.rootpath

        def looked_at(test: str) -> bool:
            file = test.partition("::")[0]
            return file in self._files or not (root / file).exists()

        return {test for test in locked - here if not test.startswith(skipped) and looked_at(test)}

    def _left_out(self, items: Sequence[pytest.Item]) -> Iterator[str]:
        """The lines of variants that a test has in no run, whichever backends, devices and dtypes are selected."""
        variants_of: dict[str, list[pytest.Item]] = {}
        for item in items:
            if not is_agreement(item) and "graphmode" in getattr(getattr(item, "callspec", None), "params", ()):
                variants_of.setdefault(test_of(item), []).append(item)
        for line in self._lock.lines:
            found = variants_of.get(lock.test_in(line), [])
            if found and not _may_have(found, line.rpartition(" ")[2]):
                yield line


def _may_have(items: Sequence[pytest.Item], place: str) -> bool:
    """Whether there may be a variant of these items' test that `tf:graph@gpu:0` is of, in whatever run."""
    specs = registry_of(items[0].config).specs
    try:
        pattern = variants.parse_pattern(place, specs)
    except ValueError:  # of a backend that is not registered here
        return True
    if not specs[pattern.backend].installed:  # what is marked may depend on that
        return True
    if variants.names_variants(items[0]):
        return any(pattern.matches(variant) for item in items if (variant := variant_of(item)) is not None)
    return markers.graphmode_request(items[0].iter_markers(), specs).allows(pattern)


def use(config: pytest.Config) -> None:
    settings = registry_of(config).settings
    if not hasattr(config, "workerinput"):
        refuse(settings)
    if settings.lock is None:
        return
    try:
        held = config.stash[LOCK] = GraphLock(config)
    except lock_file.LockError as error:
        raise pytest.UsageError(f"{settings.origin('graph_lock')}: {error}") from None
    config.pluginmanager.register(LockedTests(held), "graphmode-locked-tests")
