"""Where Dynamo ended a graph, or gave a function up: the user's line and the reason, in one sentence each.

Called by `source.py` after every compilation, with what the compilation left behind in torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from traceback import FrameSummary
from typing import Final

from torch._dynamo import config
from torch._dynamo.exc import Unsupported, UserError
from torch._dynamo.utils import graph_break_reasons

from pytest_graphmode.ledger.identity import is_library
from pytest_graphmode.ledger.ledger import Cause, GraphBreak
from pytest_graphmode.ledger.places import place

# "Dynamo recompile limit exceeded" (2.13, 2.15), "cache_size_limit reached" (2.4)
_LIMIT: Final = re.compile(r"recompile.limit|cache_size_limit", re.IGNORECASE)
_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
# Reasons in 2.13 and 2.15, after a first line that names the kind of break; those of 2.4 are one line:
#     Failed to trace builtin operator
#       Explanation: Dynamo does not know how to trace builtin operator `print` with argument types [] (...)
#       Hint: Avoid calling builtin `print` with argument types []. Consider using an equivalent alternative ...
_PART: Final = re.compile(r"^\s*(Explanation|Hint): *(.*)$", re.MULTILINE)

# What the shortest of Dynamo's reasons mean.
_PLAIN: Final = {
    "generic_jump": "a branch depends on the value of a tensor: use torch.cond, or graphmode.cond",
    "Tensor.item": "Tensor.item() reads a value: keep it a tensor, or set torch._dynamo.config.capture_scalar_outputs",
    "builtin: print": "print() can't be traced: leave it out, or print outside of the function",
}


def since(known: int) -> Iterator[GraphBreak]:
    """The breaks at which a graph ended and the function went on, since torch knew of so many."""
    for reason in graph_break_reasons[known if known <= len(graph_break_reasons) else 0 :]:  # it may be reset meanwhile
        if getattr(reason, "graph_break", True):
            yield _graph_break(reason.user_stack, reason.reason)


def skipped(error: BaseException) -> GraphBreak:
    """The break for which Dynamo runs a whole function eagerly; without a line where torch kept none."""
    found = _graph_break(getattr(error, "real_stack", None) or (), str(error))
    return replace(found, reason=f"{found.reason} (the whole function runs eagerly)")


def raised(error: BaseException) -> bool:
    """Whether the user's own code raised while it was traced."""
    return isinstance(error, Unsupported) and str(error).startswith("Observed exception")


def is_limit(error: BaseException) -> bool:
    """Whether a function was built too often, so that torch runs it eagerly from now on without saying so again."""
    return isinstance(error, Unsupported) and _LIMIT.search(str(error)) is not None


def given_up(error: BaseException, causes: Sequence[Cause]) -> str:
    """Why torch runs a function eagerly from now on, and what to do; `causes` are those of one graph too many."""
    if is_limit(error):
        limit = getattr(config, "recompile_limit", None) or config.cache_size_limit
        last = f" (the last time because {'; '.join(cause.what for cause in causes)})" if causes else ""
        return (
            f"torch has {limit} graphs of it (torch._dynamo.config.recompile_limit), runs it eagerly from now on and "
            f"counts nothing more: make it compile less often{last}, or raise the limit"
        )
    if raised(error):
        return "it raised while it was traced, and torch does not try again: raise outside of the compiled function"
    return f"torch can't go on after a break there: {skipped(error).reason}"


def is_silent(error: BaseException | None, one_graph: bool) -> bool:
    """Whether torch keeps an error to itself, and runs the function eagerly from now on."""
    return isinstance(error, (Unsupported, UserError)) and not one_graph


def _graph_break(stack: Iterable[FrameSummary], reason: str) -> GraphBreak:
    frames = list(stack)
    user = next((frame for frame in reversed(frames) if not is_library(frame.filename)), frames[-1] if frames else None)
    if user is None:
        return GraphBreak("torch", "compile", "", "", sentence(reason))
    where = place(user.filename, user.lineno or 0)
    return GraphBreak("torch", "compile", user.name, where, sentence(reason), file=user.filename)


def sentence(reason: str) -> str:
    """Dynamo's reason, of several paragraphs, in one line: what it can't do, and the first of its hints."""
    for mark, plain in _PLAIN.items():
        if reason.startswith(mark):
            return plain
    parts = dict(reversed(_PART.findall(reason)))
    head = parts.get("Explanation") or reason.strip().partition("\n")[0]
    told = [part.strip().rstrip(".") for part in (head, parts.get("Hint", "")) if part]
    return _ADDRESS.sub("", ". ".join(told))
