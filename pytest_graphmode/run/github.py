"""In GitHub Actions: annotations at the lines that failures came from, and a summary of the job.

Registered by `hooks.py` there, in the process that no worker is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_graphmode.report.annotations import MOST, Annotation, found_in
from pytest_graphmode.report.job_summary import LARGEST, summary

if TYPE_CHECKING:
    from pytest_graphmode.run.writing import Gatherer

# The plugin that annotates each failed test at the line where pytest shows it.
_OTHER = "pytest_github_actions_annotate_failures"


class GitHub:
    """Tells GitHub Actions what failed and what was built."""

    def __init__(self, config: pytest.Config, gatherer: Gatherer) -> None:
        self._config, self._gatherer = config, gatherer
        self._root = Path(os.environ.get("GITHUB_WORKSPACE") or config.rootpath).resolve()
        self._found: list[Annotation] = []
        self._said = ""

    # Last, when the workers of pytest-xdist are done.
    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int | pytest.ExitCode) -> None:
        report = self._gatherer.report(exitstatus)
        plugins = self._config.pluginmanager
        self._found = found_in(report["tests"], self._located, alone=not plugins.hasplugin(_OTHER))
        named = os.environ.get("GITHUB_STEP_SUMMARY")
        if named:
            try:
                if not _append(Path(named), report, max(len(self._found) - MOST, 0)):
                    self._said = f"no summary of graphs: {named} is full, as GitHub shows a mebibyte of a step"
            except OSError as error:
                self._said = f"the summary of graphs can't be written to {named}: {error.strerror or error}"

    # Printed when nothing is captured any more; a command is one only at the beginning of a line.
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.ensure_newline()
        for annotation in self._found[:MOST]:
            terminalreporter.write_line(str(annotation))
        if self._said:
            terminalreporter.write_line(self._said)

    def _located(self, place: str) -> tuple[str, int] | None:
        """A place, which is relative to pytest's rootdir, by its path in the repository."""
        file, _, line = place.rpartition(":")
        path = (self._config.rootpath / file).resolve()
        if not line.isdigit() or not path.is_relative_to(self._root) or not path.is_file():
            return None
        return path.relative_to(self._root).as_posix(), int(line)


def _append(file: Path, report: dict[str, Any], left_out: int) -> bool:
    """Add the summary to what was written before in this step, in one piece; False where there is no more room."""
    room = LARGEST - (file.stat().st_size if file.exists() else 0)
    text = summary(report, left_out, room)
    if text:
        with file.open("ab") as whole:
            whole.write(text.encode("utf-8", "backslashreplace"))
    return bool(text) or not report["tests"]
