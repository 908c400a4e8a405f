"""What all parts of the contract share: the variants they run as, what authors may override, and how they compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.base import BackendSpec
from pytest_graphmode.backends.names import DEFAULT_DTYPE
from pytest_graphmode.checks.compare import first_leaf_mismatch
from pytest_graphmode.errors import UnsupportedError
from pytest_graphmode.select.variants import Variant

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Backend, Mode
    from pytest_graphmode.handle import Handle


class Contract:
    """A part of the contract; a subclass names the backend: `class TestIt(BackendContract, spec=SPEC)`.

    The methods below that are not tests tell the contract about a backend what no Protocol says; those left alone skip
    their tests, with the reason.
    """

    spec: ClassVar[BackendSpec]

    def __init_subclass__(
        cls,
        *,
        spec: BackendSpec | None = None,
        modes: Sequence[str] | None = None,
        devices: Sequence[str] = ("cpu",),
        dtypes: Sequence[str] = (DEFAULT_DTYPE,),
        **more: Any,
    ) -> None:
        """Bind a subclass to a backend.

        Args:
            spec: the backend as the package's discovery hook returns it; without one the class is a part to build on.
            modes: the modes to hold to the contract; all by default.
            devices, dtypes: what to run each mode on and in.

        Raises:
            ValueError: the backend has no such mode.
        """
        super().__init_subclass__(**more)
        if spec is None:
            return
        unknown = [mode for mode in modes or () if mode not in spec.modes]
        if unknown:
            raise ValueError(f"{spec.name} has no mode {', '.join(unknown)}; it has {', '.join(spec.modes)}")
        cls.spec = spec
        marks = [] if spec.installed else [pytest.mark.skip(reason=f"{spec.module} is not installed: {spec.hint}")]
        variants = [
            Variant(spec.name, mode, device, dtype)
            for mode in modes or spec.modes
            for device in devices
            for dtype in dtypes
        ]
        params = [variant.param(marks) for variant in variants]
        kept = list(cls.__dict__.get("pytestmark", []))
        cls.pytestmark = [*kept, pytest.mark.parametrize("graphmode", params, indirect=True)]  # type: ignore[attr-defined]

    # For authors to override.

    def model(self, graphmode: Handle) -> tuple[Any, Callable[[Any], Any]]:
        """A model for backends that take no Python functions, of a float32 vector; and the same in NumPy."""
        pytest.skip("the contract has no model of this backend: override Contract.model")

    def disturb(self, graphmode: Handle) -> None:
        """Change some global state of the framework, such as a default dtype."""
        pytest.skip("the contract knows no global state of this backend: override Contract.disturb and Contract.state")

    def state(self, graphmode: Handle) -> object:
        """The global state that `disturb` changes, to compare."""
        pytest.skip("the contract knows no global state of this backend: override Contract.disturb and Contract.state")

    def random(self, graphmode: Handle) -> Any:
        """Some random numbers from the framework's global generator."""
        pytest.skip("the contract knows no global random numbers of this backend: override Contract.random")


def backend_of(graphmode: Handle) -> Backend:
    return graphmode.runtime.backend


def mode_of(graphmode: Handle) -> Mode:
    return graphmode.runtime.mode


def needs_python(graphmode: Handle) -> None:
    """Skip where functions are models only."""
    if not backend_of(graphmode).traces_python:
        pytest.skip(f"{graphmode.backend} takes models, not Python functions (traces_python = False)")


def needs_gradients(graphmode: Handle) -> None:
    needs_python(graphmode)
    if not backend_of(graphmode).gradients:
        pytest.skip(f"{graphmode.backend} has no gradients (gradients = False)")


def needs_static(graphmode: Handle) -> None:
    needs_python(graphmode)
    if not mode_of(graphmode).static:
        pytest.skip(f"{graphmode.backend}:{graphmode.mode} builds no static graphs")


@contextmanager
def supported() -> Iterator[None]:
    """Skip, with the backend's own words, what it says it can't do."""
    try:
        yield
    except UnsupportedError as error:
        message = str(error)
    else:
        return
    assert message.strip(), "an UnsupportedError says what is not supported, and what to do about it"
    pytest.skip(f"unsupported: {message}")


def run(graphmode: Handle, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """One call of a function in the variant's mode, its result as NumPy."""
    with supported():
        return graphmode.numpy(graphmode.function(function)(*args, **kwargs))


def expect(graphmode: Handle, actual: Any, wanted: Any, *, rtol: float | None = None) -> None:
    """Fail unless `actual`, a tree of tensors, has these values."""
    __tracebackhide__ = True
    found, expected = (dict(trees.paths(tree, "result")) for tree in (graphmode.numpy(actual), wanted))
    mismatch = first_leaf_mismatch(found, expected, rtol=rtol, atol=rtol, computed_in=(graphmode.dtype,))
    assert mismatch is None, str(mismatch)
