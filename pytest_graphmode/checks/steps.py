"""Follows plain runs of a function instruction by instruction, to see which way Python's own control flow went.

Used by `check.py`. From Python 3.12 on `sys.monitoring` tells, which leaves debuggers and coverage alone; before it a
trace function does, beside the one that is there where that is one of Python's.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any, Final, TypeAlias

from pytest_graphmode.checks.statements import Statement, parts, positions

__tracebackhide__ = True  # in failures, the user's frames are of interest

Step: TypeAlias = "Callable[[FrameType, CodeType, int], None]"
_NOWHERE: Final[frozenset[tuple[int, str]]] = frozenset()


class _Frame:
    """One call of the code: the parts of statements that it is in, conditions that were computed and have not led
    anywhere yet, and the trips of loops so far.
    """

    def __init__(self) -> None:
        self.at = _NOWHERE
        self.undecided: set[int] = set()
        self.trips: dict[int, int] = {}


class Steps:
    """What runs of a function do at its statements; `paused` where they run for the kinds of results alone."""

    def __init__(self, statements: dict[CodeType, list[Statement]]) -> None:
        self._statements = {id(code): found for code, found in statements.items() if found}
        self._codes = [code for code, found in statements.items() if found]
        self._regions = {id(code): _table(code, statements[code]) for code in self._codes}
        self._frames: dict[FrameType, _Frame] = {}
        self.paused = False

    @property
    def statements(self) -> list[Statement]:
        found = [one for code in self._codes for one in self._statements[id(code)]]
        return sorted(found, key=lambda one: one.whole)

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Follow this thread in the block, which is the run of one case."""
        if not self._codes:
            yield
            return
        try:
            with _stepping(self._codes, self._step):
                yield
            for frame, state in self._frames.items():
                self._moved(self._statements[id(frame.f_code)], state, _NOWHERE)
        finally:
            self._frames.clear()

    def _step(self, frame: FrameType, code: CodeType, offset: int) -> None:
        now = self._regions[id(code)].get(offset)
        if now is None or self.paused:
            return
        state = self._frames.get(frame)
        if state is None:
            state = self._frames[frame] = _Frame()
        if now is not state.at:
            self._moved(self._statements[id(code)], state, now)

    def _moved(self, statements: list[Statement], state: _Frame, now: frozenset[tuple[int, str]]) -> None:
        """Compilers give jumps and returns the position of a whole statement, so those decide nothing."""
        left, entered, state.at = state.at - now, now - state.at, now
        for number, part in entered:
            if part == "body":
                statements[number].taken.add(True)
                state.undecided.discard(number)
                state.trips[number] = state.trips.get(number, 0) + 1
            elif part == "test":
                state.undecided.add(number)
        for number in [number for number in state.undecided if (number, "whole") not in now]:
            statements[number].taken.add(False)
            state.undecided.discard(number)
        for number, part in left:
            if part == "whole" and statements[number].kind != "if":
                statements[number].trips.add(state.trips.pop(number, 0))


def _table(code: CodeType, statements: list[Statement]) -> dict[int, frozenset[tuple[int, str]]]:
    """The parts of statements that each instruction is in, equal sets being one object."""
    known: dict[frozenset[tuple[int, str]], frozenset[tuple[int, str]]] = {}
    found = {offset: parts(statements, position) for offset, position in positions(code).items()}
    return {offset: known.setdefault(one, one) for offset, one in found.items()}


@contextmanager
def _stepping(codes: Collection[CodeType], step: Step) -> Iterator[None]:
    """Call `step` before every instruction of these codes in this thread."""
    if sys.version_info >= (3, 12):
        tool = next((number for number in (3, 4, 2) if sys.monitoring.get_tool(number) is None), None)
        if tool is not None:
            with _monitored(tool, codes, step):
                yield
            return
    with _traced({id(code) for code in codes}, step):
        yield


if sys.version_info >= (3, 12):

    @contextmanager
    def _monitored(tool: int, codes: Collection[CodeType], step: Step) -> Iterator[None]:
        events, thread = sys.monitoring.events, threading.get_ident()

        def instruction(code: CodeType, offset: int) -> None:
            if threading.get_ident() == thread:
                step(sys._getframe(1), code, offset)

        sys.monitoring.use_tool_id(tool, "pytest-graphmode")
        try:
            sys.monitoring.register_callback(tool, events.INSTRUCTION, instruction)
            for code in codes:
                sys.monitoring.set_local_events(tool, code, events.INSTRUCTION)
            yield
        finally:
            for code in codes:
                sys.monitoring.set_local_events(tool, code, 0)
            sys.monitoring.register_callback(tool, events.INSTRUCTION, None)
            sys.monitoring.free_tool_id(tool)


@contextmanager
def _traced(codes: set[int], step: Step) -> Iterator[None]:
    """By a trace function. One of Python's, a debugger's, goes on beside it.

    One in C, such as coverage's, puts itself in the place of what calls it, so it has to wait for the end of this run;
    the run in the variant's own mode it sees.
    """
    previous = sys.gettrace()
    beside = previous if isinstance(previous, (FunctionType, MethodType)) else None

    def call(frame: FrameType, event: str, arg: Any) -> Any:
        others = beside(frame, event, arg) if beside is not None else None
        if id(frame.f_code) not in codes:
            return others
        frame.f_trace_opcodes = True

        def local(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal others
            if event == "opcode":
                step(frame, frame.f_code, frame.f_lasti)
            elif others is not None:
                others = others(frame, event, arg)
            return local

        return local

    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(previous)
