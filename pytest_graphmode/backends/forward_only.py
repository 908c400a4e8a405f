"""A base for backends that run models made elsewhere, forward only: no gradients, and no Python functions.

For authors of such backends, who write `ForwardOnlyMode.read` and `build`; `examples/third_party` has two of them.
Tensors are NumPy arrays, and so are variables: a model gets them as inputs.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NoReturn

import numpy as np

from pytest_graphmode.backends.control_flow.layout import Kind
from pytest_graphmode.backends.numpy import NumPy, NumPyEager
from pytest_graphmode.errors import UnsupportedError
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.arguments import Argument
from pytest_graphmode.ledger.drawing import Drawing, drawn_for
from pytest_graphmode.ledger.ledger import BuildReport
from pytest_graphmode.ledger.watcher import watcher

Array = np.ndarray[Any, Any]
_HINTS: Final = {"new-function-object": "make it once, outside the loop, and call that"}


@dataclass(frozen=True)
class Program:
    """A model made ready to run.

    Attributes:
        name: what reports call it.
        inputs: its inputs in order, each by `pytest_graphmode.ledger.ledger.tensor_argument`; None is a free dimension.
        run: takes one array for each input, of its dtype, and returns the outputs.
        nodes: how many operations or layers it has.
        control_flow: how many `while`, `cond`, `scan` and `switch` nodes it has.
        draw: draws it for reports, None where it can't be; see `pytest_graphmode.ledger.drawing`.
    """

    name: str
    inputs: tuple[Argument, ...]
    run: Callable[[Sequence[Array]], Sequence[Array]]
    nodes: int = 0
    control_flow: Mapping[str, int] = field(default_factory=dict)
    draw: Callable[[], Drawing] | None = None


class ForwardOnlyMode(NumPyEager):
    """A mode whose functions are models; making one ready to run is a build, which the ledger counts.

    Attributes:
        backend: the name of its backend, for reports and messages.
        device: the device it runs on.
    """

    backend: ClassVar[str]
    static = True
    differentiates_outside = True  # so that it is the missing reverse mode, not a Python function, that is refused

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._made = itertools.count(1)

    # For authors to write.

    def read(self, model: Any) -> bytes:
        """The bytes of a model as a test hands it over; equal bytes are the same model.

        Raises:
            TypeError: it is not a model; the message says what is one.
        """
        raise NotImplementedError

    def build(self, data: bytes, *args: Any, **options: Any) -> Program:
        """Make a model ready to run, for each `graphmode.function(model, **options)`; name the options you know."""
        raise NotImplementedError

    # What the handle calls.

    def function(self, fn: Any, **options: Any) -> Callable[..., Any]:
        """A callable that runs a model on arrays, given in order or by name; several outputs come as a tuple.

        Raises:
            UnsupportedError: `fn` is a Python function.
            TypeError: it is not a model. Calls raise it too, for arguments that the model does not take.
        """
        if callable(fn):
            raise UnsupportedError(
                f"{self.backend} runs models and can't trace Python functions: hand a model over with "
                f"graphmode.function(graphmode.pick({self.backend}=model, torch=function)), or leave this backend out "
                f"with @pytest.mark.graphmode(backends=...)"
            )
        program = self._built(self.read(fn), options)

        def run(*args: Any, **kwargs: Any) -> Any:
            watcher.call(self.backend, self.name)
            outputs = program.run(_fed(program, args, kwargs))
            return outputs[0] if len(outputs) == 1 else tuple(outputs)

        return run

    def _built(self, data: bytes, options: dict[str, Any]) -> Program:
        """Build, and report it whether or not it succeeds."""
        program, start = Program("model", (), run=tuple), time.perf_counter()
        failed = True
        try:
            program = self.build(data, **options)
            failed = False
            return program
        finally:
            report = BuildReport(
                backend=self.backend,
                mode=self.name,
                identity=self._identity(program.name, data),
                arguments=program.inputs,
                nodes=program.nodes,
                seconds=time.perf_counter() - start,
                call_site=identity.call_site(),
                control_flow=program.control_flow,
                hints=_HINTS,
                failed=failed,
                drawing=drawn_for(watcher, program.nodes, program.draw) if program.draw is not None else None,
            )
            watcher.build(report)

    def _identity(self, name: str, data: bytes) -> identity.Identity:
        """The same bytes from the same line are the same function; its location is where it was handed over."""
        file, _, line = (identity.call_site() or "model:0").rpartition(":")
        return identity.Identity(name, file, int(line), code=hash(data), owner=next(self._made))

    def tensor(self, array: Array, dtype: str) -> Any:
        if dtype == "bfloat16":
            raise UnsupportedError(
                f"{self.backend} gets its tensors as NumPy arrays, which have no bfloat16: use float16 or float32, or "
                f"@pytest.mark.graph_skip('{self.backend}', reason='no bfloat16')"
            )
        return np.array(array, dtype=dtype)

    variable = tensor

    def inside(self) -> bool:
        return False

    def value_and_grad(
        self, fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
    ) -> tuple[Any, list[Any], list[Any]]:
        self._no_reverse_mode()

    def differentiable(self, fn: Callable[..., Any], order: int) -> Callable[..., Any]:
        self._no_reverse_mode()

    def joint_graph(self, compute: Callable[..., Any], example: Sequence[Any]) -> None:
        return None

    def _no_reverse_mode(self) -> NoReturn:
        raise UnsupportedError(
            f"{self.backend} has no reverse mode: it runs models forward only. Compare finite differences of the model "
            f"with another backend's gradients through graphmode.agree, or mark the test "
            f"@pytest.mark.graph_skip('{self.backend}', reason='no reverse mode')"
        )


class ForwardOnlyBackend(NumPy):
    """A backend whose modes are `ForwardOnlyMode`s; a subclass adds `name`, `lib` and `mode`.

    `graphmode.xp` is NumPy. Override `seed`, `isolate`, `devices` and `precision` where the runtime has more to say.
    """

    gradients = False
    traces_python = False


def _fed(program: Program, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Array]:
    """The arguments of a call by the model's inputs, each held to what the model declares."""
    names = [argument.name for argument in program.inputs]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    if len(args) + len(kwargs) != len(names) or given.keys() != set(names):
        passed = ", ".join([f"{len(args)} in order", *map(repr, kwargs)])
        raise TypeError(f"{program.name} takes {', '.join(names) or 'no inputs'}; the call passed {passed}")
    return [_array(program, argument, given[argument.name]) for argument in program.inputs]


def _array(program: Program, argument: Argument, value: Any) -> Array:
    """An argument as the model declares it; numbers become arrays without axes, all else must be right."""
    if isinstance(value, (bool, int, float)):
        value = np.asarray(value, argument.dtype)
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{argument.name} of {program.name} is {type(value).__name__}: pass a NumPy array")
    where = f"{argument.name} of {program.name} is declared as {argument.text}, not {value.dtype}{list(value.shape)}"
    if value.dtype != argument.dtype:
        hint = f"run with --graph-dtypes={argument.dtype}" if value.dtype.kind == "f" else f"cast to {argument.dtype}"
        raise TypeError(f"{where}: {hint}, or declare {value.dtype} in the model")
    if not Kind(argument.text, argument.shape).fits(Kind.of(value)):
        raise ValueError(f"{where}: pass that shape, or leave the dimension free in the model")
    return value
