"""What the rest of a function after a graph break goes on with, in the words of the user's code.

Called by `frames.py`. Dynamo makes a function of the rest and passes what was on the stack as `___stack0` and so on;
the last of them is what the expression gave at which the graph broke.
"""

from __future__ import annotations

import ast
import dis
import linecache
import re
import types
from dataclasses import dataclass
from typing import Any, Final

from torch._dynamo.resume_execution import ContinueExecutionCache

from pytest_graphmode.ledger.describe import cut

# torch_dynamo_resume_in_forward_at_42 with the parameters ___stack0, ___stack1 and the function's own (2.4 to 2.15)
_RESUMED: Final = re.compile(r"torch_dynamo_resume_in_(?P<name>.+)_at_(?P<line>\d+)$")
_STACK: Final = re.compile(r"___stack(\d+)$")
# What Dynamo passes besides.
_INTERNAL: Final = ("__nested_resume_fns", "__nested_frame_values")


@dataclass(frozen=True)
class Rest:
    """The rest of a function that has a `name`, and goes on at a `line`."""

    code: types.CodeType
    name: str
    line: int

    @classmethod
    def of(cls, code: types.CodeType) -> Rest | None:
        """None for a function that is whole."""
        found = _RESUMED.match(code.co_name)
        return None if found is None else cls(code, found["name"], int(found["line"]))

    def named(self, parameter: str) -> str:
        """A parameter of the rest as the user knows it: `x.sum().item()` for `___stack1`; "" for Dynamo's own."""
        position = _STACK.match(parameter)
        if position is None:
            return "" if parameter in _INTERNAL else parameter
        last = max(int(found[1]) for found in map(_STACK.match, self.code.co_varnames) if found)
        statement = cut(linecache.getline(self.code.co_filename, self.line))
        return (self.expression if last == int(position[1]) else "") or f"a value of `{statement}`"

    @property
    def expression(self) -> str:
        """The source of the expression that gave the last value, "" where Python or torch does not tell."""
        metadata = getattr(ContinueExecutionCache, "generated_code_metadata", {}).get(self.code)
        original = getattr(metadata, "code", None)
        before = None if original is None else _before_the_rest(self.code, original)
        positions = getattr(before, "positions", None)  # Python 3.11
        if original is None or positions is None:
            return ""
        names = ("lineno", "end_lineno", "col_offset", "end_col_offset")
        node: Any = types.SimpleNamespace(**dict(zip(names, positions, strict=True)))
        source = ast.get_source_segment("".join(linecache.getlines(original.co_filename)), node)
        return cut(source or "")


def _before_the_rest(rest: types.CodeType, original: types.CodeType) -> dis.Instruction | None:
    """The last instruction of the function that ran before its rest, which ends as the function does."""
    instructions, whole = _instructions(rest), _instructions(original)
    jump = next((one for one in instructions if "JUMP" in one.opname), None)
    remaining = [one for one in instructions if jump is not None and one.offset >= (jump.argval or 0)]
    position = len(whole) - len(remaining) - 1
    return whole[position] if remaining and 0 <= position < len(whole) else None


def _instructions(code: types.CodeType) -> list[dis.Instruction]:
    return [one for one in dis.get_instructions(code) if one.opname != "EXTENDED_ARG"]
