import os
from pathlib import Path

import pytest

from pytest_graphmode.ledger import places


@pytest.fixture
def root(tmp_path):
    undo = places.shown_from(tmp_path)
    yield tmp_path
    undo()


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("model.py", "model.py:3"),
        ("{root}/model.py", "model.py:3"),
        ("{root}/src/app/model.py", "src/app/model.py:3"),
        ("{root}/.venv/lib/python3.11/site-packages/app/model.py", "app/model.py:3"),
        ("/usr/lib/python3/dist-packages/app.py", "app.py:3"),
        ("/elsewhere/model.py", "/elsewhere/model.py:3"),
        ("{root}beside/model.py", "{root}beside/model.py:3"),
        (os.__file__, "os.py:3"),
        ("<ipython-input-1>", "<ipython-input-1>:3"),
    ],
)
def test_places_are_shown_so_that_terminals_link_them(root, file, shown):
    assert places.place(file.format(root=root), 3) == shown.format(root=root)


def test_without_a_run_places_are_relative_to_the_working_directory(monkeypatch, tmp_path):
    undo = places.shown_from(Path("/elsewhere"))
    try:
        assert places.place(f"{tmp_path}/model.py", 1) == f"{tmp_path}/model.py:1"
    finally:
        undo()
