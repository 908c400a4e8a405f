"""Runs of the suite in `suite.py` with a lock."""

from pathlib import Path

import pytest

from pytest_graphmode.report.lock_file import write
from tests.project import Project, Result
from tests.run.lock.suite import ALL, LOCK, SUITE, Run


@pytest.fixture
def run(toy: Project, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `SUITE` with the backend toy and a lock."""
    monkeypatch.delenv("CI", raising=False)
    toy.makeini("[pytest]")
    toy.write(SUITE, "test_a")

    def run(*arguments: str, **outcomes: int) -> Result:
        return toy.run("--graph-backends=toy", LOCK, *arguments, **outcomes)

    return run


@pytest.fixture
def lock(run: Run) -> Path:
    """The lock of `SUITE`, as an update writes it."""
    write(Path("graphs.lock"), ALL)
    return Path("graphs.lock")
