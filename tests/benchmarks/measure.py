"""How the benchmarks time things: pairs in turn, medians of the pairs' ratios, processes by their CPU time."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, ours and theirs as texts, and the figure held against its limit."""

    what: str
    ours: str
    theirs: str
    figure: float
    limit: float
    unit: str = "x"
    at_least: bool = False

    @property
    def kept(self) -> bool:
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit

    def cells(self) -> tuple[str, ...]:
        sign = ">=" if self.at_least else "<="
        verdict = "ok" if self.kept else "OVER"
        return (
            self.what,
            self.ours,
            self.theirs,
            f"{self.figure:.4g} {self.unit}",
            f"{sign} {self.limit:g} {self.unit}",
            verdict,
        )


@dataclass(frozen=True)
class Pair:
    """Seconds of ours and theirs, measured in turn."""

    ours: Sequence[float]
    theirs: Sequence[float]

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios, which drifts of the machine's speed do not move."""
        return statistics.median(a / b for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def difference(self) -> float:
        """The median of the pairs' differences in seconds."""
        return statistics.median(a - b for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def medians(self) -> tuple[float, float]:
        return statistics.median(self.ours), statistics.median(self.theirs)


def in_turn(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> Pair:
    """Run both alternately after one warm-up each; each callable returns the seconds it took."""
    ours()
    theirs()
    first, second = [], []
    for turn in range(rounds):
        # Whoever goes first finds colder caches: take turns at that too.
        if turn % 2:
            second.append(theirs())
            first.append(ours())
        else:
            first.append(ours())
            second.append(theirs())
    return Pair(first, second)


def per_call(function: Callable[[], object], calls: int) -> Callable[[], float]:
    """A timer of one call of `function`, in seconds, averaged over a batch with the collector off."""

    def timed() -> float:
        gc.collect()
        gc.disable()
        try:
            start = time.perf_counter()
            for _ in range(calls):
                function()
            return (time.perf_counter() - start) / calls
        finally:
            gc.enable()

    return timed


def cpu_of(command: Sequence[str], folder: Path) -> Callable[[], float]:
    """A timer of a whole process and its children: user and system seconds, or the clock where there are none."""

    def timed() -> float:
        before = os.times()
        run(command, folder)
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        return used or after.elapsed - before.elapsed

    return timed


def wall_of(command: Sequence[str], folder: Path) -> Callable[[], float]:
    """A timer of a whole process by the clock on the wall."""

    def timed() -> float:
        start = time.perf_counter()
        run(command, folder)
        return time.perf_counter() - start

    return timed


def run(command: Sequence[str], folder: Path) -> str:
    """The output of a command that must succeed."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def pytest_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.4g} ms"


def microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.4g} us"
