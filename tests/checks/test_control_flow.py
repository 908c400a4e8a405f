"""check_control_flow without a framework: every failure with its message, and that it passes otherwise."""

import re

import numpy as np
import pytest

RIGHT = {"while": 1, "cond": 1}


def countdown(handle, n):
    """A loop and in it a branch."""

    def body(n):
        return handle.cond(n > 5, lambda n: n - 2, lambda n: n - 1, n)

    return handle.while_loop(lambda n: n > 0, body, (n,))[0]


FIRST_LINE = countdown.__code__.co_firstlineno
HERE = "tests/checks/test_control_flow.py"
BRANCH, LOOP = f"cond at {HERE}:{FIRST_LINE + 4}", f"while_loop at {HERE}:{FIRST_LINE + 6}"


@pytest.fixture
def fn(static, mode):
    mode.control_flow = RIGHT
    return lambda n: countdown(static, n)


CASES = [(0,), (1,), (9,)]


def failure(handle, fn, cases, **options):
    with pytest.raises(AssertionError) as caught:
        handle.check_control_flow(fn, cases, **options)
    return str(caught.value)


def test_it_passes(static, eager, fn):
    static.check_control_flow(fn, CASES)
    eager.check_control_flow(lambda n: countdown(eager, n), CASES)
    static.check_control_flow(fn, CASES, reference=lambda n: n * 0)


def test_the_project_says_how_far_results_may_be_apart(static):
    def near(x):
        return x * np.float32(1.0005)

    cases = [(np.float32(1),)]
    assert "differs from plain Python" in failure(static, near, cases, reference=lambda x: x)
    static.runtime.tolerances = {"float32": (4e-4, None), "gpu.float32": (1.0, 1.0)}
    assert "allowed are rtol 0.0004 and atol 1e-05" in failure(static, near, cases, reference=lambda x: x)
    static.runtime.tolerances = {"float32": (6e-4, None)}
    static.check_control_flow(near, cases, reference=lambda x: x)


def test_a_difference_from_a_reference_names_the_case_and_the_worst_element(static, fn):
    def doubled(x):
        return {"y": x * np.float32(2)}

    def wrong(x):
        return {"y": x * np.where(np.arange(3) == 1, np.float32(3), np.float32(2))}

    message = failure(static, doubled, [(np.zeros(3),), (np.arange(1.0, 4.0),)], reference=wrong)
    assert (
        "check_control_flow(doubled) in numpy-graph-cpu: case 2 ([1.0, 2.0, 3.0],) differs from plain Python" in message
    )
    assert "result['y'] at [1]: got 4.0, expected 6.0" in message


def test_python_floats_of_a_reference_count_as_the_variants_dtype(static, mode):
    mode.control_flow = {"while": 1}

    def tenths(x):
        return static.fori_loop(0, 10, lambda i, total: total + x, 0.0)

    static.check_control_flow(tenths, [(0.1,)], reference=lambda x: 1.0)
    with static.runtime.using_dtype("float64"):
        static.check_control_flow(tenths, [(0.1,)], reference=lambda x: 1.0)
        assert "got 0.99" in failure(static, tenths, [(0.1,)], reference=lambda x: 1.0 + 1e-6)


def test_cases_of_one_signature_that_rebuild(static, mode, fn):
    mode.always_rebuild = True
    message = failure(static, fn, CASES)
    assert "case 2 (1,) has the signature of case 1 (0,) and built the graph again\n" in message
    assert "built 2 times" in message


@pytest.mark.parametrize(
    ("cases", "gap"),
    [
        ([(1,), (9,)], f"{LOOP} never ran zero times, it ran 1 to 7 times: add a case in which its "),
        ([(0,), (1,)], f"{LOOP} never ran several times, it ran 0 to 1 times: add a case in which it "),
        ([(0,), (5,)], f"true_fn of {BRANCH} was taken by no case: add a case in which pred is True"),
    ],
)
def test_gaps_in_coverage(static, fn, cases, gap):
    message = failure(static, fn, cases)
    assert "the 2 cases leave control flow untested\n" in message
    assert gap in message
    assert message.endswith("or pass coverage=False")
    static.check_control_flow(fn, cases, coverage=False)


def test_every_gap_is_told(static, mode):
    mode.control_flow = {"switch": 1, "while": 1}

    def fn(k, n):
        k = static.switch(k, [lambda k: k, lambda k: k + k, lambda k: -k, lambda k: k], k)
        return static.fori_loop(k, n, lambda i, total: total + i, 0)

    message = failure(static, fn, [(1, 3)])
    assert "the 1 case leaves control flow untested" in message
    assert "branches[0] of switch at" in message
    assert "add a case in which index is 0 or less" in message
    assert "branches[1]" not in message
    assert "add a case in which index is 2\n" in message
    assert "add a case in which index is 3 or more" in message
    assert "fori_loop at" in message
    assert "add a case in which upper is not above lower" in message
    assert "never ran several times, it ran 1 time:" in message


def test_a_graph_that_froze_a_branch_differs_from_plain_python(static, mode, fn):
    mode.frozen = True
    mode.control_flow = {"while": 1}
    message = failure(static, lambda n: n + 1 if n > 0 else n, [(1,), (-1,)], coverage=False)
    assert "case 2 (-1,) differs from plain Python: result: got 2, expected -1" in message


def test_constant_bounds_and_scans_need_no_other_case(static, mode):
    mode.control_flow = {"while": 1, "scan": 1}

    def fn(x):
        x = static.fori_loop(0, 3, lambda i, x: x + i, x)
        return static.scan(lambda x, y: (x + y, None), x, np.ones(2))[0]

    static.check_control_flow(fn, [(1.0,)])


def test_two_operators_of_one_line_are_two_places(static, mode):
    mode.control_flow = {"cond": 2}

    def fn(x):
        return static.cond(x > 0, lambda: 1, lambda: 0) + static.cond(x > 1, lambda: 1, lambda: 0)

    assert "false_fn of cond" not in failure(static, fn, [(0,), (1,)])
    static.check_control_flow(fn, [(0,), (1,), (2,)])
    mode.control_flow = {"cond": 1}
    message = failure(static, fn, [(0,), (1,), (2,)])
    assert re.search(rf"holds 1 branch where the code has 2: cond at {HERE}:(\d+), cond at {HERE}:\1\n", message)


def test_a_loop_that_was_unrolled(static, mode, fn):
    mode.control_flow = {"cond": 7}
    message = failure(static, fn, CASES)
    assert (
        f"the graph for case 1 (0,) holds no loops where the code has 1: {LOOP}\n"
        "one was unrolled, or decided by a Python value, while the graph was built: let tensors decide "
        "(graphmode.tensor), or pass in_graph=False"
    ) in message
    static.check_control_flow(fn, CASES, in_graph=False)


def test_every_signature_has_a_graph_to_hold_its_places(static, mode):
    def fn(x):
        if x.ndim == 0:
            return x
        return static.fori_loop(0, 2, lambda i, x: x + i, x)

    assert "the graph for case 2" in failure(static, fn, [(1.0,), (np.ones(2),)])


def test_numbers_of_the_cases_become_tensors_by_the_rule_of_tensor(static):
    seen = []

    def fn(number, count, flag, array, tree, text, nothing):
        seen.append([leaf.dtype.name for leaf in (number, count, flag, array, tree["a"])] + [text, nothing])
        return number

    static.check_control_flow(fn, [(1.5, 2, True, np.ones(2), {"a": 1.0}, "text", None)])
    assert seen == [["float32", "int32", "bool", "float32", "float32", "text", None]] * len(seen)
    assert seen


@pytest.mark.parametrize(
    ("cases", "error", "message"),
    [
        ([], ValueError, "check_control_flow: cases is empty: give it one tuple of arguments per call"),
        (
            [1.0],
            TypeError,
            "check_control_flow: case 1 is a float, not a tuple of arguments: for one argument write (x,)",
        ),
        ([(1,), {"x": 1}], TypeError, "check_control_flow: case 2 is a dict, not a tuple of arguments"),
    ],
)
def test_wrong_cases(static, cases, error, message):
    with pytest.raises(error, match=re.escape(message)):
        static.check_control_flow(lambda x: x, cases)


def test_the_check_builds_nothing_of_the_tests(static, fn):
    static.check_control_flow(fn, CASES)
    assert (static.ledger.builds, static.ledger.calls) == (0, 3)


def test_python_values_decide_while_a_graph_is_built_and_tensors_in_it(static, mode):
    function = static.function(lambda x: static.cond(True, lambda x: x + 1, pytest.fail, x))
    assert function(np.float32(1)) == 2
    function = static.function(lambda x: static.switch(7, [pytest.fail, lambda x: x + 2], x))
    assert function(np.float32(1)) == 3


def test_a_list_that_was_meant_as_an_array_is_told_where_the_function_fails_with_it(static):
    def total(x, n):
        return n + (x * x)[0]

    message = "case 2 has a list of numbers, [1.0, 2.0], which stays a list: for an array write np.array([1.0, 2.0]); "
    with pytest.raises(TypeError, match=re.escape(f"check_control_flow: {message}what was raised is TypeError: ")):
        static.check_control_flow(total, [(np.ones(2), 1), ([1.0, 2.0], 3)])
    static.check_control_flow(lambda x, n: n + x[0], [([1.0, 2.0], 3)])
    with pytest.raises(TypeError, match=r"^other$"):
        static.check_control_flow(raising, [(np.ones(2), 1)])


def raising(*args):
    raise TypeError("other")
