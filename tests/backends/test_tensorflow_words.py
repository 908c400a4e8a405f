"""Causes of TensorFlow's rebuilds in the words of the user's code: no name that only TensorFlow or Keras knows."""

import dataclasses
import enum

import pytest

from pytest_graphmode import watch

tf = pytest.importorskip("tensorflow")


class Mode(enum.Enum):
    TRAIN = 1
    EVAL = 2


class Scale(tf.keras.layers.Layer):
    def __init__(self, rate):
        super().__init__()
        self._rate = rate

    def call(self, x):
        return x * self._rate


class Saved(tf.Module):
    def __init__(self):
        super().__init__()
        self.factor = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([None])])
    def __call__(self, x):
        return x * self.factor


def last(ledger):
    return ledger.events[-1].causes


def test_a_member_of_an_enumeration():
    step = tf.function(lambda x, mode: x if mode is Mode.TRAIN else -x)
    with watch() as ledger:
        step(tf.ones(2), Mode.TRAIN)
        step(tf.ones(2), Mode.EVAL)
        step(tf.ones(2), Mode.EVAL)
    assert ledger.rebuilds == 1
    (cause,) = last(ledger)
    assert (cause.before, cause.after) == ("Mode.TRAIN", "Mode.EVAL")
    assert cause.hint == "pass the same member each time, or accept one build per member"


def test_a_layer_is_told_apart_by_what_its_user_wrote():
    with watch() as ledger:
        for rate in (0.1, 0.2):
            tf.function(Scale(rate))(tf.ones(2))
    causes = [cause.what for event in ledger.events for cause in event.causes]
    assert causes[0] == "the function belongs to another Scale object, whose _rate changed 0.1 -> 0.2"
    others = [text.partition(" whose ")[2].split(" ")[0] for text in causes]
    assert not [name for name in others if name.startswith("_") and name != "_rate"]


def test_a_model_that_is_loaded_each_time(tmp_path):
    tf.saved_model.save(Saved(), str(tmp_path / "model"))
    with watch() as ledger:
        for _ in range(2):
            tf.saved_model.load(str(tmp_path / "model"))(tf.ones(2))
    (cause,) = last(ledger)
    assert cause.what == "the function belongs to another SavedModel object"
    assert cause.hint == "load the model once, outside the loop, and keep it"
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    with watch() as ledger:
        for _ in range(2):
            loaded(tf.ones(2))
    assert ledger.rebuilds == 0


@pytest.mark.parametrize(
    ("make", "signature", "name"),
    [
        (lambda size: tf.sparse.from_dense(tf.ones([size, 2])), tf.SparseTensorSpec([None, 2]), "tf.SparseTensorSpec"),
        (
            lambda size: tf.RaggedTensor.from_tensor(tf.ones([size, 2])),
            tf.RaggedTensorSpec([None, None]),
            "tf.RaggedTensorSpec",
        ),
    ],
    ids=["sparse", "ragged"],
)
def test_the_signature_of_composite_tensors_is_one_that_takes_them(make, signature, name):
    def total(x):
        return x * 2.0

    with watch() as ledger:
        function = tf.function(total)
        for size in (1, 2, 3):
            function(make(size))
    assert (ledger.rebuilds, name in last(ledger)[0].hint) == (2, True)
    with watch() as ledger:
        function = tf.function(total, input_signature=[signature])
        for size in (1, 2, 3):
            function(make(size))
    assert ledger.rebuilds == 0


def test_one_variable_as_two_arguments():
    first, second = tf.Variable([1.0]), tf.Variable([2.0])
    product = tf.function(lambda v, w: v * w)
    with watch() as ledger:
        product(first, second)
        product(first, first)
    assert last(ledger)[0].hint.endswith("and no variable as two arguments")
    with watch() as ledger:
        product(first, second)
        product(second, first)
    assert ledger.rebuilds == 0


def test_none_and_then_a_tensor():
    apply = tf.function(lambda x, mask=None: x if mask is None else x * mask)
    with watch() as ledger:
        apply(tf.ones(2))
        apply(tf.ones(2), tf.ones(2))
    assert last(ledger)[0].what == "mask changed structure None -> float32[2]"


def test_a_new_optimizer_is_to_be_kept_and_not_to_be_passed():
    weight = tf.Variable([1.0])

    def training(optimizer):
        @tf.function
        def train():
            optimizer.apply_gradients([(tf.ones(1), weight)])

        return train

    def made():
        optimizer = tf.keras.optimizers.SGD(0.1)
        optimizer.build([weight])
        return optimizer

    with watch() as ledger:
        for _ in range(2):
            training(made())()
    (cause,) = last(ledger)
    assert cause.what.startswith("optimizer.name, which the function closes over, changed")
    assert cause.hint == ("make optimizer and the function that closes over it once, outside the loop, and keep both")
    train = training(made())
    with watch() as ledger:
        train()
        train()
    assert (ledger.builds, ledger.rebuilds) == (1, 0)


def test_an_object_of_another_value_is_not_to_be_kept():
    @dataclasses.dataclass(frozen=True)
    class Point:
        x: float

    scale = tf.function(lambda x, point: x * point.x)
    with watch() as ledger:
        scale(tf.ones(1), Point(1.0))
        scale(tf.ones(1), Point(2.0))
    assert "give what differs as a tensor, or accept one build per object" in last(ledger)[0].hint


def test_ragged_tensors_of_two_ranks():
    flat = tf.function(lambda x: x.flat_values)
    with watch() as ledger:
        flat(tf.ragged.constant([[1.0]]))
        flat(tf.ragged.constant([[[1.0]]]))
    assert last(ledger)[0].hint == "pass ragged tensors of one rank"
