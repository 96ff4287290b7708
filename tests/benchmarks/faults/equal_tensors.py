"""Sources of exact symmetry besides constant initialisers: shared instances, integer seeds, copies, loaded values."""

from typing import Any

import keras
import numpy as np

from tests.benchmarks.faults import data
from tests.benchmarks.faults.case import Program, fault

L = keras.layers


def _compiled(model: Any, x: Any, y: Any, epochs: int = 5) -> Program:
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    return Program(model, x, y, {"batch_size": 32, "epochs": epochs})


@fault(
    "33-instance",
    family="initialiser reuse",
    title="two Dense layers of equal shape share one initialiser instance",
    source="https://github.com/keras-team/keras-hub/issues/352 and many others; Keras documents that an instance "
    "gives the same values at every call",
    symptom="the two kernels start equal, number by number; the layers are not interchangeable, so they separate",
    expected={"hidden_1|hidden_2": "twins"},
    severity="warning info",
)
def shared_instance(faulty: bool) -> Program:
    keras.utils.set_random_seed(0)
    one, other = keras.initializers.HeNormal(), keras.initializers.HeNormal()
    hidden = [
        L.Dense(64, "relu", kernel_initializer=one, name="hidden_1"),
        L.Dense(64, "relu", kernel_initializer=one if faulty else other, name="hidden_2"),
    ]
    model = keras.Sequential([keras.Input((64,)), *hidden, L.Dense(10, "softmax", name="output")])
    return _compiled(model, *data.flat_digits())


@fault(
    "33-attention",
    family="initialiser reuse",
    title="attention with an integer seed: query, key and value kernels start equal",
    source="https://github.com/keras-team/keras-hub/issues/352, https://github.com/keras-team/keras/pull/22845",
    symptom="every token attends to itself most, as query and key are the same projection; they separate slowly",
    expected={"attention": "twins"},
    severity="warning info",
)
def attention_with_an_integer_seed(faulty: bool) -> Program:
    keras.utils.set_random_seed(0)
    initializer = keras.initializers.GlorotUniform(seed=7 if faulty else None)
    rows = keras.Input((8, 8))
    h = L.Dense(16, name="embedding")(rows)
    h = L.Add()([h, L.MultiHeadAttention(2, 8, kernel_initializer=initializer, name="attention")(h, h)])
    model = keras.Model(rows, L.Dense(10, "softmax", name="output")(L.Flatten()(h)))
    images, labels = data.digits()
    return _compiled(model, images[..., 0], labels)


def _dense_16(weights: list[Any]) -> Program:
    model = keras.Sequential(
        [keras.Input((64,)), L.Dense(16, "relu", name="hidden"), L.Dense(10, "softmax", name="output")]
    )
    model.set_weights(weights)
    return _compiled(model, *data.flat_digits())


@fault(
    "F-net2wider",
    family="equal tensors",
    title="8 trained units widened to 16 by copying, without noise",
    source="Net2Net (ICLR 2016) and the Keras example made from it, mnist_net2net.py",
    symptom="the function is preserved; after any number of steps there are still 8 different units",
    expected={"hidden": "locked"},
    severity="error warning",
)
def net2wider(faulty: bool) -> Program:
    keras.utils.set_random_seed(0)
    narrow = keras.Sequential([keras.Input((64,)), L.Dense(8, "relu"), L.Dense(10, "softmax")])
    small = _compiled(narrow, *data.flat_digits())
    narrow.fit(small.x, small.y, batch_size=32, epochs=2, verbose=0)
    kernel, bias, outgoing, output_bias = narrow.get_weights()
    kernel, bias, outgoing = np.tile(kernel, 2), np.tile(bias, 2), np.tile(outgoing, (2, 1)) / 2
    if not faulty:
        rng = np.random.default_rng(0)
        kernel = kernel * (1 + 0.1 * rng.standard_normal(kernel.shape))
        outgoing = outgoing * (1 + 0.1 * rng.standard_normal(outgoing.shape))
    return _dense_16([kernel, bias, outgoing, output_bias])


@fault(
    "F-tile",
    family="equal tensors",
    title="one random column repeated with np.tile, equal outgoing rows",
    source="truth table of the kit; passes the variance test of TheDeepChecker and the literals of NeuraLint",
    symptom="16 units work as one, although neither tensor is constant",
    expected={"hidden": "locked"},
    severity="error",
)
def tiled_column(faulty: bool) -> Program:
    rng = np.random.default_rng(0)
    count = 1 if faulty else 16
    column, row = rng.normal(0, 0.2, (64, count)), rng.normal(0, 0.3, (count, 10))
    repeats = 16 // count
    return _dense_16([np.tile(column, repeats), np.zeros(16), np.tile(row, (repeats, 1)), np.zeros(10)])


@fault(
    "F-broadcast",
    family="equal tensors",
    title="weights loaded from a value that NumPy broadcast to the shape",
    source="a common slip: np.full or a scalar where an array was meant",
    symptom="16 units work as one",
    expected={"hidden": "locked"},
    severity="error",
)
def broadcast_value(faulty: bool) -> Program:
    shapes = [(64, 16), (16,), (16, 10), (10,)]
    rng = np.random.default_rng(0)
    return _dense_16([np.broadcast_to(0.1, shape) if faulty else rng.normal(0, 0.1, shape) for shape in shapes])


@fault(
    "F-eye",
    family="equal tensors",
    title="np.eye(64, 96) as a kernel: 32 columns are zero, behind it ReLU",
    source="a common slip: an identity of the wrong shape",
    symptom="32 of 96 units give zero and never move",
    expected={"hidden": "dead"},
    severity="error warning",
)
def eye_of_the_wrong_shape(faulty: bool) -> Program:
    keras.utils.set_random_seed(0)
    width = 96 if faulty else 64
    model = keras.Sequential(
        [keras.Input((64,)), L.Dense(width, "relu", name="hidden"), L.Dense(10, "softmax", name="output")]
    )
    model.get_layer("hidden").kernel.assign(np.eye(64, width))
    return _compiled(model, *data.flat_digits())


def _towers(faulty: bool, merge: Any) -> Program:
    keras.utils.set_random_seed(0)
    x = keras.Input((64,))
    seeds = (1, 1 if faulty else 2)
    towers = [
        L.Dense(16, "relu", kernel_initializer=keras.initializers.HeNormal(seed=seed), name=f"tower_{name}")(x)
        for seed, name in zip(seeds, "ab", strict=True)
    ]
    model = keras.Model(x, L.Dense(10, "softmax", name="output")(merge(towers)))
    return _compiled(model, *data.flat_digits())


@fault(
    "F-towers-concat",
    family="equal tensors",
    title="two towers on one input with the same seed, joined by Concatenate",
    source="parallel branches with equal integer seeds",
    symptom="equal at the start; their outgoing weights differ, so they separate at once",
    expected={"tower_a|tower_b": "twins transient"},
    severity="warning info",
)
def towers_concatenated(faulty: bool) -> Program:
    return _towers(faulty, L.Concatenate())


@fault(
    "F-towers-sum",
    family="equal tensors",
    title="two towers on one input with the same seed, added",
    source="parallel branches with equal integer seeds",
    symptom="the two towers get equal gradients and stay equal for ever: one of them is wasted",
    expected={"tower_a|tower_b": "twins locked"},
    severity="error warning",
)
def towers_added(faulty: bool) -> Program:
    return _towers(faulty, L.Add())


def _experts(faulty: bool, router: str) -> Program:
    keras.utils.set_random_seed(0)
    x = keras.Input((64,))
    gates = L.Dense(4, "softmax", kernel_initializer=router, name="router")(x)
    copied = keras.initializers.HeNormal(seed=3)
    experts = [
        L.Dense(16, "relu", kernel_initializer=copied if faulty else "he_normal", name=f"expert_{n}")(x)
        for n in range(4)
    ]
    weighted = [L.Multiply()([gates[:, n : n + 1], expert]) for n, expert in enumerate(experts)]
    model = keras.Model(x, L.Dense(10, "softmax", name="output")(L.Add()(weighted)))
    return _compiled(model, *data.flat_digits())


@fault(
    "F-experts-random",
    family="equal tensors",
    title="mixture of four experts copied from one layer, random router",
    source="upcycling: 'all experts start from identical weights'",
    symptom="the gates differ from expert to expert, so that they separate",
    expected={"expert_0|expert_1|expert_2|expert_3": "twins transient"},
    severity="warning info",
)
def upcycled_experts(faulty: bool) -> Program:
    return _experts(faulty, "glorot_uniform")


@fault(
    "F-experts-zero",
    family="equal tensors",
    title="the same with a router that starts at zeros",
    source="upcycling, with the router's columns equal too",
    symptom="equal experts behind equal gates: neither the experts nor the router ever separate",
    expected={"expert_0|expert_1|expert_2|expert_3": "twins locked", "router": "locked dead"},
    severity="error warning",
)
def upcycled_experts_with_equal_gates(faulty: bool) -> Program:
    return _experts(faulty, "zeros" if faulty else "glorot_uniform")


@fault(
    "F-pruned",
    family="equal tensors",
    title="4 of 16 trained units pruned to zero on both sides, to be regrown",
    source="pruning and regrowing without new random values",
    symptom="the pruned units never come back: both their gradients are zero",
    expected={"hidden": "dead locked"},
    severity="error warning",
)
def pruned_units(faulty: bool) -> Program:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((64,)), L.Dense(16, "tanh", name="hidden"), L.Dense(10, "softmax", name="output")]
    )
    program = _compiled(model, *data.flat_digits())
    model.fit(program.x, program.y, batch_size=32, epochs=2, verbose=0)
    kernel, bias, outgoing, output_bias = model.get_weights()
    if faulty:
        kernel[:, :4], bias[:4], outgoing[:4] = 0, 0, 0
    model.set_weights([kernel, bias, outgoing, output_bias])
    return _compiled(model, program.x, program.y)
