"""What a backend is: plain data to list it by (`specs.py`), and two Protocols it follows once a variant runs.

Authors of backends start here, and check their work
with `pytest_graphmode.testing`. `forward_only.py` beside this is a base for runtimes of ready-made models. Builds are
reported as a `BuildReport`, either by an event source (see `pytest_graphmode.ledger.sources`) or,
where the framework has no event of its own, by `Mode.function` to `pytest_graphmode.ledger.watcher.watcher`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pytest_graphmode.backends.specs import BackendSpec, SourceSpec

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from pytest_graphmode.backends.layers import Layer

__all__ = ["Backend", "BackendSpec", "Mode", "SourceSpec", "Stage", "Tracer", "native", "stages"]


class Backend(Protocol):
    """A framework: what is the same in all of its modes. Made once per process, with no arguments.

    It may have more methods, most of them for accelerators:

    - `limit_memory(share: float)`: in a worker of pytest-xdist that shares accelerators with others it is called once,
      before all others, and is to take no more than this part of each one's memory;
    - `synchronize(device: str)`: called at the end of each test's body; waits for what runs there, raises what fails;
    - `tracing() -> bool`: whether anybody's code is being traced, also in an eager mode, where that can be;
    - `await_result(result)`: called after each call that is timed for a report; waits until its tensors are computed,
      for a framework that computes later on the CPU too;
    - `release_memory(device: str)`: called after a test that failed there; gives memory back that nothing uses, and
      raises where nothing can use the device any more;
    - `lacks(error, dtype)`: the framework's own words where an error of a test says that it has no such operation in
      the variant's dtype, for which the test is skipped; None for any other error;
    - `full_precision()`: called before each test there, inside of `isolate`, which undoes it; has products of float32
      computed in float32;
    - `stages(mode: str) -> Sequence[Stage]`: what a mode is built on, the simplest first; without it that is the mode
      `eager`, where there is one.

    Attributes:
        name: as in `--graph-backends`.
        gradients: whether `Mode.value_and_grad` works; False for forward-only runtimes.
        traces_python: whether `Mode.function` accepts Python functions; False where it takes only models built for
            the framework, which a test hands over with `graphmode.pick`.
    """

    name: str
    gradients: bool
    traces_python: bool

    @property
    def lib(self) -> Any:
        """The framework's own module."""

    def devices(self) -> Sequence[str]:
        """The devices there are, by the plugin's names: `cpu`, `gpu:0`, ..."""

    def native_device(self, device: str) -> Any:
        """A device as the framework's own calls take it; a backend without this method has the plugin's names."""

    def native_dtype(self, dtype: str) -> Any:
        """A dtype as the framework's own calls take it; a backend without this method has the plugin's names.

        Raises `UnsupportedError` where the framework has none by this name.
        """

    def mode(self, name: str, device: str) -> Mode:
        """How this backend runs functions in one of its modes on one device."""

    def namespace(self, place: Callable[[np.ndarray[Any, Any], str], Any], dtype: Callable[[], str]) -> Any:
        """NumPy-named functions on this backend's tensors: `graphmode.xp`."""

    def seed(self, seed: int) -> None:
        """Seed the framework's random numbers (`0 <= seed < 2**31`)."""

    def precision(self, dtype: str) -> AbstractContextManager[None]:
        """Make a dtype usable in a block (JAX has no float64 unless asked); raises `UnsupportedError`."""

    def isolate(self) -> AbstractContextManager[None]:
        """Keep what a test does to the framework's global state (default dtype and device, grad mode, caches) in it."""


class Tracer(Protocol):
    """Has a framework write what it does while a test runs, for people who know it well: for `--graph-trace`."""

    def start(self, folder: Path) -> None:
        """Write into this folder from now on, which need not be there, and is to be made for a first file only.

        Called again after a `stop` in the middle of a test, when files of the test may be there.
        """

    def stop(self) -> None:
        """Write no more, and have all files complete; also where it was not started."""

    def end(self) -> None:
        """Put back what was changed in the framework: the run ends."""


class Stage(NamedTuple):
    """A simpler way to run what a mode runs, to find out which step of it changes the values.

    Attributes:
        mode: the name of the mode that does so.
        detail: what is different from that mode as tests run it, `aot_eager`; "" for nothing.
        within: makes it so in a block.
    """

    mode: str
    detail: str = ""
    within: Callable[[], AbstractContextManager[object]] = nullcontext


def stages(backend: Backend, spec: BackendSpec, mode: str) -> Sequence[Stage]:
    """What a mode of a backend is built on, the simplest first, without the mode itself."""
    own: Callable[[str], Sequence[Stage]] | None = getattr(backend, "stages", None)
    if own is not None:
        return own(mode)
    return [Stage("eager")] if mode != "eager" and "eager" in spec.modes else []


class Mode(Protocol):
    """How a backend runs functions: one object per variant.

    The control-flow primitives are called inside a function only (in a mode that is not `static` also outside). What
    the handle gives them is simple: `state`, `init`, `xs` and `operands` are flat tuples of tensors, callbacks that
    return a state return a flat tuple of tensors of the same dtypes and shapes, and predicates are checked. What a
    branch and what a scan returns as `y` may be any tree of tensors and None.

    A mode that records a graph on every call may have `recorded_drawing(outputs) -> Drawing | None`, which draws the
    graph of a call with these outputs for reports (see `pytest_graphmode.ledger.drawing`).

    Attributes:
        name: as in `--graph-backends`.
        static: whether a function's graph is built once and run many times.
        carries_taps: whether `function` brings out what was tapped in it (see `backends.tapping`); may be missing.
        differentiates_outside: whether a gradient at top level compiles the function alone and is taken outside of its
            graph; False where `value_and_grad` runs inside of one.
    """

    name: str
    static: bool
    differentiates_outside: bool

    def scope(self) -> AbstractContextManager[None]:
        """Entered around a test: places what the test makes natively on the device, where that costs calls nothing."""

    def recorded_nodes(self) -> int:
        """How many autograd nodes this thread has recorded so far; constant where the mode records none."""

    def fingerprint(self, outputs: Any) -> str | None:
        """A text equal for recorded graphs of equal structure, from a call's outputs; None where there is none."""

    def is_tensor(self, value: object) -> bool:
        """Whether `value` is a tensor or variable of this framework, symbolic ones included."""

    def is_variable(self, value: object) -> bool:
        """Whether `assign` can set `value`: a variable, and no tensor that a computation gave."""

    def dtype_of(self, array: np.ndarray[Any, Any]) -> str:
        """The name of an array's dtype, also of what a compiler makes of an array that it traces."""

    def tensor(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        """A tensor of the array's values and shape with a dtype by its NumPy name (or `bfloat16`), on the device."""

    def variable(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        """A trainable variable with these initial values, on the device."""

    def assign(self, variable: Any, value: Any) -> None:
        """Set a variable: part of the graph in a static function, outside of differentiation otherwise."""

    def numpy(self, tensor: Any) -> np.ndarray[Any, Any]:
        """The values of a tensor or variable, detached and on the host."""

    def inside(self) -> bool:
        """Whether the caller's code runs inside a function of this mode (is being traced, or part of an eager call)."""

    def function(self, fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        """A callable that runs `fn` the way this mode runs functions; tensors and Python values go in as they are."""

    def value_and_grad(
        self, fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
    ) -> tuple[Any, list[Any], list[Any]]:
        """Run `fn(*args)` and differentiate its scalar result; called inside a function where the mode is static.

        Returns:
            The value, a tree of gradients for each of `argnums` (None at leaves without a path), and a gradient
            (or None) for each of `variables`. Gradients of complex leaves follow TensorFlow's and torch's convention.
        """

    def differentiable(self, fn: Callable[..., Any], order: int) -> Callable[..., Any]:
        """The user's `fn` as it runs where it is differentiated `order` times, for `check_grads`.

        It is called for the value alone as well as under `value_and_grad`. A mode that differentiates outside of its
        graphs compiles it here. Raises `UnsupportedError` for an order the mode can't do.
        """

    def trainable_variables(self, owner: object) -> Mapping[str, Any]:
        """The floating trainable variables of a module or layer by their names; none of anything else."""

    def holding(
        self, owners: Sequence[object], variables: Mapping[str, Any], dtype: str
    ) -> AbstractContextManager[None]:
        """In the block variables, and what else the modules among `owners` compute with, hold a floating dtype.

        Raises `UnsupportedError`, naming a variable, where they can't change theirs.
        """

    def joint_graph(self, compute: Callable[..., Any], example: Sequence[Any]) -> Callable[..., Any] | None:
        """`compute`, a function's value with its gradients, as one graph for tensors like `example`.

        None where the mode puts no gradients into graphs.
        """

    def callback(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """A user's function as a primitive may call it: as it is, or with its Python control flow made traceable."""

    def plain_modes(self, eager: Mode) -> Sequence[Mode]:
        """Modes in which Python runs as it is on this mode's values, the best first; `eager` is the backend's own."""

    def undecorated(self) -> AbstractContextManager[None]:
        """In the block functions that the framework's own compiler decorates run as the Python that they are."""

    # Taps. A mode may lack these: taps are then collected while a function is traced, and are part of its result.

    def operating(self, operator: str, run: Callable[[], Any]) -> Any:
        """Run a loop or branch of the handle's, in which nothing can be tapped."""

    def untappable(self, tap: str = "") -> str | None:
        """Why nothing can be tapped where the caller is, `inside of a while_loop`; None where it can.

        `tap` is the name of a tap that is refused then, empty for what is left out without a word.
        """

    def tapped(self, name: str, value: Any) -> Any:
        """Hand a value on under a name, from inside of a function too; see `backends.tapping`. Returns the value."""

    def layers(self, model: Any) -> list[Layer]:
        """The layers of a model; TypeError for what is no model of the framework's."""

    def while_loop(self, cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any) -> Any:
        """The state after `state = body(state)` while `cond(state)`, a bool tensor or Python bool, holds."""

    def fori_loop(self, lower: Any, upper: Any, body: Callable[[Any, Any], Any], state: Any) -> Any:
        """The state after `state = body(i, state)` for i from `lower` up to `upper`, each i an int32 scalar.

        The bounds are two Python ints or two integer scalars of one dtype.
        """

    def scan(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> tuple[Any, Any]:
        """`carry, ys` of `f(carry, x) -> (carry, y)` over the leading axis of every leaf of `xs`; it may be empty."""

    def cond(self, pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        """What the branch of a bool scalar returns; `pred` is a tensor in a static mode."""

    def switch(self, index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
        """What `branches[index]` returns, the index clamped; in a static mode a tensor and at least two branches."""


def native(backend: Backend, kind: str, name: str) -> Any:
    """What `backend.native_device` or `native_dtype` makes of a name; the name itself where it has no such method."""
    translate = getattr(backend, kind, None)
    return name if translate is None else translate(name)
