"""What a test body holds: one variant's framework behind names that every variant shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_graphmode.backends.base import native
from pytest_graphmode.backends.control_flow import Operators
from pytest_graphmode.backends.mode_options import require_known
from pytest_graphmode.backends.tapping import received_by
from pytest_graphmode.errors import SuggestsNames
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.watcher import watch as watch_block
from pytest_graphmode.records.recording import record, require_name, required, tap_layers

if TYPE_CHECKING:
    import numpy as np

    from pytest_graphmode.ledger.ledger import GraphLedger
    from pytest_graphmode.records.recording import Recording
    from pytest_graphmode.runtime import Runtime
    from pytest_graphmode.select.variants import Variant

__tracebackhide__ = True


class Handle(SuggestsNames):
    """One variant of a test: its framework, mode, device and dtype, and what the plugin can check with them.

    Calls at top level run in the variant's mode; a call inside `function` becomes part of its graph. NumPy arrays
    among the arguments become tensors by the rule of `tensor`; Python values and native tensors stay as they are.
    Control flow outside of `function` is built anew by every call, so that what a callback reads is current.
    """

    _called = "graphmode"
    touched = True

    def __init__(
        self, runtime: Runtime, *, skip: Callable[[str], NoReturn], recording: Recording | None = None
    ) -> None:
        """Make a handle of a test.

        Args:
            runtime: the backend, mode and dtype in use, which all that the handle does goes through.
            skip: ends the test as skipped, with a reason.
            recording: where the test's values are recorded, for one that has an agreement item.
        """
        self.runtime = runtime
        self.recording = recording
        self._skip = skip
        self._operators = Operators(runtime)

    # The variant.

    @property
    def variant(self) -> Variant:
        """What the test runs as: backend, mode, device and dtype."""
        return self.runtime.variant

    @property
    def backend(self) -> str:
        """The name of the variant's backend, `tf`."""
        return self.variant.backend

    @property
    def mode(self) -> str:
        """The name of the variant's mode, `graph`."""
        return self.variant.mode

    @property
    def device(self) -> str:
        """The name of the variant's device, `gpu:0`."""
        return self.variant.device

    @property
    def dtype(self) -> str:
        """The name of the floating dtype in use: the variant's, or float64 inside `check_grads`."""
        return self.runtime.dtype

    @property
    def native_device(self) -> Any:
        """The device as the framework's own calls take it: a torch.device, a jax.Device, TensorFlow's `/GPU:0`."""
        return native(self.runtime.backend, "native_device", self.device)

    @property
    def native_dtype(self) -> Any:
        """The dtype as the framework's own calls take it: a torch.dtype, a tf.DType, NumPy's for JAX and NumPy."""
        return native(self.runtime.backend, "native_dtype", self.dtype)

    @property
    def lib(self) -> Any:
        """The framework's own module, `tensorflow` or `torch`."""
        return self.runtime.backend.lib

    @property
    def session(self) -> Any:
        """The tf.compat.v1.Session of the test's graph, in which TensorFlow 1 code of the test's own runs too.

        Raises:
            AttributeError: the mode has no session.
        """
        session = getattr(self.runtime.mode, "session", None)
        if session is None:
            narrowed = "narrow the test with @pytest.mark.graphmode(backends='tf:session')"
            raise AttributeError(f"{self.variant} has no session: only tf:session does; {narrowed}")
        return session

    @property
    def xp(self) -> Any:
        """NumPy-named functions on this backend's tensors."""
        return self.runtime.xp

    @property
    def rng(self) -> np.random.Generator:
        """Random numbers of NumPy's; the same stream in every variant of one test."""
        return self.runtime.rng

    def pick(self, **implementations: Any) -> Any:
        """This variant's own implementation, by backend or `backend_mode`; the test skips where none is given.

        Raises:
            TypeError: a name is not that of a backend or of one of its modes.
        """
        require_known("graphmode.pick", implementations, self.runtime.keys)
        for key in self.variant.keys:
            if key in implementations:
                return implementations[key]
        given = ", ".join(implementations) or "none"
        return self._skip(f"pick has no implementation for {self.variant.keys[0]} (given: {given})")

    # Values.

    def tensor(self, value: Any, dtype: str | None = None) -> Any:
        """Tensors on the variant's device from numbers, arrays, and trees of them.

        Floating values get the variant's dtype (complex its complex counterpart), Python ints int32, or int64 where
        one does not fit; NumPy's integers and booleans stay; `dtype` overrides. A list or tuple of nothing but numbers
        is one array. Native tensors are cast only where `dtype` is given.
        """
        return self.runtime.tensor(value, dtype)

    def variable(self, value: Any, dtype: str | None = None) -> Any:
        """Trainable variables on the variant's device, by the rule of `tensor`."""
        return self.runtime.variable(value, dtype)

    def assign(self, variable: Any, value: Any) -> None:
        """Set a variable: part of the graph in a static graph; in eager torch outside of autograd.

        It takes torch's parameters and leaves that require gradients too; set a buffer with `buffer.copy_(value)`.

        Raises:
            TypeError: it is a tensor, or something else that is no variable.
        """
        self.runtime.assign(variable, value)

    def numpy(self, tree: Any) -> Any:
        """NumPy arrays for every tensor, variable and number of a tree; other leaves stay as they are.

        Raises:
            TypeError: in a function that is being traced, where tensors have no numbers yet; torch.compile breaks its
                graph there.
        """
        return self.runtime.numpy(tree)

    # Running.

    def function(self, fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        """A callable that runs `fn` the way this variant runs functions; `options` go to the framework's own call.

        Those of one backend or mode alone stand in a dict under its name: `torch_compile=dict(dynamic=True)`. Tensors
        come back as the framework's own (NumPy arrays from a TensorFlow 1 session).

        Raises:
            TypeError: `fn` can't be called, or the mode has no such option.
        """
        __tracebackhide__ = True
        return self.runtime.timed(self.runtime.function(fn, options))

    def grad(
        self, fn: Callable[..., Any], argnums: int | Sequence[int] = 0, variables: Any = None
    ) -> Callable[..., Any]:
        """The gradient of a scalar function: `value_and_grad` without the value."""
        both = self.runtime.timed(self.runtime.value_and_grad(fn, argnums, variables, role="grad"))
        return identity.subject(lambda *args, **kwargs: both(*args, **kwargs)[1], both)

    def value_and_grad(
        self, fn: Callable[..., Any], argnums: int | Sequence[int] = 0, variables: Any = None
    ) -> Callable[..., Any]:
        """A function that returns `(value, grads)` of the scalar function `fn`.

        Returns:
            `grads` is one gradient (a tree like the argument) for an int `argnums`, a tuple for a tuple, and a tree
            like `variables` where these are given. A leaf from which no path leads to the value, and an integer leaf,
            has the gradient None. Gradients of complex arguments follow TensorFlow's and torch's convention on every
            backend: dL/dRe + i dL/dIm.

        Raises:
            TypeError: `argnums` is not an int or a tuple of them, or an argument has nothing to differentiate by.
            UnsupportedError: the mode has no reverse-mode differentiation.
            ValueError: the value is not a real scalar tensor; a position that no argument has; argnums and variables.
        """
        return self.runtime.timed(self.runtime.value_and_grad(fn, argnums, variables, role="value_and_grad"))

    # Control flow.

    def while_loop(self, cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any) -> Any:
        """Run `body` while `cond` holds; both get the elements of a tuple or list one by one, any other tree whole.

        Returns:
            The final loop variables, a tree like `loop_vars`.
        """
        return self._operators.while_loop(cond, body, loop_vars)

    def fori_loop(self, lower: Any, upper: Any, body: Callable[[Any, Any], Any], init: Any) -> Any:
        """`init = body(i, init)` for i from `lower` up to, and without, `upper`; returns the last."""
        return self._operators.fori_loop(lower, upper, body, init)

    def scan(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> tuple[Any, Any]:
        """`carry, y = f(carry, x)` over the leading axis of `xs`; returns the last carry and the stacked ys."""
        return self._operators.scan(f, init, xs)

    def cond(self, pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        """`true_fn(*operands)` where the boolean scalar `pred` holds, else `false_fn(*operands)`."""
        return self._operators.cond(pred, true_fn, false_fn, *operands)

    def switch(self, index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
        """`branches[index](*operands)`, the index clamped into range."""
        return self._operators.switch(index, branches, *operands)

    def check_control_flow(
        self,
        fn: Callable[..., Any],
        cases: Sequence[tuple[Any, ...]],
        *,
        reference: Callable[..., Any] | None = None,
        coverage: bool = True,
        in_graph: bool = True,
    ) -> None:
        """Fail unless `fn` gives plain Python's results on every case, from one graph that holds its control flow.

        Args:
            cases: a tuple of arguments each, `[(x, 1), (x, 5)]`, of one argument `[(x,)]`; arrays and numbers become
                tensors, a list stays a list.
            reference: the plain Python to compare with, instead of `fn` itself; it gets NumPy values.
            coverage: fail also where no case took a side of a branch, or none ran a loop zero or several times: of the
                operators, and of Python's `if`, `while` and `for` in `fn` and its nested functions. Loops over
                literals, shapes, `len` and closed-over values are exempt, and an `if` that calls nothing and reads
                only globals and closed-over values that `fn` leaves as they are.
            in_graph: fail also where a static mode's graph breaks, or lacks a loop or branch that the code has.

        Raises:
            AssertionError: one of these, or cases of one signature build the graph again.
            TypeError, ValueError: a case is no tuple, or there are none.
        """
        __tracebackhide__ = True
        from pytest_graphmode.checks.control_flow import check_control_flow

        with received_by(None):
            check_control_flow(self.runtime, fn, cases, reference=reference, coverage=coverage, in_graph=in_graph)

    def check_not_frozen(self, fn: Callable[..., Any], *args: Any, vary: Callable[[], object] | None = None) -> None:
        """Fail if a graph of `fn` froze Python state that it reads: random numbers, the clock, what `vary` changes.

        The clock (`time.time`, `datetime`; not `monotonic` and `perf_counter`) moves where `time-machine` is installed,
        `pip install 'pytest-graphmode[clock]'`. Random numbers go on afterwards as if none had been drawn.

        Raises:
            AssertionError: Python's result changes with that state, and the graph's does not.

        Warns:
            GraphmodeWarning: `fn` reads a clock that could not be moved, and passes.
        """
        __tracebackhide__ = True
        from pytest_graphmode.checks.frozen import check_not_frozen

        with received_by(None):
            check_not_frozen(self.runtime, fn, *args, vary=vary)

    # Gradients.

    def check_grads(
        self,
        fn: Callable[..., Any],
        *args: Any,
        variables: Any = None,
        order: int = 1,
        rtol: float | None = None,
        atol: float | None = None,
        eps: float | None = None,
        float64: bool = False,
    ) -> None:
        """Fail unless the gradients of `fn` at `args` agree with central differences along random directions.

        Every floating and complex leaf of the arguments is checked, and every trainable variable where `fn` is a
        module, a layer or a method of one; in float64 where `fn` runs in it, else in the variant's dtype with a
        `PrecisionWarning` that says why. Outputs that are no real scalar are projected on fixed random weights.

        Args:
            variables: a tree of more variables to differentiate by, `dict(model.named_parameters())`.
            order: 1 for gradients, 2 for second derivatives as well.
            rtol: error allowed, relative to the 2-norm of gradient times direction; 1e-6, or 1e-3 in float32.
            atol: error allowed in addition, relative to the 2-norm of the direction; 0.
            eps: the step, relative to the root mean square of each leaf; the cube root of the machine epsilon.
            float64: fail where float64 can't be had. Torch's modules and JAX's variables run in it, TensorFlow's
                variables that were made in float32 don't: make the model in float64 (Keras: `dtype="float64"`).

        Raises:
            AssertionError: the gradients are wrong, or there is nothing to compare; it is also an `UnsupportedError`
                where the mode can't differentiate.
            ValueError: `order`, `rtol`, `atol` or `eps` is not one of the legal values.
        """
        __tracebackhide__ = True
        from pytest_graphmode.checks.gradients import check_grads

        asked: dict[str, Any] = {"order": order, "rtol": rtol, "atol": atol, "eps": eps, "float64": float64}
        with received_by(None):
            check_grads(self.runtime, fn, *args, variables=variables, **asked)

    # Agreement.

    def agree(self, /, *unnamed: Any, **values: Any) -> None:
        """Record trees of values for the test's agreement item; a name recorded again grows into a series."""
        __tracebackhide__ = True
        record(self.runtime, self.recording, {} if unnamed else values)

    def tap(self, name: str, value: Any) -> Any:
        """Record a value on the way to the result, from inside of a function too; returns the value.

        The agreement item compares taps where variants differ, to tell where that begins; where nothing is given to
        `agree`, they are what it compares. A name tapped again grows into a series. Where `value_and_grad` or `grad`
        goes through a tap, the gradient by it is recorded too, as `grad(name)`; in `tf:graph`, `tf:xla` and `jax:jit`
        not in a `graphmode.function` that the differentiated function calls. A tap costs no build and no graph break.

        Raises:
            TypeError: inside of a loop or branch, from where no value can leave the graph.
            AssertionError: the test has no agreement item.
        """
        __tracebackhide__ = True
        required(self.recording, "tap")
        require_name(name)
        return self.runtime.tap(name, value)

    def tap_layers(self, model: Any, names: Mapping[str, str] | None = None) -> None:
        """Tap what every layer of an `nn.Module`, Keras model or `tf.Module` returns, until the test ends.

        Nested layers have dotted names, `block.conv`, and what Keras named itself is numbered as in a fresh process; a
        layer that is called again grows into a series, and a shared one has the first of its names. Layers that run
        inside of a loop, such as the cell of a Keras LSTM, are left alone, and a graph that is there already stays
        without taps: call this before the model is run.

        Args:
            names: common names for layers of this model, `{"features.0": "conv1"}`; others keep their own.

        Raises:
            TypeError: the model is of none of these kinds.
            ValueError: `names` has a layer that the model lacks, or gives two layers one name.
            AssertionError: the test has no agreement item.
        """
        __tracebackhide__ = True
        required(self.recording, "tap_layers")
        tap_layers(self.runtime, model, names)

    # Counting.

    @property
    def ledger(self) -> GraphLedger:
        """What was built, called and broken since the test's body began."""
        return self.runtime.recorder.ledger

    def watch(self, *, structures: bool = False) -> AbstractContextManager[GraphLedger]:
        """The ledger of a block; `structures` keeps fingerprints of eagerly recorded graphs."""
        return watch_block(structures=structures)

    def expect(self, **counts: Any) -> AbstractContextManager[GraphLedger]:
        """Assert how many graphs a block builds in this variant; takes what `pytest_graphmode.expect` takes."""
        from pytest_graphmode.checks.expecting import expect

        expectation = expect(**counts)
        expectation.variant, expectation.static = self.variant, self.runtime.mode.static
        return expectation

    def explain(self) -> str:
        """Each function the test built, with the builds' causes and hints."""
        return self.ledger.explain()
