"""How what two variants recorded differs, in words.

Called by the agreement item for the variants of a run and the records beside them, and by
`python -m pytest_graphmode records diff` for two folders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pytest_graphmode.checks.compare import first_leaf_mismatch
from pytest_graphmode.checks.tolerances import Table
from pytest_graphmode.records.recording import Recording

_WIDEN: Final = (
    "If the difference is rounding of floating values, allow it: @pytest.mark.graph_agree(rtol=..., atol=...), or the "
    "ini key graph_tolerances for the whole project. If not, "
    "record what leads to the value with graphmode.agree too: the first record that differs is where to look."
)
_ALIGN: Final = (
    "Record the same names, equally often, as values of the same structure, shape and kind of dtype in every variant."
)


@dataclass(frozen=True)
class Side:
    """What is compared: what a variant recorded, in this run or an earlier one.

    Attributes:
        name: in messages.
        dtype, device: what it was computed in and on, by which tolerances are chosen.
        load: gives the recording; called when it is compared, since a record's may be large.
    """

    name: str
    dtype: str
    device: str
    load: Callable[[], Recording]

    @cached_property
    def recording(self) -> Recording:
        return self.load()


@dataclass(frozen=True)
class Allowed:
    """How far apart values may be: what the marker says, which beats the project's own table."""

    rtol: float | None = None
    atol: float | None = None
    table: Table | None = None


@dataclass(frozen=True)
class _Fault:
    """One difference between a side and its reference, and what to do about it."""

    text: str
    hint: str


def disagreement(pairs: Iterable[tuple[Side, Side, str]], allowed: Allowed, notes: Iterable[str] = ()) -> str | None:
    """How sides differ from what they are held to, None where they agree.

    Args:
        pairs: a side, its reference, and what to call that: `the reference`.
        notes: what to say besides, before the hints.
    """
    lines, hints = [], set()
    for side, reference, role in pairs:
        faults = list(_faults(side, reference, allowed))
        if faults:
            lines.append(f"{side.name} does not agree with {role}, {reference.name}:")
            lines += [f"  {fault.text}" for fault in faults]
            hints |= {fault.hint for fault in faults}
    if not lines:
        return None
    return "\n".join([*lines, *notes, *(hint for hint in (_WIDEN, _ALIGN) if hint in hints)])


def brief(text: str) -> str:
    """The first fault of a disagreement, in one line."""
    return next((line.strip() for line in text.splitlines() if line.startswith("  ")), text)


def _faults(side: Side, reference: Side, allowed: Allowed) -> Iterator[_Fault]:
    yield from _missing(side, reference)
    yield from _missing(reference, side)
    for name, expected in reference.recording.values.items():
        actual = side.recording.values.get(name)
        if actual is None:
            continue
        fault = _first_step(side, reference, name, allowed)
        if fault is not None:
            yield fault
        if len(actual) != len(expected):
            times = f"{_times(len(actual))} by {side.name}, {_times(len(expected))} by {reference.name}"
            yield _Fault(f"{name}: recorded {times}", _ALIGN)


def _missing(lacking: Side, having: Side) -> Iterator[_Fault]:
    names = [name for name in having.recording.values if name not in lacking.recording.values]
    if names:
        yield _Fault(f"{', '.join(names)}: recorded by {having.name}, not by {lacking.name}", _ALIGN)


def _first_step(side: Side, reference: Side, name: str, allowed: Allowed) -> _Fault | None:
    """The first step of a series that differs."""
    actual, expected = side.recording.values[name], reference.recording.values[name]
    for number, (found, wanted) in enumerate(zip(actual, expected, strict=False)):
        mismatch = first_leaf_mismatch(
            found,
            wanted,
            rtol=allowed.rtol,
            atol=allowed.atol,
            computed_in=[side.dtype, reference.dtype],
            devices=[side.device, reference.device],
            table=allowed.table,
        )
        if mismatch is not None:
            step = f"step {number}, the first of {len(expected)} to differ: " if len(expected) > 1 else ""
            text = step + mismatch.describe(side.name, reference.name)
            return _Fault(text, _WIDEN if mismatch.kind == "value" else _ALIGN)
    return None


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
