"""JAX: functions traced by jax.jit, and eager execution."""

from pytest_graphmode.backends.jax.backend import Jax

__all__ = ["Jax"]
