"""The texts of failed gradient checks: what happened, what was allowed, what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.differentiation import describe, name_of
from pytest_graphmode.checks.gradients.arguments import Arguments, Leaf
from pytest_graphmode.checks.gradients.hints import hint
from pytest_graphmode.checks.gradients.search import Fault
from pytest_graphmode.checks.gradients.slopes import Estimate, Precision, Slopes


@dataclass(frozen=True)
class Setting:
    """What a message says of the check as a whole; `named` are the variables that the test itself named."""

    fn: Callable[..., Any]
    variant: str
    precision: Precision
    note: str = ""
    level: int = 0
    named: Sequence[str] = ()

    @property
    def name(self) -> str:
        return name_of(self.fn)

    @property
    def subject(self) -> str:
        """What is checked: `gradient of loss`."""
        return f"{'gradient' if self.level == 0 else 'second derivative'} of {self.name}"

    @property
    def compared(self) -> tuple[str, ...]:
        """What the two values are, where that needs saying."""
        if self.level == 0:
            return ()
        return ("compared is the derivative of the gradient's slope along a fixed random direction",)

    def text(self, headline: str, *lines: str) -> str:
        """A failure's text; every line under the headline is indented."""
        where = f"checked in {self.precision.dtype}" + (f" ({self.note})" if self.note else "")
        return "\n".join([f"{headline} [{self.variant}]", *(f"  {line}" for line in lines), f"  {where}"])


def wrong(setting: Setting, arguments: Arguments, fault: Fault, slopes: Slopes) -> str:
    """A gradient that disagrees: where, both values, what was allowed, and what it looks like."""
    if len(fault.coordinates) > 1:
        return _wrong_in_many(setting, arguments, fault)
    leaf, estimate, coordinate = fault.leaf, fault.estimate, int(fault.coordinates[0])
    along = float(fault.direction[coordinate])
    analytic, numeric, allowed = (
        float(slopes.gradient[coordinate]),
        estimate.numeric / along,
        estimate.tolerance / abs(along),
    )
    where = f"{arguments.element(leaf, coordinate)}{_part(leaf, coordinate)}, in {arguments.origin(leaf)}"
    return setting.text(
        f"the {setting.subject} is wrong at {where}",
        *setting.compared,
        f"analytic {analytic:.8g}",
        f"numeric  {numeric:.8g}, by central difference with a step of {estimate.step * abs(along):.2g}",
        f"they differ by {abs(analytic - numeric):.3g}, allowed {allowed:.2g} (rtol={setting.precision.rtol:g})",
        hint(slopes, leaf, coordinate, analytic, numeric, allowed),
    )


def _part(leaf: Leaf, coordinate: int) -> str:
    if not leaf.is_complex:
        return ""
    return " (imaginary part)" if (coordinate - leaf.span.start) % 2 else " (real part)"


def _wrong_in_many(setting: Setting, arguments: Arguments, fault: Fault) -> str:
    first, last = (arguments.element(fault.leaf, int(fault.coordinates[end])) for end in (0, -1))
    estimate = fault.estimate
    where = f"{arguments.name(fault.leaf)}, {arguments.origin(fault.leaf)}"
    return setting.text(
        f"the {setting.subject} is wrong in many elements of {where}",
        *setting.compared,
        f"analytic {estimate.analytic:.8g}",
        f"numeric  {estimate.numeric:.8g}, along a direction from {first} to {last} ({len(fault.coordinates)} numbers)",
        f"they differ by {estimate.error:.3g}, allowed {estimate.tolerance:.2g} (rtol={setting.precision.rtol:g})",
        "no single element stands out: a small error in all of them, or a function less accurate than its dtype; "
        "pass a larger rtol if that is expected",
    )


def no_leaf(setting: Setting, args: Sequence[Any]) -> str:
    """No argument can be differentiated."""
    leaves = trees.leaves(tuple(args))
    found = f"only {', '.join(describe(leaf) for leaf in leaves[:5])}" if leaves else "none at all"
    return setting.text(
        f"{setting.name} has no argument to differentiate by: a floating or complex tensor is needed, it got {found}",
        "Python numbers stay Python values: pass NumPy arrays or graphmode.tensor(...), and variables=... for weights",
    )


def no_output(setting: Setting, reason: str) -> str:
    """The function returned nothing that has a gradient."""
    return setting.text(
        f"there is nothing to differentiate: {reason}", "return at least one floating or complex tensor"
    )


def not_finite(setting: Setting, value: float) -> str:
    """The function is not finite at the arguments."""
    return setting.text(
        f"the {setting.subject} can't be checked: its value is {value} at the given arguments",
        "give arguments at which the function is finite",
    )


def gradient_not_finite(setting: Setting, arguments: Arguments, leaf: Leaf, coordinate: int, value: float) -> str:
    """An element of the gradient is NaN or infinite although the value is finite."""
    where = f"{arguments.element(leaf, coordinate)}, in {arguments.origin(leaf)}"
    return setting.text(
        f"the {setting.subject} is {value} at {where}, though its value is finite",
        "a branch that is not taken may still be differentiated (where), or this is the edge of a domain (sqrt or "
        "norm at 0): guard the argument of the operation, not its result",
    )


def no_path(setting: Setting, arguments: Arguments, leaf: Leaf, slope: float | None) -> str:
    """A gradient of None, with the slope if the value moves with the leaf all the same."""
    name, origin = arguments.name(leaf), arguments.origin(leaf)
    if slope is None:
        return setting.text(
            f"no path leads from {name}, {origin}, to the value of {setting.name}: its gradient is None",
            f"the value does not change with {name} either: use it, or leave it out of the checked arguments with "
            "functools.partial or a closure",
        )
    return setting.text(
        f"the {setting.subject} by {name}, {origin}, is None, yet its value changes with {name}",
        f"analytic None, numeric {slope:.8g} along a random direction",
        "the path is cut: look for detach, stop_gradient, .item(), .numpy(), a cast to integers, or an operation "
        "without a gradient",
    )


def not_deterministic(setting: Setting, values: Sequence[float]) -> str:
    """The same arguments gave different values."""
    shown = ", ".join(f"{value:.17g}" for value in values)
    return setting.text(
        f"{setting.name} is not deterministic, so the {setting.subject} can't be checked",
        f"its value at the same arguments was {shown}",
        "pass random numbers in as arguments, seed them inside the function, and switch dropout off",
    )


def too_rough(setting: Setting, slopes: Slopes, estimate: Estimate) -> str:
    """The function is so rough that no difference says anything."""
    return setting.text(
        f"the {setting.subject} can't be checked: the function is too rough to be differentiated numerically",
        f"its value of {slopes.value:.6g} is off by about {slopes.roughness or 0.0:.2g}, which hides slopes like the "
        f"analytic {estimate.analytic:.6g} along a random direction (numeric {estimate.numeric:.6g})",
        "it jumps near these arguments, or rounds large terms that cancel: try other arguments, or compute in float64",
    )


def not_in_float64(setting: Setting, reason: str) -> str:
    """float64 was asked for and can't be had."""
    return setting.text(
        f"the {setting.subject} can't be checked in float64: {reason}",
        "make what the function reads in float64, or of graphmode.dtype within it, or leave out float64=True: it is "
        "then checked in the variant's dtype, where smaller errors pass",
    )


def fell_back(setting: Setting, reason: str) -> str:
    """The warning of a check that passed in a lower precision."""
    precision = setting.precision
    return (
        f"check_grads of {setting.name} [{setting.variant}] ran in {precision.dtype}, where errors up to "
        f"{precision.rtol:g} pass: {reason}. Make what it reads in float64, or of graphmode.dtype within the function; "
        "check_grads(..., float64=True) makes this a failure"
    )
