"""Watching a training that is locked and one that is not. Runs in about 15 seconds."""

import keras
from sklearn.datasets import load_digits

import keras_initkit as ik

images, labels = load_digits(return_X_y=True)
x = (images / 16).astype("float32")

for initializer in ("he_normal", keras.initializers.Constant(0.1), ik.initializers.Tiled(8, "he_normal", axis="both")):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(64, "tanh", kernel_initializer=initializer, name="hidden_1"),
            keras.layers.Dense(64, "tanh", kernel_initializer=initializer, name="hidden_2"),
            keras.layers.Dense(10, "softmax", kernel_initializer=initializer, name="output"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    monitor = ik.SymmetryMonitor(on_locked="ignore")
    model.fit(x, labels, epochs=5, batch_size=32, verbose=0, callbacks=[monitor])
    print(f"{ik.initializers.describe(initializer)['name']}: {monitor.verdicts}")
    for row in monitor.rows:
        if row["layer"] == "hidden_2" and row["epoch"] in (0, 5):
            print(f"  epoch {row['epoch']}: {row['distinct']} of {row['units']} units of {row['layer']} are distinct")
