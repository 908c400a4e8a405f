"""A project that a test writes, runs of pytest in it, and what they say."""

import textwrap
from pathlib import Path
from typing import Any

import pytest


class Result:
    """What a run said; all else is of pytester's result."""

    def __init__(self, ran: pytest.RunResult) -> None:
        self._ran = ran

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ran, name)

    def says(self, *lines: str) -> None:
        """Lines that match these patterns, in this order."""
        self._ran.stdout.fnmatch_lines(lines)

    def omits(self, *lines: str) -> None:
        """No line matches any of these patterns."""
        for line in lines:
            self._ran.stdout.no_fnmatch_line(line)

    def fails_collection(self, line: str) -> None:
        """No test ran, since collection failed with this line and without a traceback."""
        assert self._ran.ret == pytest.ExitCode.INTERRUPTED, self._ran.ret
        self.says(line)
        self.omits("*Traceback*", "*During handling*", "*plugin.py*")

    def refuses(self, line: str) -> None:
        """The run ended with a usage error of one line, and no traceback."""
        assert self._ran.ret == pytest.ExitCode.USAGE_ERROR, self._ran.ret
        self._ran.stderr.fnmatch_lines([f"ERROR: {line}"])
        assert "Traceback" not in str(self._ran.stderr) + str(self._ran.stdout)


class Project:
    """A folder of tests, and runs of pytest in it; all else, `makeini` and the rest, is pytester's.

    Args:
        pytester: where it is.
        backends: what runs select that say nothing else; None for the plugin's own default.
        options: what every run has.
        head: the first lines of every module of tests.
    """

    def __init__(
        self,
        pytester: pytest.Pytester,
        backends: str | None = None,
        options: tuple[str, ...] = (),
        head: str = "import pytest",
    ) -> None:
        self.pytester = pytester
        self._backends, self._options, self._head = backends, options, head

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pytester, name)

    def write(self, text: str, name: str = "test_net") -> Path:
        """A module of tests, which has imported pytest already: its first line is the third."""
        return self.pytester.makepyfile(**{name: f"{self._head}\n\n{textwrap.dedent(text).strip()}\n"})

    def extend(self, text: str) -> None:
        """More for the conftest."""
        with (self.path / "conftest.py").open("a", encoding="utf-8") as conftest:
            conftest.write(textwrap.dedent(text))

    def run(self, *arguments: str, backends: str | None = None, apart: bool = False, **outcomes: int) -> Result:
        """Run what `arguments` select, in this process or `apart`; `outcomes`, where some are given, are all of it."""
        run = self.pytester.runpytest_subprocess if apart else self.pytester.runpytest_inprocess
        chosen = backends or self._backends
        options = [*self._options, *([f"--graph-backends={chosen}"] if chosen else [])]
        ran = Result(run(*options, *arguments, **({} if apart else {"no_reraise_ctrlc": True})))
        if outcomes:
            ran.assert_outcomes(**outcomes)
        return ran

    def check(self, text: str, *arguments: str, **options: Any) -> Result:
        """Write these tests and run them."""
        self.write(text)
        return self.run(*arguments, **options)
