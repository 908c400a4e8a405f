"""Graphs drawn for reports: each framework's operations, what they take from each other, and the bodies of loops."""

import pytest

import pytest_graphmode.backends.watched  # noqa: F401 - so that all backends are heard
from pytest_graphmode.ledger.drawing import Drawing, GraphNode
from pytest_graphmode.ledger.watcher import recording


def drawn(recorder, number: int = 0) -> Drawing:
    found = recorder.ledger.events[number].drawing
    assert found is not None, recorder.ledger.notes
    assert_it_can_be_drawn(found)
    return found


def drawing_of(function, *args, number: int = 0) -> Drawing:
    """The graph that a call builds."""
    with recording(reported=True) as recorder:
        function(*args)
    return drawn(recorder, number)


def assert_it_can_be_drawn(drawing: Drawing) -> None:
    for number, node in enumerate(drawing.nodes):
        assert all(one < number for one in (*node.inputs, *node.after))
        for _, body in node.bodies:
            assert_it_can_be_drawn(body)


def the(drawing: Drawing, operation: str) -> GraphNode:
    (found,) = (node for node in drawing.nodes if node.operation == operation)
    return found


def sources(drawing: Drawing, node: GraphNode) -> list[str]:
    return [drawing.nodes[number].operation for number in node.inputs]


# TensorFlow.


@pytest.fixture
def tf():
    return pytest.importorskip("tensorflow")


def step_of(tf):
    @tf.function
    def step(x):
        x = tf.while_loop(lambda x: tf.reduce_sum(x) < 9.0, lambda x: [x * 2.0], [x])[0]
        return tf.cond(tf.reduce_sum(x) > 0.0, lambda: x + 1.0, lambda: tf.exp(x))

    return step


def test_a_tensorflow_function(tf):
    graph = drawing_of(step_of(tf), tf.ones([3]))
    assert graph.nodes[0] == GraphNode("Placeholder", "x", "input", (), "float32", (3,))
    loop, branch = the(graph, "StatelessWhile"), the(graph, "StatelessIf")
    assert [role for role, _ in loop.bodies] == ["cond", "body"]
    assert sources(graph, loop)[-1] == "Placeholder"
    assert loop.dtype == "int32"
    condition, body = (one for _, one in loop.bodies)
    assert the(condition, "Less").shape == ()
    multiplied = the(body, "Mul")
    assert (multiplied.dtype, multiplied.shape) == ("float32", (3,))
    assert sorted(sources(body, multiplied)) == ["Const", "Placeholder"]
    assert [role for role, _ in branch.bodies] == ["true", "false"]
    for (_, one), operation in zip(branch.bodies, ("AddV2", "Exp"), strict=True):
        assert the(one, operation).kind == "operation"
    assert "StatelessIf" in sources(graph, graph.nodes[-2])
    assert "output" in [node.kind for node in graph.nodes]


def test_a_drawing_is_the_same_however_much_was_built_before(tf):
    first, second = (drawing_of(step_of(tf), tf.ones([3])) for _ in range(2))
    assert first == second


def test_a_function_called_by_another_is_in_it_and_a_variable_has_its_name(tf):
    weight = tf.Variable([1.0, 2.0], name="weight")
    inner = tf.function(lambda x: x * weight, autograph=False)

    @tf.function
    def outer(x):
        return inner(x) + inner(x)

    graph = drawing_of(outer, tf.ones([2]), number=1)
    calls = [node for node in graph.nodes if "PartitionedCall" in node.operation]
    assert len(calls) == 2
    ((_, body),) = calls[0].bodies
    assert the(body, "Mul").dtype == "float32"
    assert "weight" in [node.name for node in graph.nodes if node.kind == "input"]


def test_the_run_of_a_session_draws_what_was_added(tf):
    v1 = tf.compat.v1
    with recording(reported=True) as recorder, tf.Graph().as_default(), v1.Session() as session:
        x = tf.constant([1.0, 2.0]) * 3.0
        session.run(x)
        session.run(x + 1.0)
    first, second = drawn(recorder), drawn(recorder, 1)
    assert sources(first, the(first, "Mul")) == ["Const", "Const"]
    assert sorted(sources(second, the(second, "AddV2"))) == ["Const", "Mul"]
    assert the(second, "Mul") == GraphNode("Mul", "mul", "input", (), "float32", (2,))


@pytest.mark.slow
def test_keras_counts_layers_for_each_graph(tf):
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend")
    found = []
    for _ in range(2):
        layers = (
            keras.layers.Input((2, 2, 1)),
            keras.layers.Conv2D(1, 1),
            keras.layers.Dense(3),
            keras.layers.Dense(1),
        )
        found.append(drawing_of(tf.function(keras.Sequential(layers)), tf.ones([1, 2, 2, 1])))
    assert found[0] == found[1]
    names = [node.name for node in found[0].nodes if node.kind == "input"][1:]
    assert len(set(names)) == 6


def test_a_large_graph_is_not_drawn(tf):
    @tf.function(autograph=False)
    def large(x):
        for _ in range(150):
            x = x + 1.0
        return x

    with recording(reported=True) as recorder:
        large(tf.ones([]))
    (event,) = recorder.ledger.events
    assert event.nodes > 200
    assert event.drawing is None
    assert not recorder.ledger.notes


# PyTorch.


def test_a_compiled_function(torch, compiled):
    weight = torch.ones(3)

    @compiled
    def step(x):
        x = torch.cond(x.sum() > 0, lambda x: x + weight, lambda x: x.exp(), (x,))
        return torch._higher_order_ops.while_loop(lambda x: x.sum() < 9, lambda x: (x * 2.0,), (x,))[0]

    with recording(reported=True) as recorder:
        step(torch.ones(3))
    graph = drawn(recorder)
    assert GraphNode("argument", "x", "input", (), "float32", (3,)) in graph.nodes
    branch, loop = the(graph, "cond"), the(graph, "while_loop")
    assert [role for role, _ in branch.bodies] == ["true", "false"]
    assert [role for role, _ in loop.bodies] == ["cond", "body"]
    assert (the(branch.bodies[0][1], "add").dtype, the(branch.bodies[0][1], "add").shape) == ("float32", (3,))
    assert "exp" in " ".join(node.operation for node in branch.bodies[1][1].nodes)
    assert sources(loop.bodies[1][1], the(loop.bodies[1][1], "mul")) == ["argument"]
    assert graph.nodes[-1].kind == "output"
    (event,) = recorder.ledger.events
    assert event.conditions["autograd"] == "grad"


def test_the_conditions_of_a_compiled_module(torch, compiled):
    class Net(torch.nn.Module):
        rate = 2

        def __init__(self):
            super().__init__()
            self.factor = 3.0

        def forward(self, x):
            return x * self.factor * self.rate if self.training else x

    net = Net()
    run = compiled(net)
    with recording(reported=True) as recorder:
        run(torch.ones(2))
        net.eval()
        run(torch.ones(2))
    first, second = (event.conditions for event in recorder.ledger.events)
    assert [one["Net.training"] for one in (first, second)] == ["True", "False"]
    assert first["Net.factor"] == "3.0"
    assert not [name for name in first if "__" in name or name.startswith(("torch", "dict("))]


def test_what_autograd_recorded(torch):
    layer = torch.nn.Linear(2, 3)
    graph = drawing_of(layer, torch.ones(4, 2))
    assert graph.nodes[-1].operation == "AddmmBackward0"
    assert (graph.nodes[-1].dtype, graph.nodes[-1].shape) in [("float32", (4, 3)), (None, None)]  # torch 2.4
    leaves = [node for node in graph.nodes if node.kind == "input"]
    assert sorted(node.shape for node in leaves) == [(3,), (3, 2)]
    assert "TBackward0" in sources(graph, graph.nodes[-1])


def test_what_a_differentiation_recorded_and_gave_back(torch):
    from pytest_graphmode.backends.torch.eager import Eager

    mode = Eager("cpu")

    def found():
        value, grads, _ = mode.value_and_grad(lambda x: (x * x).sum(), [torch.ones(2)], [0], [])
        return mode.recorded_drawing((value, grads))

    with recording(reported=True):
        graph = found()
    assert [node.operation for node in graph.nodes] == ["leaf", "MulBackward0", "SumBackward0"]
    assert found() is None  # nobody wants it


def test_an_exported_program(torch):
    class Double(torch.nn.Module):
        def forward(self, x):
            return x * 2

    graph = drawing_of(torch.export.export, Double(), (torch.ones(3),))
    assert [node.kind for node in graph.nodes] == ["input", "operation", "output"]
    assert graph.nodes[1].shape == (3,)


# JAX.


def test_a_jitted_function(jax):
    jnp, lax = jax.numpy, jax.lax

    @jax.jit
    def step(x):
        x = lax.while_loop(lambda x: x.sum() < 9, lambda x: x * 2.0, x)
        x = lax.cond(x.sum() > 0, lambda x: x + 1.0, jnp.exp, x)
        carry, ys = lax.scan(lambda carry, y: (carry + y, carry), 0.0, x)
        return ys + lax.switch(jnp.int32(carry), [jnp.sin, jnp.cos, jnp.tan], carry)

    graph = drawing_of(step, jnp.ones(3), number=-1)
    assert graph.nodes[0] == GraphNode("argument", "x", "input", (), "float32", (3,))
    loop = the(graph, "while")
    assert [role for role, _ in loop.bodies] == ["cond", "body"]
    product = the(loop.bodies[1][1], "mul")
    assert sorted(sources(loop.bodies[1][1], product)) == ["argument", "literal"]
    assert (product.dtype, product.shape) == ("float32", (3,))
    branch, switch = (node for node in graph.nodes if node.operation == "cond")
    assert [(role, body.nodes[-2].operation) for role, body in branch.bodies] == [("true", "add"), ("false", "exp")]
    assert [role for role, _ in switch.bodies] == ["branch 0", "branch 1", "branch 2"]
    assert [role for role, _ in the(graph, "scan").bodies] == ["body"]
    assert graph.nodes[-1].kind == "output"


# Calls between builds.


def test_the_call_that_built_comes_after_its_build(torch, compiled):
    @compiled
    def step(x, n):
        return x * n

    with recording(reported=True) as recorder:
        for n in (1, 1, 2):
            step(torch.ones(2), n)
    assert [event.calls for event in recorder.ledger.events] == [{}, {"step": 2}]
    assert recorder.ledger.calls_by_function == {"step": 3}


def test_the_call_of_a_tensorflow_function_too(tf):
    step = tf.function(lambda x: x * 2.0, autograph=False)
    with recording(reported=True) as recorder:
        for size in (1, 1, 2):
            step(tf.ones([size]))
    assert [sum(event.calls.values()) for event in recorder.ledger.events] == [0, 2]
    assert recorder.ledger.calls == 3
