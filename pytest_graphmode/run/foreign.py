"""Says of a test's failure in the code of a framework that is not the variant's own that it is in that one.

Around the body of tests, by `execute.py`: the framework's own words tell of neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pytest_graphmode.select.registry import Registry
    from pytest_graphmode.select.variants import Variant

# How torch, in C++, refuses what is none of its tensors; AutoGraph keeps these words, and no frame of torch's.
_REFUSED: Final = {"torch": "must be Tensor, not "}


@contextmanager
def noted(registry: Registry, variant: Variant | None) -> Iterator[None]:
    """Add to an exception that it came from another framework's code, and what to do about that."""
    try:
        yield
    except Exception as error:
        other = None if variant is None else _other(error, registry, variant)
        if other is not None and hasattr(error, "add_note"):  # since Python 3.11
            error.add_note(
                f"It was raised by {other}'s code, in a test that ran as {variant}: where the test is {other}'s alone, "
                f'narrow it with @pytest.mark.graphmode(backends="{other}"); for one that is not, give each framework '
                f"its own code with graphmode.pick, or use graphmode.xp"
            )
        raise


def _other(error: Exception, registry: Registry, variant: Variant) -> str | None:
    """The backend whose framework raised an error; None where that is the variant's own or none."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    own, inner = registry.specs[variant.backend].module, frame.f_globals.get("__name__", "").partition(".")[0]
    for name, spec in registry.specs.items():
        if spec.module in (own, "numpy"):
            continue
        words = _REFUSED.get(spec.module)
        if inner == spec.module or (isinstance(error, TypeError) and words is not None and words in str(error)):
            return name
    return None
