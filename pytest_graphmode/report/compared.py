"""How the variants of a test compare, as plain data: what differs where, and the error of taps, for the JSON report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pytest_graphmode.records.disagreement import Allowed, Side, agree, dtypes_apart, mismatch_of, taps_apart
from pytest_graphmode.report.series import finite

if TYPE_CHECKING:
    from pytest_graphmode.checks.compare import Mismatch

Data = dict[str, Any]


def comparison_data(sides: Iterable[tuple[Side, Side]], allowed: Allowed) -> list[Data]:
    """Each side against its reference."""
    return [_pair(side, reference, allowed) for side, reference in sides]


def _pair(side: Side, reference: Side, allowed: Allowed) -> Data:
    parting = taps_apart(side, reference, allowed)
    return {
        "variant": side.name,
        "reference": reference.name,
        "agrees": agree(side, reference, allowed),
        "differences": list(_differences(side, reference, allowed)),
        "taps": [
            {
                "name": tap.name,
                "error": finite(tap.error),
                "at": list(tap.worst.at),
                "first_step": tap.first,
            }
            for tap in parting.compared
        ],
        "first_tap": None if parting.first is None else parting.first.name,
    }


def _differences(side: Side, reference: Side, allowed: Allowed) -> Iterator[Data]:
    """The first step of each value given to `agree` that differs."""
    actual = side.recording.values
    for name, wanted in reference.recording.values.items():
        for step, (a, b) in enumerate(zip(actual.get(name, ()), wanted, strict=False)):
            cast = dtypes_apart(side, reference, a, b) if allowed.dtypes else None
            mismatch = cast or mismatch_of(side, reference, a, b, allowed)
            if mismatch is not None:
                yield _difference(name, step, mismatch, mismatch.describe(side.name, reference.name))
                break


def _difference(name: str, step: int, mismatch: Mismatch, text: str) -> Data:
    return {
        "name": name,
        "step": step,
        "path": mismatch.path,
        "at": list(mismatch.index),
        "kind": mismatch.kind,
        "difference": finite(mismatch.difference),
        "relative": finite(mismatch.relative),
        "rtol": mismatch.rtol,
        "atol": mismatch.atol,
        "text": text,
    }
