"""What to do about graphs that JAX builds again, by the kind of the cause. Called by `tracing.py` and `history.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pytest_graphmode.backends.jax.structure import Static

HINTS: Final[Mapping[str, str]] = {
    "shape": "jax.jit builds a graph for each shape: pad {argument} to one size, or to a few",
    "rank": "jax.jit builds a graph for each rank: reshape {argument}, or use jax.vmap for the additional axis",
    "dtype": "convert {argument} to one dtype before every call with jax.numpy.asarray(value, dtype); weak dtypes are "
    "those of Python numbers",
    "structure": "pass {argument} with one structure in every call, None and missing keys included; where a list "
    "grows, one array padded to its final size",
    "structure-key": "make every key with jax.random.key, or every one with jax.random.PRNGKey",
    "dtype-key": "make every key with one impl of jax.random.key",
    "python-value": "{argument} is left out, and its default part of the function: pass it as an argument of one "
    "function",
    "layout": "put {argument} on one mesh in one way before every call, with jax.device_put(value, sharding)",
    "new-function-object": "jax.jit keeps its graphs with the function object: wrap the function once, outside of the "
    "loop, and not as a lambda or partial made anew",
    "closure": "pass {argument} as an argument of one function that jax.jit wraps once, outside of the loop",
    "closure-object": "jax.jit keeps its graphs with the function object: make {argument} and the function that closes "
    "over it once, outside of the loop, and keep both",
    "another-object": "jax.jit keeps its graphs with the function object: make one object, wrap its method once and "
    "keep both, or allow a build for each object with per_object=True",
    "cache-reset": "leave out jax.clear_caches() and clear_cache(), which drop the graphs there are",
    "cache-reset-raised": "JAX keeps no graph of a trace that raised: let the function fail before it is traced",
    "global-state": "jax.jit builds a graph for each configuration and context: set it once, before the first call, or "
    "enter it around every call",
}

CONSTRUCT_HINTS: Final[Mapping[str, str]] = {
    **HINTS,
    **dict.fromkeys(
        ("new-function-object", "closure", "closure-object", "another-object"),
        "outside of jax.jit the loops and branches of jax.lax are compiled for each function object: call them in one "
        "function under jax.jit, or define their functions once, outside of the loop",
    ),
}

FORM: Final = "pass {argument} in one way, by position or by keyword, in every call"


def of_static(name: str, static: Static, *, anew: bool = False) -> str:
    """What to do about a static value that changed, or that was only made anew."""
    kind = static.argument.type_name
    if kind == "partial" or (anew and kind == "function"):
        return (
            f"{name} is static, and JAX takes each {kind} that is made anew for another value: "
            "define it once, outside of the loop, and keep it"
        )
    if static.by_object:
        return (
            f"{kind} has no __eq__ and __hash__, so that JAX takes each object for another value: "
            "give it both (@dataclasses.dataclass(frozen=True) does), or make one object and keep it"
        )
    keep = "keep one value"
    if static.no_array:
        what = "equinox.filter_jit takes what is no array for static"
        pass_it = f"pass {name} as an array, jax.numpy.asarray({name})"
    elif static.of:
        what = f"{name.rpartition('.')[2]} is a static field of {static.of}"
        pass_it = f"make it a data field, or {keep}"
    else:
        what, keep = f"{name} is static (static_argnums, static_argnames)", f"{keep}, or allow one build for each"
        pass_it = (
            "leave it out of them, so that it is traced as an array, with jax.lax.fori_loop for a Python loop "
            "and jax.lax.cond for an if that need its value; or keep one value"
        )
    is_number = kind in ("bool", "int", "float", "complex")
    return f"{what}, with a graph for each value: {pass_it if is_number else keep}"
