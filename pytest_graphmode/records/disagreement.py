"""How what two variants recorded differs, in words.

Called by the agreement item for the variants of a run and the records beside them, and by
`python -m pytest_graphmode records diff` for two folders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from pytest_graphmode.checks.compare import Mismatch, first_leaf_mismatch
from pytest_graphmode.checks.tolerances import Table
from pytest_graphmode.records.parting import Parting
from pytest_graphmode.records.recording import Recording, Run, Steps

Step = Mapping[str, Any]

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
        load: gives the recording; called when it is compared, and again after a release, since a record's may be large.
        variant: a `Variant`, for those who choose or run sides by it.
        run: of this process; None for a record.
    """

    name: str
    dtype: str
    device: str
    load: Callable[[], Recording]
    variant: Any = None
    run: Run | None = None

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


@dataclass(frozen=True)
class Pair:
    """A side and what it is held to, which is called by its `role` in messages."""

    side: Side
    reference: Side
    allowed: Allowed
    role: str = "the reference"

    @cached_property
    def faults(self) -> list[_Fault]:
        return list(self._of_values() if self._has_values else self._of_taps())

    @property
    def agrees(self) -> bool:
        return not self.faults

    @property
    def differs_by_values(self) -> bool:
        """Whether the two disagree, and in values only: not in what was recorded how often, or in shapes."""
        return {fault.hint for fault in self.faults} == {_WIDEN}

    @cached_property
    def parting(self) -> Parting:
        return self._apart(self.side.recording, self.reference.recording)

    def release(self) -> None:
        """Let go of what was loaded of records, which may be large; it is loaded again where somebody asks for it."""
        vars(self).pop("parting", None)
        for one in (self.side, self.reference):
            if one.run is None:
                vars(one).pop("recording", None)

    @property
    def worst_difference(self) -> tuple[float, str] | None:
        """How far the two are apart, also where they agree: the worst error, relative to the largest value of the
        reference, and the name of what has it; None where nothing can be compared.
        """
        apart = self.parting
        if self._has_values:
            apart = self._apart(*(Recording(taps=one.recording.values) for one in (self.side, self.reference)))
        errors = ((max(worst.error for worst in one.errors), one.name) for one in apart.compared)
        return max(errors, default=None)

    def first_difference(self, found: Iterable[Step], wanted: Iterable[Step]) -> tuple[int, Mismatch] | None:
        """The first step of a series that differs, and how."""
        for number, (actual, expected) in enumerate(zip(found, wanted, strict=False)):
            cast = self._dtypes_apart(actual, expected) if self.allowed.dtypes else None
            mismatch = cast or self._mismatch(actual, expected)
            if mismatch is not None:
                return number, mismatch
        return None

    def told(self, mismatch: Mismatch) -> str:
        return mismatch.describe(self.side.name, self.reference.name)

    def where_they_part(self) -> Iterator[str]:
        """The taps that differ; with the sentence that says the most where values differ besides."""
        if self.tapped:
            if self._has_values:
                yield self.parting.sentence
            yield from self.parting.lines

    @property
    def tapped(self) -> bool:
        return bool(self.side.recording.taps or self.reference.recording.taps)

    @property
    def _has_values(self) -> bool:
        return bool(self.side.recording.values or self.reference.recording.values)

    def _of_values(self) -> Iterator[_Fault]:
        actual, expected = self.side.recording.values, self.reference.recording.values
        yield from self._sets(actual, expected)
        for name, wanted in expected.items():
            if name in actual:
                yield from self._first_step(actual[name], wanted)
                yield from self._lengths(name, actual[name], wanted)

    def _of_taps(self) -> Iterator[_Fault]:
        """How the taps differ: of the values only the first that does, which the others follow from.

        That the gradient by a tap is missing is no fault: not every mode has those of a function within a function.
        """
        left_out, first = self.parting.left_out, self.parting.first
        actual, expected = (
            {name: steps for name, steps in one.recording.taps.items() if name not in left_out}
            for one in (self.side, self.reference)
        )
        yield from self._sets(_without_gradients(actual), _without_gradients(expected))
        both = [name for name in expected if name in actual]
        if left_out and not both:
            yield _Fault(f"no tap could be compared: {'; '.join(left_out.values())}", _ALIGN)
        if first is not None:
            yield _Fault(self.parting.sentence, _WIDEN)
            yield from self._first_step(actual[first.name], expected[first.name])
        for name in both:
            yield from self._lengths(name, actual[name], expected[name])
            yield from (fault for fault in self._first_step(actual[name], expected[name]) if fault.hint is _ALIGN)

    def _sets(self, actual: Iterable[str], expected: Iterable[str]) -> Iterator[_Fault]:
        side, reference = (self.side, actual), (self.reference, expected)
        for (lacking, there), (having, names) in ((side, reference), (reference, side)):
            missing = [name for name in names if name not in there]
            if missing:
                yield _Fault(f"{', '.join(missing)}: recorded by {having.name}, not by {lacking.name}", _ALIGN)

    def _lengths(self, name: str, found: Steps, wanted: Steps) -> Iterator[_Fault]:
        if len(found) != len(wanted):
            times = f"{_times(len(found))} by {self.side.name}, {_times(len(wanted))} by {self.reference.name}"
            yield _Fault(f"{name}: recorded {times}", _ALIGN)

    def _first_step(self, found: Steps, wanted: Steps) -> Iterator[_Fault]:
        difference = self.first_difference(found, wanted)
        if difference is None:
            return
        number, mismatch = difference
        if mismatch.kind == "exact dtype":
            yield _Fault(self.told(mismatch), _CAST)
        else:
            step = f"step {number}, the first of {len(wanted)} to differ: " if len(wanted) > 1 else ""
            yield _Fault(step + self.told(mismatch), _WIDEN if mismatch.kind == "value" else _ALIGN)

    def _dtypes_apart(self, actual: Step, expected: Step) -> Mismatch | None:
        """The first leaf that has another dtype on the other side, shapes left alone."""
        for path, leaf in expected.items():
            found, wanted = _dtypes_of(self.side, path, actual.get(path)), _dtypes_of(self.reference, path, leaf)
            floating = all("float" in one or "complex" in one for one in found + wanted)
            of_variant = self.side.dtype != self.reference.dtype and floating
            if found and wanted and not of_variant and not set(found) & set(wanted):
                return Mismatch(path, "exact dtype", found[0], wanted[0])
        return None

    def _mismatch(self, actual: Step, expected: Step) -> Mismatch | None:
        return first_leaf_mismatch(
            actual,
            expected,
            rtol=self.allowed.rtol,
            atol=self.allowed.atol,
            computed_in=[self.side.dtype, self.reference.dtype],
            devices=[self.side.device, self.reference.device],
            table=self.allowed.table,
        )

    def _apart(self, actual: Recording, expected: Recording) -> Parting:
        return Parting(actual, expected, (self.side.name, self.reference.name), self._mismatch)


def disagreement(pairs: Iterable[Pair], notes: Iterable[str] = ()) -> str | None:
    """How sides differ from what they are held to, None where they agree; with `notes` before the hints."""
    lines, hints, tapped = [], set(), False
    for pair in pairs:
        if not pair.agrees:
            lines.append(f"{pair.side.name} does not agree with {pair.role}, {pair.reference.name}:")
            lines += [f"  {text}" for text in (*(fault.text for fault in pair.faults), *pair.where_they_part())]
            hints |= {fault.hint for fault in pair.faults}
            tapped = tapped or pair.tapped
        pair.release()
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


def _without_gradients(taps: Iterable[str]) -> list[str]:
    return [name for name in taps if not name.startswith("grad(")]


def _dtypes_of(side: Side, path: str, leaf: Any) -> tuple[str, ...]:
    """The dtypes that a leaf can have had; none of Python's own values. Most frameworks give bfloat16 as float32."""
    if not isinstance(leaf, (np.ndarray, np.generic)):
        return ()
    known = side.recording.dtypes
    if known is None and side.dtype == "bfloat16" and leaf.dtype == np.float32:
        return ("bfloat16", "float32")
    return ((known or {}).get(path, leaf.dtype.name),)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
