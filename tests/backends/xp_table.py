"""Calls of `graphmode.xp` that are compared with NumPy: what is called, with what, and where it has a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """One call; floating arguments take the dtype under test, the others stay as they are."""

    name: str
    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    wrt: int | None = 0
    """The argument with a gradient."""
    numpy_call: Callable[..., Any] | None = None
    """How NumPy itself writes it, where it lacks the name."""
    refused_by: tuple[str, ...] = ()
    """The modes that cannot do it: sizes that depend on data under jit, or are unknown where they must be known."""

    numpy: int = 1
    """The major version of NumPy from which on its answer is the one meant."""

    def __str__(self) -> str:
        return self.name


def _values(*shape: int, low: float = -1.0, high: float = 1.0, seed: int = 0) -> np.ndarray:
    """Values without ties, spread over an interval and away from its middle, in random order."""
    size = math.prod(shape)
    steps = (np.arange(size) + 0.3) / size
    return np.random.default_rng(seed).permutation(low + (high - low) * steps).reshape(shape)


X = _values(3, 4, low=-2.0, high=2.1)
Y = _values(3, 4, low=-1.9, high=2.3, seed=1)
P = _values(3, 4, low=0.2, high=2.4, seed=2)
Q = _values(3, 4, low=0.3, high=1.9, seed=3)
U = _values(3, 4, low=-0.9, high=0.85, seed=4)
V = _values(5, low=-1.3, high=1.7, seed=5)
W = _values(4, low=0.4, high=1.9, seed=6)
T = _values(2, 3, 4, low=-1.5, high=2.2, seed=7)
A = _values(3, 3, seed=8) + 2.5 * np.eye(3)
B = np.stack([A, A.T @ A])
S = A @ A.T + np.eye(3)
TALL = _values(5, 3, seed=9)
C = (_values(3, 4, seed=10) + 1j * _values(3, 4, seed=11)).astype("complex128")
N = np.array([[3, -4, 5], [-7, 2, 9]], "int32")
M = np.array([[2, 3, -4], [2, -5, 4]], "int32")
K = np.array([2, 0, 1, 1], "int32")
MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, True, True]])
HALVES = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.25])
HOLES = np.array([[1.0, np.nan, 2.0], [np.inf, -3.0, -np.inf]])
SINGLE = _values(3, 4, seed=12).astype("float32")


def _unary(names: str, values: np.ndarray, wrt: int | None = 0) -> list[Row]:
    kind = "" if values.dtype.kind == "f" else f"-{values.dtype}"
    return [Row(name + kind, lambda xp, x, name=name: getattr(xp, name)(x), (values,), wrt) for name in names.split()]


def _binary(names: str, first: np.ndarray, second: np.ndarray, wrt: int | None = 0) -> list[Row]:
    return [
        Row(
            f"{name}-{first.dtype}-{second.dtype}",
            lambda xp, x, y, name=name: getattr(xp, name)(x, y),
            (first, second),
            wrt,
        )
        for name in names.split()
    ]


ELEMENTWISE = [
    *_unary("sin cos tan arctan sinh cosh tanh arcsinh exp exp2 expm1 sinc square negative positive", X),
    *_unary("absolute abs fabs cbrt deg2rad rad2deg degrees radians reciprocal", X),
    *_unary("arcsin arccos arctanh", U),
    *_unary("log log2 log10 log1p sqrt", P),
    Row("arccosh", lambda xp, x: xp.arccosh(x), (P + 1.1,)),
    *_unary("sign floor ceil trunc rint round isnan isinf isfinite signbit logical_not", X, None),
    Row("round-half-to-even", lambda xp, x: xp.round(x), (HALVES,), None),
    Row("round-decimals", lambda xp, x: xp.round(x, 1), (HALVES,), None),
    Row("isnan-holes", lambda xp, x: xp.isnan(x), (HOLES,), None),
    Row("isinf-holes", lambda xp, x: xp.isinf(x), (HOLES,), None),
    Row("isfinite-holes", lambda xp, x: xp.isfinite(x), (HOLES,), None),
    Row("nan_to_num", lambda xp, x: xp.nan_to_num(x), (HOLES,), None),
    Row("nan_to_num-values", lambda xp, x: xp.nan_to_num(x, nan=1.0, posinf=2.0, neginf=3.0), (HOLES,), None),
    *_unary("sin exp sqrt", np.abs(N), None),
    *_unary("absolute negative square sign floor isfinite invert", N, None),
    *_unary("invert logical_not", MASK, None),
    *_binary("add subtract multiply divide true_divide maximum minimum fmax fmin arctan2", X, Y),
    *_binary("hypot logaddexp logaddexp2 copysign fmod", X, Y),
    *_binary("power float_power", P, Y),
    *_binary("mod remainder floor_divide", X, P, None),
    *_binary("equal not_equal less less_equal greater greater_equal", X, Y, None),
    *_binary("add subtract multiply divide floor_divide mod remainder fmod maximum arctan2 hypot", N, M, None),
    *_binary("equal less bitwise_and bitwise_or bitwise_xor logical_and logical_xor", N, M, None),
    *_binary("logical_and logical_or bitwise_and bitwise_xor", MASK, ~MASK, None),
    *_binary("logical_and", X, Y, None),
    *_binary("add multiply maximum divide power", P[:2, :3], N, 0),
    *_binary("add multiply minimum less", X, SINGLE, None),
    *_binary("add multiply", MASK, X, 1),
    Row("left_shift", lambda xp, n: xp.left_shift(n, 2), (np.abs(N),), None),
    Row("right_shift", lambda xp, n: xp.right_shift(n, 1), (np.abs(N),), None),
    Row("add-broadcast", lambda xp, x, w: xp.add(x, w), (X, W), 1),
    Row("multiply-scalar", lambda xp, x: xp.multiply(x, 2.5), (X,)),
    Row("power-scalar", lambda xp, x: xp.power(x, 3), (X,)),
    Row("power-of-scalar", lambda xp, x: xp.power(2.0, x), (X,)),
    Row("power-ints", lambda xp, n: xp.power(n, 3), (N,), None),
    Row("add-int-scalar", lambda xp, n: xp.add(n, 2), (N,), None),
    Row("add-int-float-scalar", lambda xp, n: xp.add(n, 2.5), (N,), None),
    Row("mod-negative-scalar", lambda xp, x: xp.mod(x, -0.7), (X,), None),
    Row("heaviside", lambda xp, x: xp.heaviside(x, 0.5), (np.array([-1.0, 0.0, 2.0]),), None),
    Row("divmod", lambda xp, x, y: xp.divmod(x, y), (X, P), None),
    Row("clip", lambda xp, x: xp.clip(x, -0.81, 0.93), (X,)),
    Row("clip-none", lambda xp, x: xp.clip(x, None, 0.93), (X,)),
    Row("clip-tensor", lambda xp, x, y: xp.clip(x, y, None), (X, Y), 1),
    Row("where", lambda xp, m, x, y: xp.where(m, x, y), (MASK, X, Y), 1),
    Row("where-mixed", lambda xp, m, n, y: xp.where(m, n, y), (MASK[:2, :3], N, Y[:2, :3]), 2),
    Row("where-scalar", lambda xp, m, x: xp.where(m, x, 0.0), (MASK, X), 1),
    Row("where-one", lambda xp, m: xp.where(m), (MASK,), None, refused_by=("jax-jit",)),
    Row("select", lambda xp, x: xp.select([x < -1, x > 1], [x * 2, x * 3], 0.5), (X,)),
    Row("isclose", lambda xp, x: xp.isclose(x, x + 1e-9), (X,), None),
    Row("allclose", lambda xp, x, y: xp.allclose(x, y), (X, Y), None),
    Row("array_equal", lambda xp, x: xp.array_equal(x, x), (X,), None),
    Row("real", lambda xp, c: xp.real(c), (C,), None),
    Row("imag", lambda xp, c: xp.imag(c), (C,), None),
    Row("real-of-real", lambda xp, x: xp.real(x), (X,)),
    Row("imag-of-real", lambda xp, x: xp.imag(x), (X,), None),
    Row("conj", lambda xp, c: xp.conj(c), (C,), None),
    Row("angle", lambda xp, c: xp.angle(c), (C,), None),
    Row("abs-complex", lambda xp, c: xp.abs(c), (C,), None),
    Row("sign-complex", lambda xp, c: xp.sign(c), (C,), None, numpy_call=lambda np, c: c / np.abs(c), numpy=2),
    Row("complex-path", lambda xp, x: xp.abs(xp.multiply(x, 1.0 + 2.0j)), (X,)),
    Row("exp-complex", lambda xp, c: xp.exp(c), (C,), None),
    Row("add-complex-real", lambda xp, c, x: xp.real(xp.add(c, x)), (C, X), 1),
]

REDUCTIONS = [
    *_unary("sum prod mean std var max min amax amin ptp median", X),
    *_unary("any all count_nonzero argmax argmin", X, None),
    *_unary("cumsum cumprod", P),
    Row("sum-axis", lambda xp, x: xp.sum(x, axis=1), (T,)),
    Row("sum-axes-keepdims", lambda xp, x: xp.sum(x, axis=(0, 2), keepdims=True), (T,)),
    Row("sum-negative-axis", lambda xp, x: xp.sum(x, -1), (T,)),
    Row("sum-keepdims", lambda xp, x: xp.sum(x, keepdims=True), (T,)),
    Row("prod-axes", lambda xp, x: xp.prod(x, axis=(0, -1)), (T,)),
    Row("mean-axes", lambda xp, x: xp.mean(x, axis=(0, 1)), (T,)),
    Row("max-axes", lambda xp, x: xp.max(x, axis=(0, 2)), (T,)),
    Row("min-keepdims", lambda xp, x: xp.min(x, axis=1, keepdims=True), (T,)),
    Row("std-ddof", lambda xp, x: xp.std(x, axis=0, ddof=1), (X,)),
    Row("var-ddof", lambda xp, x: xp.var(x, axis=(0, 2), ddof=1, keepdims=True), (T,)),
    Row("var-complex", lambda xp, c: xp.var(c, axis=0), (C,), None),
    Row("sum-int", lambda xp, n: xp.sum(n, axis=0), (N,), None),
    Row("sum-bool", lambda xp, m: xp.sum(m), (MASK,), None),
    Row("sum-dtype", lambda xp, n: xp.sum(n, dtype="float32"), (N,), None),
    Row("prod-int", lambda xp, n: xp.prod(n, axis=1), (N,), None),
    Row("mean-int", lambda xp, n: xp.mean(n), (N,), None),
    Row("mean-bool", lambda xp, m: xp.mean(m, axis=0), (MASK,), None),
    Row("std-int", lambda xp, n: xp.std(n, axis=1), (N,), None),
    Row("max-int", lambda xp, n: xp.max(n, axis=0), (N,), None),
    Row("cumsum-int", lambda xp, n: xp.cumsum(n, axis=1), (N,), None),
    Row("cumsum-axis", lambda xp, x: xp.cumsum(x, axis=0), (X,)),
    Row("cumprod-axis", lambda xp, x: xp.cumprod(x, axis=-1), (X,)),
    Row("cumprod-dtype", lambda xp, n: xp.cumprod(n, axis=0, dtype="int32"), (N,), None),
    Row("any-axis", lambda xp, m: xp.any(m, axis=1), (MASK,), None),
    Row("all-axes", lambda xp, m: xp.all(m, axis=(0, 1), keepdims=True), (MASK,), None),
    Row("count_nonzero-axis", lambda xp, n: xp.count_nonzero(n > 0, axis=0), (N,), None),
    Row("argmax-axis", lambda xp, x: xp.argmax(x, axis=1), (X,), None),
    Row("argmin-keepdims", lambda xp, x: xp.argmin(x, axis=0, keepdims=True), (X,), None),
    Row("argmax-ties", lambda xp, n: xp.argmax(n, axis=1), (np.array([[1, 3, 3], [2, 2, 0]], "int32"),), None),
    Row("argmin-ties", lambda xp, x: xp.argmin(x), (np.array([2.0, 1.0, 1.0]),), None),
    Row("median-axis", lambda xp, x: xp.median(x, axis=1), (T,)),
    Row("median-axes", lambda xp, x: xp.median(x, axis=(0, 2), keepdims=True), (T,)),
    Row("median-int", lambda xp, n: xp.median(n), (N,), None),
    Row("median-nan", lambda xp, x: xp.median(x, axis=1), (np.array([[1.0, np.nan, 2.0], [1.0, 5.0, 2.0]]),), None),
    Row("percentile", lambda xp, x: xp.percentile(x, 30.0), (X,), numpy=2),
    Row("percentile-axis", lambda xp, x: xp.percentile(x, 85, axis=0), (X,), numpy=2),
    Row("quantile", lambda xp, x: xp.quantile(x, 0.37, axis=1, keepdims=True), (X,), numpy=2),
    Row("average", lambda xp, x, w: xp.average(x, axis=1, weights=w), (X, W), 1),
    Row("cov", lambda xp, x: xp.cov(x), (X,)),
    Row("corrcoef", lambda xp, x: xp.corrcoef(x), (X,)),
    Row("nansum", lambda xp, x: xp.nansum(x, axis=0), (HOLES,), None),
    Row("nanmean", lambda xp, x: xp.nanmean(x[:1]), (HOLES,), None),
    Row("nanmax", lambda xp, x: xp.nanmax(x, axis=1), (HOLES,), None),
]

SHAPES = [
    *_unary("ravel transpose squeeze fliplr flipud tril triu trace diag diagonal sort", X),
    *_unary("argsort", X, None),
    Row("reshape", lambda xp, x: xp.reshape(x, (2, -1)), (X,)),
    Row("transpose-axes", lambda xp, x: xp.transpose(x, (2, 0, 1)), (T,)),
    Row("swapaxes", lambda xp, x: xp.swapaxes(x, 0, -1), (T,)),
    Row("moveaxis", lambda xp, x: xp.moveaxis(x, (0, 1), (-1, 0)), (T,)),
    Row("squeeze-axis", lambda xp, x: xp.squeeze(x[:, None, :, None], axis=1), (X,)),
    Row("expand_dims", lambda xp, x: xp.expand_dims(x, (0, -1)), (X,)),
    Row("broadcast_to", lambda xp, w: xp.broadcast_to(w, (3, 4)), (W,)),
    Row("broadcast_arrays", lambda xp, x, w: xp.broadcast_arrays(x, w), (X, W), 1),
    Row("atleast_1d", lambda xp, x: xp.atleast_1d(xp.sum(x)), (X,)),
    Row("atleast_2d", lambda xp, w: xp.atleast_2d(w), (W,)),
    Row("atleast_3d", lambda xp, x: xp.atleast_3d(x), (X,)),
    Row("concatenate", lambda xp, x, y: xp.concatenate([x, y], axis=1), (X, Y)),
    Row("concatenate-mixed", lambda xp, n, x: xp.concatenate((n, x)), (N, X[:, :3]), 1),
    Row("concatenate-flat", lambda xp, x, w: xp.concatenate([x, w], axis=None), (X, W), 1),
    Row("stack", lambda xp, x, y: xp.stack([x, y], axis=-1), (X, Y)),
    Row("vstack", lambda xp, x, w: xp.vstack([x, w]), (X, W), 1),
    Row("hstack", lambda xp, x, y: xp.hstack([x, y]), (X, Y)),
    Row("hstack-vectors", lambda xp, v, w: xp.hstack([v, w]), (V, W)),
    Row("dstack", lambda xp, x, y: xp.dstack([x, y]), (X, Y)),
    Row("column_stack", lambda xp, v: xp.column_stack([v, v]), (V,)),
    Row("append", lambda xp, x, w: xp.append(x, w), (X, W), 1),
    Row("split", lambda xp, x: xp.split(x, 2, axis=1), (X,)),
    Row("split-indices", lambda xp, x: xp.split(x, [1, 3], axis=1), (X,)),
    Row("array_split", lambda xp, v: xp.array_split(v, 3), (V,)),
    Row("hsplit", lambda xp, x: xp.hsplit(x, 2), (X,)),
    Row("tile", lambda xp, x: xp.tile(x, (2, 1, 2)), (X,)),
    Row("tile-int", lambda xp, x: xp.tile(x, 2), (X,)),
    Row("repeat", lambda xp, x: xp.repeat(x, 2, axis=1), (X,)),
    Row("repeat-flat", lambda xp, x: xp.repeat(x, 2), (X,)),
    Row("repeat-counts", lambda xp, x: xp.repeat(x, [1, 0, 2], axis=0), (X,)),
    Row("roll", lambda xp, x: xp.roll(x, 5), (X,)),
    Row("roll-axis", lambda xp, x: xp.roll(x, -1, axis=1), (X,)),
    Row("roll-axes", lambda xp, x: xp.roll(x, (1, 2), axis=(0, 1)), (X,)),
    Row("flip", lambda xp, x: xp.flip(x), (T,)),
    Row("flip-axis", lambda xp, x: xp.flip(x, axis=1), (T,)),
    Row("flip-axes", lambda xp, x: xp.flip(x, axis=(0, -1)), (T,)),
    *[Row(f"rot90-{k}", lambda xp, x, k=k: xp.rot90(x, k), (X,)) for k in (1, 2, 3)],
    Row("pad-constant", lambda xp, x: xp.pad(x, ((1, 2), (0, 3)), constant_values=1.5), (X,)),
    Row("pad-scalar", lambda xp, x: xp.pad(x, 1), (X,)),
    *[
        Row(f"pad-{mode}", lambda xp, x, mode=mode: xp.pad(x, ((1, 2), (3, 0)), mode=mode), (X,))
        for mode in ("edge", "reflect", "symmetric", "wrap")
    ],
    Row("pad-reflect-far", lambda xp, v: xp.pad(v, (7, 6), mode="reflect"), (V,)),
    Row("pad-symmetric-far", lambda xp, v: xp.pad(v, (7, 9), mode="symmetric"), (V,)),
    Row("tril-k", lambda xp, x: xp.tril(x, 1), (T,)),
    Row("triu-k", lambda xp, x: xp.triu(x, k=-1), (X,)),
    Row("diag-vector", lambda xp, v: xp.diag(v, 1), (V,)),
    Row("diag-below", lambda xp, x: xp.diag(x, -1), (X,)),
    Row("diagonal-axes", lambda xp, x: xp.diagonal(x, 1, axis1=0, axis2=2), (T,)),
    Row("trace-axes", lambda xp, x: xp.trace(x, offset=1, axis1=1, axis2=2), (T,)),
    Row("trace-int", lambda xp, n: xp.trace(n), (N,), None),
    Row("meshgrid", lambda xp, v, w: xp.meshgrid(v, w), (V, W)),
    Row("meshgrid-ij", lambda xp, v, w: xp.meshgrid(v, w, indexing="ij"), (V, W), 1),
    Row("take", lambda xp, x: xp.take(x, [2, 0, -1], axis=1), (X,)),
    Row("take-flat", lambda xp, x, k: xp.take(x, k), (X, K)),
    Row("take-matrix", lambda xp, x: xp.take(x, [[0, 1], [2, 2]], axis=0), (X,)),
    Row("take_along_axis", lambda xp, x: xp.take_along_axis(x, xp.argsort(x, axis=1), axis=1), (X,)),
    Row("take_along_axis-0", lambda xp, x: xp.take_along_axis(x, xp.argsort(x, axis=0)[:2], axis=0), (X,)),
    Row("sort-axis", lambda xp, x: xp.sort(x, axis=0), (X,)),
    Row("sort-flat", lambda xp, x: xp.sort(x, axis=None), (X,)),
    Row("argsort-axis", lambda xp, x: xp.argsort(x, axis=0), (X,), None),
    Row("argsort-ties", lambda xp, k: xp.argsort(k), (K,), None, numpy_call=lambda np, k: np.argsort(k, kind="stable")),
    Row("searchsorted", lambda xp, x, w: xp.searchsorted(xp.sort(w), x), (X, W), None),
    Row("searchsorted-right", lambda xp, k: xp.searchsorted(xp.sort(k), k, side="right"), (K,), None),
    Row("digitize", lambda xp, x: xp.digitize(x, xp.array([-1.0, 0.0, 1.0], dtype=x.dtype)), (X,), None),
    Row("bincount", lambda xp, k: xp.bincount(k, minlength=5), (K,), None, refused_by=("jax-jit",)),
    Row("bincount-weights", lambda xp, k, w: xp.bincount(k, w), (K, W), 1, refused_by=("jax-jit",)),
    Row("unique", lambda xp, k: xp.unique(k), (K,), None, refused_by=("jax-jit",)),
    Row("nonzero", lambda xp, n: xp.nonzero(n > 0), (N,), None, refused_by=("jax-jit",)),
    Row("isin", lambda xp, k: xp.isin(k, [0, 1]), (K,), None),
]

PRODUCTS = [
    *[
        Row(f"matmul-{len(a.shape)}-{len(b.shape)}", lambda xp, a, b: xp.matmul(a, b), (a, b), wrt)
        for a, b in ((X, W), (W, X.T), (X, Y.T), (W, W * 2), (T, Y.T), (Y, T.transpose(0, 2, 1)), (T, W))
        for wrt in (0,)
    ],
    Row("matmul-right", lambda xp, a, b: xp.matmul(a, b), (T, Y.T), 1),
    Row("matmul-ints", lambda xp, n, m: xp.matmul(n, xp.transpose(m)), (N, M), None),
    Row("matmul-mixed", lambda xp, n, x: xp.matmul(n, x), (N, X), 1),
    Row("dot", lambda xp, x, w: xp.dot(x, w), (X, W), 1),
    Row("dot-scalar", lambda xp, x: xp.dot(x[0, 1], x), (X,)),
    Row("dot-ranks", lambda xp, x, t: xp.dot(x, t), (X[:, :3], T)),
    Row("vdot", lambda xp, x, y: xp.vdot(x, y), (X, Y)),
    Row("vdot-complex", lambda xp, c: xp.vdot(c, xp.flip(c, axis=1)), (C,), None),
    Row("inner", lambda xp, x, y: xp.inner(x, y), (X, Y)),
    Row("outer", lambda xp, x, w: xp.outer(x, w), (X, W), 1),
    Row("kron", lambda xp, x, v: xp.kron(x, v), (X, V), 1),
    Row("kron-matrices", lambda xp, x, y: xp.kron(x, y), (X, Y)),
    Row("cross", lambda xp, x, y: xp.cross(x, y), (X[:, :3], Y[:, :3])),
    Row("tensordot", lambda xp, t, x: xp.tensordot(t, x, axes=2), (T, X)),
    Row("tensordot-0", lambda xp, v, w: xp.tensordot(v, w, axes=0), (V, W)),
    Row("tensordot-axes", lambda xp, t, x: xp.tensordot(t, x, axes=([1, 2], [0, 1])), (T, X), 1),
    Row("einsum", lambda xp, t, x: xp.einsum("bij,ij->bj", t, x), (T, X)),
    Row("einsum-implicit", lambda xp, x, w: xp.einsum("ij,j", x, w), (X, W), 1),
    Row("einsum-trace", lambda xp, a: xp.einsum("ii->", a), (A,)),
    Row("einsum-mixed", lambda xp, n, x: xp.einsum("ij,jk->ik", n, x), (N, X), 1),
]

LINALG = [
    Row("inv", lambda xp, a: xp.linalg.inv(a), (B,)),
    Row("det", lambda xp, a: xp.linalg.det(a), (B,)),
    Row("slogdet", lambda xp, a: xp.linalg.slogdet(a)[1], (B,)),
    Row("slogdet-sign", lambda xp, a: xp.linalg.slogdet(a)[0], (B,), None),
    Row("solve", lambda xp, a, b: xp.linalg.solve(a, b), (A, X)),
    Row("solve-vector", lambda xp, a, b: xp.linalg.solve(a, b), (A, V[:3]), 1),
    Row("solve-batch", lambda xp, a, b: xp.linalg.solve(a, b), (B, X), 1, numpy=2),
    Row("solve-ints", lambda xp, n: xp.linalg.solve(n, [1.0, 2.0]), (N[:, :2],), None),
    Row("cholesky", lambda xp, a: xp.linalg.cholesky(xp.matmul(a, xp.transpose(a))), (A,)),
    Row("qr", lambda xp, a: [abs(part) for part in xp.linalg.qr(a)], (TALL,), refused_by=("tf-unknown",)),
    Row("svd", lambda xp, a: xp.linalg.svd(a, compute_uv=False), (TALL,)),
    Row(
        "svd-vectors",
        lambda xp, a: [abs(part) for part in xp.linalg.svd(a, full_matrices=False)],
        (A,),
        refused_by=("tf-unknown",),
    ),
    Row("svd-full", lambda xp, a: [xp.zeros_like(part) for part in xp.linalg.svd(a)], (TALL,), None),
    Row("eigh", lambda xp, a: xp.linalg.eigh(xp.add(a, xp.transpose(a)))[0], (A,)),
    Row("eigh-vectors", lambda xp, a: abs(xp.linalg.eigh(xp.add(a, xp.transpose(a)))[1]), (A,)),
    Row("eigvalsh", lambda xp, a: xp.linalg.eigvalsh(xp.add(a, xp.transpose(a))), (A,)),
    Row("pinv", lambda xp, a: xp.linalg.pinv(a), (TALL,), refused_by=("tf-unknown",)),
    Row("matrix_power", lambda xp, a: xp.linalg.matrix_power(a, 5), (A,)),
    Row("matrix_power-negative", lambda xp, a: xp.linalg.matrix_power(a, -2), (A,)),
    Row("matrix_power-0", lambda xp, a: xp.linalg.matrix_power(a, 0), (B,), None),
    Row("matrix_rank", lambda xp, a: xp.linalg.matrix_rank(a), (B,), None),
    Row("multi_dot", lambda xp, a, x: xp.linalg.multi_dot([a, a, x]), (A, X)),
    Row("norm", lambda xp, x: xp.linalg.norm(x), (X,)),
    Row("norm-axis", lambda xp, x: xp.linalg.norm(x, axis=1, keepdims=True), (X,)),
    Row("norm-complex", lambda xp, c: xp.linalg.norm(c, axis=0), (C,), None),
    Row("norm-int", lambda xp, n: xp.linalg.norm(n), (N,), None),
    *[
        Row(f"norm-vector-{order}", lambda xp, v, order=order: xp.linalg.norm(v, ord=order), (V,))
        for order in (1, 2, 3, math.inf, -math.inf)
    ],
    *[
        Row(f"norm-matrix-{order}", lambda xp, a, order=order: xp.linalg.norm(a, ord=order), (TALL,))
        for order in ("fro", "nuc", 1, 2, -2, math.inf)
    ],
    Row("norm-matrix-axes", lambda xp, t: xp.linalg.norm(t, ord=1, axis=(0, 2), keepdims=True), (T,)),
]

OTHERS = [
    Row("diff", lambda xp, x: xp.diff(x), (X,)),
    Row("diff-twice", lambda xp, x: xp.diff(x, n=2, axis=0), (X,)),
    Row("diff-prepend", lambda xp, x: xp.diff(x, prepend=x[:, 2:], append=x[:, :1]), (X,)),
    Row("diff-int", lambda xp, n: xp.diff(n), (N,), None),
    Row("ediff1d", lambda xp, x: xp.ediff1d(x), (X,)),
    Row("gradient", lambda xp, x: xp.gradient(x), (X,)),
    Row("gradient-axis", lambda xp, x: xp.gradient(x, 0.5, axis=1), (X,)),
    Row("trapezoid", lambda xp, x: xp.trapezoid(x, dx=0.5), (X,), numpy_call=lambda np, x: _trapezoid(x, dx=0.5)),
    Row(
        "trapezoid-points",
        lambda xp, x, w: xp.trapezoid(x, w, axis=1),
        (X, W),
        1,
        numpy_call=lambda np, x, w: _trapezoid(x, w, axis=1),
    ),
    *[
        Row(
            f"convolve-{mode}",
            lambda xp, v, w, mode=mode: xp.convolve(v, w[:3], mode=mode),
            (V, W),
            1,
            refused_by=("tf-unknown",),
        )
        for mode in ("full", "same", "valid")
    ],
    Row("convolve-swapped", lambda xp, v, w: xp.convolve(w[:2], v, mode="same"), (V, W), refused_by=("tf-unknown",)),
    Row("correlate", lambda xp, v, w: xp.correlate(v, w, mode="full"), (V, W), 1, refused_by=("tf-unknown",)),
    Row("interp", lambda xp, x, w, v: xp.interp(x, w, v[:4]), (X + 2.0, np.cumsum(W), V)),
    Row("interp-points", lambda xp, x, w, v: xp.interp(x, w, v[:4]), (X + 2.0, np.cumsum(W), V), 2),
    Row("interp-outside", lambda xp, x, w, v: xp.interp(x, w, v[:4], left=-9.0, right=9.0), (X + 3, np.cumsum(W), V)),
    Row("polyval", lambda xp, w, x: xp.polyval(w, x), (W, X), refused_by=("tf-unknown",)),
    Row("vander", lambda xp, w: xp.vander(w, 3), (W,)),
    Row("linspace", lambda xp, x: xp.linspace(x, x + 1, 5), (W,)),
    Row("linspace-open", lambda xp, x: xp.linspace(x[0], x[1], 5, endpoint=False), (W,), numpy=2),
    Row("logspace", lambda xp, x: xp.logspace(x[0], x[1], 4), (W,), numpy=2),
    Row("geomspace", lambda xp, x: xp.geomspace(x[0], x[1], 4), (W,)),
    Row("zeros_like", lambda xp, x: xp.zeros_like(x), (X,), None),
    Row("ones_like", lambda xp, x: xp.ones_like(x, dtype="int32"), (X,), None),
    Row("full_like", lambda xp, x: xp.full_like(x, 2.5), (X,), None),
    Row("full_like-int", lambda xp, n: xp.full_like(n, 7), (N,), None),
    Row("copy", lambda xp, x: xp.copy(x), (X,)),
    Row("astype", lambda xp, x: xp.astype(x, "int32"), (X,), None, numpy_call=lambda np, x: x.astype("int32")),
    Row("array-of-tensors", lambda xp, x, y: xp.array([[x[0, 0], y[0, 1]], [x[1, 2], x[0, 0]]]), (X, Y)),
    Row("arange", lambda xp: xp.arange(5), (), None),
    Row("arange-step", lambda xp: xp.arange(7, 1, -2), (), None),
    Row("full-int", lambda xp: xp.full((2, 3), 7), (), None),
    Row("zeros-int", lambda xp: xp.zeros((2, 3), dtype="int32"), (), None),
    Row("indices", lambda xp: xp.indices((2, 3)), (), None),
    Row("tril_indices", lambda xp: xp.tril_indices(3), (), None),
    Row("eye-bool", lambda xp: xp.eye(3, 4, 1, dtype="bool"), (), None),
]


def _trapezoid(*arguments: Any, **options: Any) -> Any:
    """numpy.trapezoid, which before NumPy 2 was called trapz."""
    return (np.trapezoid if hasattr(np, "trapezoid") else np.trapz)(*arguments, **options)


TABLE = [*ELEMENTWISE, *REDUCTIONS, *SHAPES, *PRODUCTS, *LINALG, *OTHERS]
