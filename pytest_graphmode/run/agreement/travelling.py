"""How the variants of a run got on in other workers of pytest-xdist: files in a folder that is there for it alone.

A worker notes there that a variant began and how it ended, with its record; the item that compares them reads it.
The process that started the workers notes which of them went down. What can't be written or read is run again by the
item, which is always right.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_graphmode.run import beside
from pytest_graphmode.run.agreement import keeping

if TYPE_CHECKING:
    from pytest_graphmode.records.recording import Run
    from pytest_graphmode.select.variants import Variant

# For how long an item waits for a variant that another worker is in the middle of. To run it here at once would take as
# long and compute it twice, and where it is about to crash that worker this one would be lost too. The variant waits
# for no item, so that the two can't wait for each other; where it hangs, or holds on to what the other needs, the wait
# ends here.
_PATIENCE: Final = 60.0
_PAUSE: Final = 0.02


def of(config: pytest.Config) -> Travel | None:
    """Where this worker finds the others; None in a process that is no worker, or shares no folder with others."""
    folder = beside.told(config).get("folder")
    if not folder or not Path(folder).is_dir():
        return None
    return Travel(Path(folder), config.workerinput["workerid"])  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Travel:
    """The folder, as one worker uses it: `began`, `ended` and `npz` files by variant, and a `down` file by worker."""

    folder: Path
    worker: str

    def began(self, item: pytest.Item) -> None:
        """Note that a variant is run here: should it never end, the item that compares it knows who crashed."""
        with suppress(OSError):
            self._file(item, "ended").unlink(missing_ok=True)
            self._put(self._file(item, "began"), {"worker": self.worker, "test": item.nodeid})

    def ended(self, item: pytest.Function, run: Run | None) -> None:
        """Keep how a variant ran, and what it recorded; nothing of a run that is not to be told, or not known here."""
        from pytest_graphmode.records import archive

        if run is None:
            self.explained(item)
            return
        said = {"outcome": run.outcome, "reason": run.reason, "recorded": bool(run.recording)}
        with suppress(OSError, archive.RecordError):
            if run.recording:
                archive.write(self._file(item, "npz"), keeping.origin(item, run.variant), run.recording)
            self._put(self._file(item, "ended"), {**said, "unwritten": item.stash.get(keeping.UNWRITTEN, None)})

    def elsewhere(self, item: pytest.Function, variant: Variant, *, wait: bool) -> Run | None:
        """How a variant ran in another worker, which may `wait` for its end; None where it is to be run here."""
        from pytest_graphmode.records.recording import Run

        until = time.monotonic() + (_PATIENCE if wait else 0.0)
        while True:
            began = _read(self._file(item, "began"))
            if began is None or began["worker"] == self.worker:
                return None
            down = self._down(began["worker"]).exists()  # before the end is looked for, which may have come first
            ended = _read(self._file(item, "ended"))
            if ended is not None:
                return self._run(item, variant, ended)
            if down:
                return Run(variant, "crashed", began["worker"])
            if time.monotonic() >= until:
                return None
            time.sleep(_PAUSE)

    def _run(self, item: pytest.Function, variant: Variant, ended: dict[str, Any]) -> Run | None:
        from pytest_graphmode.records import archive
        from pytest_graphmode.records.recording import Recording, Run

        try:
            recording = archive.read(self._file(item, "npz")).recording() if ended["recorded"] else Recording()
        except archive.RecordError:
            return None
        item.stash[keeping.UNWRITTEN] = ended["unwritten"]
        return Run(variant, ended["outcome"], ended["reason"], recording)

    def forget(self, item: pytest.Item) -> None:
        """Remove what a variant left, once it was compared."""
        if self._file(item, "ended").exists():
            for kind in ("npz", "began", "ended"):
                with suppress(OSError):
                    self._file(item, kind).unlink(missing_ok=True)

    def explaining(self, item: pytest.Item, rerun: pytest.Item, failure: str) -> None:
        """Note what an item runs to say more of its failure, which is told even if that crashes this worker."""
        with suppress(OSError):
            self._put(self._file(item, "began"), {"worker": self.worker, "test": rerun.nodeid, "failure": failure})

    def explained(self, item: pytest.Item) -> None:
        """Take back that something began."""
        with suppress(OSError):
            self._file(item, "began").unlink(missing_ok=True)

    def lost(self) -> None:
        with suppress(OSError):
            self._down(self.worker).touch()

    def unfinished(self) -> dict[str, str]:
        """The node ids of the variants that this worker was in the middle of, with the failure that they explain."""
        found = [(file, _read(file)) for file in self.folder.glob("*.began")]
        return {
            began["test"]: began.get("failure", "")
            for file, began in found
            if began is not None and began["worker"] == self.worker and not file.with_suffix(".ended").exists()
        }

    def _file(self, item: pytest.Item, kind: str) -> Path:
        name = hashlib.sha256(item.nodeid.encode(errors="surrogatepass")).hexdigest()[:32]
        return self.folder / f"{name}.{kind}"

    def _down(self, worker: str) -> Path:
        return self.folder / f"{worker}.down"

    def _put(self, file: Path, said: dict[str, Any]) -> None:
        beside_it = file.with_suffix(f".{self.worker}-{os.getpid()}.part")
        beside_it.write_text(json.dumps(said), encoding="utf-8")
        beside_it.replace(file)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return said
