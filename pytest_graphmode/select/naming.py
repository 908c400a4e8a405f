"""Variants that a test names itself: `parametrize("graphmode", ["tf", "torch:compile"], indirect=True)`.

Called by `execute.py` and `plugin.py`, at collection.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pytest_graphmode.backends.names import DEFAULT_DTYPE, parse_device, parse_dtype

if TYPE_CHECKING:
    import pytest

    from pytest_graphmode.select.markers import Specs
    from pytest_graphmode.select.variant import Variant


def names_variants(node: pytest.Item) -> bool:
    """Whether a test names its variants itself.

    Raises:
        ValueError: the values would come to the test as they are.
    """
    for mark in node.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
        if "graphmode" in (names.replace(",", " ").split() if isinstance(names, str) else names):
            indirect = mark.args[2] if len(mark.args) > 2 else mark.kwargs.get("indirect", False)
            if indirect is not True and "graphmode" not in (indirect or ()):
                raise ValueError(_DIRECT)
            return True
    return False


_DIRECT: Final = (
    "parametrize('graphmode', ...) would hand the test these values instead of a handle that runs as them: "
    "add indirect=True, or indirect=['graphmode']"
)


def named(value: object, specs: Specs) -> Variant:
    """The variant that a parameter names.

    Args:
        value: a `Variant`, its id (`torch-compile-cpu`), or a pattern (`tf`, `torch:compile@gpu:0[bfloat16]`), in which
            the default mode, the CPU and float32 are left out.

    Raises:
        ValueError, TypeError: no variant, with the legal names.
    """
    from pytest_graphmode.select.markers import parse_pattern
    from pytest_graphmode.select.variant import Variant

    if isinstance(value, Variant):
        return value
    if not isinstance(value, str):
        raise TypeError(f"graphmode can't be {value!r}: name a variant, {_FORMS}")
    try:
        pattern = parse_pattern(value, specs)
    except ValueError as error:
        found = _by_id(value, specs)
        if found is None:
            raise ValueError(f"graphmode can't be {value!r}, which names no variant: {error}; write {_FORMS}") from None
        return found
    mode = pattern.mode or specs[pattern.backend].default_mode
    device = parse_device(pattern.device or "cpu")
    return Variant(pattern.backend, mode, device, pattern.dtype or DEFAULT_DTYPE)


_FORMS: Final = (
    "'tf', 'torch:compile', 'torch@gpu:0[bfloat16]', an id like 'tf-graph-cpu', or a pytest_graphmode.Variant"
)


def _by_id(text: str, specs: Specs) -> Variant | None:
    from pytest_graphmode.select.variant import Variant

    for name, mode in ((spec.name, mode) for spec in specs.values() for mode in spec.modes):
        if text.startswith(f"{name}-{mode}-"):
            device, _, dtype = text[len(f"{name}-{mode}-") :].partition("-")
            with suppress(ValueError):
                return Variant(name, mode, parse_device(device), parse_dtype(dtype or DEFAULT_DTYPE))
    return None


def parameter_id(value: object, specs: Specs) -> str | None:
    """The id of such a parameter; None for what names no variant."""
    if value is None:
        return None
    try:
        return named(value, specs).id
    except (ValueError, TypeError):
        return None  # its item fails to be collected
