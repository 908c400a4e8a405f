"""How what two variants recorded differs, in words.

Called by the agreement item for the variants of a run and the records beside them, and by
`python -m pytest_graphmode records diff` for two folders.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from pytest_graphmode.checks.compare import Mismatch, first_leaf_mismatch
from pytest_graphmode.checks.tolerances import Table
from pytest_graphmode.records.parting import Parting
from pytest_graphmode.records.recording import Recording, Series, Steps

_BY: Final = "@pytest.mark.graph_agree({}), or the ini key graph_tolerances for the whole project."
_WIDEN: Final = f"If the difference is rounding of floating values, allow it: {_BY.format('rtol=..., atol=...')}"
_TAP: Final = (
    "If not, tap what leads to the value, h = graphmode.tap('h', h): the first tap that differs is where to look."
)
_NO_TOLERANCE: Final = "A wider tolerance would hide that."
_ALIGN: Final = (
    "Record the same names, equally often, as values of the same structure, shape and kind of dtype in every variant."
)


_CAST: Final = "graph_agree(dtypes=True) asks for equal dtypes: cast what differs, or leave it out."


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
    """How far apart values may be: what the marker says, which beats the project's own table.

    `dtypes` asks for equal dtypes too, of floating values between variants of one dtype.
    """

    rtol: float | None = None
    atol: float | None = None
    table: Table | None = None
    dtypes: bool = False


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
    lines, hints, tapped = [], set(), False
    for side, reference, role in pairs:
        faults = list(_faults(side, reference, allowed))
        if faults:
            lines.append(f"{side.name} does not agree with {role}, {reference.name}:")
            lines += [f"  {fault.text}" for fault in faults]
            lines += [f"  {line}" for line in _where_they_part(side, reference, allowed)]
            hints |= {fault.hint for fault in faults}
            tapped = tapped or bool(side.recording.taps or reference.recording.taps)
    if not lines:
        return None
    widen = [_WIDEN if tapped else f"{_WIDEN} {_TAP}"] if _WIDEN in hints else []
    return "\n".join([*lines, *notes, *widen, *(hint for hint in (_ALIGN, _CAST) if hint in hints)])


def advised(text: str, cure: str | None) -> str:
    """A disagreement with the advice that follows from what reruns showed, after that.

    Args:
        cure: the tolerance, `rtol=2e-5`, where all is rounding; "" where nothing is; None where it is not known.
    """
    lines = text.splitlines()
    general = [line for line in lines if line.startswith(_WIDEN)]
    if cure is None or not general:
        return text
    advice = f"The difference is rounding: allow it, {_BY.format(cure)}"
    if not cure:
        advice = " ".join([_NO_TOLERANCE, *(_TAP.replace("If not, tap", "Tap") for line in general if _TAP in line)])
    return "\n".join([*(line for line in lines if line not in general), advice])


def brief(text: str) -> str:
    """The first fault of a disagreement, in one line."""
    return next((line.strip() for line in text.splitlines() if line.startswith("  ")), text)


def agree(side: Side, reference: Side, allowed: Allowed) -> bool:
    return next(_faults(side, reference, allowed), None) is None


def differ_by_values(side: Side, reference: Side, allowed: Allowed) -> bool:
    """Whether two sides disagree, and in values only: not in what was recorded how often, or in shapes."""
    return {fault.hint for fault in _faults(side, reference, allowed)} == {_WIDEN}


def _faults(side: Side, reference: Side, allowed: Allowed) -> Iterator[_Fault]:
    return (_of_values if _has_values(side, reference) else _of_taps)(side, reference, allowed)


def _has_values(side: Side, reference: Side) -> bool:
    return bool(side.recording.values or reference.recording.values)


def _of_values(side: Side, reference: Side, allowed: Allowed) -> Iterator[_Fault]:
    """How what was given to `agree` differs."""
    actual, expected = side.recording.values, reference.recording.values
    yield from _sets(side, reference, actual, expected)
    for name, wanted in expected.items():
        if name in actual:
            yield from _first_step(side, reference, actual[name], wanted, allowed)
            yield from _lengths(side, reference, name, actual[name], wanted)


def _of_taps(side: Side, reference: Side, allowed: Allowed) -> Iterator[_Fault]:
    """How the taps differ: of the values only the first that does, which the others follow from.

    That the gradient by a tap is missing is no fault: not every mode has those of a function within a function.
    """
    parting = taps_apart(side, reference, allowed)
    actual, expected = (_without(one.recording.taps, parting.left_out) for one in (side, reference))
    yield from _sets(side, reference, _without_gradients(actual), _without_gradients(expected))
    both = [name for name in expected if name in actual]
    if parting.left_out and not both:
        yield _Fault(f"no tap could be compared: {'; '.join(parting.left_out.values())}", _ALIGN)
    if parting.first is not None:
        yield _Fault(parting.sentence, _WIDEN)
        name = parting.first.name
        yield from _first_step(side, reference, actual[name], expected[name], allowed)
    for name in both:
        yield from _lengths(side, reference, name, actual[name], expected[name])
        for fault in _first_step(side, reference, actual[name], expected[name], allowed):
            if fault.hint is _ALIGN:
                yield fault


def _without_gradients(taps: Series) -> Series:
    return {name: steps for name, steps in taps.items() if not name.startswith("grad(")}


def _without(taps: Series, left_out: Container[str]) -> Series:
    return {name: steps for name, steps in taps.items() if name not in left_out}


def _sets(side: Side, reference: Side, actual: Series, expected: Series) -> Iterator[_Fault]:
    for lacking, having, there, names in ((side, reference, actual, expected), (reference, side, expected, actual)):
        missing = [name for name in names if name not in there]
        if missing:
            yield _Fault(f"{', '.join(missing)}: recorded by {having.name}, not by {lacking.name}", _ALIGN)


def _lengths(side: Side, reference: Side, name: str, found: Steps, wanted: Steps) -> Iterator[_Fault]:
    if len(found) != len(wanted):
        times = f"{_times(len(found))} by {side.name}, {_times(len(wanted))} by {reference.name}"
        yield _Fault(f"{name}: recorded {times}", _ALIGN)


def _first_step(side: Side, reference: Side, found: Steps, wanted: Steps, allowed: Allowed) -> Iterator[_Fault]:
    """The first step of a series that differs."""
    for number, (actual, expected) in enumerate(zip(found, wanted, strict=False)):
        if allowed.dtypes and (differing := dtypes_apart(side, reference, actual, expected)) is not None:
            yield _Fault(differing.describe(side.name, reference.name), _CAST)
            return
        mismatch = mismatch_of(side, reference, actual, expected, allowed)
        if mismatch is not None:
            step = f"step {number}, the first of {len(wanted)} to differ: " if len(wanted) > 1 else ""
            text = step + mismatch.describe(side.name, reference.name)
            yield _Fault(text, _WIDEN if mismatch.kind == "value" else _ALIGN)
            return


def dtypes_apart(
    side: Side, reference: Side, actual: Mapping[str, Any], expected: Mapping[str, Any]
) -> Mismatch | None:
    """The first leaf that has another dtype on the other side, shapes left alone."""
    for path, leaf in expected.items():
        found, wanted = _dtypes_of(side, path, actual.get(path)), _dtypes_of(reference, path, leaf)
        of_variant = side.dtype != reference.dtype and all("float" in one or "complex" in one for one in found + wanted)
        if found and wanted and not of_variant and not set(found) & set(wanted):
            return Mismatch(path, "exact dtype", found[0], wanted[0])
    return None


def _dtypes_of(side: Side, path: str, leaf: Any) -> tuple[str, ...]:
    """The dtypes that a leaf can have had; none of Python's own values. Most frameworks give bfloat16 as float32."""
    if not isinstance(leaf, (np.ndarray, np.generic)):
        return ()
    known = side.recording.dtypes
    if known is None and side.dtype == "bfloat16" and leaf.dtype == np.float32:
        return ("bfloat16", "float32")
    return ((known or {}).get(path, leaf.dtype.name),)


def mismatch_of(
    side: Side, reference: Side, actual: Mapping[str, Any], expected: Mapping[str, Any], allowed: Allowed
) -> Mismatch | None:
    """How a step of one side differs from that of its reference."""
    return first_leaf_mismatch(
        actual,
        expected,
        rtol=allowed.rtol,
        atol=allowed.atol,
        computed_in=[side.dtype, reference.dtype],
        devices=[side.device, reference.device],
        table=allowed.table,
    )


def _where_they_part(side: Side, reference: Side, allowed: Allowed) -> Iterator[str]:
    """The taps of two sides that differ; with the sentence that says the most where values differ besides."""
    if side.recording.taps or reference.recording.taps:
        parting = taps_apart(side, reference, allowed)
        if _has_values(side, reference):
            yield parting.sentence
        yield from parting.lines


def taps_apart(side: Side, reference: Side, allowed: Allowed) -> Parting:
    """The taps of two sides against each other."""
    return _apart(side, reference, allowed, side.recording, reference.recording)


def _apart(side: Side, reference: Side, allowed: Allowed, actual: Recording, expected: Recording) -> Parting:
    def compare(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> Mismatch | None:
        return mismatch_of(side, reference, actual, expected, allowed)

    return Parting(actual, expected, (side.name, reference.name), compare)


def worst_difference(side: Side, reference: Side, allowed: Allowed) -> tuple[float, str] | None:
    """How far two sides are apart, also where they agree: the worst error, relative to the largest value of the
    reference, and the name of what has it; None where nothing can be compared.
    """
    both = side.recording, reference.recording
    if _has_values(side, reference):
        both = Recording(taps=side.recording.values), Recording(taps=reference.recording.values)
    errors = [
        (max(worst.error for worst in one.errors), one.name) for one in _apart(side, reference, allowed, *both).compared
    ]
    return max(errors, default=None)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
