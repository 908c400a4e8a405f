"""Fixtures for the whole suite."""

from __future__ import annotations

import shutil
from pathlib import Path

# Before any in-process run of pytester's, which forgets what the run imported: extension modules load only once.
import numpy  # noqa: F401
import optree  # noqa: F401
import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def toy(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project whose conftest offers the backend `toy` (see `toy/toylib.py`), and `absent`, which is not installed."""
    for file in ("toylib.py", "toybackend.py"):
        shutil.copy(Path(__file__).parent / "toy" / file, pytester.path)
    pytester.makeconftest(
        """
        import toybackend

        def pytest_graphmode_backends():
            return [toybackend.SPEC, toybackend.ABSENT]
        """
    )
    return pytester
