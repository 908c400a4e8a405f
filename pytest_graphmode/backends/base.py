"""What a backend is: plain data to list it by, and two Protocols it follows once a variant runs.

Read by `variant.py` (the data) and `handle.py` (the Protocols). Authors of backends start here, and check their work
with `pytest_graphmode.testing`. `forward_only.py` beside this is a base for runtimes of ready-made models. Builds are
reported as a `BuildReport`, either by an event source (see `pytest_graphmode.ledger.sources`) or,
where the framework has no event of its own, by `Mode.function` to `pytest_graphmode.ledger.watcher.watcher`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

    from pytest_graphmode.ledger.watcher import EventSource


class Backend(Protocol):
    """A framework: what is the same in all of its modes. Made once per process, with no arguments.

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


class Mode(Protocol):
    """How a backend runs functions: one object per variant.

    The control-flow primitives are called inside a function only (in a mode that is not `static` also outside). What
    the handle gives them is simple: `state`, `init`, `xs` and `operands` are flat tuples of tensors, callbacks that
    return a state return a flat tuple of tensors of the same dtypes and shapes, and predicates are checked. What a
    branch and what a scan returns as `y` may be any tree of tensors and None.

    Attributes:
        name: as in `--graph-backends`.
        static: whether a function's graph is built once and run many times.
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


@dataclass(frozen=True)
class SourceSpec:
    """A place where a framework's builds are seen, as plain data, so that watching imports nothing.

    Attributes:
        anchors: modules of the framework that the source patches or listens to. The source is imported and attached
            once they, and the packages they are in, are imported by somebody else.
        target: `"package.module:Class"`; the class takes no arguments and follows
            `pytest_graphmode.ledger.watcher.EventSource`.
    """

    anchors: tuple[str, ...]
    target: str

    def load(self) -> EventSource:
        """The source itself; for use when its anchors are imported."""
        factory: Callable[[], EventSource] = _named(self.target)
        return factory()


@dataclass(frozen=True)
class BackendSpec:
    """A backend as plain data, so that listing backends imports nothing.

    Attributes:
        name: as in `--graph-backends`; a letter, then letters and digits.
        modes: the names of its modes; a letter, then letters, digits and underscores.
        default_mode: the mode meant where none is named.
        module: the framework's top-level module; the backend is installed if it can be found.
        distributions: names under which the framework is published, the first of them the one to recommend.
        target: `"package.module:Class"`; the class takes no arguments and follows `Backend`.
        requires: what to install, e.g. `pytest-graphmode[torch]`.
        sources: where the framework's builds are seen; none if `Mode.function` reports them itself.
        tested: the oldest and the newest version that the backend is tested with, `("2.4", "2.15")`; the report header
            says of others that they are older or newer.
    """

    name: str
    modes: tuple[str, ...]
    default_mode: str
    module: str
    distributions: tuple[str, ...]
    target: str
    requires: str = ""
    sources: tuple[SourceSpec, ...] = ()
    tested: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError or TypeError for what could not be selected, listed or loaded later."""
        where = f"BackendSpec({self.name!r})"
        if not _is_name(self.name) or "_" in self.name or self.name == "all":
            raise ValueError(f"{where}: name must be a letter followed by letters and digits, and not 'all'")
        for field in ("modes", "distributions", "sources", "tested"):
            if not isinstance(getattr(self, field), tuple):
                raise TypeError(f"{where}: {field} must be a tuple, not {getattr(self, field)!r}")
        if not self.modes or len(set(self.modes)) != len(self.modes) or not all(map(_is_name, self.modes)):
            raise ValueError(f"{where}: modes must be different names of letters, digits and _, not {self.modes!r}")
        if self.default_mode not in self.modes:
            raise ValueError(
                f"{where}: default_mode {self.default_mode!r} is not one of its modes ({', '.join(self.modes)})"
            )
        if not self.distributions:
            raise ValueError(f"{where}: distributions must name what to install")
        if not _is_name(self.module):
            raise ValueError(f"{where}: module must be a top-level module, not {self.module!r}")
        if self.tested and (len(self.tested) != 2 or not _release(self.tested[0]) <= _release(self.tested[1])):
            raise ValueError(f"{where}: tested must be the oldest and the newest version, not {self.tested!r}")
        for target in (self.target, *(source.target for source in self.sources)):
            if not all(target.partition(":")):
                raise ValueError(f"{where}: target must read 'package.module:Class', not {target!r}")

    @property
    def installed(self) -> bool:
        """Whether the framework can be imported, found without importing it."""
        try:
            spec = importlib.util.find_spec(self.module)
        except (ImportError, ValueError):
            return False
        return spec is not None and spec.origin is not None  # a folder without __init__.py has no origin

    @property
    def version(self) -> str:
        """The framework's version, `unknown` where no distribution by a known name is installed."""
        return next(filter(None, map(_version, self.distributions)), "unknown")

    @property
    def version_shown(self) -> str:
        """The version, and what a reader should know of it: that it is older or newer than those tested."""
        version = self.version
        if not self.tested or version == "unknown":
            return version
        oldest, newest = self.tested
        if _release(version, oldest) < _release(oldest):
            return f"{version} (older than {oldest}, the oldest tested)"
        if _release(version, newest) > _release(newest):
            return f"{version} (newer than the tested {newest})"
        return version

    @property
    def hint(self) -> str:
        """The command that installs the framework."""
        return f"pip install {self.requires or self.distributions[0]}"

    def load(self) -> Backend:
        """The backend itself; imports the framework."""
        factory: Callable[[], Backend] = _named(self.target)
        return factory()


def native(backend: Backend, kind: str, name: str) -> Any:
    """What `backend.native_device` or `native_dtype` makes of a name; the name itself where it has no such method."""
    translate = getattr(backend, kind, None)
    return name if translate is None else translate(name)


def _is_name(name: str) -> bool:
    return name.isascii() and name.isidentifier() and not name.startswith("_")


def _release(version: str, like: str | None = None) -> tuple[int, ...]:
    """`(2, 13, 0)` of `2.13.0+cpu`, no more numbers than `like` has; by hand, since packaging takes time to import."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    numbers = tuple(map(int, match.group().split("."))) if match else ()
    return numbers if like is None else numbers[: like.count(".") + 1]


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _named(target: str) -> Any:
    """The object that `"package.module:name"` names."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
