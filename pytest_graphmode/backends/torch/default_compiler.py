"""The compiler backend that torch.compile takes where none is named: torch's own, or that of `--graph-compiler`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

from pytest_graphmode.errors import UnsupportedError

# Graphs and gradients are what torch:compile variants test, not code generation.
OF_VARIANTS: Final = "aot_eager"


class DefaultCompiler:
    """What torch is told, and what takes it back. One instance serves the process, as there is one default in it."""

    def __init__(self) -> None:
        self.name: str | None = None
        self._forced: str | None = None
        self._undo: Callable[[], None] | None = None

    def use(self, name: str) -> None:
        """Make a compiler backend the default, as far as torch is imported; a call more where Dynamo came later.

        Raises:
            UnsupportedError: this version of torch has no default to change.
        """
        self.name = name
        if self._undo is None:
            self._undo = _set(name)

    def of_function(self, named: Any) -> Any:
        """The one for a function of the test, which may name one itself."""
        return self._forced or named or self.name or OF_VARIANTS

    @contextmanager
    def forced_to(self, name: str) -> Iterator[None]:
        """In a block, also for functions that name one: to see what another one does with them."""
        before, self._forced = self._forced, name
        try:
            yield
        finally:
            self._forced = before

    def restore(self) -> None:
        undo, self._undo, self.name = self._undo, None, None
        if undo is not None:
            undo()


default: Final = DefaultCompiler()


def _set(name: str) -> Callable[[], None] | None:
    """Set the default; None where torch will only have one once Dynamo is imported."""
    keywords: dict[str, Any] = torch.compile.__kwdefaults__ or {}
    if keywords.get("backend") is not None:  # torch 2.4 to 2.11: a keyword's default, and no function sets another
        named = keywords["backend"]
        keywords["backend"] = name
        return lambda: keywords.update(backend=named)
    if not hasattr(torch.compiler, "set_default_backend"):
        raise UnsupportedError(f"torch {torch.__version__} has no default compiler backend that can be set")
    if "torch._dynamo.backends.registry" not in sys.modules:
        return None  # the function would import Dynamo, which takes seconds
    before = torch.compiler.get_default_backend()
    torch.compiler.set_default_backend(name)
    return lambda: torch.compiler.set_default_backend(before)


def unknown(name: str) -> str | None:
    """What to say of a name that torch has no compiler backend by, None for one that it has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what torch's own backends import
        names = torch.compiler.list_backends(exclude_tags=())
    if name in names:
        return None
    shown = ", ".join(known for known in names if not known.endswith("_TESTING_ONLY"))
    return f"torch {torch.__version__} has no compiler backend {name!r}: its backends are {shown}"
