"""The hash of a test's source: the same wherever the test stands, another where it does something else."""

import functools

import pytest

from pytest_graphmode.records.origin import environment, source_hash

HEAD = "import functools\nimport pytest\nagree = pytest.mark.graph_agree\n"
TEST = "@pytest.mark.parametrize('x', [1])\ndef test_net(graphmode, x):\n    y = x\n    assert y\n"


def hash_of(tmp_path, text, name="test_net"):
    file = tmp_path / f"module_{len(list(tmp_path.iterdir()))}.py"
    file.write_text(HEAD + text)
    names = {}
    exec(compile(file.read_text(), str(file), "exec"), names)
    for part in name.split("."):
        names = vars(names[part]) if "." in name and part != name.split(".")[-1] else names[part]
    return source_hash(names)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("\n\ndef before(): pass\n\n" + TEST, "test_net"),
        ("class Test:\n" + "".join(f"    {line}\n" for line in TEST.splitlines()), "Test.test_net"),
        (TEST.replace("y = x", "y = x   \n    # why\n"), "test_net"),
        (TEST.replace("y = x", "y = x  # why"), "test_net"),
        (
            "@pytest.mark.graph_agree(rtol=1e-2,\n    atol=1)\n@pytest.mark.graphmode(backends='tf')\n" + TEST,
            "test_net",
        ),
    ],
    ids=["moved", "in a class", "commented", "commented in the line", "marked"],
)
def test_what_changes_no_value_changes_no_hash(tmp_path, text, name):
    assert hash_of(tmp_path, text, name) == hash_of(tmp_path, TEST)


@pytest.mark.parametrize(
    "text", [TEST.replace("y = x", "y = x + 1"), TEST.replace("[1]", "[2]"), TEST.replace("= x", "= '# x'")]
)
def test_what_may_change_values_changes_the_hash(tmp_path, text):
    assert hash_of(tmp_path, text) != hash_of(tmp_path, TEST)


def test_a_number_sign_in_a_string_is_no_comment(tmp_path):
    text = TEST.replace("y = x", "y = '''\n# {}\n'''")
    assert hash_of(tmp_path, text.format(1)) != hash_of(tmp_path, text.format(2))


def test_a_wrapped_function_is_itself(tmp_path):
    @functools.wraps(hash_of)
    def wrapper():
        pass

    assert source_hash(wrapper) == source_hash(hash_of)


def test_without_a_source_there_is_none():
    names = {}
    exec("def made(): pass", names)
    assert source_hash(names["made"]) is None
    assert source_hash(functools.partial(print)) is None


def test_the_environment_is_what_values_may_depend_on():
    assert environment().keys() == {"python", "platform"}
    assert environment()["python"].count(".") == 1
