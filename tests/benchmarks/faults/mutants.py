"""Initialiser mutants of DeepCrime, with the published answers of four tools: the networks of the study in small."""

import keras
import numpy as np

from tests.benchmarks.faults import data
from tests.benchmarks.faults.case import Program, fault

L = keras.layers
_STUDY = (
    "Replication package of 'An Empirical Study of Fault Localisation Techniques for Deep Learning' (2025), "
    "https://github.com/dlfaults/dnn-auto-fl-empirical-assesment"
)


@fault(
    "M1",
    family="DeepCrime mutant",
    title="first convolution starts at zeros, behind it ReLU",
    source=f"{_STUDY}: mnist_change_weights_initialisation_zeros_0",
    symptom="loss 2.301 and accuracy 0.1135 for all 12 epochs; 0.99 with any random start",
    expected={"conv_0": "dead locked"},
    severity="error",
)
def mnist_zeros_in_layer_0(faulty: bool) -> Program:
    keras.utils.set_random_seed(0)
    first = "zeros" if faulty else "glorot_uniform"
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            L.Conv2D(8, 3, activation="relu", kernel_initializer=first, name="conv_0"),
            L.Conv2D(16, 3, activation="relu", name="conv_1"),
            L.MaxPooling2D(2),
            L.Dropout(0.25),
            L.Flatten(),
            L.Dense(32, "relu", name="dense_0"),
            L.Dropout(0.5),
            L.Dense(10, "softmax", name="output"),
        ]
    )
    model.compile(keras.optimizers.Adadelta(1.0), "sparse_categorical_crossentropy")
    return Program(model, *data.digits(), {"batch_size": 128, "epochs": 6})


def _cifar_network(second: str) -> Program:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            L.Conv2D(16, 3, activation="relu", padding="same", name="conv_0"),
            L.MaxPooling2D(2),
            L.Conv2D(16, 3, activation="relu", padding="same", kernel_initializer=second, name="conv_2"),
            L.MaxPooling2D(2),
            L.Conv2D(32, 3, activation="relu", padding="same", name="conv_4"),
            L.Flatten(),
            L.Dense(64, "relu", name="dense_0"),
            L.Dense(32, "relu", name="dense_1"),
            L.Dense(10, "softmax", name="output"),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    return Program(model, *data.digits(channels=3), {"batch_size": 64, "epochs": 3})


@fault(
    "C3",
    family="DeepCrime mutant",
    title="second convolution starts at ones",
    source=f"{_STUDY}: cifar10_change_weights_initialisation_ones_2",
    symptom="accuracy 0.906 in training and 0.505 (loss 3.2) in validation after 50 epochs",
    expected={"conv_2": "transient plateau exploding"},
    severity="warning info",
)
def cifar_ones_in_layer_2(faulty: bool) -> Program:
    return _cifar_network("ones" if faulty else "glorot_uniform")


@fault(
    "C3-zeros",
    family="DeepCrime mutant",
    title="second convolution starts at zeros, behind it ReLU",
    source=f"{_STUDY}: the variant with zeros of the neutrality files",
    symptom="accuracy 0.09 to 0.11",
    expected={"conv_2": "dead locked"},
    severity="error",
)
def cifar_zeros_in_layer_2(faulty: bool) -> Program:
    return _cifar_network("zeros" if faulty else "glorot_uniform")


@fault(
    "R6",
    family="DeepCrime mutant",
    title="first layer starts at ones, inputs are 0 or 1",
    source=f"{_STUDY}: reuters_change_weights_initialisation_ones_0",
    symptom="loss 142 and 120 in epochs 2 and 3, test accuracy 0.541; 0.8 with a random start",
    expected={"dense_0": "transient plateau exploding"},
    severity="warning info",
)
def reuters_ones_in_layer_0(faulty: bool) -> Program:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((500,)),
            L.Dense(64, "relu", kernel_initializer="ones" if faulty else "glorot_uniform", name="dense_0"),
            L.Dense(8, "softmax", name="output"),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    return Program(model, *data.bag_of_words(), {"batch_size": 32, "epochs": 3})


def angle_between(truth, answer):
    """Return the mean angle between directions given by two angles each, as the published program measures it."""
    ops = keras.ops

    def direction(angles):
        theta, phi = angles[:, 0], angles[:, 1]
        return ops.stack([ops.sin(theta) * ops.cos(phi), ops.sin(theta) * ops.sin(phi), ops.cos(theta)], axis=-1)

    cosine = ops.sum(direction(ops.cast(truth, "float32")) * direction(answer), axis=-1)
    return ops.mean(ops.arccos(ops.clip(cosine, -0.99999, 0.99999)))


@fault(
    "LeNet",
    family="DeepCrime mutant",
    title="first convolution of a network with two inputs starts at ones; the loss is the user's own",
    source=f"{_STUDY}: lenet, change_weights_initialisation ones, layer 1; network of "
    "https://github.com/dlfaults/deepcrime test_models/lenet.py (UnityEyes, angle of the gaze)",
    symptom="none of the four tools applies to it",
    expected={"conv_1": "transient plateau exploding"},
    severity="warning info",
)
def unity_eyes_ones_in_layer_1(faulty: bool) -> Program:
    keras.utils.set_random_seed(0)

    def normal():
        return keras.initializers.RandomNormal(stddev=0.1)

    image, head = keras.Input((8, 8, 1), name="image"), keras.Input((2,), name="head")
    h = L.Conv2D(10, 3, activation="relu", kernel_initializer="ones" if faulty else normal(), name="conv_1")(image)
    h = L.MaxPooling2D(2)(h)
    h = L.Conv2D(16, 2, activation="relu", kernel_initializer=normal(), name="conv_2")(h)
    h = L.Dense(50, "relu", kernel_initializer="glorot_normal", name="dense_1")(L.Flatten()(h))
    output = L.Dense(2, name="output")(L.Concatenate()([head, h]))
    model = keras.Model([image, head], output)
    model.compile(keras.optimizers.SGD(0.05), angle_between)
    images, _ = data.digits()
    # Where the ink lies and how the head is turned decide the direction, so that both inputs are needed.
    ink = images[..., 0] / images.sum((1, 2, 3))[:, None, None]
    place = np.arange(8) / 4 - 7 / 8
    heads = np.random.default_rng(0).uniform(-0.5, 0.5, (len(images), 2))
    gaze = 1.5 + heads + 3 * np.stack([ink.sum(2) @ place, ink.sum(1) @ place], 1)
    return Program(model, [images, heads.astype(np.float32)], gaze.astype(np.float32), {"batch_size": 128, "epochs": 5})
