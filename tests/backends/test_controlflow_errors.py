"""What loops and branches refuse, in the same words in every mode."""

import dataclasses
import re

import numpy as np
import pytest

from tests.backends.variants import variants

# The operators refuse before a framework sees the values, so one mode of each kind will do.
every_mode = variants("tf:graph", "torch:eager", "numpy")


@dataclasses.dataclass
class Named:
    """A node whose leaf is another string each time that it is walked."""

    name: str

    def __getattribute__(self, name):
        found = object.__getattribute__(self, name)
        return found * 2 if name == "name" else found


# What is tried, and what is said.
VALUE_ERRORS = {
    "a variable grows": (
        lambda g: g.while_loop(lambda x, n: n < 3, lambda x, n: (g.xp.concatenate([x, x]), n + 1), (np.ones(3), 0)),
        (
            "while_loop: loop_vars[0] changed shape in body, [3] -> [6]: a loop variable keeps its shape; start with "
            "the final shape and fill it in, or collect values with scan"
        ),
    ),
    "a variable is dropped": (
        lambda g: g.while_loop(lambda t: t["n"] < 3, lambda t: {"n": t["n"] + 1}, {"n": 0, "x": 1.0}),
        (
            "while_loop: body changed the structure of loop_vars, {'n': *, 'x': *} -> {'n': *}: loop_vars['x'] is "
            "missing; return every loop variable in the nesting it was given in"
        ),
    ),
    "the return is forgotten": (
        lambda g: g.while_loop(lambda a, b: a < 3, lambda a, b: None, (0, 1)),
        "while_loop: body changed the structure of loop_vars: it returned None; return the new value of every loop",
    ),
    "nothing is carried": (
        lambda g: g.while_loop(lambda: False, lambda: (), ()),
        "while_loop: loop_vars holds no tensor: carry what the condition depends on",
    ),
    "a condition has a shape": (
        lambda g: g.while_loop(lambda x: x < 3, lambda x: x + 1, (np.zeros(2),)),
        (
            "while_loop: the result of cond has shape [2], not one bool: reduce it with graphmode.xp.all or any, or "
            "choose element by element with graphmode.xp.where"
        ),
    ),
    "there are no branches": (lambda g: g.switch(1, []), "switch: branches is empty: give it one function per index"),
    "a carry grows": (
        lambda g: g.scan(lambda c, x: ((c[0], c[1][None]), x), (0.0, 1.0), np.ones(3)),
        "scan: init[1] changed shape in f, [] -> [1]:",
    ),
    "f returns three values": (
        lambda g: g.scan(lambda c, x: (c, x, x), 0.0, np.ones(3)),
        "scan: f returned 3 values: it returns the new carry and y, `return carry, y` (y may be None)",
    ),
    "xs is a scalar": (
        lambda g: g.scan(lambda c, x: (c, x), 0.0, {"a": 1.0}),
        "scan: xs['a'] is a scalar: scan goes over the leading axis of every leaf of xs",
    ),
    "xs differ in length": (
        lambda g: g.scan(lambda c, x: (c, None), 0.0, (np.ones(3), np.ones((4, 2)))),
        "scan: the leading axes of xs differ in length: xs[0] has 3, xs[1] has 4; cut or pad them to one length",
    ),
    "xs is nothing": (
        lambda g: g.scan(lambda c, x: (c, None), 0.0, None),
        "scan: xs holds no tensor: scan over graphmode.xp.arange(n) to run f n times",
    ),
}
TYPE_ERRORS = {
    "an int becomes a float": (
        lambda g: g.fori_loop(0, 2, lambda i, t: {"n": g.xp.astype(t["n"], "float32")}, {"n": 0}),
        (
            "fori_loop: init['n'] changed dtype in body, int32 -> float32: cast it back with "
            "graphmode.xp.astype(value, 'int32'), or start with float32"
        ),
    ),
    "a number loses its fraction": (
        lambda g: g.while_loop(lambda n: n < 1, lambda n: 0.5, (0,)),
        "while_loop: loop_vars[0] changed dtype in body, int32 -> the Python float 0.5: start with a value of that",
    ),
    "a variable becomes text": (
        lambda g: g.while_loop(lambda a, b: a < 3, lambda a, b: (a + 1, "b"), (0, 1)),
        "while_loop: loop_vars[1] changed in body, int32 -> the Python str 'b': return tensors, numbers or NumPy",
    ),
    "text is carried": (
        lambda g: g.while_loop(lambda a, b: a < 3, lambda a, b: (a + 1, b), (0, "b")),
        (
            "while_loop: loop_vars[1]: a tensor is made from numbers, NumPy arrays or trees of them, not from str 'b'; "
            "let the function close over anything else"
        ),
    ),
    "a node makes its leaves anew": (
        lambda g: g.fori_loop(0, 3, lambda i, x: x, Named("abc")),
        "fori_loop: init.name: a tensor is made from numbers, NumPy arrays or trees of them, not from str 'abcabc'",
    ),
    "pred is text": (
        lambda g: g.cond("yes", lambda: 1, lambda: 2),
        "cond: pred: a tensor is made from numbers, NumPy arrays or trees of them, not from str 'yes'",
    ),
    "a condition is no bool": (
        lambda g: g.while_loop(lambda n: -n, lambda n: n + 1, (0,)),
        "while_loop: the result of cond has dtype int32, not bool: compare it with something, `x != 0`",
    ),
    "pred is a float": (
        lambda g: g.cond(g.tensor(1.0), lambda: 1, lambda: 2),
        "cond: pred has dtype float32, not bool: compare it with something, `x != 0`",
    ),
    "an operand is text": (
        lambda g: g.cond(g.tensor(True), lambda x, y: x, lambda x, y: x, 1, {"k": "b"}),
        "cond: operands[1]['k']: a tensor is made from numbers",
    ),
    "an index is a float": (
        lambda g: g.switch(1.0, [lambda: 1, lambda: 2]),
        "switch: index has dtype float32, not an integer: cast it, or round it first",
    ),
    "bounds are of two dtypes": (
        lambda g: g.fori_loop(np.int16(0), np.int32(3), lambda i, x: x, 1.0),
        "fori_loop: lower is int16 and upper int32: cast one of them",
    ),
}
REFUSED = {
    **{case: (*row, ValueError) for case, row in VALUE_ERRORS.items()},
    **{case: (*row, TypeError) for case, row in TYPE_ERRORS.items()},
}


@every_mode
@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_a_function(graphmode, case):
    attempt, message, error = REFUSED[case]
    with pytest.raises(error, match=re.escape(message)):
        graphmode.function(lambda: attempt(graphmode))()


@variants("jax:jit")
@pytest.mark.parametrize("case", REFUSED)
def test_refused_at_top_level(graphmode, case):
    attempt, message, error = REFUSED[case]
    with pytest.raises(error, match=re.escape(message)):
        attempt(graphmode)


@variants("tf:graph", "tf:session")
@pytest.mark.parametrize(
    ("true_fn", "false_fn", "error", "message"),
    [
        (
            lambda x: (x, x),
            lambda x: x,
            ValueError,
            "cond: true_fn and false_fn return different structures, (*, *) and *: every branch returns the same tree",
        ),
        (
            lambda x: x,
            lambda x: None,
            ValueError,
            "cond: true_fn and false_fn return different structures, * and None:",
        ),
        (
            lambda x: {"a": x},
            lambda x: {"a": 0},
            TypeError,
            (
                "cond: true_fn and false_fn return different dtypes at result['a'], float32 and int32: cast one of "
                "them, graphmode.xp.astype(value, 'float32')"
            ),
        ),
    ],
)
def test_branches_that_differ(graphmode, true_fn, false_fn, error, message):
    with pytest.raises(error, match=re.escape(message)):
        graphmode.function(lambda x: graphmode.cond(x > 0, true_fn, false_fn, x))(np.float32(1))


@variants("tf:eager", "torch:eager", "jax:eager", "numpy")
def test_ys_that_change(graphmode):
    def growing(carry, x):
        return carry + 1, graphmode.xp.zeros(int(graphmode.numpy(carry)))

    with pytest.raises(ValueError, match=re.escape("scan: y changed shape in f, [1] -> [2]")):
        graphmode.scan(growing, 1, np.ones(3))

    def varying(carry, x):
        return carry + 1, x if int(graphmode.numpy(carry)) < 2 else (x, x)

    with pytest.raises(ValueError, match=re.escape("scan: y changed its structure in f, * -> (*, *): return the same")):
        graphmode.scan(varying, 1, np.ones(3))
