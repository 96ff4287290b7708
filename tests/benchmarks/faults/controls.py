"""Negative controls: programs that a simple rule would call faulty and that learn. None may get an error finding."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_diabetes

from tests.benchmarks.faults import data
from tests.benchmarks.faults.case import Control, Program

L = keras.layers
CONTROLS: dict[str, Control] = {}


def control(name: str, *, title: str, reason: str) -> Callable[[Callable[[], Program]], Callable[[], Program]]:
    """Register the function that builds a negative control."""

    def register(build: Callable[[], Program]) -> Callable[[], Program]:
        CONTROLS[name] = Control(name, title, reason, build)
        return build

    return register


def _classifier(model: Any, x: Any, y: Any, epochs: int = 3, learning_rate: float = 1e-2) -> Program:
    model.compile(keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy")
    return Program(model, x, y, {"batch_size": 32, "epochs": epochs})


def _perceptron(hidden: Any, output: Any = "glorot_uniform") -> Any:
    keras.utils.set_random_seed(0)
    dense = [L.Dense(64, "relu", kernel_initializer=hidden, name=f"hidden_{n}") for n in (1, 2)]
    last = L.Dense(10, "softmax", kernel_initializer=output, name="output")
    return keras.Sequential([keras.Input((64,)), *dense, last])


@control("N1-logistic", title="logistic regression from zeros", reason="no hidden units; the problem is convex")
def logistic_regression() -> Program:
    zeros = L.Dense(10, "softmax", kernel_initializer="zeros", name="output")
    return _classifier(keras.Sequential([keras.Input((64,)), zeros]), *data.flat_digits())


@control("N1-linear", title="linear regression from zeros", reason="no hidden units; the problem is convex")
def linear_regression() -> Program:
    x, y = load_diabetes(return_X_y=True)
    x, y = x / x.std(0), (y - y.mean()) / y.std()
    model = keras.Sequential([keras.Input((10,)), L.Dense(1, kernel_initializer="zeros", name="output")])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return Program(model, x.astype(np.float32), y.astype(np.float32)[:, None], {"batch_size": 32, "epochs": 3})


@control("N2", title="output layer from zeros", reason="its columns separate with the labels, then the rest follows")
def zero_output() -> Program:
    return _classifier(_perceptron("he_normal", "zeros"), *data.flat_digits())


@control("N3-lora", title="LoRA with B at zero", reason="B moves in the first step, and A in the second")
def lora() -> Program:
    model = _perceptron("he_normal")
    program = _classifier(model, *data.flat_digits())
    model.fit(program.x, program.y, batch_size=32, epochs=1, verbose=0)
    for layer in model.layers:
        layer.enable_lora(4)
    return _classifier(model, program.x, program.y)


@control(
    "N3-gamma", title="residual blocks whose last BatchNormalization has gamma 0", reason="each starts as identity"
)
def zero_gamma() -> Program:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1))
    h = L.Conv2D(8, 3, activation="relu", padding="same", name="stem")(image)
    for block in (1, 2):
        r = L.Conv2D(8, 3, padding="same", name=f"block_{block}_a")(h)
        r = L.ReLU()(L.BatchNormalization()(r))
        r = L.Conv2D(8, 3, padding="same", name=f"block_{block}_b")(r)
        h = L.Add()([h, L.BatchNormalization(gamma_initializer="zeros")(r)])
    output = L.Dense(10, "softmax", name="output")(L.Flatten()(h))
    return _classifier(keras.Model(image, output), *data.digits())


class LayerScale(L.Layer):
    """Multiplies every feature by a weight of its own, which starts small."""

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(
            shape=(input_shape[-1],), initializer=keras.initializers.Constant(1e-2), name="scale"
        )

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale


@control("N3-layerscale", title="residual blocks scaled by a constant 0.01", reason="one equal scale for unequal units")
def layer_scale() -> Program:
    keras.utils.set_random_seed(0)
    x = keras.Input((64,))
    h = L.Dense(32, "relu", name="stem")(x)
    for block in (1, 2):
        r = L.Dense(64, "gelu", name=f"block_{block}_a")(L.LayerNormalization()(h))
        h = L.Add()([h, LayerScale()(L.Dense(32, name=f"block_{block}_b")(r))])
    output = L.Dense(10, "softmax", name="output")(h)
    return _classifier(keras.Model(x, output), *data.flat_digits())


@control("N3-identity", title="square layers from the identity", reason="units read different inputs")
def identity() -> Program:
    return _classifier(_perceptron("identity"), *data.flat_digits())


@control("N3-orthogonal", title="orthogonal kernels", reason="units are as different as can be")
def orthogonal() -> Program:
    return _classifier(_perceptron("orthogonal"), *data.flat_digits())


@control("N4-1d", title="one input", reason="all cosines of the weights are 1 or -1 for any start")
def one_input() -> Program:
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).uniform(-1, 1, (512, 1)).astype(np.float32)
    model = keras.Sequential([keras.Input((1,)), L.Dense(32, "tanh", name="hidden"), L.Dense(1, name="output")])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return Program(model, x, np.sin(3 * x), {"batch_size": 32, "epochs": 4})


@control("N4-2d", title="64 units on two inputs", reason="some of 64 directions in a plane are close by chance")
def two_inputs() -> Program:
    keras.utils.set_random_seed(0)
    layers = [L.Dense(64, "relu", name="hidden"), L.Dense(3, "softmax", name="output")]
    return _classifier(keras.Sequential([keras.Input((2,)), *layers]), *data.rings())


@control("N5", title="pretrained and frozen backbone, new head", reason="frozen layers are not meant to learn")
def frozen_backbone() -> Program:
    keras.utils.set_random_seed(0)
    images, labels = data.digits()
    backbone = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            L.Conv2D(8, 3, activation="relu", name="conv_0"),
            L.Conv2D(8, 3, activation="relu", name="conv_1"),
            L.Flatten(),
        ],
        name="backbone",
    )
    odd = keras.Sequential([backbone, L.Dense(1, "sigmoid")])
    odd.compile("adam", "binary_crossentropy")
    odd.fit(images, labels % 2, batch_size=64, epochs=2, verbose=0)
    backbone.trainable = False
    head = [L.Dense(16, "relu", name="head"), L.Dense(10, "softmax", name="output")]
    return _classifier(keras.Sequential([keras.Input((8, 8, 1)), backbone, *head]), images, labels)


@control("N6", title="small start, condensed by training", reason="all units on one line, and it goes on learning")
def condensed() -> Program:
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.uniform(-4, 2, (80, 5)).astype(np.float32)
    y = 3.5 * np.sin(5 * x + 1).sum(1, keepdims=True)
    small = {name: keras.initializers.RandomNormal(stddev=0.005) for name in ("kernel_initializer", "bias_initializer")}
    layers = [L.Dense(50, "tanh", name="hidden", **small), L.Dense(1, name="output", **small)]
    model = keras.Sequential([keras.Input((5,)), *layers])
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    many = {"batch_size": 80, "shuffle": False, "verbose": 0}
    model.fit(np.tile(x, (100, 1)), np.tile(y, (100, 1)), **many)
    return Program(model, np.tile(x, (100, 1)), np.tile(y, (100, 1)), {"batch_size": 80, "epochs": 4, "shuffle": False})


@control("N7", title="embedding with rows of zeros for words that never occur", reason="rows are words, not units")
def unseen_words() -> Program:
    keras.utils.set_random_seed(0)
    words, labels = data.bag_of_words()
    texts = np.stack([np.random.default_rng(0).choice(np.flatnonzero(row), 20) for row in words])
    model = keras.Sequential(
        [
            keras.Input((20,), dtype="int32"),
            L.Embedding(1000, 16, name="embedding"),
            L.GlobalAveragePooling1D(),
            L.Dense(16, "relu", name="hidden"),
            L.Dense(8, "softmax", name="output"),
        ]
    )
    table = model.get_layer("embedding").embeddings
    table.assign(np.where(np.arange(1000)[:, None] < 500, np.asarray(table), 0))
    return _classifier(model, texts, labels)


@control("N8", title="256 filters of 3 x 3 x 3", reason="the closest of 256 random vectors of 27 entries are close")
def narrow_filters() -> Program:
    keras.utils.set_random_seed(0)
    layers = [
        L.Conv2D(256, 3, activation="relu", name="conv_0"),
        L.GlobalAveragePooling2D(),
        L.Dense(10, "softmax", name="output"),
    ]
    return _classifier(keras.Sequential([keras.Input((8, 8, 3)), *layers]), *data.digits(channels=3))


@control("N9", title="softmax with equal columns", reason="classes have labels: their columns are not exchangeable")
def equal_columns() -> Program:
    return _classifier(_perceptron("he_normal", keras.initializers.Constant(0.1)), *data.flat_digits())
