"""Programs of TheDeepChecker: every kernel starts at one value."""

import keras

from tests.benchmarks.faults import data
from tests.benchmarks.faults.case import Program, fault

L = keras.layers
_SOURCE = (
    "TheDeepChecker (TOSEM 2022), synthetic programs 'wrong_init', https://github.com/thedeepchecker/thedeepchecker"
)


def _constant(faulty: bool) -> object:
    return keras.initializers.Constant(0.01) if faulty else "he_normal"


@fault(
    "B5",
    family="TheDeepChecker",
    title="LeNet, every kernel starts at 0.01",
    source=f"{_SOURCE}: LeNet, constant 0.01",
    symptom="accuracy stays near chance: every layer works as one unit",
    expected={"conv_0": "locked", "conv_1": "locked", "dense_0": "locked"},
    severity="error",
)
def lenet_constant(faulty: bool) -> Program:
    keras.utils.set_random_seed(0)

    def common():
        return {"kernel_initializer": _constant(faulty), "kernel_regularizer": keras.regularizers.L2(1e-5)}

    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            L.Conv2D(8, 5, activation="relu", padding="same", name="conv_0", **common()),
            L.MaxPooling2D(2),
            L.Conv2D(16, 3, activation="relu", padding="same", name="conv_1", **common()),
            L.MaxPooling2D(2),
            L.Flatten(),
            L.Dense(32, "relu", name="dense_0", **common()),
            L.Dense(10, "softmax", name="output", **common()),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    return Program(model, *data.digits(), {"batch_size": 64, "epochs": 4})


def _vgg(faulty: bool, dropout: bool) -> Program:
    keras.utils.set_random_seed(0)
    layers = [keras.Input((8, 8, 1))]
    for block in (1, 2, 3):
        for number in (2 * block - 1, 2 * block):
            convolution = L.Conv2D(8, 3, activation="relu", padding="same", kernel_initializer=_constant(faulty))
            convolution.name = f"conv_{number}"
            layers += [convolution, L.BatchNormalization()]
        layers += [L.MaxPooling2D(2), *([L.Dropout(0.3)] if dropout else [])]
    dense = L.Dense(16, "relu", kernel_initializer=_constant(faulty), name="dense_0")
    layers += [L.Flatten(), dense, L.BatchNormalization(), *([L.Dropout(0.3)] if dropout else [])]
    layers += [L.Dense(10, "softmax", kernel_initializer=_constant(faulty), name="output")]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
    return Program(model, *data.digits(), {"batch_size": 64, "epochs": 3})


@fault(
    "B7",
    family="TheDeepChecker",
    title="six convolutions with BatchNormalization, every kernel starts at 0.01",
    source=f"{_SOURCE}: VGG with BatchNormalization, constant 0.01",
    symptom="BatchNormalization mends the scale, not the symmetry: one filter per layer",
    expected={f"conv_{number}": "locked" for number in range(1, 7)} | {"dense_0": "locked"},
    severity="error",
)
def vgg_constant(faulty: bool) -> Program:
    return _vgg(faulty, dropout=False)


@fault(
    "B7-dropout",
    family="TheDeepChecker",
    title="the same with Dropout behind every block",
    source=f"{_SOURCE}: VGG with BatchNormalization and Dropout, constant 0.01",
    symptom="only the units that Dropout acts on come apart: one convolution of every block stays one filter",
    expected={f"conv_{number}": "transient" for number in (2, 4, 6)}
    | {f"conv_{number}": "locked" for number in (1, 3, 5)}
    | {"dense_0": "transient"},
    severity="error warning info",
)
def vgg_constant_with_dropout(faulty: bool) -> Program:
    return _vgg(faulty, dropout=True)
