"""Programs of AutoTrainer: inputs a hundred times too large, and output layers whose constants are harmless."""

from typing import Any

import keras

from tests.benchmarks.faults import data
from tests.benchmarks.faults.case import Program, fault

L = keras.layers
_SOURCE = "AutoTrainer (ICSE 2021), https://github.com/shiningrain/AUTOTRAINER"


def _perceptron(depth: int, activation: str, output: Any, loss: str, xy: tuple[Any, Any]) -> Program:
    hidden = [L.Dense(5, activation, kernel_initializer="he_uniform", name=f"dense_{n}") for n in range(depth)]
    model = keras.Sequential([keras.Input((2,)), *hidden, output])
    model.compile(keras.optimizers.Adam(1e-2), loss)
    return Program(model, *xy, {"batch_size": 32, "epochs": 8})


@fault(
    "C11",
    family="AutoTrainer",
    title="circles times 100 into eight layers of five sigmoid units",
    source=f"{_SOURCE}: Circle, vanishing",
    symptom="the first layer is saturated and the gradients vanish on the way back: the loss stays at ln 2. "
    "The clean twin has inputs near 1 and tanh",
    expected={"dense_0": "saturated vanishing"},
    severity="error warning",
    needs="batch",
)
def circle(faulty: bool) -> Program:
    keras.utils.set_random_seed(0)
    output = L.Dense(1, "sigmoid", name="output")
    xy = data.circles(100.0 if faulty else 1.0)
    return _perceptron(8, "sigmoid" if faulty else "tanh", output, "binary_crossentropy", xy)


@fault(
    "C12",
    family="AutoTrainer",
    title="blobs times 100 into five tanh layers; the zeros of the output layer are harmless",
    source=f"{_SOURCE}: Blob mi_7",
    symptom="labelled an initialisation problem for its output kernel of zeros; the saturated first layer is one",
    expected={"dense_0": "saturated vanishing"},
    severity="error warning",
    needs="batch",
)
def blob_zero_output(faulty: bool) -> Program:
    keras.utils.set_random_seed(0)
    output = L.Dense(3, "softmax", kernel_initializer="zeros", name="output")
    return _perceptron(5, "tanh", output, "sparse_categorical_crossentropy", data.blobs(100.0 if faulty else 1.0))


@fault(
    "C13",
    family="AutoTrainer",
    title="the same eight layers deep, with constant output biases",
    source=f"{_SOURCE}: Blob mi_al_10",
    symptom="as C12",
    expected={"dense_0": "saturated vanishing"},
    severity="error warning",
    needs="batch",
)
def blob_constant_output_bias(faulty: bool) -> Program:
    keras.utils.set_random_seed(0)
    bias = keras.initializers.Constant(0.1)
    output = L.Dense(3, "softmax", kernel_initializer="zeros", bias_initializer=bias, name="output")
    return _perceptron(8, "tanh", output, "sparse_categorical_crossentropy", data.blobs(100.0 if faulty else 1.0))


@fault(
    "C15",
    family="AutoTrainer",
    title="output layer of ones behind two convolutions and five dense layers",
    source=f"{_SOURCE}: CIFAR mi_al_13",
    symptom="labelled an initialisation problem; equal columns of a softmax layer separate with the first labels",
    expected={},
    severity="warning info",
)
def cifar_ones_in_the_output(faulty: bool) -> Program:
    keras.utils.set_random_seed(0)
    dense = [
        L.Dense(width, "relu", kernel_initializer="he_normal", name=f"dense_{n}")
        for n, width in enumerate((60, 42, 42, 42, 42))
    ]
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            L.Conv2D(8, 5, activation="relu", padding="same", kernel_initializer="he_normal", name="conv_0"),
            L.MaxPooling2D(2),
            L.Conv2D(16, 5, activation="relu", padding="same", kernel_initializer="he_normal", name="conv_1"),
            L.MaxPooling2D(2),
            L.Flatten(),
            *dense,
            L.Dense(10, "softmax", kernel_initializer="ones" if faulty else "glorot_uniform", name="output"),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    return Program(model, *data.digits(channels=3), {"batch_size": 64, "epochs": 3})
