"""Which tests there are, by pytest's own collection; for `python -m pytest_graphmode records prune`."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_graphmode.run.concern import is_agreement
from pytest_graphmode.run.execute import test_of


class CollectionFailedError(Exception):
    """Pytest could not collect the tests; the message is what it said."""


class _Seen:
    """Notes every test, also those that are deselected later."""

    def __init__(self) -> None:
        self.tests: set[str] = set()
        self.errors: list[str] = []
        self.root = Path()

    def pytest_configure(self, config: pytest.Config) -> None:
        self.root = config.rootpath

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(report.longreprtext)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        if isinstance(item, pytest.Function) and not is_agreement(item):
            self.tests.add(test_of(item))


def tests_in(files: Sequence[str], records: Path, arguments: Sequence[str]) -> set[str]:
    """The ids, without variants, of the tests in these files, which are relative to pytest's root folder.

    No framework is needed to collect: a variant of NumPy stands for the others. Where no file is left, a folder of
    records below this one says that this is the root folder.

    Raises:
        CollectionFailedError: pytest was started outside of its root folder, or can't collect the files.
    """
    there = [file for file in files if Path(file).is_file()]
    if not there and Path.cwd() in records.resolve().parents:
        there = [str(records)]
    if not there:
        raise CollectionFailedError(f"none of the tests' files is in {Path.cwd()}: start it in pytest's root folder")
    seen, said = _Seen(), io.StringIO()
    quiet = ["--collect-only", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
    options = [*quiet, "--graph-backends=numpy", "--graph-devices=all"]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = pytest.main([*options, *arguments, *there], plugins=[seen])
    if seen.errors or code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise CollectionFailedError("\n".join(seen.errors) or said.getvalue().strip())
    if seen.root != Path.cwd():
        raise CollectionFailedError(f"pytest's root folder is {seen.root}: start it there")
    return seen.tests
