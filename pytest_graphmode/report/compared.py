"""How the variants of a test compare, as plain data: what differs where, and the error of taps, for the JSON report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pytest_graphmode.report.series import finite

if TYPE_CHECKING:
    from pytest_graphmode.records.disagreement import Pair

Data = dict[str, Any]


def comparison_data(pairs: Iterable[Pair]) -> list[Data]:
    return [_pair(pair) for pair in pairs]


def _pair(pair: Pair) -> Data:
    return {
        "variant": pair.side.name,
        "reference": pair.reference.name,
        "agrees": pair.agrees,
        "differences": list(_differences(pair)),
        "taps": [
            {
                "name": tap.name,
                "error": finite(tap.error),
                "at": list(tap.worst.at),
                "first_step": tap.first,
            }
            for tap in pair.parting.compared
        ],
        "first_tap": None if pair.parting.first is None else pair.parting.first.name,
    }


def _differences(pair: Pair) -> Iterator[Data]:
    """The first step of each value given to `agree` that differs."""
    actual = pair.side.recording.values
    for name, wanted in pair.reference.recording.values.items():
        found = pair.first_difference(actual.get(name, ()), wanted)
        if found is not None:
            step, mismatch = found
            yield {
                "name": name,
                "step": step,
                "path": mismatch.path,
                "at": list(mismatch.index),
                "kind": mismatch.kind,
                "difference": finite(mismatch.difference),
                "relative": finite(mismatch.relative),
                "rtol": mismatch.rtol,
                "atol": mismatch.atol,
                "text": pair.told(mismatch),
            }
