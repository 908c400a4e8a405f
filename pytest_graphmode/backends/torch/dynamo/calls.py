"""Sees the calls of compiled functions, in code that nobody wrapped, and tells the calls of a thread apart.

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

from pytest_graphmode.backends.torch.dynamo.codes import ByCode
from pytest_graphmode.ledger.watcher import Sink

# The function that a call asks: in torch 2.6 and later, in 2.5, in 2.4.
_ASKED: Final = ("_callback_from_stance", "_maybe_set_eval_frame", "set_eval_frame")


class Calls(threading.local):
    """The calls of compiled functions in this thread, those within another one apart.

    Attributes:
        number: grows with each.
        waiting: whether the latest call has run no graph yet, as far as known.
        function: the name of the function that the latest call is of.
        graphless: the code that Dynamo made of functions without an operation: such a call runs no graph.
    """

    graphless: Final[ByCode[bool]] = ByCode()  # of all threads

    def __init__(self) -> None:
        self.number = 0
        self.waiting = False
        self.function = ""

    def replacement(self, sink: Sink) -> tuple[Any, str, Callable[[Callable[..., Any]], Callable[..., Any]]]:
        """What `patching.patched` takes."""
        name = next((name for name in _ASKED if hasattr(eval_frame, name)), _ASKED[0])
        wrapped = self._asking if name == _ASKED[0] else self._setting
        return eval_frame, name, lambda asked: wrapped(asked, sink)

    def built(self, sink: Sink) -> None:
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
        self.number += 1
        self.function = getattr(function, "__name__", "")
        code = getattr(function, "__code__", None)
        # Whether Dynamo has a graph of a function: nothing public tells.
        entries = [] if code is None else torch._C._dynamo.eval_frame._debug_get_cache_entry_list(code)
        self.waiting = all(self.graphless.get(entry.code) for entry in entries)
        if not self.waiting:
            sink.call("torch", "compile", self.function)
