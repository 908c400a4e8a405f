"""What ends the rebuilds of a tf.function, by the kind of their cause: what ends them first, what limits them second.

Each one is tried to the letter in `tests/backends/test_tensorflow_hints.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pytest_graphmode.backends.tensorflow.traced_function import RESTORING, VECTORIZING

_SHAPE: Final = (
    "tf.function(input_signature=[tf.{}TensorSpec(...)]) with None for what varies, or "
    "tf.function(reduce_retracing=True), which builds once more and then no more"
)
_HINTS: Final[Mapping[str, str]] = {
    "shape": _SHAPE.format(""),
    "shape-SparseTensor": _SHAPE.format("Sparse"),
    "shape-RaggedTensor": _SHAPE.format("Ragged"),
    "rank": "tf.function(input_signature=[tf.TensorSpec(None)]), or pass tensors of one rank",
    "rank-RaggedTensor": "pass ragged tensors of one rank",
    "dtype": "cast {argument} to one dtype before the call, or accept one build per dtype",
    "python-value": "pass a tensor, tf.constant({argument}), where it is computed with; accept one build per value "
    "where Python needs the number (a length, an axis, an argument of a layer)",
    "python-bool": "accept one build per value (at_most=1), or pass a tensor, tf.constant({argument}), where only an "
    "`if` of the function looks at it; other code, such as Keras' Dropout, needs the Python bool",
    "python-object": "pass an equal value each time, or accept one build per value",
    "structure": "pass {argument} with the same keys, length and types each time",
    "structure-Variable": "pass {argument} as a variable each time or as a tensor each time, and no variable as two "
    "arguments",
    "new-function-object": "wrap the function once, outside the loop, and call that",
    "closure": "make and wrap the function once, outside the loop, and pass it {argument} as an argument, a number as "
    "a tensor",
    "closure-object": "make {argument} and the function that closes over it once, outside the loop, and keep both",
    "variable-creation": "create variables before the first call if tracing twice takes too long",
    "device": "call the function on one device, or accept one build per device",
    "global-state": "enter the scope before the first call, and call the function only inside or only outside of it",
    "cache-reset": "TensorFlow keeps no graph of a trace that raised: let the function fail before it is traced",
}
_RELAXED: Final = (
    "reduce_retracing is on and relaxes this dimension from here on; to save this build too, pad the data to one shape "
    "(for batches: drop_remainder=True)"
)
# By a part of the path of the file that a function's code is in.
_OF_LIBRARIES: Final[Mapping[str, Mapping[str, str]]] = {
    RESTORING: {"another-object": "load the model once, outside the loop, and keep it"},
    VECTORIZING: {
        "new-function-object": "call it inside a tf.function that is made once, outside the loop: outside of one, "
        "tf.vectorized_map and jacobians build a graph on every call"
    },
    "/keras/src/backend/tensorflow/trainer": {
        "new-function-object": "compile the model once: compile() throws away the functions that it trains and tests "
        "with",
        "another-object": "make and compile one model and keep it, or allow a build for each with per_object=True",
    },
}


def hints(file: str, *, relaxed: bool) -> dict[str, str]:
    """The hints for a function by the file of its code, and by whether `reduce_retracing` relaxes it."""
    found = dict(_HINTS)
    if relaxed:
        found |= dict.fromkeys((kind for kind in found if kind.startswith("shape")), _RELAXED)
    for part, own in _OF_LIBRARIES.items():
        if part in file:
            found |= own
    return found
