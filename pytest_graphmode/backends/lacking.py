"""What a framework says of an operation that it has, but not in the dtype it was called with.

Read by `Backend.lacks`, for variants whose dtype was asked for: such a test is skipped with the framework's own reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from pytest_graphmode.backends.names import real_of

# By what the frameworks call a dtype in messages, torch and TensorFlow's C++ side included.
_COMPLEX: Final = r"(?:DT_)?[Cc](?:omplex|OMPLEX)\w*"
_NAMES: Final = {
    "float16": r"Half|half|DT_HALF|float16",
    "bfloat16": r"BFloat16|bfloat16|DT_BFLOAT16",
    "float64": r"Double|double|DT_DOUBLE|float64",
    "complex64": _COMPLEX,
    "complex128": _COMPLEX,
}

# torch 2.4 to 2.15; under torch.compile the same within a longer message:
#   "cholesky_cpu" not implemented for 'Half'
#   linalg.inv: Low precision dtypes not supported. Got Half
#   Sort does not support complex dtypes on CPU
#   rfft expects a real input tensor, but got ComplexFloat
#   Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64
TORCH: Final = (
    r"\"[\w.]+\" not implemented for '(?:{dtype})'",
    r"[^\n'\"(]*(?:not supported|n[o']t support|Unsupported dtype|expects a real)[^\n'\"]*?(?:{dtype})[^\n'\"]*",
)

# TensorFlow 2.16 to 2.21, eager, in graphs and sessions; of XLA what `graph.py` makes of it:
#   Could not find device for node: {{node Cholesky}} = Cholesky[T=DT_HALF]
#   No OpKernel was registered to support Op 'Cholesky' used by {{node Cholesky}} with these attrs: [T=DT_HALF]
#   Value for attr 'T' of complex64 is not in the list of allowed values: float, double
#   Value passed to parameter 'x' has DataType complex64 not in list of allowed values: float32, float64
#   XLA can't compile MatrixInverse [T=DT_COMPLEX64, adjoint=false]
#   RFFT requires tf.float32 or tf.float64 inputs, got: tf.Tensor(..., dtype=float16)
TENSORFLOW: Final = (
    r"Could not find device for node[^\n]*?\[[^\]\n]*=(?:{dtype})[^\]\n]*\]",
    r"No OpKernel was registered to support Op '\w+'[^\[]*\[[^\]]*=(?:{dtype})[^\]]*\]",
    r"Value for attr '\w+' of (?:{dtype}) is not in the list of allowed values[^\n;]*",
    r"Value passed to parameter '\w+' has DataType (?:{dtype}) not in list of allowed values[^\n]*",
    r"XLA can't compile \w+ \[[^\]\n]*=(?:{dtype})[^\]\n]*\]",
    r"\w+ requires tf\.float32 or tf\.float64 inputs",
)

# JAX 0.4.30 to 0.12:
#   lt does not accept dtype complex64 at position 0. Accepted dtypes at position 0 are subtypes of integer, floating
#   Unsupported dtype float16.
#   RFFT input must be float32 or float64, got float16
#   only real valued inputs supported for rfft
JAX: Final = (
    r"\w+ does not accept dtype (?:{dtype})[^\n]*",
    r"Unsupported dtype (?:{dtype})",
    r"\w+ input must be float32 or float64, got (?:{dtype})",
    r"only real valued inputs supported[^\n]*",
)


def reason(error: BaseException, dtype: str, patterns: Sequence[str]) -> str | None:
    """The framework's sentence in an error, or in what it was raised from; None where it is about something else."""
    names = _NAMES.get(dtype)
    if names is None:
        return None
    said: BaseException | None = error
    while said is not None:
        for pattern in patterns:
            match = re.search(pattern.replace("{dtype}", names), str(said))
            if match is not None:
                return " ".join(match.group().split()).strip(" .,;:")
        said = said.__cause__
    return None


def value_is_complex(error: BaseException, dtype: str) -> bool:
    """Whether a gradient was asked of a complex value, as a test written for real numbers does in a complex dtype."""
    return dtype != real_of(dtype) and isinstance(error, ComplexValueError)


class ComplexValueError(ValueError):
    """A gradient was asked of a function whose value is complex."""
