"""The contract about reverse-mode gradients: values, paths, conventions, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from pytest_graphmode.errors import UnsupportedError
from pytest_graphmode.testing.contract import (
    Contract,
    backend_of,
    expect,
    mode_of,
    needs_gradients,
    needs_python,
    supported,
)
from pytest_graphmode.testing.values import Point

if TYPE_CHECKING:
    from pytest_graphmode.handle import Handle

VECTOR = np.array([1.0, -2.0, 3.0])


def _polynomial(g: Handle, x: Any, coefficients: Any) -> Any:
    total, terms = g.scan(lambda total, c: (total * x + c, total), x * 0, coefficients)
    return total + g.xp.sum(terms)


def _switch(g: Handle, x: Any, index: Any) -> Any:
    return g.switch(index, [lambda x: x, lambda x: x * 2, lambda x: x * x], x)


def _cond(g: Handle, x: Any) -> Any:
    return g.cond(x > 0, lambda x: x**3, lambda x: -x, x)


# A function of a handle and arguments, these, and its gradients by the first of them.
DIFFERENTIATED: Final[dict[str, tuple[Callable[..., Any], tuple[Any, ...], tuple[Any, ...]]]] = {
    "while_loop": (
        lambda g, x: g.while_loop(lambda y, n: n < 3, lambda y, n: (y * x, n + 1), (x, 0))[0],
        (2.0,),
        (np.float32(32),),
    ),
    "fori_loop": (lambda g, x: g.fori_loop(0, 3, lambda i, y: y * x, x), (2.0,), (np.float32(32),)),
    "a loop that never runs": (lambda g, x, n: g.fori_loop(0, n, lambda i, y: y * 5, x) * 2, (1.0, 0), (2.0,)),
    "scan": (_polynomial, (2.0, np.array([1.0, 3.0, 5.0])), (np.float32(8), np.array([7.0, 3.0, 1.0]))),
    "cond": (_cond, (2.0,), (12.0,)),
    "cond, the other branch": (_cond, (-2.0,), (-1.0,)),
    "switch 0": (_switch, (3.0, 0), (1.0,)),
    "switch 2": (_switch, (3.0, 2), (6.0,)),
}


class GradientContract(Contract):
    def test_gradients_are_there_or_refused(self, graphmode: Handle) -> None:
        """`gradients` is true or false, and not just said."""
        backend = backend_of(graphmode)
        if backend.gradients:
            needs_python(graphmode)
            expect(graphmode, graphmode.grad(lambda x: graphmode.xp.sum(x * x))(VECTOR), 2 * VECTOR, rtol=1e-5)
            return
        function = (lambda x: graphmode.xp.sum(x * x)) if backend.traces_python else self.model(graphmode)[0]
        with pytest.raises(UnsupportedError) as refused:
            graphmode.grad(function)(VECTOR)
        assert str(refused.value).strip()

    def test_value_and_gradients_of_several_arguments(self, graphmode: Handle) -> None:
        needs_gradients(graphmode)
        both = graphmode.value_and_grad(lambda x, a, b: graphmode.xp.sum(a * x + b), argnums=(2, 0))
        value, (of_b, of_x) = both(VECTOR, np.array([2.0, 3.0, 4.0]), VECTOR)
        expect(graphmode, (value, of_x, of_b), (np.float32(10), np.array([2.0, 3.0, 4.0]), np.ones(3)), rtol=1e-5)

    def test_one_tensor_as_two_arguments(self, graphmode: Handle) -> None:
        needs_gradients(graphmode)
        gradients = graphmode.grad(lambda x, y: graphmode.xp.sum(x * x * y), argnums=(0, 1))
        for make in (graphmode.tensor, graphmode.variable):
            with supported():
                x = make(VECTOR)
            expect(graphmode, gradients(x, x), (2 * VECTOR**2, VECTOR**2), rtol=1e-5)

    def test_gradients_of_a_tree(self, graphmode: Handle) -> None:
        needs_gradients(graphmode)

        def loss(p: Any) -> Any:
            return graphmode.xp.sum(p["w"] * p["rest"][0].x) + p["rest"][0].y * 3

        grads = graphmode.grad(loss)({"w": VECTOR, "rest": [Point(np.ones(3), graphmode.tensor(1.0))]})
        assert type(grads["rest"][0]) is Point
        expect(graphmode, grads, {"w": np.ones(3), "rest": [Point(VECTOR, np.float32(3))]}, rtol=1e-5)

    def test_no_path_is_none(self, graphmode: Handle) -> None:
        needs_gradients(graphmode)
        grads = graphmode.grad(lambda p: graphmode.xp.sum(p["used"]))({"used": VECTOR, "unused": VECTOR})
        assert grads["unused"] is None
        expect(graphmode, grads["used"], np.ones(3))

    def test_a_path_with_derivative_zero_is_zero(self, graphmode: Handle) -> None:
        needs_gradients(graphmode)
        expect(graphmode, graphmode.grad(lambda x: graphmode.xp.sum(x * 0))(VECTOR), np.zeros(3))

    def test_integers_have_no_gradient(self, graphmode: Handle) -> None:
        needs_gradients(graphmode)
        counts = np.arange(3, dtype=np.int32)
        grads = graphmode.grad(lambda p: graphmode.xp.sum(p["x"][1:]) * 2)({"x": VECTOR, "n": counts})
        assert grads["n"] is None
        expect(graphmode, grads["x"], np.array([0.0, 2.0, 2.0]), rtol=1e-5)

    def test_complex_gradients_follow_tensorflow_and_torch(self, graphmode: Handle) -> None:
        """d Re(c z) / dz is conj(c) there, and c on JAX."""
        needs_gradients(graphmode)
        c = 1 + 2j
        with supported():
            grads = graphmode.grad(lambda z: graphmode.xp.sum(graphmode.xp.real(c * z)))(np.array([3 + 4j, -1j]))
        expect(graphmode, grads, np.full(2, np.conj(c)), rtol=1e-5)

    def test_gradients_of_variables(self, graphmode: Handle) -> None:
        needs_gradients(graphmode)
        with supported():
            weights = {"w": graphmode.variable(VECTOR), "unused": graphmode.variable(1.0)}
        both = graphmode.value_and_grad(lambda x: graphmode.xp.sum(weights["w"] * x), variables=weights)
        value, grads = both(np.array([2.0, 3.0, 4.0]))
        assert grads["unused"] is None
        expect(graphmode, (value, grads["w"]), (np.float32(8), np.array([2.0, 3.0, 4.0])), rtol=1e-5)

    def test_second_derivatives(self, graphmode: Handle) -> None:
        needs_gradients(graphmode)

        def slope(x: Any) -> Any:
            return graphmode.xp.sum(graphmode.grad(lambda x: graphmode.xp.sum(x**3))(x))

        with supported():
            expect(graphmode, graphmode.grad(slope)(VECTOR), 6 * VECTOR, rtol=1e-5)

    @pytest.mark.parametrize("program", DIFFERENTIATED)
    def test_gradients_through_control_flow(self, graphmode: Handle, program: str) -> None:
        needs_gradients(graphmode)
        fn, args, wanted = DIFFERENTIATED[program]
        grad = graphmode.grad(lambda *args: fn(graphmode, *args), argnums=tuple(range(len(wanted))))
        with supported():
            grads = grad(*map(graphmode.tensor, args))
        expect(graphmode, grads, wanted, rtol=1e-5)

    def test_what_is_no_scalar_has_no_gradient(self, graphmode: Handle) -> None:
        needs_gradients(graphmode)
        with pytest.raises(ValueError, match="scalar"):
            graphmode.grad(lambda x: x * 2)(VECTOR)

    def test_training_with_the_update_in_the_function(self, graphmode: Handle) -> None:
        needs_gradients(graphmode)
        with supported():
            weight = graphmode.variable(np.zeros(3))

        def step(x: Any) -> Any:
            loss, gradient = graphmode.value_and_grad(lambda: graphmode.xp.sum((weight - x) ** 2), variables=weight)()
            graphmode.assign(weight, weight - 0.25 * gradient)
            return loss

        train = graphmode.function(step)
        losses = [float(graphmode.numpy(train(VECTOR))) for _ in range(4)]
        np.testing.assert_allclose(losses, 14 * 0.25 ** np.arange(4), rtol=1e-4)
        expect(graphmode, weight, VECTOR * (1 - 0.5**4), rtol=1e-5)
        if mode_of(graphmode).static:
            assert graphmode.ledger.rebuilds == 0, graphmode.explain()

    def test_right_gradients_pass_the_check(self, graphmode: Handle) -> None:
        needs_gradients(graphmode)
        with supported():
            graphmode.check_grads(lambda x: graphmode.xp.sum(graphmode.xp.sin(x) * x), VECTOR)
