"""What variants recorded with `agree` and taps, and how it compares, as plain data for the JSON report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pytest_graphmode.checks.compare import is_number, widened

if TYPE_CHECKING:
    from pytest_graphmode.records.disagreement import Pair
    from pytest_graphmode.records.recording import Series

# The most numbers of a series, and the most series of a variant, that the report holds. The schema says so.
MOST_VALUES: Final = 1000
MOST_SERIES: Final = 200
Data = dict[str, Any]


def series_data(series: Series) -> list[Data]:
    """The leaves of all values that are numbers or arrays of numbers, each as one series over the steps."""
    paths = {name: dict.fromkeys(path for step in steps for path in step) for name, steps in series.items()}
    found = (_leaf(name, path, steps) for name, steps in series.items() for path in paths[name])
    return [leaf for leaf in found if leaf is not None][:MOST_SERIES]


def _leaf(name: str, path: str, steps: Sequence[dict[str, Any]]) -> Data | None:
    """One leaf; None where none of it is a number."""
    values = [step.get(path) for step in steps]
    arrays = [np.asarray(value) if is_number(value) else None for value in values]
    known = [array for array in arrays if array is not None]
    if not known:
        return None
    shapes = {array.shape for array in known}
    every = -(-len(arrays) // MOST_VALUES)  # rounded up
    single = all(array.size == 1 for array in known)
    plain = isinstance(values[0], (bool, int, float, complex))
    return {
        "name": name,
        "path": path,
        "dtype": type(values[0]).__name__ if plain else known[0].dtype.name,
        "shape": list(known[0].shape) if len(shapes) == 1 else None,
        "of": "value" if single and not any(array.dtype.kind == "c" for array in known) else "rms",
        "steps": len(arrays),
        "every": every,
        "values": [_number(array, single=single) for array in arrays[::every]],
    }


def _number(array: np.ndarray[Any, Any] | None, *, single: bool) -> float | int | bool | str | None:
    """The one element of an array, or the root mean square of all; a complex number has its absolute value."""
    if array is None or not array.size:
        return None
    if array.dtype.kind in "bui" and single:
        return array.reshape(-1)[0].item()  # type: ignore[no-any-return]
    wide = widened(array.item() if array.dtype == object else array)
    if wide is None:  # a Python integer beyond all float64, which readers of JSON would make infinite too
        return "inf" if array.item() > 0 else "-inf"
    wide = wide.reshape(-1)
    if single and wide.dtype.kind == "f":
        return finite(float(wide[0]))
    with np.errstate(all="ignore"):
        return finite(float(np.sqrt(np.mean(np.square(np.abs(wide))))))


def finite(value: float) -> float | str:
    """A number as JSON can hold it, which has no word for what is not finite."""
    return value if math.isfinite(value) else "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


# How variants compare.


def comparison_data(pairs: Iterable[Pair]) -> list[Data]:
    return [_pair(pair) for pair in pairs]


def _pair(pair: Pair) -> Data:
    told: Data = {
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
    pair.release()
    return told


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
