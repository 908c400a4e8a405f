"""Records to write and to damage."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_graphmode.records import archive
from pytest_graphmode.records.origin import Origin
from pytest_graphmode.records.recording import Recording


def origin(**given: Any) -> Origin:
    """Of `tf-graph-cpu` under `tensorflow-2.21.0`, or what is given instead."""
    usual = {
        "test": "tests/test_net.py::test_net",
        "variant": "tf-graph-cpu",
        "backend": "tf",
        "mode": "graph",
        "device": "cpu",
        "dtype": "float32",
        "label": "tensorflow-2.21.0",
        "framework": "tensorflow 2.21.0",
        "python": "3.11",
        "platform": "linux-x86_64",
        "seed": 0,
        "source": "0" * 64,
    }
    return Origin(**{**usual, **given})


def recorded(**values: Any) -> Recording:
    """A recording of one step of each of these values."""
    return Recording({name: [{name: value}] for name, value in values.items()})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A record of a number and of an array in two steps."""
    made = tmp_path / "tf-graph-cpu@tensorflow-2.21.0.npz"
    steps = [{"w['a']": np.arange(6, dtype=np.float32).reshape(2, 3) + step} for step in range(2)]
    archive.write(made, origin(), Recording({"loss": [{"loss": 0.5}], "w": steps}))
    return made
