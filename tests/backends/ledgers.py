"""Ledgers of a few calls, for tests of what is counted and of what is said about it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from pytest_graphmode import GraphLedger, watch


def ledger_of(function: Callable[..., Any], *calls: Any, **options: Any) -> GraphLedger:
    """What is counted while a function is called with each of some arguments, given as a tuple where there are several.

    Args:
        options: those of `watch`.
    """
    with watch(**options) as ledger:
        for arguments in calls:
            function(*arguments) if isinstance(arguments, tuple) else function(arguments)
    return ledger


def repeated(function: Callable[[], Any], times: int = 3) -> GraphLedger:
    """What is counted while a function without arguments is called several times."""
    return ledger_of(function, *[()] * times)


def within(function: Callable[[], Any], *scopes: Callable[[], AbstractContextManager[Any]]) -> GraphLedger:
    """What is counted while a function is called once in each scope."""
    with watch() as ledger:
        for scope in scopes:
            with scope():
                function()
    return ledger


def changes(ledger: GraphLedger) -> list[list[tuple[Any, ...]]]:
    """What each build says that changed."""
    return [[(cause.kind, cause.argument, cause.before, cause.after) for cause in one.causes] for one in ledger.events]
