"""Eager TensorFlow, and what every mode of TensorFlow shares: tensors, variables, gradients by tape."""

from __future__ import annotations

import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Final

import numpy as np
import tensorflow as tf

from pytest_graphmode.backends import tapping, tensor_rule, trees
from pytest_graphmode.backends.differentiation import Sources, require_scalar
from pytest_graphmode.backends.layers import Layer
from pytest_graphmode.backends.names import parse_device
from pytest_graphmode.backends.patching import patched
from pytest_graphmode.backends.placement import Placement
from pytest_graphmode.backends.python_mode import PythonMode
from pytest_graphmode.backends.tensorflow import layers
from pytest_graphmode.backends.tensorflow.control_flow import traced_outputs
from pytest_graphmode.backends.tensorflow.internals import SUPPORTED, context, record
from pytest_graphmode.backends.tensorflow.variables import (
    is_dense,
    is_differentiable,
    is_keras_variable,
    native,
    trainable,
)
from pytest_graphmode.ledger.watcher import watcher

__tracebackhide__ = True


def native_device(device: str) -> str:
    """`/CPU:0` for `cpu`."""
    kind, _, index = device.partition(":")
    return f"/{kind.upper()}:{index or 0}"


class TensorFlowMode(PythonMode):
    """Tensors, variables and gradients as every mode of TensorFlow has them."""

    moved_by = (
        "a tf.device(...) moved it, or TensorFlow has no kernel for it there and placed it elsewhere (soft placement): "
        "tf.debugging.set_log_device_placement(True) shows where each operation runs, and "
        "tf.config.set_soft_device_placement(False) has TensorFlow refuse"
    )

    placement: Placement | None = None

    def __init__(self, device: str) -> None:
        self.device = native_device(device)

    def device_of(self, leaf: object) -> str | None:
        """None for integers, which TensorFlow keeps in the host's memory on purpose."""
        tensor = native(leaf)
        if not is_differentiable(tensor):
            return None
        # `device` of a function's result is where the function was called, whatever the device that has computed it.
        name = getattr(tensor, "backing_device", tensor.device).rpartition("device:")[2]
        return parse_device(name.lower()) if name else None

    def scope(self) -> AbstractContextManager[None]:
        if self.device == "/CPU:0" and len(tf.config.list_logical_devices()) == 1:
            return nullcontext()
        return self._placing()

    @contextmanager
    def _placing(self) -> Iterator[None]:
        with tf.device(self.device), tf.variable_creator_scope(self._created):
            yield

    def _created(self, create: Callable[..., Any], **given: Any) -> Any:
        """A variable that the test makes itself, or has Keras make, held to the variant's device as soon as it is."""
        made = create(**given)
        if self.placement is not None:
            self.placement.require(self, made, f"the variable {made.name.partition(':')[0]}")
        return made

    def is_tensor(self, value: object) -> bool:
        own = (tf.Tensor, tf.Variable, tf.RaggedTensor, tf.SparseTensor, tf.IndexedSlices)
        return isinstance(value, own) or is_keras_variable(value)

    def is_variable(self, value: object) -> bool:
        return isinstance(native(value), tf.Variable)

    def tensor(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        wanted = tf.as_dtype(dtype)
        if array.dtype == wanted.as_numpy_dtype:
            return tf.constant(array)
        if array.dtype.kind == "f" and wanted.is_floating and tf.executing_eagerly():
            with np.errstate(over="ignore", under="ignore"):  # as tf.cast, which takes twice as long for it
                return tf.constant(array.astype(wanted.as_numpy_dtype))
        return tf.cast(array, wanted)

    def variable(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        return tf.Variable(self.tensor(array, dtype))

    def assign(self, variable: Any, value: Any) -> None:
        if self.assigns:
            variable.assign(value)

    def numpy(self, tensor: Any) -> np.ndarray[Any, Any]:
        if isinstance(tensor, tf.IndexedSlices):
            tensor = tf.convert_to_tensor(tensor)
        elif isinstance(tensor, tf.SparseTensor):
            tensor = tf.sparse.to_dense(tensor)
        tensor = native(tensor)
        if tf.is_symbolic_tensor(tensor):
            raise tensor_rule.without_value(f"tf:{self.name}")
        return np.asarray(tensor.numpy())  # a copy

    def value_and_grad(
        self, fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
    ) -> tuple[Any, list[Any], list[Any]]:
        """By a tape, eagerly and inside graphs."""
        sources = sources_of(fn, args, argnums, variables)
        tapped: list[tapping.Tap] = []
        with tf.GradientTape(watch_accessed_variables=False) as tape, tapping.differentiating(tapped):
            tape.watch(sources.tensors)
            value = fn(*sources.args)
            require_scalar(fn, value, is_dense)
        return value, *gradients_by(sources, tapped, lambda tensors: tape.gradient(value, tensors))

    # Taps.

    def untappable(self, tap: str = "") -> str | None:
        return super().untappable() or _elsewhere()

    def layers(self, model: Any) -> list[Layer]:
        return layers.of(model)

    def tapped(self, name: str, value: Any) -> Any:
        under_way = tapping.differentiated()
        if under_way is not None:
            under_way.append(tapping.Tap(name, value))
        # Variables are read: they may be assigned before the graph has run to its end.
        read = trees.map(
            lambda leaf: tf.identity(leaf) if isinstance(leaf, tf.Variable) else leaf, trees.map(native, value)
        )
        super().tapped(name, read)
        return value

    @contextmanager
    def undecorated(self) -> Iterator[None]:
        kept = tf.config.functions_run_eagerly()
        tf.config.run_functions_eagerly(True)
        try:
            yield
        finally:
            tf.config.run_functions_eagerly(kept)

    def outputs_of(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> Any:
        """Traced into a graph that is thrown away; where Python decides by values, run on zeros."""
        with suppress(Exception):
            layout, tensors = traced_outputs(f, init, xs)
            return layout.unpack(tensors)
        return super().outputs_of(f, init, xs)

    def rows_of_nothing(self, leaf: Any) -> Any:
        return tf.zeros([0, *leaf.shape], leaf.dtype)

    def trainable_variables(self, owner: object) -> Mapping[str, Any]:
        return trainable(owner)

    def index(self, value: int) -> Any:
        return tf.constant(value, tf.int32)

    def stack(self, leaves: Sequence[Any]) -> Any:
        return tf.stack(leaves)


class Eager(TensorFlowMode):
    """Operations run as they are met; autograd graphs are recorded under a tape."""

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self._tapes = TapeCounter()

    @contextmanager
    def scope(self) -> Iterator[None]:
        with super().scope(), self._tapes.installed():
            yield

    def recorded_nodes(self) -> int:
        """See `Mode`; `fingerprint` is of what was recorded between the last two calls of this."""
        return self._tapes.look()

    def fingerprint(self, outputs: Any) -> str | None:
        return self._tapes.last_structure()


def sources_of(
    fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
) -> Sources:
    """What TensorFlow differentiates a function by: what is passed twice is told apart, and has two gradients.

    A tensor becomes one of its own, and so does a variable that is passed more than once; any other stays a variable.
    """
    leaves = [native(leaf) for position in argnums for leaf in trees.leaves(args[position])]
    variable_counts = Counter(leaf.ref() for leaf in leaves if isinstance(leaf, tf.Variable))

    def prepared(leaf: Any) -> Any:
        leaf = native(leaf)
        once = isinstance(leaf, tf.Variable) and variable_counts[leaf.ref()] == 1
        return leaf if once else tf.identity(leaf)

    return Sources(fn, args, argnums, [native(variable) for variable in variables], is_differentiable, prepared)


def gradients_by(
    sources: Sources, tapped: Sequence[tapping.Tap], differentiate: Callable[[list[Any]], Sequence[Any]]
) -> tuple[list[Any], list[Any]]:
    """The gradients by arguments and by variables; those by what was tapped on the way are handed on.

    A tap without a path to the value has none.
    """
    found = [tapping.Tap(path, leaf) for name, value in tapped for path, leaf in trees.paths(value, name)]
    taps = [tap for tap in found if isinstance(tap.value, tf.Tensor) and is_differentiable(tap.value)]
    count = len(sources.tensors)
    gradients = list(map(_dense, differentiate([*sources.tensors, *(tap.value for tap in taps)])))
    pairs = zip(taps, gradients[count:], strict=True)
    tapping.emit_gradients([tapping.Tap(tap.name, gradient) for tap, gradient in pairs if gradient is not None])
    return sources.arranged(gradients[:count])


def _dense(grad: Any) -> Any:
    """A gradient by rows as the tensor it stands for; rows met several times add up."""
    if not isinstance(grad, tf.IndexedSlices):
        return grad
    rows = tf.cast(grad.dense_shape[0], tf.int32)
    return tf.math.unsorted_segment_sum(grad.values, grad.indices, rows)


# The graphs of loops and branches, by the names of TensorFlow's classes (2.16 to 2.21), which are private: there are
# WhileCondFuncGraph, WhileBodyFuncGraph and CondBranchFuncGraph.
_LOOPS_AND_BRANCHES: Final = ("While", "CondBranch")


def _elsewhere() -> str | None:
    """Why nothing can be tapped here: operations go into another graph than that of the function that is traced."""
    place = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    frames = tapping.here.frames
    if place is None or (frames and frames[-1].place is place):
        return None
    if type(place).__name__.startswith(_LOOPS_AND_BRANCHES):
        return "inside of a loop or branch of TensorFlow's"
    if not isinstance(place, tf.__internal__.FuncGraph):
        return None if not frames else "inside of another graph"
    return "inside of a tf.function that is not graphmode.function's"


# What tapes record: a tape keeps its graph in C++ and shows it to nobody, so each operation is asked about as it runs,
# and only while a tape is open.

_RECORDED: Final = ("op_type", "output_tensors", "input_tensors")


class TapeCounter(threading.local):
    """Counts the operations that any tape of a thread records, and knows the structure of those since the last look."""

    def __init__(self) -> None:
        self._tapes = 0
        self._nodes = 0
        self._structure = 0
        self._last_structure = 0
        self._numbers: dict[int, int] = {}

    def look(self) -> int:
        """The nodes recorded so far in this thread; what is recorded from here on is a structure of its own."""
        self._last_structure, self._structure = self._structure, 0
        self._numbers.clear()
        return self._nodes

    def last_structure(self) -> str | None:
        """Equal for the same operations on each other's results, between the last two looks."""
        return f"{self._last_structure:08x}" if self._last_structure else None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Count in the block, in every thread; graphs called and custom gradients are told to tapes from Python."""
        undo = patched(
            SUPPORTED,
            (tf.GradientTape, "__enter__", self._entering, ("self",)),
            (tf.GradientTape, "__exit__", self._exiting, ("self",)),
            (record, "record_operation", self._recording, _RECORDED),
            (record, "record_operation_backprop_only", self._recording, _RECORDED),
        )
        try:
            yield
        finally:
            undo()

    def _entering(self, enter: Callable[..., Any]) -> Callable[..., Any]:
        def entering(tape: Any) -> Any:
            self._tapes += 1
            context.context().add_op_callback(self._ran)
            return enter(tape)

        return entering

    def _exiting(self, leave: Callable[..., Any]) -> Callable[..., Any]:
        def exiting(tape: Any, *error: Any) -> Any:
            self._tapes -= 1
            if not self._tapes:
                context.context().remove_op_callback(self._ran)
                self._numbers.clear()
            return leave(tape, *error)

        return exiting

    def _ran(
        self, kind: Any, inputs: Any, attrs: Any, outputs: Any, op_name: str | None = None, graph: Any = None
    ) -> None:
        """An operation ran; one that is put in a graph is not recorded by itself."""
        if graph is None and record.should_record_backprop(inputs):
            self._count(kind, inputs, outputs)

    def _recording(self, record_operation: Callable[..., Any]) -> Callable[..., Any]:
        def recording(kind: Any, outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            if context.executing_eagerly() and record.should_record_backprop(inputs):
                self._count(kind, inputs, outputs)
            return record_operation(kind, outputs, inputs, *args, **kwargs)

        return recording

    def _count(self, kind: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        self._nodes += 1
        recorder = watcher.current
        if recorder is not None and recorder.structures:
            numbers = self._numbers
            ids = [getattr(tensor, "_id", None) for tensor in inputs]
            edges = [numbers.setdefault(one, len(numbers)) for one in ids if one is not None]
            for tensor in outputs:
                numbers.setdefault(getattr(tensor, "_id", 0), len(numbers))
            self._structure = zlib.crc32(f"{kind}{edges}".encode(), self._structure)
