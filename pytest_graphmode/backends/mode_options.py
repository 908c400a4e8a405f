"""The options of `graphmode.function`: those of every variant, and those that name a backend or a mode.

Called by the handle.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

__tracebackhide__ = True  # in failures, the user's frames are of interest


def options_for(keys: Sequence[str], options: Mapping[str, Any], legal: Collection[str]) -> dict[str, Any]:
    """The options that go to the framework's own call in one variant.

    Args:
        keys: the names of the variant, the most specific first: `torch_compile`, `torch`.
        options: options of every variant, and dicts of options under the name of a backend or of one of its modes;
            the most specific wins.
        legal: every such name.

    Raises:
        TypeError: what stands under such a name is no dict of options.
    """
    named = {key: value for key, value in options.items() if key in legal or key in keys}
    for key, value in named.items():
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise TypeError(
                f"graphmode.function: {key} takes the options of that backend or mode as a dict, "
                f"{key}=dict(option=value), not {value!r}"
            )
    merged = {key: value for key, value in options.items() if key not in named}
    for key in reversed(keys):
        merged.update(named.get(key, {}))
    return merged


def refused(variant: str, options: Mapping[str, Any], error: TypeError, legal: Collection[str]) -> TypeError:
    """What to raise where a mode does not know an option: how to give it to the modes that do."""
    given = ", ".join(f"{name}={value!r}" for name, value in options.items())
    where = f" (the names are {', '.join(legal)})" if legal else ""
    return TypeError(
        f"graphmode.function({given}) in {variant}: {error}\nan option that only one backend or mode has goes "
        "under its name, and the others leave it alone: graphmode.function(fn, torch_compile=dict(dynamic=True))"
        f"{where}"
    )


def require_known(what: str, given: Mapping[str, Any], legal: Collection[str]) -> None:
    unknown = [key for key in given if legal and key not in legal]
    if unknown:
        raise TypeError(f"{what} has no backend or mode {', '.join(unknown)}: the names are {', '.join(legal)}")
