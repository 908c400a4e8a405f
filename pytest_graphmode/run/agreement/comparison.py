"""Whether the variants of a test agree, from what each recorded: the words of an agreement item's skip or failure.

Called by `item.py`, which has run the variants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pytest_graphmode.checks.compare import first_leaf_mismatch
from pytest_graphmode.checks.tolerances import Table
from pytest_graphmode.records.recording import Run
from pytest_graphmode.select.markers import AgreeRequest

_WIDEN: Final = (
    "If the difference is rounding of floating values, allow it: @pytest.mark.graph_agree(rtol=..., atol=...), or the "
    "ini key graph_tolerances for the whole project. If not, "
    "record what leads to the value with graphmode.agree too: the first record that differs is where to look."
)
_ALIGN: Final = (
    "Record the same names, equally often, as values of the same structure, shape and kind of dtype in every variant."
)
_NOTHING: Final = (
    "no variant recorded a value: call graphmode.agree(name=value) in the test, or remove @pytest.mark.graph_agree"
)


def incomparable(runs: Sequence[Run], request: AgreeRequest) -> str | None:
    """Why there is nothing to compare, the reason for a skip; None when there is."""
    failed = [run for run in runs if run.outcome == "failed"]
    if failed:
        return f"{_listed(failed)} failed, so the variants can't be compared: mend that first"
    ran = [run for run in runs if run.outcome == "passed"]
    if len(ran) < 2:
        return (
            f"fewer than two variants ran ({_listed(ran) or 'none'}), so there is nothing to compare{_left_out(runs)}: "
            "select more with --graph-backends, --graph-devices or --graph-dtypes"
        )
    if request.reference is not None and not any(request.reference.matches(run.variant) for run in ran):
        return (
            f"the reference {request.reference} is not among the variants that ran ({_listed(ran)}){_left_out(runs)}: "
            "select it with --graph-backends, or name another in @pytest.mark.graph_agree(reference=...)"
        )
    return None


def disagreement(runs: Sequence[Run], request: AgreeRequest, table: Table | None = None) -> str | None:
    """How the variants that ran differ from the reference, None when they agree.

    Each variant is compared with the reference: the first that matches the request's, or that ran. `table` holds the
    project's own tolerances.
    """
    ran = [run for run in runs if run.outcome == "passed"]
    if not any(run.recording.values for run in ran):
        return _NOTHING
    reference = next(run for run in ran if request.reference is None or request.reference.matches(run.variant))
    lines, hints = [], set()
    for run in ran:
        faults = [] if run is reference else list(_faults(run, reference, request, table))
        if faults:
            lines.append(f"{run.variant} does not agree with the reference, {reference.variant}:")
            lines += [f"  {fault.text}" for fault in faults]
            hints |= {fault.hint for fault in faults}
    if not lines:
        return None
    note = [f"Not compared: {_skipped(runs)}."] if _skipped(runs) else []
    return "\n".join([*lines, *note, *(hint for hint in (_WIDEN, _ALIGN) if hint in hints)])


def brief(text: str) -> str:
    """The first fault of a disagreement, in one line."""
    return next((line.strip() for line in text.splitlines() if line.startswith("  ")), text)


@dataclass(frozen=True)
class _Fault:
    """One difference between a variant and the reference, and what to do about it."""

    text: str
    hint: str


def _faults(run: Run, reference: Run, request: AgreeRequest, table: Table | None) -> Iterator[_Fault]:
    yield from _missing(run, reference)
    yield from _missing(reference, run)
    for name, expected in reference.recording.values.items():
        actual = run.recording.values.get(name)
        if actual is None:
            continue
        fault = _first_step(run, reference, name, request, table)
        if fault is not None:
            yield fault
        if len(actual) != len(expected):
            times = f"{_times(len(actual))} by {run.variant}, {_times(len(expected))} by {reference.variant}"
            yield _Fault(f"{name}: recorded {times}", _ALIGN)


def _missing(lacking: Run, having: Run) -> Iterator[_Fault]:
    names = [name for name in having.recording.values if name not in lacking.recording.values]
    if names:
        yield _Fault(f"{', '.join(names)}: recorded by {having.variant}, not by {lacking.variant}", _ALIGN)


def _first_step(run: Run, reference: Run, name: str, request: AgreeRequest, table: Table | None) -> _Fault | None:
    """The first step of a series that differs."""
    actual, expected = run.recording.values[name], reference.recording.values[name]
    variants = run.variant, reference.variant
    for number, (found, wanted) in enumerate(zip(actual, expected, strict=False)):
        mismatch = first_leaf_mismatch(
            found,
            wanted,
            rtol=request.rtol,
            atol=request.atol,
            computed_in=[variant.dtype for variant in variants],
            devices=[variant.device for variant in variants],
            table=table,
        )
        if mismatch is not None:
            step = f"step {number}, the first of {len(expected)} to differ: " if len(expected) > 1 else ""
            text = step + mismatch.describe(str(run.variant), str(reference.variant))
            return _Fault(text, _WIDEN if mismatch.kind == "value" else _ALIGN)
    return None


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _listed(runs: Sequence[Run]) -> str:
    return ", ".join(str(run.variant) for run in runs)


def _skipped(runs: Sequence[Run]) -> str:
    return ", ".join(f"{run.variant} was skipped ({run.reason})" for run in runs if run.outcome == "skipped")


def _left_out(runs: Sequence[Run]) -> str:
    """The variants that were skipped, with their reasons, as the end of a clause."""
    return f"; {_skipped(runs)}" if _skipped(runs) else ""
