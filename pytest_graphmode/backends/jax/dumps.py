"""What JAX's own experts ask for: its jaxprs, and what it hands to XLA, as text. Used by `--graph-trace`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import jax

# The second came after JAX 0.4.30, which writes StableHLO alone.
_FOLDER: Final = "jax_dump_ir_to"
_KINDS: Final = "jax_dump_ir_modes"


class Dumps:
    """A `Tracer`: JAX itself writes a file for each graph that it lowers."""

    def __init__(self) -> None:
        self._before: dict[str, Any] = {}

    def start(self, folder: Path) -> None:
        wanted = {_FOLDER: str(folder), _KINDS: "jaxpr,stablehlo"}
        self._before = {name: jax.config.values[name] for name in wanted if name in jax.config.values}
        for name in self._before:
            jax.config.update(name, wanted[name])

    def stop(self) -> None:
        for name, value in self._before.items():
            jax.config.update(name, value)
        self._before = {}

    def end(self) -> None:
        """Nothing else was changed."""
