import functools
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from pytest_graphmode.ledger import identity, places


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


def test_library_files_are_told_from_the_users():
    assert identity.is_library(np.__file__)
    assert identity.is_library("/venv/lib/python3.11/site-packages/torch/nn/modules/linear.py")
    assert not identity.is_library("/venv/lib/python3.11/site-packages/torchmetrics/aggregation.py")
    assert not identity.is_library("/venv/lib/python3.11/site-packages/torch_user.py")
    assert identity.is_library(functools.__file__)
    assert identity.is_library(pytest.__file__)
    assert identity.is_library(identity.__file__)
    assert identity.is_library("/tmp/__autograph_generated_file1234.py")
    assert not identity.is_library(__file__)
    assert not identity.is_library("/home/me/project/model.py")
    assert not identity.is_library("<ipython-input-1>")


def test_the_call_site_is_the_innermost_line_of_the_user():
    line = sys._getframe().f_lineno + 1
    assert identity.call_site() == f"tests/ledger/test_places.py:{line}"
    through_library = functools.reduce(lambda _, __: identity.call_site(), [1, 2])
    assert through_library == f"tests/ledger/test_places.py:{line + 1}"
