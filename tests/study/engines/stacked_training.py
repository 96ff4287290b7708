"""Replicas of small models trained one by one, with a record of each and their values stacked, epoch by epoch."""

import warnings

import keras
import numpy as np

from keras_initkit.callbacks.symmetry_record import SymmetryRecord
from keras_initkit.initializers import Perturbed, Tiled

EPOCHS = 3


def initializers():
    """Return name -> initializer; `"nan"` and `"diverging"` are healthy ones that are broken by hand."""
    normal = keras.initializers.HeNormal
    return {
        "healthy": normal(seed=1),
        "other": normal(seed=2),
        "zeros": "zeros",
        "ones": "ones",
        "constant": keras.initializers.Constant(0.5),
        "tiled": Tiled(3, normal(), seed=3),
        "perturbed": Perturbed(keras.initializers.Constant(0.3), 1e-3, seed=4),
        "slightly": Perturbed(Tiled(3, normal()), 0.03, seed=6),
        "tiny": keras.initializers.RandomNormal(stddev=1e-3, seed=7),
        "nan": normal(seed=8),
        "diverging": normal(seed=9),
    }


def train(build, batch, names=None):
    """Return the model, one record per replica, and per epoch the stacked values of model and optimizer.

    Args:
        build: from an initializer to a compiled model.
        batch: inputs and targets.
        names: names of the initializers. Defaults to all.
    """
    host = build("he_normal")
    host.optimizer.build(host.trainable_variables)
    fresh = arrays(host.optimizer.variables)
    records, histories = [], []
    for name, initializer in initializers().items():
        if names is not None and name not in names:
            continue
        values = arrays(build(initializer).variables)
        if name == "nan":
            values[0] = values[0].copy()
            values[0].flat[0] = np.nan
        assign(host.variables, values)
        assign(host.optimizer.variables, fresh)
        record = SymmetryRecord(host, None, "epoch")
        histories.append([])
        for epoch in range(EPOCHS + 1):
            if epoch:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)
                    for _ in range(2):
                        host.train_on_batch(*batch)
                    if hasattr(host, "jax_state_sync"):
                        host.jax_state_sync()
            if name == "diverging" and epoch == 2:
                assign(host.trainable_variables, [np.full(v.shape, np.inf, v.dtype) for v in host.trainable_variables])
            record.measure(epoch)
            histories[-1].append((arrays(host.variables), arrays(host.optimizer.variables)))
        records.append(record)
    epochs = [[stacked(part) for part in zip(*at, strict=True)] for at in zip(*histories, strict=True)]
    return host, records, epochs


def stacked(lists):
    return [np.stack(values) for values in zip(*lists, strict=True)]


def arrays(variables):
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
