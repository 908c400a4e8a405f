"""What the variants of a test recorded with `graphmode.agree` and taps, as NumPy copies: no tensor outlives its test.

Filled through the handle, compared by `agreement.comparison`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.tapping import LeftOut
from pytest_graphmode.ledger import describe

if TYPE_CHECKING:
    from pytest_graphmode.backends.layers import Layer
    from pytest_graphmode.runtime import Runtime
    from pytest_graphmode.select.variants import Variant

__tracebackhide__ = True  # in failures, the user's frames are of interest

# The values recorded under each name, one entry for each time: the leaves of a tree by their paths.
Steps = list[dict[str, Any]]
Series = dict[str, Steps]


@dataclass
class Recording:
    """What one run of a variant recorded.

    Attributes:
        values: what `graphmode.agree` was given, by name.
        taps: what `graphmode.tap` and `tap_layers` saw, by name, in the order of the code.
        dtypes: of the values that `agree` was given those which NumPy has another dtype for, bfloat16, by path; None
            where that is not known, of a recording that comes from a file.
        left_out: why something was not tapped, by name.
    """

    values: Series = field(default_factory=dict)
    taps: Series = field(default_factory=dict)
    dtypes: dict[str, str] | None = None
    left_out: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.values or self.taps)

    @property
    def names(self) -> list[str]:
        return compared_names(self.values, self.taps)

    def clear(self) -> None:
        self.values.clear()
        self.taps.clear()
        self.dtypes = None
        self.left_out.clear()


def compared_names(values: Iterable[str], taps: Iterable[str]) -> list[str]:
    """What was given to `agree`, or else the taps without gradients, which not every mode has."""
    return list(values) or [name for name in taps if not name.startswith("grad(")]


@dataclass(frozen=True)
class Run:
    """How a variant ran, and what it recorded.

    Attributes:
        outcome: of all phases together; an expected failure counts as skipped.
        reason: why it was skipped, the report of its failure, or the worker of pytest-xdist that crashed in it.
        sections: what pytest captured while it failed, by title.
    """

    variant: Variant
    outcome: Literal["passed", "skipped", "failed", "crashed"]
    reason: str = ""
    recording: Recording = field(default_factory=Recording)
    sections: tuple[tuple[str, str], ...] = ()


def record(runtime: Runtime, recording: Recording | None, values: dict[str, Any]) -> None:
    """Add trees of values to the recording of a variant, None where its test has none; see `Handle.agree`.

    Raises:
        TypeError: nothing was given, or a leaf that is neither a number, an array, text nor None.
        AssertionError: the test has no agreement item.
        RuntimeError: called inside a traced function.
    """
    __tracebackhide__ = True
    if not values:
        raise TypeError("graphmode.agree needs the values to compare, each by a name: graphmode.agree(loss=loss)")
    recording = required(recording, "agree")
    if runtime.mode.static and runtime.mode.inside():
        raise _traced("graphmode.agree", next(iter(values)))
    steps = {name: copied(runtime, "graphmode.agree", name, tree) for name, tree in values.items()}
    recording.dtypes = recording.dtypes or {}
    for name, step in steps.items():
        recording.values.setdefault(name, []).append(step)
        tensors = ((path, leaf) for path, leaf in trees.paths(values[name], name) if hasattr(leaf, "dtype"))
        dtypes = {path: describe.dtype_name(leaf) for path, leaf in tensors}
        recording.dtypes |= {path: dtype for path, dtype in dtypes.items() if dtype == "bfloat16"}


def required(recording: Recording | None, called: str) -> Recording:
    """The recording; an AssertionError where a test has no agreement item, for which alone values are recorded."""
    if recording is None:
        raise AssertionError(
            f"graphmode.{called} records values for the agreement item of the test, and this test has none: "
            "mark it (or its class or module) with @pytest.mark.graph_agree"
        )
    return recording


def _traced(called: str, path: str, reason: str = "") -> RuntimeError:
    return RuntimeError(
        f"{called} can't read the value of {path}{reason}: inside a traced function tensors are symbols of the "
        "graph that have no values yet. Return it from the function and record what a call of the function gives"
    )


def copied(runtime: Runtime, called: str, name: str, tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths, as NumPy copies; `called` is what the user called, for messages."""
    return {path: _leaf(runtime, called, path, leaf) for path, leaf in trees.paths(tree, name)}


def _leaf(runtime: Runtime, called: str, path: str, leaf: Any) -> Any:
    """A leaf's values, copied; Python's numbers stay such, since they have no dtype."""
    if isinstance(leaf, (np.ndarray, np.generic)):
        copy = np.array(leaf)
    elif leaf is None or isinstance(leaf, (bool, int, float, complex, str, bytes)):
        return leaf
    else:
        try:
            copy = runtime.numpy(leaf)
        except Exception as error:  # each framework has an error of its own for a symbolic tensor
            raise _traced(called, path, f", a {type(leaf).__name__} ({error})") from error
    if not isinstance(copy, np.ndarray) or copy.dtype == object:
        raise TypeError(
            f"{called} records numbers, arrays, tensors, text and None, and trees of them; "
            f"{path} is a {type(leaf).__name__}"
        )
    return copy


# Taps. How they leave graphs is the modes' affair; see `backends.tapping`.


def receiver(runtime: Runtime, recording: Recording) -> Callable[[str, Any], None]:
    """What puts taps that have left all graphs into a recording."""

    def receive(name: str, value: Any) -> None:
        if isinstance(value, LeftOut):
            recording.left_out[name] = value
            return
        kept = copied(runtime, "graphmode.tap", name, value)
        recording.taps.setdefault(name, []).append(kept)

    return receive


def require_name(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise TypeError(f"graphmode.tap takes a name and a value, graphmode.tap('h', h); the name was {name!r}")


def tap_layers(runtime: Runtime, model: Any, names: Mapping[str, str] | None) -> None:
    """See `Handle.tap_layers`; undone when the runtime ends."""
    layers = runtime.layers(model)
    for layer, name in zip(layers, _common(layers, names or {}), strict=True):
        runtime.ending.callback(layer.watch(name, runtime.tap_output))


def _common(layers: Sequence[Layer], names: Mapping[str, str]) -> list[str]:
    legal = {name for layer in layers for name in layer.names}
    unknown = [name for name in names if name not in legal]
    if unknown:
        known = ", ".join(layer.names[0] for layer in layers)
        raise ValueError(f"graphmode.tap_layers: the model has no layer {unknown[0]!r}: its layers are {known}")
    made = [next((names[name] for name in layer.names if name in names), layer.names[0]) for layer in layers]
    for name in made:
        require_name(name)
        if made.count(name) > 1:
            both = " and ".join(layer.names[0] for layer, one in zip(layers, made, strict=True) if one == name)
            raise ValueError(
                f"graphmode.tap_layers: {both} would both be tapped as {name!r}: give each a name of its own"
            )
    return made
