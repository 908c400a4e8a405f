"""What stands in the ini file, and what nobody said."""

import pytest

from pytest_graphmode.select.registry import registry_of
from pytest_graphmode.select.settings import Settings
from tests.project import Project


def settings(toy: Project, *args: str) -> Settings:
    return registry_of(toy.parseconfigure(*args)).settings


def test_ini_keys_of_settings(toy: Project) -> None:
    toy.makeini("""
        [pytest]
        graph_watch = true
        graph_report = yes
        graph_per_object = on
        graph_compiler = eager
        graph_within =
            mypackage, other.models
            third
        graph_tolerances =
            float32: rtol=1e-4 atol=1e-6
            cuda.bfloat16: rtol=0.02
    """)
    found = settings(toy)
    assert (found.watch, found.report, found.per_object, found.compiler) == (True, True, True, "eager")
    assert found.within == ("mypackage", "other.models", "third")
    assert found.tolerances == {"float32": (1e-4, 1e-6), "gpu.bfloat16": (0.02, None)}
    assert settings(toy, "--graph-compiler=aot_eager").compiler == "aot_eager"


def test_what_nobody_said_has_its_default(toy: Project) -> None:
    found = settings(toy)
    assert (found.watch, found.report, found.per_object, found.compiler) == (False, False, False, None)
    assert (found.within, found.tolerances, found.origins) == ((), {}, {})


def test_an_ini_key_watches_and_reports(toy: Project) -> None:
    toy.makeini("[pytest]\ngraph_watch = true\ngraph_report = true\n")
    toy.write("import toylib\ndef test_plain():\n    toylib.jit(abs)(1)\n")
    toy.run().says("*= graph report =*", "*::test_plain", "  toy:graph *")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--graph-records= ", "--graph-records= : names no folder"),
        ("--graph-records=conftest.py", "--graph-records=*conftest.py: there is a file of this name: name a folder"),
        ("--graph-records-frozen", "--graph-records-frozen compares with records: name their folder, *=DIR"),
    ],
)
def test_wrong_records_are_usage_errors(toy: Project, option: str, message: str) -> None:
    toy.run(option).refuses(message)
