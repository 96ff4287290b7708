"""One initializer and its numbers: does a deep network pass its signal on? Runs in about 10 seconds."""

import keras
import numpy as np

import keras_initkit as ik

x = np.random.default_rng(0).standard_normal((512, 128)).astype("float32")

for initializer in (
    "glorot_uniform",
    "he_normal",
    "orthogonal",
    ik.initializers.ScaledOrthogonal(activation="relu"),
    ik.initializers.ZerO(),
):
    fresh = ik.initializers.Distinct(initializer, seed=0)  # new values for each of the 30 layers
    layers = [keras.layers.Dense(128, "relu", kernel_initializer=fresh) for _ in range(30)]
    signal = keras.Sequential([keras.Input((128,)), *layers]).predict(x, verbose=0)
    units = ik.symmetry.unit_similarity(layers[0].kernel.numpy(), activation="relu")
    print(
        f"{ik.initializers.describe(initializer)['name']:18} "
        f"second moment after 30 ReLU layers {np.mean(signal**2):8.1e}, "
        f"{units.distinct} of {units.units} units distinct, rms cosine {units.rms:.3f}"
    )
