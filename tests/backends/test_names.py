"""The one name of each device, and lists as people write them."""

import pytest

from pytest_graphmode.backends.names import parse_device, split


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cpu", "cpu"),
        ("cpu:0", "cpu"),
        ("cpu:1", "cpu:1"),
        ("gpu", "gpu:0"),
        ("gpu:00", "gpu:0"),
        ("cuda:3", "gpu:3"),
        ("mps", "mps"),
        ("mps:0", "mps"),
        ("xpu", "xpu:0"),
        ("tpu:2", "tpu:2"),
        (" cuda ", "gpu:0"),
    ],
)
def test_a_device_has_one_name(text: str, expected: str) -> None:
    assert parse_device(text) == expected


@pytest.mark.parametrize("text", ["", "gpu:", "gpu:x", "GPU:0", "/CPU:0", "cpu:-1", "npu"])
def test_what_is_not_a_device(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a device: write cpu, cpu:1, gpu:0 \(or cuda:0\), mps"):
        parse_device(text)


def test_split() -> None:
    assert split(" a, b,,c ", "things") == ["a", "b", "c"]
    assert split(["b", "a"], "things") == ["b", "a"]
    assert split({"b", "a"}, "things") == ["a", "b"]


@pytest.mark.parametrize("value", [1, None, [1], {"a": 1}])
def test_split_wants_text(value: object) -> None:
    with pytest.raises(TypeError, match="things must be a comma list or a list of strings, not"):
        split(value, "things")  # type: ignore[arg-type]
