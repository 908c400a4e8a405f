"""Gives what is installed the beginning of README.md as its description.

pytest reads the description of each plugin twice whenever it prints its header, by a slow parser of e-mails: for all of
README that was half a percent of pytest's start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

END = "From a checkout"
MORE = "Failures, checks, reports, settings and limits are described in the [README]({}).\n"


class Beginning(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        beginning, found, _ = Path(self.root, "README.md").read_text(encoding="utf-8").partition(f"\n{END}")
        if not found:
            raise ValueError(f"README.md has no paragraph that begins with {END!r}, where its description ends")
        text = f"{beginning}\n{MORE.format(metadata['urls']['Documentation'])}"
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
