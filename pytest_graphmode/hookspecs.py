"""The hooks that third parties implement: one to offer a backend, one to hear of every build."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_graphmode.backends.specs import BackendSpec
    from pytest_graphmode.ledger.ledger import GraphBuild


@pytest.hookspec
def pytest_graphmode_backends(config: pytest.Config) -> Sequence[BackendSpec]:  # type: ignore[empty-body]
    """Describe the backends a package offers, without importing their frameworks.

    Called once, when pytest starts: a package implements it in the module of its `pytest11` entry point, a project
    in the conftest.py beside its ini file. A package marks it `@pytest.hookimpl(optionalhook=True)`, so that pytest
    starts where this plugin is disabled or missing.

    Returns:
        One `pytest_graphmode.BackendSpec` for each backend. The class it names is imported when a variant of the
        backend first runs, and follows `pytest_graphmode.backends.base.Backend`.
    """


@pytest.hookspec
def pytest_graphmode_build(config: pytest.Config, nodeid: str, build: GraphBuild) -> None:
    """Called after each graph build that happened during a watched test, in the thread that built it.

    Args:
        config: the run's configuration.
        nodeid: the test in which the build happened.
        build: what was built, where and why; see `pytest_graphmode.GraphBuild`.
    """
