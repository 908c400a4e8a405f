"""What torch itself logs of recompilations, for tests that hold the ledger's count against it."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_RECORD = re.compile(r"Recompiling function (\S+) in (\S+):\d+")
_REST = re.compile(r"torch_dynamo_resume_in_(.+)_at_\d+")


class Records(logging.Handler):
    """The functions that torch said it compiles again, in order, with a mark where a call of compiled code begins."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.calls: list[list[tuple[str, str]]] = [[]]

    def emit(self, record: logging.LogRecord) -> None:
        found = _RECORD.match(record.getMessage())
        if found is not None:
            self.calls[-1].append((found[1], found[2]))

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        self.calls.append([])
        return function(*args, **kwargs)

    @property
    def rebuilds(self) -> int:
        """All of them, but for the rest of a function after a graph break where the function is built again too."""
        return sum(self._counts(name, file, call) for call in self.calls for name, file in call)

    @staticmethod
    def _counts(name: str, file: str, call: list[tuple[str, str]]) -> bool:
        rest = _REST.match(name)
        return rest is None or (rest[1], file) not in call


@contextmanager
def recorded(torch: Any) -> Iterator[Records]:
    """Have torch log its recompilations in the block."""
    handler = Records()
    torch._logging.set_logs(recompiles=True)
    log = logging.getLogger("torch._dynamo.guards.__recompiles")
    log.addHandler(handler)
    propagates, log.propagate = log.propagate, False
    try:
        yield handler
    finally:
        log.removeHandler(handler)
        log.propagate = propagates
        torch._logging.set_logs()
