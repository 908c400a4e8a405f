"""Fixtures for the whole suite."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import pytest

import pytest_graphmode

pytest_plugins = ["pytester"]


def _import_the_plugin() -> None:
    """At once, with NumPy and optree: pytester's in-process runs forget what is imported in them.

    Extension modules load only once, and a module of the plugin's that is there twice has two of each class. What is
    under `backends` needs a framework; tests that use one in process import it before `pytester` begins.
    """
    package = Path(pytest_graphmode.__file__).parent
    for file in sorted(package.rglob("*.py")):
        name = ".".join(file.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
        if not name.startswith(("pytest_graphmode.backends", "pytest_graphmode.testing")):
            importlib.import_module(name)


_import_the_plugin()


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
