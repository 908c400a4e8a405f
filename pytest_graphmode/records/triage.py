"""What reruns of two variants that disagree show, in words: chance, rounding, or the stage that they part at.

Called by `pytest_graphmode.run.agreement.rerunning`, which runs them.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pytest_graphmode.records.parting import distances
from pytest_graphmode.records.recording import Recording

# Unit roundoffs: 2**-p of the precisions p of IEEE 754 (binary64, binary32, binary16) and of bfloat16.
_ROUNDOFF: Final = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
# What is tried as rtol: beyond a tenth a test tells little.
_TRIED: Final = tuple(float(f"{digit}e{power}") for power in range(-16, -1) for digit in (1, 2, 5))
LARGEST: Final = 0.1


@dataclass(frozen=True)
class Gap:
    """How far two recordings are apart, where they are the most.

    Attributes:
        relative: the difference over the largest magnitude in the leaf, infinite where one side has no finite number.
        absolute: the difference itself.
        path: of the leaf.
        dtype: of the leaf, the narrower of the two sides; "" for Python's numbers.
        whole: whether both sides are integers or truth values, which nothing rounds in float64.
    """

    relative: float = 0.0
    absolute: float = 0.0
    path: str = ""
    dtype: str = ""
    whole: bool = False

    def __str__(self) -> str:
        return short(self.absolute) if math.isfinite(self.absolute) else "further than numbers can be"


def gap(actual: Recording, expected: Recording) -> Gap | None:
    """How far apart two recordings are; None where they hold no numbers of one shape to say it by."""
    leaves = list(_leaves(actual, expected))
    gaps = [found for path, a, b in leaves if (found := _of_leaf(path, a, b)) is not None]
    return max(gaps, key=lambda found: found.relative, default=None)


def _leaves(actual: Recording, expected: Recording) -> Iterator[tuple[str, Any, Any]]:
    by_values = bool(actual.values or expected.values)
    series, wanted = (actual.values, expected.values) if by_values else (actual.taps, expected.taps)
    for name in series.keys() & wanted.keys():
        for step, other in zip(series[name], wanted[name], strict=False):
            yield from ((path, step[path], other[path]) for path in step.keys() & other.keys())


def _of_leaf(path: str, actual: Any, expected: Any) -> Gap | None:
    a, b = np.asarray(actual), np.asarray(expected)
    if a.shape != b.shape or not a.size or not (_is_number(a) and _is_number(b)):
        return None
    dtypes = [side.dtype.name for side in (actual, expected) if isinstance(side, (np.ndarray, np.generic))]
    dtype = min(dtypes, key=lambda name: np.dtype(name).itemsize, default="")
    wide = np.complex128 if "c" in (a.dtype.kind, b.dtype.kind) else np.float64
    with np.errstate(all="ignore"):
        distance, scale = distances(a.astype(wide), b.astype(wide))
    absolute = float(np.max(distance))
    whole = a.dtype.kind in "bui" and b.dtype.kind in "bui"
    if whole and not absolute:  # int64 holds more digits than the float64 of `x` and `y`
        absolute = float(np.max(a != b))
    return Gap(absolute / scale if scale else absolute, absolute, path, dtype, whole)


def _is_number(array: np.ndarray[Any, Any]) -> bool:
    return array.dtype.kind in "buifc" or (array.dtype.kind == "V" and "float" in array.dtype.name)


def is_rounding(before: Gap, dtypes: Iterable[str], wide: Gap) -> bool:
    """Whether a gap shrank in float64 as rounding does, rather than stayed as that of different formulas does.

    Errors of rounding are proportional to the unit roundoff (Higham, Accuracy and Stability of Numerical Algorithms,
    section 1.5): by the ratio of the two for rounding, by 1 for anything else, so the geometric mean parts them.
    `dtypes` are what the two sides were computed in before.
    """
    if wide.whole and wide.absolute:
        return False
    narrow = max(_ROUNDOFF.get(dtype, _ROUNDOFF["float64"]) for dtype in dtypes)
    shrunk = math.sqrt(_ROUNDOFF["float64"] / narrow)
    finite = before.relative if math.isfinite(before.relative) else 1.0
    return wide.relative <= max(finite * shrunk, 8 * _ROUNDOFF["float64"])


def enough(agrees: Callable[[float], bool], largest: float) -> float | None:
    """The smallest round tolerance that makes variants agree with as much to spare; None if over `largest`."""
    tried = [value for value in _TRIED if value <= largest]
    first = bisect_left(tried, True, key=lambda value: agrees(value / 2))
    return tried[first] if first < len(tried) else None


def round_up(value: float) -> float:
    """A positive number with one digit, no smaller than this one."""
    power = 10.0 ** math.floor(math.log10(value))
    return float(f"{math.ceil(value / power) * power:.1g}")


def short(number: float) -> str:
    """`0.3`, `2e-15`."""
    return re.sub(r"e([-+])0*", lambda found: "e" + found[1].strip("+"), f"{number:.1g}")


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
