"""TensorFlow: static graphs of tf.function, and eager execution."""

from pytest_graphmode.backends.tensorflow.backend import TensorFlow

__all__ = ["TensorFlow"]
