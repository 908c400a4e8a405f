"""Rows that time whole pytest processes: start-up, unused plugin, collection, the matrix, two workers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.measure import Row, cpu_of, in_turn, milliseconds, pytest_command, wall_of

WITHOUT = ("-p", "no:graphmode")


@contextmanager
def folder(**files: str) -> Iterator[Path]:
    """A directory with Python files and a pytest.ini of its own."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        (path / "pytest.ini").write_text("[pytest]\n")
        for stem, text in files.items():
            (path / f"{stem}.py").write_text(text)
        yield path


def start_up() -> Row:
    with folder(test_empty="") as path:
        collect = pytest_command("--collect-only", "test_empty.py")
        # Exit status 5: no tests.
        shell = ["sh", "-c", '"$@"; test $? -eq 5', "sh"]
        pair = in_turn(cpu_of([*shell, *collect], path), cpu_of([*shell, *collect, *WITHOUT], path), 25)
    ours, theirs = map(milliseconds, pair.medians)
    return Row("start-up added to --collect-only", ours, theirs, pair.difference * 1e3, 5, "ms")


def unused() -> Row:
    text = "import pytest\n@pytest.mark.parametrize('n', range(5000))\ndef test_nothing(n): assert n >= 0\n"
    with folder(test_plain=text) as path:
        command = pytest_command("test_plain.py")
        pair = in_turn(cpu_of(command, path), cpu_of([*command, *WITHOUT], path), 9)
    ours, theirs = map(milliseconds, pair.medians)
    return Row("5,000 tests that do not use the plugin", ours, theirs, pair.ratio, 1.01)


_BY_HAND = """
import pytest
VARIANTS = [pytest.param(object(), id="tf-graph-cpu"), pytest.param(object(), id="torch-eager-cpu")]
@pytest.fixture
def graphmode(request): return request.param
"""


def collection() -> Row:
    ours = "\n".join(f"def test_{index}(graphmode): graphmode.xp" for index in range(10_000))
    mark = "@pytest.mark.parametrize('graphmode', VARIANTS, indirect=True)\n"
    theirs = _BY_HAND + "\n".join(f"{mark}def test_{index}(graphmode): graphmode.xp" for index in range(10_000))
    with folder(test_ours=ours, test_theirs=theirs) as path:
        command = pytest_command("--collect-only", "-qq")
        with_plugin = cpu_of([*command, "--graph-backends=tf,torch", "test_ours.py"], path)
        pair = in_turn(with_plugin, cpu_of([*command, *WITHOUT, "test_theirs.py"], path), 5)
    ours_ms, theirs_ms = map(milliseconds, pair.medians)
    return Row("collecting 10,000 tests x 2 variants", ours_ms, theirs_ms, pair.ratio, 1.1)


_MATRIX = """
import numpy as np, pytest
@pytest.mark.parametrize("size", range(40))
def test_step(graphmode, size):
    xp = graphmode.xp
    w = np.ones((200, 200))
    def loss(w):
        h = w
        for _ in range(4):
            h = xp.tanh(xp.matmul(h, w))
        return xp.sum(h)
    step = graphmode.value_and_grad(loss)
    for _ in range(20):
        value, grad = step(w)
    assert np.isfinite(graphmode.numpy(value))
"""

_MATRIX_BY_HAND = """
import numpy as np, pytest
import tensorflow as tf, torch

def tf_step(w):
    @tf.function
    def step(w):
        with tf.GradientTape() as tape:
            tape.watch(w)
            h = w
            for _ in range(4):
                h = tf.tanh(tf.matmul(h, w))
            value = tf.reduce_sum(h)
        return value, tape.gradient(value, w)
    return lambda: step(tf.constant(w, tf.float32))

def torch_step(w):
    def step(w):
        w = w.requires_grad_()
        h = w
        for _ in range(4):
            h = torch.tanh(torch.matmul(h, w))
        value = torch.sum(h)
        return value.detach(), torch.autograd.grad(value, w)[0]
    return lambda: step(torch.tensor(w, dtype=torch.float32))

@pytest.mark.parametrize("size", range(40))
@pytest.mark.parametrize("make", [tf_step, torch_step])
def test_step(make, size):
    step = make(np.ones((200, 200)))
    for _ in range(20):
        value, grad = step()
    assert np.isfinite(value.numpy())
"""


def matrix() -> Row:
    with folder(test_ours=_MATRIX, test_theirs=_MATRIX_BY_HAND) as path:
        ours = cpu_of(pytest_command("--graph-backends=tf,torch", "test_ours.py"), path)
        pair = in_turn(ours, cpu_of(pytest_command(*WITHOUT, "test_theirs.py"), path), 5)
    ours_ms, theirs_ms = map(milliseconds, pair.medians)
    return Row("the matrix against tests written by hand", ours_ms, theirs_ms, pair.ratio, 1.05)


_COMPUTE = """
import numpy as np, pytest
@pytest.mark.parametrize("size", range(60))
def test_compute(graphmode, size):
    torch = graphmode.lib
    torch.set_num_threads(1)
    w = graphmode.tensor(np.ones((700, 700)))
    step = graphmode.function(lambda w: torch.tanh(w @ w))
    for _ in range(20):
        step(w)
"""


def two_workers() -> Row:
    with folder(test_compute=_COMPUTE) as path:
        command = pytest_command("--graph-backends=torch", "test_compute.py")
        pair = in_turn(wall_of(command, path), wall_of([*command, "-n", "2"], path), 3)
    one, two = map(milliseconds, pair.medians)
    return Row("-n 2 against one process", two, one, pair.ratio, 1.8, at_least=True)


ROWS = {
    "start-up": start_up,
    "unused": unused,
    "collection": collection,
    "matrix": matrix,
    "workers": two_workers,
}
