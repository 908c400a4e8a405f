"""Counts of what torch tells nobody, or tells by a counter: the calls of compiled functions, and graphs nobody saw.

Called by `source.py`. What torch.compile returns is a closure in `torch._dynamo.eval_frame`, and torch tells nobody of
its calls; but each of them asks a function of that module what to do with the frames that it runs. That is replaced, so
that functions are seen that were compiled before somebody watched. What torch calls by another way (a callback set in
`torch._C._dynamo` by hand, `torch._dynamo.run`) is not seen.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Final

import torch
from torch._dynamo import eval_frame
from torch._dynamo.utils import counters

from pytest_graphmode.backends.torch.dynamo import memory
from pytest_graphmode.ledger.watcher import Sink

# The function that a call asks: in torch 2.6 and later, in 2.5, in 2.4.
_ASKED: Final = ("_callback_from_stance", "_maybe_set_eval_frame", "set_eval_frame")


class Calls(threading.local):
    """The calls of compiled functions in this thread, those within another one apart, and what is built in them.

    Attributes:
        running: the compilations under way, outermost first: a compiler backend may compile in its turn.
        built: the functions that were built in the latest call.
        waiting: whether the latest call has run no graph yet, as far as known.
        function: the name of the function that the latest call is of.
    """

    def __init__(self) -> None:
        self.running: list[Any] = []
        self.built: set[tuple[str, str]] = set()
        self.waiting = False
        self.function = ""

    def replacement(self, sink: Sink) -> tuple[Any, str, Callable[[Callable[..., Any]], Callable[..., Any]]]:
        """What `patching.patched` takes."""
        name = next((name for name in _ASKED if hasattr(eval_frame, name)), _ASKED[0])
        wrapped = self._asking if name == _ASKED[0] else self._setting
        return eval_frame, name, lambda asked: wrapped(asked, sink)

    def ran_graph(self, sink: Sink) -> None:
        """A graph was built in the call under way, which thereby runs one."""
        if self.waiting:
            self.waiting = False
            sink.call("torch", "compile", self.function)

    def _asking(self, asked: Callable[..., Any], sink: Sink) -> Callable[..., Any]:
        def answering(callback: Any) -> Any:
            answer = asked(callback)
            if callback not in (None, False) and answer is not None:
                names = sys._getframe(1).f_locals
                if names.get("prior") is None:  # an inner call finds the callback of the outer one
                    self._begin(names.get("fn"), sink)
            return answer

        return answering

    def _setting(self, set_callback: Callable[..., Any], sink: Sink) -> Callable[..., Any]:
        """What a call of torch before 2.6 begins and ends with; Dynamo sees all code that runs in between."""

        def setting(callback: Any) -> Any:
            names = sys._getframe(1).f_locals
            if callback in (None, False) or "prior" in names:  # a call that ends puts back what it found
                return set_callback(callback)
            prior = set_callback(None)
            if prior is None:
                self._begin(names.get("fn"), sink)
            set_callback(callback)
            return prior

        eval_frame.skip_code(setting.__code__)  # it is called where Dynamo looks at all code, when a call ends
        return setting

    def _begin(self, function: Any, sink: Sink) -> None:
        self.built, self.waiting = set(), True
        self.function = getattr(function, "__name__", "")
        code = getattr(function, "__code__", None)
        # Whether Dynamo has a graph of a function: nothing public tells.
        entries = [] if code is None else torch._C._dynamo.eval_frame._debug_get_cache_entry_list(code)
        if not all(memory.of(entry).graphless for entry in entries):
            self.ran_graph(sink)


class Audit:
    """How many graphs torch counted and nobody reported: a graph that nobody saw is never silent.

    torch's public counter, `torch._dynamo.utils.counters["stats"]["unique_graphs"]`, may be cleared by a test at any
    time; so it is read before and after each compilation, and only what it has above the reports is held against them.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._missed = 0
        self.begin()

    def begin(self) -> None:
        """Watching begins: what was counted meanwhile is nobody's business."""
        self._latest = int(counters["stats"]["unique_graphs"])

    def report(self, graphs: int) -> None:
        """A compilation has ended that made so many graphs, and is reported."""
        with self._lock:
            before = self._latest
            self.begin()
            self._missed += self._latest - (before if self._latest >= before else 0) - graphs  # it may be cleared

    @property
    def missed(self) -> int:
        self.report(0)
        return self._missed

    def differs(self, before: int) -> str | None:
        """What torch counted and nobody reported since `missed` was `before`."""
        more = self.missed - before
        if more <= 0:
            return None
        return (
            f"torch's own counter (torch._dynamo.utils.counters['stats']['unique_graphs']) has {more} "
            f"graph{'s' if more > 1 else ''} more than were seen"
        )
