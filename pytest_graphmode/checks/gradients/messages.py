"""The texts of failed gradient checks: what happened, what was allowed, what to do, and what a value looks like."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pytest_graphmode.backends.differentiation import name_of
from pytest_graphmode.checks.gradients.differences import Differences, Precision
from pytest_graphmode.checks.gradients.leaves import Leaves, Part
from pytest_graphmode.checks.gradients.search import Fault
from pytest_graphmode.ledger import describe

_FACTORS: Final = {
    -1.0: "the sign is flipped",
    2.0: "the analytic value is 2 times the numeric one: is a term counted twice, or the 1/2 of a square lost?",
    0.5: "the analytic value is 0.5 times the numeric one: is one of two equal terms missing?",
}


@dataclass(frozen=True)
class Wording:
    """What messages say of the check as a whole: `note` is why it is not in float64."""

    fn: Callable[..., Any]
    variant: str
    leaves: Leaves
    precision: Precision
    note: str = ""
    level: int = 0

    @property
    def _name(self) -> str:
        return name_of(self.fn)

    @property
    def _subject(self) -> str:
        """What is checked: `gradient of loss`."""
        return f"{'gradient' if self.level == 0 else 'second derivative'} of {self._name}"

    def _text(self, headline: str, *lines: str) -> str:
        """A failure's text; every line under the headline is indented."""
        where = f"checked in {self.precision.dtype}" + (f" ({self.note})" if self.note else "")
        return "\n".join([f"{headline} [{self.variant}]", *(f"  {line}" for line in lines if line), f"  {where}"])

    def wrong(self, fault: Fault, differences: Differences) -> str:
        """A gradient that disagrees: where, both values, what was allowed, and what it looks like."""
        estimate, coordinates = fault.estimate, fault.coordinates
        parts = [part for part in self.leaves.parts if _overlap(part, coordinates)]
        first, last = (self.leaves.element(parts[end], int(coordinates[end])) for end in (0, -1))
        if coordinates.size == 1:
            along = float(fault.direction[coordinates[0]])
            analytic, numeric = float(differences.gradient[coordinates[0]]), estimate.numeric / along
            allowed = estimate.tolerance / abs(along)
            where = f"at {first}{_side(parts[0], int(coordinates[0]))}, in {self.leaves.origin(parts[0])}"
            how = f"by central difference with a step of {estimate.step * abs(along):.2g}"
            hint = _hint(differences, parts[0], int(coordinates[0]), estimate.step, analytic, numeric, allowed)
        else:
            analytic, numeric, allowed = estimate.analytic, estimate.numeric, estimate.tolerance
            names = ", ".join(f"{self.leaves.name(part)}, {self.leaves.origin(part)}" for part in parts)
            where = f"in many elements of {names}"
            how = f"along a direction from {first} to {last} ({coordinates.size} numbers)"
            hint = (
                "no single element stands out: a small error in all of them, or a function less accurate than its "
                "dtype; pass a larger rtol if that is expected"
            )
        return self._text(
            f"the {self._subject} is wrong {where}",
            "compared is the derivative of the gradient's slope along a fixed random direction" if self.level else "",
            f"analytic {analytic:.8g}",
            f"numeric  {numeric:.8g}, {how}",
            f"they differ by {abs(analytic - numeric):.3g}, allowed {allowed:.2g} (rtol={self.precision.rtol:g})",
            hint,
        )

    def no_leaf(self) -> str | None:
        """Whether no argument can be differentiated, and which there are."""
        if self.leaves.point.size:
            return None
        values = self.leaves.values
        found = f"only {', '.join(describe.leaf(value) for value in values[:5])}" if values else "none at all"
        return self._text(
            f"{self._name} has no argument to differentiate by: a floating or complex tensor is needed, it got {found}",
            "Python numbers stay Python values: pass NumPy arrays or graphmode.tensor(...), and variables=... for "
            "weights",
        )

    def no_output(self, reason: str) -> str:
        return self._text(
            f"there is nothing to differentiate: {reason}", "return at least one floating or complex tensor"
        )

    def unsupported(self, reason: str) -> str:
        return self._text(f"the {self._subject} can't be checked", reason)

    def not_finite(self, value: float) -> str:
        return self._text(
            f"the {self._subject} can't be checked: its value is {value} at the given arguments",
            "give arguments at which the function is finite",
        )

    def gradient_not_finite(self, part: Part, coordinate: int, value: float) -> str:
        where = f"{self.leaves.element(part, coordinate)}, in {self.leaves.origin(part)}"
        return self._text(
            f"the {self._subject} is {value} at {where}, though its value is finite",
            "a branch that is not taken may still be differentiated (where), or this is the edge of a domain (sqrt or "
            "norm at 0): guard the argument of the operation, not its result",
        )

    def no_path(self, part: Part, slope: float | None) -> str:
        """A gradient of None, with the slope if the value moves with the leaf all the same."""
        name, origin = self.leaves.name(part), self.leaves.origin(part)
        if slope is None:
            return self._text(
                f"no path leads from {name}, {origin}, to the value of {self._name}: its gradient is None",
                f"the value does not change with {name} either: use it, or leave it out of the checked arguments with "
                "functools.partial or a closure",
            )
        return self._text(
            f"the {self._subject} by {name}, {origin}, is None, yet its value changes with {name}",
            f"analytic None, numeric {slope:.8g} along a random direction",
            "the path is cut: look for detach, stop_gradient, .item(), .numpy(), a cast to integers, or an operation "
            "without a gradient",
        )

    def not_deterministic(self, values: Sequence[float]) -> str:
        return self._text(
            f"{self._name} is not deterministic, so the {self._subject} can't be checked",
            f"its value at the same arguments was {', '.join(f'{value:.17g}' for value in values)}",
            "pass random numbers in as arguments, seed them inside the function, and switch dropout off",
        )

    def not_in_float64(self) -> str:
        headline = f"the {self._subject} can't be checked in float64: {self.note} [{self.variant}]"
        return (
            f"{headline}\n  make what the function reads in float64, or of graphmode.dtype within it, or leave out "
            "float64=True: it is then checked in the variant's dtype, where smaller errors pass"
        )

    def fell_back(self) -> str:
        """The warning of a check that passed in a lower precision."""
        return (
            f"check_grads of {self._name} [{self.variant}] ran in {self.precision.dtype}, where errors up to "
            f"{self.precision.rtol:g} pass: {self.note}. Make what it reads in float64, or of graphmode.dtype within "
            "the function; check_grads(..., float64=True) makes this a failure"
        )


def _overlap(part: Part, coordinates: np.ndarray[Any, Any]) -> bool:
    return bool(part.size and part.span.start <= coordinates[-1] and coordinates[0] < part.span.stop)


def _side(part: Part, coordinate: int) -> str:
    if not part.is_complex:
        return ""
    return " (imaginary part)" if (coordinate - part.span.start) % 2 else " (real part)"


def _hint(
    differences: Differences, part: Part, coordinate: int, step: float, analytic: float, numeric: float, allowed: float
) -> str:
    """What the two values of an element look like, and where to look for the mistake."""
    if not math.isfinite(numeric):
        return "the function is not finite a step away: move the arguments away from the edge of its domain"

    taken = step / differences.precision.step

    def slope(of: int, factor: float = 1.0) -> float:
        direction = np.zeros_like(differences.point)
        direction[of] = part.scale
        return differences.along(direction, factor * taken).numeric / part.scale

    nearby = [slope(coordinate, factor) for factor in (1 / 3, 10.0)]
    if not max(abs(value - numeric) for value in nearby) < 0.5 * abs(analytic - numeric):
        return (
            f"the numeric value depends on the step ({nearby[0]:.6g} with a third of it, {nearby[1]:.6g} with ten "
            "times it): the function jumps here, or is too rough to be differentiated numerically; try other arguments"
        )
    imaginary = part.is_complex and abs(slope(coordinate) + analytic) <= allowed < abs(analytic)
    if imaginary and (coordinate - part.span.start) % 2:
        return "it is the conjugate of the right gradient: conjugate the derivative in the custom gradient"
    if abs(analytic) <= allowed:
        return (
            "the analytic value is zero: a path is cut or a term left out; look for detach, stop_gradient, .item(), "
            ".numpy(), a cast to integers, or a custom gradient"
        )
    if abs(numeric) <= allowed:
        return "the function does not move with this element, so its gradient should be zero"
    if len(part.shape) == 2 and part.shape[0] == part.shape[1] and not part.is_complex:
        row, column = part.position(coordinate)
        across = part.span.start + column * part.shape[1] + row
        if across != coordinate and abs(slope(across) - analytic) <= 10 * allowed:
            return "it is the right gradient of the element across the diagonal: is the gradient transposed?"
    return _of_ratio(analytic / numeric)


def _of_ratio(ratio: float) -> str:
    known = next((text for factor, text in _FACTORS.items() if math.isclose(ratio, factor, rel_tol=1e-3)), None)
    return known or (
        f"the analytic value is {ratio:.5g} times the numeric one: look at the custom gradient or the branch that "
        "computes this element"
    )
