"""The live line of a long test on a terminal: what runs, how often it built and how many calls it makes a second.

Used by `hooks.py`. A thread reads counters that are there anyway, so calls pay nothing; it is there while a test runs.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, Final
from unicodedata import combining, east_asian_width

import pytest

from pytest_graphmode.ledger.describe import counted
from pytest_graphmode.ledger.ledger import GraphLedger
from pytest_graphmode.run import beside
from pytest_graphmode.select.options import in_ci
from pytest_graphmode.select.registry import registry_of

# Seconds that a test runs without a line, and between two of them.
DELAY: Final = 2.0
INTERVAL: Final = 0.5
# Below the line that pytest is writing, where the cursor stays: index and back, so that there is a line below at the
# end of the screen; save the cursor, go there, clear the line; restore the cursor. All of this any VT100 has.
_SHOWN: Final = "\x1bD\x1bM\x1b7\x1b[1B\r\x1b[2K{}\x1b8"
_ERASED: Final = "\x1b7\x1b[1B\r\x1b[2K\x1b8"


def on_terminal(config: pytest.Config) -> Progress | None:
    """Lines on what pytest writes to, whatever a test's output is captured by; None where there are to be none."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    if capture is None or not wanted(config):
        return None
    with capture.global_and_fixture_disabled():
        terminal = os.dup(sys.stdout.fileno())
    config.add_cleanup(lambda: os.close(terminal))

    def width() -> int:
        return os.get_terminal_size(terminal).columns or 80

    progress = Progress(lambda text: os.write(terminal, text.encode("utf-8", "replace")), width, monotonic)
    config.add_cleanup(_away_while_suspended(capture, progress))
    return progress


def _away_while_suspended(capture: Any, progress: Progress) -> Callable[[], None]:
    """Show no line while a test's output goes to the terminal itself, as in `with capsys.disabled():`; what ends that.

    By methods of this one object, since pytest has no hook for it.
    """
    suspend, resume = capture.suspend_global_capture, capture.resume_global_capture

    def suspended(in_: bool = False) -> None:
        progress.pause()
        suspend(in_)

    def resumed() -> None:
        resume()
        progress.go_on()

    def end() -> None:
        del capture.suspend_global_capture, capture.resume_global_capture

    capture.suspend_global_capture, capture.resume_global_capture = suspended, resumed
    return end


def wanted(config: pytest.Config) -> bool:
    """Whether there is a terminal that nothing else writes to while a test runs, and a person before it."""
    option = config.option
    logged = config.pluginmanager.hasplugin("logging") and (option.log_cli_level or config.getini("log_cli"))
    return (
        bool(registry_of(config).settings.progress)
        and option.verbose >= 0
        and option.capture in ("fd", "sys")  # else the test's own output is shown at once
        and not (logged or getattr(option, "usepdb", False) or getattr(option, "trace", False))
        and not beside.distributed(config)
        and not hasattr(config, "workerinput")
        and not in_ci()
        and os.environ.get("TERM", "dumb") != "dumb"
    )


class Progress:
    """Shows the line of the test that runs."""

    def __init__(self, write: Callable[[str], object], width: Callable[[], int], clock: Callable[[], float]) -> None:
        self._write, self._width, self._clock = write, width, clock
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._shown = self._paused = False
        self._writing = threading.Lock()

    @contextmanager
    def of(self, name: str, ledger: GraphLedger) -> Iterator[None]:
        """While a test runs; pytest's own line is as it was when the block ends."""
        self._ended.clear()
        self._paused = False
        self._thread = threading.Thread(target=self._run, args=(name, ledger), daemon=True)
        self._thread.start()
        try:
            yield
        finally:
            self.end()

    def end(self) -> None:
        """Show no more of this test: it is done, or a debugger is entered."""
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            self._thread = None
        self.pause()

    def pause(self) -> None:
        """Take the line away, and show none until `go_on`."""
        with self._writing:
            self._paused = True
            if self._shown:
                self._shown = False
                with suppress(OSError):
                    self._write(_ERASED)

    def go_on(self) -> None:
        self._paused = False

    def _run(self, name: str, ledger: GraphLedger) -> None:
        began = self._clock()
        calls, then = 0, began
        pause = DELAY
        while not self._ended.wait(pause):
            pause = INTERVAL
            with suppress(RuntimeError):  # a count that grew while it was added up: the next time
                now, made = self._clock(), ledger.calls + ledger.hidden_graphs
                text = line(name, ledger, now - began, (made - calls) / max(now - then, 1e-9))
                calls, then = made, now
                try:
                    self._show(text)
                except OSError:  # the terminal is gone
                    return

    def _show(self, text: str) -> None:
        with self._writing:
            if not self._paused:
                self._shown = True
                self._write(_SHOWN.format(fitted(text, self._width() - 1)))


def fitted(text: str, cells: int) -> str:
    """As much of a text as goes into that many cells of a terminal, where a CJK character takes two."""
    kept = ""
    for character in text:
        cells -= 0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1
        if cells < 0:
            break
        kept += character
    return kept


def line(name: str, ledger: GraphLedger, seconds: float, rate: float) -> str:
    """`test_loop[tf-graph-cpu]: 12 s, 3 builds, 1234 calls, 103 a second`, or `87 in checks` of the plugin's own."""
    builds, calls, hidden = ledger.builds, ledger.calls, ledger.hidden_graphs
    parts = [f"{seconds:.0f} s", counted(builds, "build")]
    if calls:
        parts.append(f"{counted(calls, 'call')}{' told' * bool(ledger.uncountable_calls)}")
    if hidden:
        parts.append(f"{hidden} in checks")
    if calls or hidden:
        parts.append(f"{rate:.3g} a second")
    return f"{name}: {', '.join(parts)}"
