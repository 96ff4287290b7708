"""A small real problem for the tests of studies: two digits, a perceptron that trains in moments."""

import keras
import numpy as np
from sklearn.datasets import load_digits


def digits(samples=200):
    images, labels = load_digits(n_class=3, return_X_y=True)
    return (images[:samples] / 16).astype(np.float32), labels[:samples]


def build_model(kernel_initializer, *, dropout=0.0, optimizer="sgd"):
    dense = keras.layers.Dense
    layers = [
        keras.Input((64,)),
        dense(8, "relu", kernel_initializer=kernel_initializer, name="hidden_1"),
        dense(8, "relu", kernel_initializer=kernel_initializer, name="hidden_2"),
        dense(3, "softmax", kernel_initializer=kernel_initializer, name="output"),
    ]
    if dropout:
        layers.insert(2, keras.layers.Dropout(dropout))
    model = keras.Sequential(layers)
    rate = 0.1 if optimizer == "sgd" else 0.01
    chosen = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[optimizer](rate)
    model.compile(chosen, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
