"""Calls of `graphmode.xp` that are compared with NumPy, as text: capital letters are the arguments below."""

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


def _values(*shape: int, low: float = -1.0, high: float = 1.0, seed: int = 0) -> np.ndarray:
    """Values without ties, spread over an interval and away from its middle, in random order."""
    size = math.prod(shape)
    steps = (np.arange(size) + 0.3) / size
    return np.random.default_rng(seed).permutation(low + (high - low) * steps).reshape(shape)


_SQUARE = _values(3, 3, seed=8) + 2.5 * np.eye(3)
ARGUMENTS: dict[str, np.ndarray] = {
    "X": _values(3, 4, low=-2.0, high=2.1),
    "Y": _values(3, 4, low=-1.9, high=2.3, seed=1),
    "P": _values(3, 4, low=0.2, high=2.4, seed=2),
    "U": _values(3, 4, low=-0.9, high=0.85, seed=4),
    "V": _values(5, low=-1.3, high=1.7, seed=5),
    "W": _values(4, low=0.4, high=1.9, seed=6),
    "T": _values(2, 3, 4, low=-1.5, high=2.2, seed=7),
    "A": _SQUARE,
    "B": np.stack([_SQUARE, _SQUARE.T @ _SQUARE]),
    "S": _values(5, 3, seed=9),
    "C": _values(3, 4, seed=10) + 1j * _values(3, 4, seed=11),
    "N": np.array([[3, -4, 5], [-7, 2, 9]], "int32"),
    "M": np.array([[2, 3, -4], [2, -5, 4]], "int32"),
    "I": np.array([[3, 4, 5], [7, 2, 9]], "uint8"),
    "K": np.array([2, 0, 1, 1], "int32"),
    "L": np.array([[True, False, True, True], [False, False, True, False], [True, True, True, True]]),
    "H": np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.25]),
    "O": np.array([[1.0, np.nan, 2.0], [np.inf, -3.0, -np.inf]]),
}


class Row(NamedTuple):
    """One call; floating arguments take the dtype under test, the others stay as they are."""

    text: str
    call: Callable[..., Any]
    names: tuple[str, ...]
    smooth: bool
    """Whether there is a gradient to compare."""


def _each(form: str, names: str) -> list[str]:
    return [form.format(name) for name in names.split()]


SMOOTH = [
    *_each("{}(X)", "sin cos tan arctan sinh cosh tanh arcsinh exp expm1 square negative positive absolute abs"),
    *_each(
        "{}(X)", "reciprocal sum prod mean std var max min amax amin transpose squeeze tril triu trace diagonal sort"
    ),
    *_each("{}(U)", "arcsin arccos arctanh"),
    *_each("{}(P)", "log log2 log10 log1p sqrt cumsum cumprod"),
    *_each("{}(X, Y)", "add subtract multiply divide maximum minimum arctan2 hypot logaddexp copysign"),
    *_each("{}(P[:2, :3], N)", "add multiply maximum divide power"),
    *_each("{}(L, X)", "add multiply"),
    *("arccosh(P + 1.1)", "power(P, Y)", "multiply(X, W)", "multiply(X, 2.5)", "power(X, 3)", "power(2.0, X)"),
    *("clip(X, -0.81, 0.93)", "clip(X, None, 0.93)", "clip(X, Y, None)", "where(L, X, Y)", "where(L, X, 0.0)"),
    *("where(L[:2, :3], N, Y[:2, :3])", "real(X)", "abs(xp.multiply(X, 1.0 + 2.0j))", "real(xp.add(C, X))"),
    *("sum(T, axis=1)", "sum(T, axis=(0, 2), keepdims=True)", "sum(T, -1)", "sum(T, keepdims=True)"),
    *("prod(T, axis=(0, -1))", "mean(T, axis=(0, 1))", "max(T, axis=(0, 2))", "min(T, axis=1, keepdims=True)"),
    *("std(X, axis=0, ddof=1)", "var(T, axis=(0, 2), correction=1, keepdims=True)", "cumsum(X, axis=0)"),
    *("cumprod(X, axis=-1)", "cumulative_sum(X, axis=1, include_initial=True)", "diff(X)", "diff(X, n=2, axis=0)"),
    *("cumulative_prod(X, axis=0, include_initial=True)", "diff(X, prepend=Y[:, 2:], append=X[:, :1])"),
    *("reshape(X, (2, -1))", "transpose(T, (2, 0, 1))", "moveaxis(T, (0, 1), (-1, 0))", "expand_dims(X, (0, -1))"),
    *("squeeze(X[:, None, :, None], axis=1)", "broadcast_to(W, (3, 4))", "broadcast_arrays(X, W)"),
    *("matrix_transpose(T)", "concatenate([X, Y], axis=1)", "concatenate((N, X[:2, :3]))", "stack([X, Y], axis=-1)"),
    *("concatenate([X, W], axis=None)", "tile(X, (2, 1, 2))", "tile(X, 2)", "repeat(X, 2, axis=1)", "repeat(X, 2)"),
    *("repeat(X, [1, 0, 2], axis=0)", "roll(X, 5)", "roll(X, -1, axis=1)", "roll(X, (1, 2), axis=(0, 1))"),
    *("flip(T)", "flip(T, axis=1)", "flip(T, axis=(0, -1))", "tril(T, 1)", "triu(X, k=-1)", "meshgrid(V, W)"),
    *("meshgrid(V, W, N, indexing='ij')", "diagonal(T, 1, axis1=0, axis2=2)", "trace(T, offset=1, axis1=1, axis2=2)"),
    *("take(X, [2, 0, -1], axis=1)", "take(X, K)", "take(X, [[0, 1], [2, 2]], axis=0)", "sort(X, axis=0)"),
    *("take_along_axis(X, xp.argsort(X, axis=0)[:2], axis=0)", "sort(X, axis=None)", "linspace(W, W + 1, 5)"),
    *("linspace(W[0], W[1], 5, endpoint=False)", "array([[X[0, 0], Y[0, 1]], [X[1, 2], X[0, 0]]])"),
    *("matmul(X, W)", "matmul(W, xp.transpose(X))", "matmul(X, xp.transpose(Y))", "matmul(W, W * 2)"),
    *("matmul(T, xp.transpose(Y))", "matmul(Y, xp.matrix_transpose(T))", "matmul(T, W)", "matmul(N, X)"),
    *("outer(X, W)", "cross(X[:, :3], Y[:, :3])", "vecdot(X, Y)", "vecdot(X, Y, axis=0)", "tensordot(T, X)"),
    *("tensordot(V, W, axes=0)", "tensordot(T, X, axes=([1, 2], [0, 1]))", "tensordot(T, X, axes=(-1, 1))"),
    *_each("linalg.{}(B)", "inv det slogdet trace diagonal matrix_transpose"),
    *("linalg.solve(A, X)", "linalg.solve(A, V[:3])", "linalg.solve(B, X)", "linalg.svdvals(S)"),
    *("linalg.cholesky(xp.matmul(A, xp.transpose(A)))", "linalg.eigvalsh(A + xp.transpose(A))"),
    *("linalg.eigh(A + xp.transpose(A))[0]", "abs(xp.linalg.eigh(A + xp.transpose(A))[1])"),
    *("linalg.matrix_power(A, 5)", "linalg.matrix_power(A, -2)", "linalg.norm(X)", "linalg.vector_norm(X, axis=0)"),
    *("linalg.norm(X, axis=1, keepdims=True)", "linalg.norm(T, ord=1, axis=(0, 2), keepdims=True)"),
    *("linalg.matrix_norm(T, keepdims=True)",),
    *_each("linalg.norm(V, ord={})", "1 2 3 float('inf') -float('inf')"),
    *_each("linalg.norm(S, ord={})", "'fro' 'nuc' 1 2 -2 float('inf')"),
]

PLAIN = [
    *_each("{}(X)", "sign floor ceil trunc round isnan isinf isfinite signbit logical_not any all count_nonzero"),
    *_each("{}(X)", "argmax argmin argsort imag zeros_like"),
    *_each("{}(O)", "isnan isinf isfinite"),
    *_each("{}(C)", "real imag conj abs exp sqrt sign isnan isinf isfinite"),
    *_each("{}(I)", "sin exp sqrt square floor trunc isfinite isnan invert mean sum"),
    *_each("{}(N)", "absolute negative square sign floor ceil round isfinite invert cumsum trace transpose"),
    *_each("{}(L)", "invert logical_not sum cumsum mean any"),
    *_each("{}(X, P)", "mod remainder floor_divide nextafter"),
    *_each("{}(X, Y)", "equal not_equal less less_equal greater greater_equal logical_and"),
    *_each("{}(N, M)", "add subtract multiply divide floor_divide mod maximum arctan2 hypot equal less bitwise_and"),
    *_each("{}(N, M)", "bitwise_or bitwise_xor logical_and logical_xor"),
    *_each("{}(N, I)", "add divide less bitwise_or maximum"),
    *_each("{}(L, ~L)", "logical_and logical_or bitwise_and bitwise_xor"),
    *("round(H)", "left_shift(N, 2)", "right_shift(N, 1)", "power(N, 3)", "add(N, 2)", "add(N, 2.5)", "mod(X, -0.7)"),
    *("sum(N, axis=0)", "sum(N, dtype='float32')", "prod(N, axis=1)", "mean(N)", "mean(L, axis=0)", "std(N, axis=1)"),
    *("max(N, axis=0)", "cumsum(N, axis=1)", "cumprod(N, axis=0, dtype='int32')", "var(C, axis=0)", "any(L, axis=1)"),
    *("all(L, axis=(0, 1), keepdims=True)", "count_nonzero(N > 0, axis=0)", "argmax(X, axis=1)", "argmax(K)"),
    *("argmin(X, axis=0, keepdims=True)", "argmin(K)", "argsort(X, axis=0)", "argsort(K, stable=True)", "diff(N)"),
    *(
        "searchsorted(xp.sort(W), X)",
        "searchsorted(xp.sort(K), K, side='right')",
        "searchsorted(K, K, sorter=[1, 2, 3, 0])",
    ),
    *("matmul(N, xp.transpose(M))", "vecdot(C, xp.flip(C, axis=1))", "trace(N)", "diff(L)", "sum(C, axis=0)"),
    *("linalg.solve(N[:, :2], [1.0, 2.0])", "linalg.matrix_power(B, 0)", "linalg.matrix_rank(B)", "linalg.norm(N)"),
    *("linalg.norm(C, axis=0)", "linalg.matrix_rank(X, rtol=0.9)", "linalg.vector_norm(V, ord=0)"),
    *("ones_like(X, dtype='int32')", "full_like(X, 2.5)", "full_like(N, 7)", "astype(X, 'int32')", "astype(C, 'bool')"),
    *(
        "arange(5)",
        "arange(7, 1, -2)",
        "full((2, 3), 7)",
        "zeros((2, 3), dtype='int32')",
        "eye(3, 4, k=1, dtype='bool')",
    ),
]

UNKNOWN_SIZES_REFUSED = [
    *("linalg.pinv(S)", "unstack(X)", "unstack(T, axis=1)"),
    *("[abs(part) for part in xp.linalg.qr(S)]", "[abs(part) for part in xp.linalg.svd(A, full_matrices=False)]"),
]
DATA_SIZED = ["nonzero(N > 0)", "where(L)", "unique(K)", "unique_all(K)", "unique_counts(K)", "unique_inverse(K)"]


def _rows(texts: list[str], smooth: bool) -> list[Row]:
    rows = []
    for text in texts:
        names = tuple(sorted(set(re.findall(r"\b[A-Z]\b", text))))
        source = text if text.startswith("[") else f"xp.{text}"
        row = Row(text, eval(f"lambda xp, {', '.join(names)}: {source}"), names, smooth)
        rows += [row] if _is_numpys(row) else []
    return rows


def _is_numpys(row: Row) -> bool:
    """Whether this NumPy has the name and says the same; from 2.1 on it has all of the standard's."""
    if tuple(map(int, np.__version__.split(".")[:2])) >= (2, 1):
        return True
    try:
        row.call(np, **{name: ARGUMENTS[name] for name in row.names})
    except (AttributeError, TypeError, ValueError):
        return False
    return row.text not in ("sign(C)", "linspace(W[0], W[1], 5, endpoint=False)")


EVERYWHERE = [*_rows(SMOOTH, True), *_rows(PLAIN, False)]
STATIC = [*_rows(UNKNOWN_SIZES_REFUSED, True), *_rows(["linalg.pinv(S, 0.5)"], False)]
EAGER = _rows(DATA_SIZED, False)
