"""A test whose records are kept between runs, and what is in the folder of them."""

import numpy as np

NET = """
@pytest.mark.graph_agree
def test_net(graphmode):
    graphmode.agree(loss=graphmode.tensor([2.0, 3.0]))
"""
KEPT = "--graph-records=kept"


def files(project, folder="kept"):
    return sorted(str(file.relative_to(project.path / folder)) for file in records_of(project, folder))


def records_of(project, folder="kept"):
    return (project.path / folder).rglob("*.npz")


def label():
    return f"numpy-{np.__version__}"
