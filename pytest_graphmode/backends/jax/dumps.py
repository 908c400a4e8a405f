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
        known = {name: value for name, value in wanted.items() if name in jax.config.values}
        self._before = {name: jax.config.values[name] for name in known}
        for name, value in known.items():
            jax.config.update(name, value)

    def stop(self) -> None:
        before, self._before = self._before, {}
        for name, value in before.items():
            jax.config.update(name, value)

    def end(self) -> None:
        """Nothing else was changed."""
