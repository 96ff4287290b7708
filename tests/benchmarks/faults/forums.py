"""Questions of forums and issue trackers about the start of training, rebuilt from their text: symmetry and scale."""

from typing import Any

import keras
import numpy as np

from tests.benchmarks.faults import data
from tests.benchmarks.faults.case import Program, fault

L = keras.layers
_STATS_316898 = (
    "'Choice of initial value for weights in Tensorflow MNIST Tutorial', "
    "https://stats.stackexchange.com/questions/316898"
)


def normal(std: float) -> Any:
    return keras.initializers.RandomNormal(stddev=std)


def _tutorial(hidden: Any, output: Any) -> Program:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((576,)),
            L.Dense(100, "sigmoid", kernel_initializer=hidden, name="hidden"),
            L.Dense(10, "softmax", kernel_initializer=output, name="output"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Program(model, *data.flat_digits(enlarged=3), {"batch_size": 100, "epochs": 8})


@fault(
    "17a",
    family="StackExchange",
    title="hidden layer starts at zeros, output layer at normal(0, 1)",
    source=_STATS_316898,
    symptom="more than 92 %, better than with a random hidden layer (17c): the outgoing weights separate the units",
    expected={"hidden": "transient"},
    severity="warning info",
)
def zeros_then_normal(faulty: bool) -> Program:
    return _tutorial("zeros" if faulty else normal(0.05), normal(1.0))


@fault(
    "17b",
    family="StackExchange",
    title="hidden and output layer start at zeros, sigmoid between them",
    source=_STATS_316898,
    symptom="about 25 %: the layer learns, but as one unit",
    expected={"hidden": "locked"},
    severity="error",
)
def zeros_then_zeros(faulty: bool) -> Program:
    return _tutorial("zeros" if faulty else normal(0.05), "zeros" if faulty else normal(1.0))


@fault(
    "17c",
    family="StackExchange",
    title="hidden layer starts at normal(0, 1), hundreds of inputs into sigmoid",
    source=_STATS_316898,
    symptom="a 'very significant drop in accuracy' against 17a: most units are saturated",
    expected={"hidden": "saturated vanishing"},
    severity="warning info",
    needs="batch",
)
def normal_then_normal(faulty: bool) -> Program:
    return _tutorial(normal(1.0) if faulty else normal(0.05), normal(1.0))


def _zeroed(after: str) -> Program:
    """Train for a while, set all weights to zero, and keep the state of Adam or not."""
    keras.utils.set_random_seed(0)
    x, y = data.blobs(1.0, centres=4)
    model = keras.Sequential(
        [keras.Input((2,)), L.Dense(2, "relu", name="hidden"), L.Dense(4, "softmax", name="output")]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=32, epochs=2, verbose=0)
    if after != "trained":
        model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    if after == "reset":
        model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return Program(model, x, y, {"batch_size": 32, "epochs": 12})


@fault(
    "19-reset",
    family="course forum",
    title="weights set to zero after training, Adam made anew",
    source="DeepLearning.AI forum, topic 587380 (the case that was not tried there)",
    symptom="loss 1.373 to 1.386 for ever: nothing moves but the output bias",
    expected={"hidden": "dead locked"},
    severity="error",
)
def zeroed_with_new_optimizer(faulty: bool) -> Program:
    return _zeroed("reset" if faulty else "trained")


@fault(
    "19-kept",
    family="course forum",
    title="weights set to zero after training, the moments of Adam kept",
    source="DeepLearning.AI forum, topic 587380 ('experiment invalid')",
    symptom="it learns all the same: the weights are equal, the moments of Adam are not, and they move the units apart",
    expected={"hidden": "transient healthy uninformative"},
    severity="warning info",
)
def zeroed_with_old_optimizer(faulty: bool) -> Program:
    return _zeroed("kept" if faulty else "trained")


def _rings(*kernels: Any) -> Program:
    keras.utils.set_random_seed(0)
    widths = ((16, "tanh", "hidden_1"), (16, "tanh", "hidden_2"), (3, "softmax", "output"))
    layers = [
        L.Dense(units, activation, kernel_initializer=kernel, name=name)
        for (units, activation, name), kernel in zip(widths, kernels, strict=True)
    ]
    model = keras.Sequential([keras.Input((2,)), *layers])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return Program(model, *data.rings(), {"batch_size": 32, "epochs": 15})


def half() -> Any:
    return keras.initializers.Constant(0.5)


@fault(
    "20-incoming",
    family="StackExchange",
    title="equal incoming, different outgoing weights",
    source="'Why don't different output weights break symmetry?', https://datascience.stackexchange.com/questions/76006",
    symptom="the accepted answer says that the units stay equal; they separate in the first step",
    expected={"hidden_1": "transient"},
    severity="warning info",
)
def different_outgoing_weights(faulty: bool) -> Program:
    return _rings(half() if faulty else "glorot_uniform", "glorot_uniform", "glorot_uniform")


@fault(
    "20-both",
    family="StackExchange",
    title="equal incoming and equal outgoing weights in the last hidden layer",
    source="the same question, the other answer to it",
    symptom="one unit instead of 16; the accuracy does not show it",
    expected={"hidden_2": "locked"},
    severity="error",
)
def equal_outgoing_weights(faulty: bool) -> Program:
    last = [half() if faulty else "glorot_uniform" for _ in range(2)]
    return _rings("glorot_uniform", *last)
