"""Questions of forums and issue trackers where the weights differ but have the wrong size for their inputs."""

from typing import Any

import keras
import numpy as np

from tests.benchmarks.faults import data
from tests.benchmarks.faults.case import Program, fault
from tests.benchmarks.faults.forums import normal

L = keras.layers


@fault(
    "22",
    family="StackExchange",
    title="XOR, five sigmoid units, standard deviation 0.01",
    source="a question on XOR with 2-5-1 sigmoid units, learning rates 0.03 to 0.1",
    symptom="loss 0.6 to 0.69 after a million steps: a plateau around the symmetric point, which is left in the end",
    expected={"hidden": "plateau vanishing"},
    severity="warning info",
    needs="batch",
)
def xor(faulty: bool) -> Program:
    keras.utils.set_random_seed(1)
    std = 0.01 if faulty else 1.0
    model = keras.Sequential(
        [
            keras.Input((2,)),
            L.Dense(5, "sigmoid", kernel_initializer=normal(std), name="hidden"),
            L.Dense(1, "sigmoid", kernel_initializer=normal(std), name="output"),
        ]
    )
    model.compile(keras.optimizers.SGD(1.0), "binary_crossentropy")
    x = np.tile(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32), (100, 1))
    y = (x.sum(1, keepdims=True) == 1).astype(np.float32)
    return Program(model, x, y, {"batch_size": 4, "epochs": 8, "shuffle": False})


def _squash(capsules: Any) -> Any:
    square = keras.ops.sum(keras.ops.square(capsules), axis=-1, keepdims=True)
    return capsules * square / (1 + square) / keras.ops.sqrt(square + 1e-7)


def _margin_loss(truth: Any, lengths: Any) -> Any:
    ops = keras.ops
    present = ops.one_hot(ops.cast(ops.reshape(truth, (-1,)), "int32"), 10)
    missed = present * ops.square(ops.relu(0.9 - lengths))
    wrong = 0.5 * (1 - present) * ops.square(ops.relu(lengths - 0.1))
    return ops.sum(missed + wrong, axis=-1)


@fault(
    "24",
    family="GitHub",
    title="capsule network, transformations between the capsules with standard deviation 0.01",
    source="'made initial weights higher-variance', https://github.com/ageron/handson-ml/pull/176 (merged), issue 164",
    symptom="about 50 batches before the loss moves (here 12); with a larger deviation it moves at once",
    expected={"conv|primary|transformations": "vanishing plateau"},
    severity="warning info",
    needs="batch",
)
def capsules(faulty: bool) -> Program:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1))
    h = L.Conv2D(16, 3, activation="relu", name="conv")(image)
    h = L.Conv2D(16, 3, strides=2, activation="relu", name="primary")(h)
    primary = _squash(L.Reshape((8, 8))(h))
    votes = L.EinsumDense(
        "bid,idje->bje", (10, 8), kernel_initializer=normal(0.01 if faulty else 0.3), name="transformations"
    )(primary)
    lengths = keras.ops.sqrt(keras.ops.sum(keras.ops.square(_squash(votes)), axis=-1) + 1e-7)
    model = keras.Model(image, lengths)
    model.compile(keras.optimizers.Adam(1e-3), _margin_loss)
    return Program(model, *data.digits(), {"batch_size": 16, "epochs": 1})


@fault(
    "28",
    family="StackOverflow",
    title="784-512-10 with sigmoid and normal(0, 1)",
    source="StackOverflow program IPS_7 of TheDeepChecker's collection",
    symptom="learns slowly: the hidden units are saturated",
    expected={"hidden": "saturated vanishing"},
    severity="warning info",
    needs="batch",
)
def saturated_sigmoid(faulty: bool) -> Program:
    keras.utils.set_random_seed(0)
    hidden, output = (normal(1.0), normal(1.0)) if faulty else (normal(0.04), normal(0.1))
    model = keras.Sequential(
        [
            keras.Input((576,)),
            L.Dense(256, "sigmoid", kernel_initializer=hidden, name="hidden"),
            L.Dense(10, "softmax", kernel_initializer=output, name="output"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Program(model, *data.flat_digits(enlarged=3), {"batch_size": 32, "epochs": 3})


@fault(
    "30",
    family="StackOverflow",
    title="y = x to the fourth on [-100, 100], 50 sigmoid units",
    source="'Why do I fail to predict y=x**4 with Keras? (y=x**3 works)', https://stackoverflow.com/questions/52800582",
    symptom="the loss does not move: most units are saturated. One input is also a trap: all cosines are 1 or -1",
    expected={"dense_0": "saturated vanishing"},
    severity="error warning",
    needs="batch",
)
def fourth_power(faulty: bool) -> Program:
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).uniform(-1, 1, (1000, 1)).astype(np.float32)
    y = x**4
    x, y = (100 * x, 1e8 * y) if faulty else (3 * x, 3 * y)
    model = keras.Sequential(
        [
            keras.Input((1,)),
            L.Dense(50, "sigmoid", name="dense_0"),
            L.Dense(50, "elu", name="dense_1"),
            L.Dense(1, name="output"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return Program(model, x, y, {"batch_size": 16, "epochs": 8})


# Means and standard deviations of the eight features of the Pima table.
_PIMA = np.array([[3.8, 121, 69, 20, 80, 32, 0.47, 33], [3.4, 32, 19, 16, 115, 7.9, 0.33, 12]])


@fault(
    "32-inputs",
    family="Keras issue",
    title="raw clinical features up to 800 into 12-8-1 with ReLU",
    source="https://github.com/keras-team/keras/issues/7659 (Pima table; here drawn with its means and deviations)",
    symptom="the accuracy never moves; here 5 of 8 units fire for no row of the table, and the loss starts at 30",
    expected={"dense_1": "dead exploding"},
    severity="error warning",
    needs="batch",
)
def raw_features(faulty: bool) -> Program:
    rng = np.random.default_rng(0)
    standard = rng.standard_normal((768, 8))
    y = (standard[:, [1]] + 0.5 * standard[:, [5]] + 0.3 * standard[:, [7]] > 0.4).astype(np.float32)
    x = np.maximum(_PIMA[0] + _PIMA[1] * standard, 0) if faulty else standard
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            L.Dense(12, "relu", name="dense_0"),
            L.Dense(8, "relu", name="dense_1"),
            L.Dense(1, "sigmoid", name="output"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Program(model, x.astype(np.float32), y, {"batch_size": 16, "epochs": 5})


@fault(
    "32-lstm",
    family="Keras issue",
    title="LSTM with ReLU and a ReLU output",
    source="https://github.com/keras-team/keras/issues/3687",
    symptom="all predictions are zero and stay zero: the output unit fires for no sequence",
    expected={"output|lstm_0|lstm_1": "dead"},
    severity="error",
    needs="batch",
)
def relu_lstm(faulty: bool) -> Program:
    keras.utils.set_random_seed(6)  # about every fourth start has a last unit that never fires
    model = keras.Sequential(
        [
            keras.Input((8, 8)),
            L.LSTM(16, activation="relu" if faulty else "tanh", return_sequences=True, name="lstm_0"),
            L.LSTM(8, activation="relu" if faulty else "tanh", name="lstm_1"),
            L.Dense(1, "relu" if faulty else None, name="output"),
        ]
    )
    model.compile("adam", "mse")
    images, labels = data.digits()
    return Program(model, images[..., 0], (labels / 9).astype(np.float32)[:, None], {"batch_size": 64, "epochs": 4})
