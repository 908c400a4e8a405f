"""Why JAX built again, in the words of the user's code, and what ends the rebuilds: each hint is done to the letter."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util

import numpy as np
import pytest

from pytest_graphmode import watch
from tests.backends.variants import imported_jax


@pytest.fixture(scope="module", autouse=True)
def jax():
    return imported_jax()


@pytest.fixture
def jnp(jax):
    return jax.numpy


class Config:
    def __init__(self, n):
        self.n = n


@dataclasses.dataclass(frozen=True)
class Frozen:
    n: int


class Shape:
    """A class with a static part that it flattens itself."""

    def __init__(self, length, idx):
        self.length = length
        self.idx = idx


@pytest.fixture(scope="module")
def shape_class(jax):
    jax.tree_util.register_pytree_node(
        Shape,
        lambda shape: ((shape.length,), {"index": shape.idx}),
        lambda static, leaves: Shape(*leaves, static["index"]),
    )
    return Shape


def changes(ledger):
    return [[(cause.kind, cause.argument, cause.before, cause.after) for cause in one.causes] for one in ledger.events]


def hints(ledger):
    return [cause.hint for event in ledger.events for cause in event.causes]


def counts(ledger):
    return ledger.builds, ledger.rebuilds


# What changed.


def test_the_form_of_the_call(jax, jnp):
    add = jax.jit(lambda x, parameter: x + parameter)
    with watch() as ledger:
        add(1.0, 1.0)
        add(1.0, parameter=1.0)
        add(x=1.0, parameter=1.0)
    assert changes(ledger)[1:] == [
        [("structure", "parameter", "by position", "by keyword")],
        [("structure", "x", "by position", "by keyword")],
    ]
    assert hints(ledger)[0] == "pass parameter in one way, by position or by keyword, in every call"
    with watch() as ledger:
        again = jax.jit(lambda x, parameter: x + parameter)
        for _ in range(3):
            again(1.0, parameter=1.0)
    assert counts(ledger) == (1, 0)


def test_a_static_field(jax, jnp, shape_class):
    area = jax.jit(lambda shape: shape.length**2)
    with watch() as ledger:
        for idx in (1, 1, 2):
            area(shape_class(jnp.ones(()), idx))
    assert changes(ledger)[1] == [("python-value", "shape.idx", "1", "2")]
    assert ledger.events[1].signature == "shape.idx: 2, shape.length: float32[]"
    assert "shape.idx is a Python int that changed 1 -> 2: idx is a static field of Shape" in ledger.explain()
    assert "PyTreeDef" not in ledger.explain()


def test_a_static_field_that_became_data_is_no_cause(jax, jnp):
    @dataclasses.dataclass
    class Area:
        length: object
        idx: object

    jax.tree_util.register_dataclass(Area, data_fields=["length", "idx"], meta_fields=[])
    area = jax.jit(lambda shape: shape.length**2 * shape.idx)
    with watch() as ledger:
        for idx in (1, 2, 3):
            area(Area(jnp.ones(()), idx))
    assert counts(ledger) == (1, 0)


def test_a_static_object_made_anew(jax, jnp):
    @functools.partial(jax.jit, static_argnums=1)
    def scale(x, config):
        return x * config.n

    with watch() as ledger:
        for n in (2, 2, 3):
            scale(jnp.ones(2), Config(n))
    assert changes(ledger)[1:] == [
        [("python-value", "config", "Config(n=2)", "Config(n=2)")],
        [("python-value", "config", "Config(n=2)", "Config(n=3)")],
    ]
    assert hints(ledger)[0].startswith("Config has no __eq__ and __hash__")
    kept = Config(2)
    for configs in ([Frozen(2), Frozen(2), Frozen(2)], [kept, kept, kept]):
        jax.clear_caches()
        with watch() as ledger:
            for config in configs:
                scale(jnp.ones(2), config)
        assert ledger.builds == 1


def test_a_static_number_and_what_to_do_about_it(jax, jnp):
    @functools.partial(jax.jit, static_argnames="steps")
    def rollout(x, steps):
        for _ in range(steps):
            x = x * 1.1
        return x

    with watch() as ledger:
        for steps in (1, 2):
            rollout(jnp.ones(2), steps=steps)
    assert changes(ledger)[1] == [("python-value", "steps", "1", "2")]
    assert "leave it out of them" in hints(ledger)[0]
    assert "jax.lax.fori_loop" in hints(ledger)[0]
    traced = jax.jit(lambda x, steps: jax.lax.fori_loop(0, steps, lambda _, x: x * 1.1, x))
    with watch() as ledger:
        for steps in (1, 2):
            traced(jnp.ones(2), steps=steps)
    assert counts(ledger) == (1, 0)


@pytest.mark.parametrize(
    ("before", "after", "texts"), [("a", "b", ("'a'", "'b'")), ((1, 2), (1, 3), ("(1, 2)", "(1, 3)"))]
)
def test_a_static_value_that_no_array_stands_for(jax, jnp, before, after, texts):
    function = jax.jit(lambda x, mode: x * 2, static_argnums=1)
    with watch() as ledger:
        function(jnp.ones(2), before)
        function(jnp.ones(2), after)
    assert changes(ledger)[1] == [("python-value", "mode", *texts)]
    assert hints(ledger)[0].endswith("keep one value, or allow one build for each")
    assert "array" not in hints(ledger)[0]


def test_a_static_function_by_its_name(jax, jnp):
    def first(x):
        return x

    def second(x):
        return x

    apply = jax.jit(lambda f, x: f(x), static_argnums=0)
    with watch() as ledger:
        apply(first, jnp.ones(2))
        apply(second, jnp.ones(2))
    assert changes(ledger)[1] == [("python-value", "f", "the function first", "the function second")]


def test_weak_types_and_what_to_do_about_them(jax, jnp):
    add = jax.jit(lambda x, y: x + y)
    with watch() as ledger:
        add(add(0, np.int32(1)), np.int32(1))
    assert changes(ledger)[1] == [("dtype", "x", "weak int32", "int32")]
    assert "jax.numpy.asarray(value, dtype)" in hints(ledger)[0]
    with watch() as ledger:
        again = jax.jit(lambda x, y: x + y)
        again(again(jnp.asarray(0, jnp.int32), np.int32(1)), np.int32(1))
    assert counts(ledger) == (1, 0)


def test_a_tree_that_grows(jax, jnp):
    total = jax.jit(lambda batch: sum(jnp.sum(leaf) for leaf in jax.tree_util.tree_leaves(batch)))
    with watch() as ledger:
        total({"x": jnp.ones(2)})
        total({"x": jnp.ones(2), "mask": jnp.ones(2)})
        total({"x": jnp.ones(2), "mask": None})
        total({"x": [], "mask": None})
    assert changes(ledger)[1:] == [
        [("structure", "batch", "", "batch['mask']")],
        [("structure", "batch['mask']", "float32[2]", "None")],
        [("structure", "batch['x']", "float32[2]", "Python list []")],
    ]


def test_a_closed_over_value_and_what_to_do_about_it(jax, jnp):
    with watch() as ledger:
        for rate in (0.1, 0.2):
            jax.jit(lambda x, rate=rate: x)(jnp.ones(3))

        def scaled(rate):
            return jax.jit(lambda x: x * rate)

        for rate in (0.1, 0.2):
            scaled(rate)(jnp.ones(3))
    assert ("closure", "rate", "0.1", "0.2") in changes(ledger)[3]
    once = jax.jit(lambda x, rate: x * rate)
    with watch() as ledger:
        for rate in (0.1, 0.2):
            once(jnp.ones(3), rate)
    assert counts(ledger) == (1, 0)


def test_a_gradient_made_anew(jax, jnp):
    def loss(w):
        return jnp.sum(w**2)

    with watch() as ledger:
        for _ in range(3):
            jax.jit(jax.grad(loss))(jnp.ones(3))
    assert counts(ledger) == (3, 2)
    assert {event.function for event in ledger.events} == {"grad(loss)"}


def test_an_object_whose_description_raises_is_no_concern_of_the_call(jax, jnp):
    class Odd:
        def __repr__(self):
            raise ValueError("no words")

    function = jax.jit(lambda x, odd: x * 2, static_argnums=1)
    with watch() as ledger:
        for _ in range(2):
            function(jnp.ones(2), Odd())
    assert counts(ledger) == (2, 1)
    assert ledger.explain()


# Loops and branches outside of jit.

CONSTRUCTS = {
    "scan": lambda jax: jax.lax.scan(lambda carry, x: (carry + x, carry), 0.0, jax.numpy.ones(4)),
    "while_loop": lambda jax: jax.lax.while_loop(lambda n: n < 3, lambda n: n + 1, 0),
    "fori_loop": lambda jax: jax.lax.fori_loop(0, 3, lambda i, x: x + i, 0),
    "fori_loop of arrays": lambda jax: jax.lax.fori_loop(0, jax.numpy.int32(3), lambda i, x: x + i, 0),
    "map": lambda jax: jax.lax.map(lambda x: x + 1, jax.numpy.ones(3)),
    "cond": lambda jax: jax.lax.cond(jax.numpy.array(True), lambda x: x + 1, lambda x: x + 2, 1.0),
    "switch": lambda jax: jax.lax.switch(jax.numpy.int32(1), [lambda x: x + 1, lambda x: x + 2, lambda x: x], 1.0),
}
FUNCTIONS = {"while_loop": 2, "cond": 2, "switch": 3}


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_a_construct_outside_of_jit_with_new_functions(jax, construct):
    functions = FUNCTIONS.get(construct, 1)
    with watch() as ledger:
        for _ in range(3):
            CONSTRUCTS[construct](jax)
    assert counts(ledger) == (3 * functions, 2 * functions)
    name = construct.partition(" ")[0]
    assert {event.function for event in ledger.events} == {f"{name}(<lambda>)"}
    assert all("one function under jax.jit" in hint for hint in hints(ledger))
    under_jit = jax.jit(lambda: CONSTRUCTS[construct](jax))
    with watch() as ledger:
        for _ in range(3):
            under_jit()
    assert counts(ledger) == (1, 0)


def test_a_construct_with_its_functions_defined_once(jax, jnp):
    def body(carry, x):
        return carry + x, carry

    with watch() as ledger:
        for _ in range(3):
            jax.lax.scan(body, 0.0, jnp.ones(4))
    assert counts(ledger) == (1, 0)
    assert [argument.name for argument in ledger.events[0].arguments] == ["carry", "x"]


def test_a_construct_whose_body_raises(jax, jnp):
    def body(carry, x):
        raise ValueError("no")

    with watch() as ledger, pytest.raises(ValueError, match="no"):
        jax.lax.scan(body, 0.0, jnp.ones(4))
    assert [event.failed for event in ledger.events] == [True]


def test_operations_are_counted_by_jaxs_names(jax, jnp):
    with watch() as ledger:
        jax.jit(lambda x: jnp.sin(x) + jnp.sin(x) * 2)(jnp.ones(3))
    (event,) = ledger.events
    assert event.operations["sin"] == 2
    assert sum(event.operations.values()) == event.nodes


def test_calls_are_unknown_and_not_none(jax, jnp):
    with watch() as ledger:
        double = jax.jit(lambda x: x * 2)
        for _ in range(3):
            double(jnp.ones(3))
    assert ledger.uncountable_calls == {("jax", "jit")}


# Libraries.

FILTER_JIT = """
import functools
import jax

def fun_wrapped(names):
    def fun_wrapped(dynamic_donate, dynamic_nodonate, static):
        leaves = {**dynamic_donate, **dynamic_nodonate}
        parts = []
        for name, (values, tree) in zip(("fun", "first", "rest"), static):
            both = [d if s is None else s for d, s in zip(leaves[name], values)]
            parts.append(jax.tree_util.tree_unflatten(tree, both))
        fun, first, (rest, kwargs) = parts
        return fun(*((first,) + rest)[:-1], **kwargs)
    fun_wrapped.__name__, fun_wrapped.__qualname__ = names
    return jax.jit(fun_wrapped, donate_argnums=0, static_argnums=2)

def partition(tree):
    leaves, definition = jax.tree_util.tree_flatten(tree)
    arrays = tuple(leaf if isinstance(leaf, jax.Array) else None for leaf in leaves)
    return arrays, (tuple(None if isinstance(leaf, jax.Array) else leaf for leaf in leaves), definition)

@functools.lru_cache
def cached(names):
    return fun_wrapped(names)

def filter_jit(fun):
    def call(*args):
        parts = dict(zip(("fun", "first", "rest"), map(partition, (fun, args[0], ((*args[1:], None), {})))))
        arrays = {name: part[0] for name, part in parts.items()}
        return cached((fun.__name__, fun.__qualname__))({}, arrays, tuple(part[1] for part in parts.values()))
    return call
"""


@pytest.fixture(scope="module")
def filter_jit(jax, tmp_path_factory):
    """equinox.filter_jit, by what it hands to jax.jit."""
    file = tmp_path_factory.mktemp("site") / "equinox" / "_jit.py"
    file.parent.mkdir()
    file.write_text(FILTER_JIT)
    spec = importlib.util.spec_from_file_location("equinox_jit_like", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.filter_jit


def test_functions_under_equinox_are_told_apart_and_named_by_their_own_arguments(jnp, filter_jit):
    def loss(x, factor):
        return x * factor

    def other(x):
        return x + 1

    with watch() as ledger:
        for factor in (2, 2, 3):
            filter_jit(loss)(jnp.ones(3), factor)
        filter_jit(other)(jnp.ones(3))
    assert [(event.function, event.signature) for event in ledger.events] == [
        ("loss", "x: float32[3], factor: 2"),
        ("loss", "x: float32[3], factor: 3"),
        ("other", "x: float32[3]"),
    ]
    assert changes(ledger) == [[], [("python-value", "factor", "2", "3")], []]
    assert "pass factor as an array, jax.numpy.asarray(factor)" in hints(ledger)[0]
    with watch() as ledger:
        for factor in (2, 3):
            filter_jit(loss)(jnp.ones(4), jnp.asarray(factor))
    assert ledger.builds == 1


def test_the_wrapper_of_a_library_names_nothing(jax, jnp):
    def checked(fn):
        @functools.wraps(fn)
        def jaxtyped(*args, **kwargs):
            return fn(*args, **kwargs)

        return jaxtyped

    @jax.jit
    @checked
    def scale(x, factor):
        return x * factor

    with watch() as ledger:
        scale(jnp.ones(3), 2.0)
        scale(jnp.ones(3), 2)
    assert ledger.events[0].function == "scale"
    assert changes(ledger)[1] == [("dtype", "factor", "weak float32", "weak int32")]
