"""The verdict on a test whose body has run, and how it fails a test: at the test's own file and line.

The test's function has returned by then, so no frame of the user's is left that an exception could come from: without
one, `--tb=line`, `--pdb` and editors would show a line of the plugin. Called by `execute.py`, by the hooks of
`plugin.py` and by the agreement item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final, NoReturn

import pytest

from pytest_graphmode.run import beside
from pytest_graphmode.run.items import BOUND
from pytest_graphmode.select.registry import registry_of

if TYPE_CHECKING:
    from pytest_graphmode.checks.limits import Limit
    from pytest_graphmode.ledger.ledger import GraphLedger

_VACUOUS: Final = (
    "the test asked for graphmode and never used it, so its variants all tested the same: "
    "use the handle in the body, or drop the argument"
)

_SAID: Final = pytest.StashKey[tuple[str, str]]()


def judge(node: pytest.Item, ledger: GraphLedger, limits: Sequence[Limit], untrusted: Mapping[str, str]) -> None:
    """Fail a test whose body has passed where it never used its handle, or broke the limits of its markers.

    `untrusted` says why the graphs of a backend are not counted, for those of which that is so.
    """
    __tracebackhide__ = True
    from pytest_graphmode.checks.budget import Question, verdict
    from pytest_graphmode.report import put

    variant, handle = node.stash.get(BOUND, (None, None))
    if handle is not None and not handle.touched:
        put(node.user_properties, verdict="broken", reason=_VACUOUS)
        fail(node, _VACUOUS)
    if not limits:
        put(node.user_properties, verdict="no limits")
        return
    settings = registry_of(node.config).settings
    static = handle is None or handle.runtime.mode.static
    failure = verdict(Question(ledger, variant, static, settings.per_object, settings.within, untrusted), limits)
    brief = None if failure is None else in_brief(failure, ledger)
    put(node.user_properties, verdict="kept" if failure is None else "broken", reason=brief)
    if failure is not None:
        fail(node, failure, brief)


def fail(node: pytest.Item, text: str, brief: str | None = None) -> NoReturn:
    """Fail a test, from a frame that stands where it does; with a `brief` text for where pytest shows one line."""
    __tracebackhide__ = True
    who = beside.worker(node.config)
    text, brief = who + text, who + (brief or text.partition("\n")[0])
    node.stash[_SAID] = text, brief
    failure = pytest.fail.Exception(text, pytrace=False)
    path, line, _ = node.reportinfo()
    # As template engines do it: code whose file and line are the test's, so that there is a frame at that place.
    code = compile("\n" * (line or 0) + "raise failure", str(path), "exec")
    names = getattr(getattr(node, "module", None), "__dict__", {})  # of the test's module, for a debugger
    exec(code.replace(co_name=getattr(node, "originalname", node.name)), names, {"failure": failure})
    raise AssertionError("not reached")


def in_brief(text: str, ledger: GraphLedger) -> str:
    """The verdict on a ledger in one line: the limits that were broken, the first with what caused a rebuild."""
    first, *others = [line for line in text.splitlines() if not line.startswith(" ")]
    causes = (build.cause.what for build in ledger.events if build.rebuild and build.cause is not None)
    breaks = (f"graph break at {entry.where}" for entry in ledger.graph_breaks)
    cause = next(chain(causes, breaks), "")
    return "; ".join([f"{first}: {cause}" if cause else first, *others])


def whole(node: pytest.Item, message: str) -> str:
    """The text of a verdict without the brief one before it; the message itself where it is no verdict."""
    text, _ = node.stash.get(_SAID, ("", ""))
    return text if text and text in message else message


def shorten(node: pytest.Item, report: pytest.TestReport) -> None:
    """Put the brief text of a verdict before the whole one, where pytest shows the first line: summary, `--tb=line`."""
    text, brief = node.stash.get(_SAID, ("", ""))
    crash = getattr(report.longrepr, "reprcrash", None)
    # By its text, since another attempt of a test that is run again may fail for a reason of its own.
    if text and crash is not None and text in crash.message:
        crash.message = text if text == brief else f"{brief}\n{text}"
