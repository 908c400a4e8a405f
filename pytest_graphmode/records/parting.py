"""Where two variants part: their taps in the order of the code, with the error of each and how it grows, in words.

Called by `disagreement.py` when values differ.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from pytest_graphmode.checks.compare import Mismatch, widened
from pytest_graphmode.records.recording import Recording, Series

Compare = Callable[[Mapping[str, Any], Mapping[str, Any]], "Mismatch | None"]

# How many taps are shown before and after the first that differs, and how many are tried with their axes transposed.
_BEFORE: Final = 20
_AFTER: Final = 10
_TRANSPOSED: Final = 20
_LARGEST: Final = 10_000_000
_TABLE: Final = "Taps in the order of the code, with the error relative to the largest value"


class _Worst(NamedTuple):
    """The worst element of two values: its error relative to the largest of the reference's, and where it is."""

    error: float
    path: str
    at: tuple[int, ...]


@dataclass(frozen=True)
class _Compared:
    """A tap that both sides have, of the same shapes.

    Attributes:
        errors: of each step.
        first: the first step that differs, None where all agree.
    """

    name: str
    errors: Sequence[_Worst]
    first: int | None

    @property
    def loop(self) -> tuple[int, bool]:
        """Alike for taps that may stand in one loop of the code: tapped equally often, all values or all gradients."""
        return len(self.errors), self.name.startswith("grad(")

    @property
    def worst(self) -> _Worst:
        """Of the first step that differs, or else of all."""
        return max(self.errors, key=lambda worst: worst.error) if self.first is None else self.errors[self.first]

    @property
    def error(self) -> float:
        return self.worst.error

    @property
    def step(self) -> int | None:
        """The one of several that `worst` is of because it differs."""
        return self.first if len(self.errors) > 1 else None

    def until(self, step: int) -> float:
        return max(worst.error for worst in self.errors[: step + 1])


class Parting:
    """The taps of two sides against each other.

    Attributes:
        compared: in the order of the code.
        first: the first that differs.
        left_out: what one of them could not tap, and what is said of that.
    """

    def __init__(self, actual: Recording, expected: Recording, sides: tuple[str, str], compare: Compare) -> None:
        """Compare all of them; `sides` are the names of the actual and of the expected, for messages."""
        self._actual, self._expected, self._sides = actual.taps, expected.taps, sides
        self._compare = compare
        self.left_out = dict(_left_out(list(zip(sides, (actual, expected), strict=True))))
        self.compared: list[_Compared] = []
        self._missing: dict[tuple[str, str], list[str]] = {}
        self._incomparable: list[str] = []
        self._hints: list[str] = []
        for name in _in_order(self._expected, self._actual):
            if name not in self.left_out:
                self._add(name)
        self.first = _first(self.compared)

    @property
    def sentence(self) -> str:
        """Where the two part: ``conv2` is the first tap that differs (12 % at [0, 3, 1]); `conv1`, ...`."""
        if self.first is None:
            return self._no_difference()
        position = self.compared.index(self.first)
        step = self.first.first or 0
        worst = self.first.errors[step]
        in_step = f", in step {step}," if len(self.first.errors) > 1 else ""
        path = "" if worst.path == self.first.name else f" of {worst.path}"
        where = f" at {list(worst.at)}" if worst.at else ""
        text = f"`{self.first.name}`{in_step} is the first tap that differs ({_share(worst.error)}{where}{path}); "
        before = [one for one in self.compared[:position] if one.first is None or one.first > step]
        if not before:
            return f"{text}there is none before it: look at what goes into it"
        return f"{text}`{before[-1].name}`, before it, agrees {_to(before[-1].until(step))}"

    @property
    def lines(self) -> Iterator[str]:
        """The taps in the order of the code, what could not be compared, and the hints."""
        if self.compared:
            of_steps = ", of the first step that differs" if any(one.step is not None for one in self.compared) else ""
            yield f"{_TABLE}{of_steps}, and x its growth over the tap before:"
            yield from (f"  {line}" for line in self._table())
        incomparable = [f"{', '.join(names)} of {has}, not of {lacks}" for (has, lacks), names in self._missing.items()]
        incomparable += [*self._incomparable, *self.left_out.values()]
        if incomparable:
            yield f"Taps that could not be compared: {'; '.join(incomparable)}."
        yield from self._hints

    def _no_difference(self) -> str:
        if not self.compared:
            return "no tap could be compared"
        worst = max(self.compared, key=lambda one: one.error)
        return (
            f"no tap differs: they agree {_to(worst.error)} (`{worst.name}` the least), so that the two part after the "
            f"last, `{self.compared[-1].name}`"
        )

    def _add(self, name: str) -> None:
        found, wanted = self._actual.get(name), self._expected.get(name)
        if found is None or wanted is None:
            self._missing.setdefault(self._sides if wanted is None else self._sides[::-1], []).append(f"`{name}`")
            return
        if len(found) != len(wanted):
            self._incomparable.append(
                f"`{name}`, tapped {len(found)} times by {self._sides[0]}, {len(wanted)} times by {self._sides[1]}"
            )
        errors, first = [], None
        for step, (a, b) in enumerate(zip(found, wanted, strict=False)):
            mismatch = self._compare(a, b)
            if mismatch is not None:
                self._transposed(name, a, b)
                if mismatch.kind != "value":
                    self._incomparable.append(f"`{name}`, {_kinds(mismatch, self._sides)}")
                    break
                first = step if first is None else first
            errors.append(_worst(name, a, b, mismatch))
        if errors:
            self.compared.append(_Compared(name, errors, first))

    def _transposed(self, name: str, actual: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        if len(self._hints) >= _TRANSPOSED:
            return
        for path, value in expected.items():
            order = self._order(path, actual.get(path), value)
            if order is not None:
                hint = (
                    f"`{path}` of {self._sides[0]} would agree with its axes in the order {order}, as numpy.transpose "
                    "puts them: taps are compared as they are."
                )
                self._hints += [hint] if hint not in self._hints else []

    def _order(self, path: str, actual: Any, expected: Any) -> tuple[int, ...] | None:
        if not (isinstance(actual, np.ndarray) and isinstance(expected, np.ndarray)):
            return None
        rank = actual.ndim
        if not 2 <= rank <= 5 or sorted(actual.shape) != sorted(expected.shape) or actual.size > _LARGEST:
            return None
        for order in itertools.permutations(range(rank)):
            turned = actual.transpose(order)
            turns = order != tuple(range(rank)) and turned.shape == expected.shape
            if turns and self._compare({path: turned}, {path: expected}) is None:
                return order
        return None

    def _table(self) -> Iterator[str]:
        start, end = 0, len(self.compared)
        at = end if self.first is None else self.compared.index(self.first)
        if end > _BEFORE + _AFTER:
            start, end = max(at - _BEFORE, 0), min(at + _AFTER + 1, end)
        if start:
            yield f"({start} before, which agree {_to(max(one.error for one in self.compared[:start]))})"
        width = max(len(one.name) for one in self.compared[start:end])
        last: _Compared | None = None
        for one in self.compared[start:end]:
            step = [] if one.step is None else [f"in step {one.step}"]
            marks = [*_growth(one, last), *step, *(["the first that differs"] if one is self.first else [])]
            yield "  ".join([f"{one.name:{width}}", f"{_share(one.error):>7}", *marks])
            last = one if one.error else last
        if end < len(self.compared):
            yield f"({len(self.compared) - end} more)"


def _growth(one: _Compared, last: _Compared | None) -> Iterator[str]:
    """How much larger than the last error one is; errors of different steps are not set against each other."""
    if last is None or not math.isfinite(one.error) or one.error <= 1.05 * last.error:
        return
    if last.step is None or one.step is None or last.step == one.step:
        yield _factor(one.error / last.error)


def _left_out(sides: Sequence[tuple[str, Recording]]) -> Iterator[tuple[str, str]]:
    """What one side alone could not tap, by name, and why: the steps that it has are not those of the other.

    And what neither could.
    """
    for (side, recording), (_, other) in (sides, sides[::-1]):
        for name, reason in recording.left_out.items():
            if name not in other.left_out and name in other.taps:
                yield name, f"`{name}`, not tapped by {side} {reason}"
            elif name not in other.taps and name not in recording.taps:
                yield name, f"`{name}`, tapped by neither: it is {reason}"


def _in_order(expected: Series, actual: Series) -> Iterator[str]:
    """All names in the order of the code: those of the reference, each after what stands before it there."""
    waiting = [name for name in actual if name not in expected]
    place = {name: position for position, name in enumerate(actual)}
    for name in expected:
        while waiting and place[waiting[0]] < place.get(name, -1):
            yield waiting.pop(0)
        yield name
    yield from waiting


def _first(compared: Sequence[_Compared]) -> _Compared | None:
    """The first tap that differs; of those in one loop, which are tapped equally often, that of the earliest step."""
    differing = [one for one in compared if one.first is not None]
    if not differing:
        return None
    together = [one for one in differing if one.loop == differing[0].loop]
    return min(together, key=lambda one: one.first or 0)


def _worst(name: str, actual: Mapping[str, Any], expected: Mapping[str, Any], mismatch: Mismatch | None) -> _Worst:
    """The worst element of a step; where it differs, of the leaf that differs first."""
    paths = expected if mismatch is None else [mismatch.path]
    found = [_worst_of_leaf(path, actual[path], expected[path]) for path in paths]
    return max(found, key=lambda worst: worst.error, default=_Worst(0.0, name, ()))


def _worst_of_leaf(path: str, actual: Any, expected: Any) -> _Worst:
    """Infinite where what is no finite number differs."""
    a, b = widened(actual), widened(expected)
    if a is None or b is None:
        return _Worst(0.0 if np.array_equal(actual, expected) else math.inf, path, ())
    if not a.size:
        return _Worst(0.0, path, ())
    distance, scale = distances(a, b)
    index = tuple(int(one) for one in np.unravel_index(int(np.argmax(distance)), distance.shape))
    worst = float(distance[index])
    return _Worst(worst / scale if scale else math.inf if worst else 0.0, path, index)


def distances(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], float]:
    """How far apart elements are, infinite where what is no finite number differs; and the largest magnitude of `b`."""
    with np.errstate(all="ignore"):
        equal = (a == b) | (np.isnan(a) & np.isnan(b))
        distance = np.where(equal, 0.0, np.nan_to_num(np.abs(a - b), nan=np.inf, posinf=np.inf))
        return distance, float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0))


def _kinds(mismatch: Mismatch, sides: tuple[str, str]) -> str:
    where = "" if mismatch.path.isidentifier() else f"{mismatch.path} "
    return f"{where}{mismatch.actual} of {sides[0]} and {mismatch.expected} of {sides[1]}"


def _share(error: float) -> str:
    """`12 %`, `3e-7`."""
    if not math.isfinite(error):
        return "not finite"
    if 0.001 <= error < 100:
        return f"{float(f'{100 * error:.2g}'):g} %"
    return _small(error)


def _small(error: float) -> str:
    """`3e-7`."""
    if not error:
        return "0"
    mantissa, _, exponent = f"{error:.0e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def _to(error: float) -> str:
    return f"to {_share(error)}" if error else "to the last bit"


def _factor(ratio: float) -> str:
    return f"x {ratio:.2g}" if ratio < 10 else f"x {ratio:.0f}" if ratio < 1000 else f"x {_small(ratio)}"
