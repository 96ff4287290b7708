"""Watching trainings: healthy, locked, collapsing late, and one in a loop without `fit`. Runs in about 20 seconds."""

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_initkit as ik

images, labels = load_digits(return_X_y=True)
x = (images / 16).astype("float32")


def build_model(initializer):
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    model = keras.Sequential(
        [
            keras.Input((64,)),
            dense(64, "tanh", kernel_initializer=initializer, name="hidden_1"),
            dense(64, "tanh", kernel_initializer=initializer, name="hidden_2"),
            dense(10, "softmax", kernel_initializer=initializer, name="output"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


# 1. A callback watches every epoch; `summary` tells the story of each layer.
for initializer in ("he_normal", keras.initializers.Constant(0.1), ik.initializers.Tiled(8, "he_normal", axis="both")):
    model, monitor = build_model(initializer), ik.SymmetryMonitor(on_locked="ignore")
    model.fit(x, labels, epochs=5, batch_size=32, verbose=0, callbacks=[monitor])
    print(ik.initializers.describe(initializer)["name"])
    print(monitor.summary())

# 2. Units that differ and become copies later: a collapse is an event (and a warning). Here Adam remembers different
# gradients of the units, so they separate again.
model, monitor = build_model("he_normal"), ik.SymmetryMonitor(on_locked="ignore")


def collapse(epoch, _):
    """Stand in for a training that draws all units together."""
    if epoch == 2:
        model.set_weights([np.full_like(weight, weight.mean()) for weight in model.get_weights()])


callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=collapse), monitor]
model.fit(x, labels, epochs=5, batch_size=32, verbose=0, callbacks=callbacks)
for event in monitor.events:
    print(f"{event.layer} {event.what} at epoch {event.epoch}: {event.before} -> {event.after} units")
monitor.plot("timeline").savefig("timeline.png")
monitor.heatmap("hidden_2", 0).savefig("hidden_2_before.png")

# 3. An own training loop measures when it likes. `train_on_batch` stands for any step of yours.
model, monitor = build_model(ik.initializers.Tiled(8, "he_normal", axis="both")), ik.SymmetryMonitor(on_locked="ignore")
rows = monitor.measure(model, 0)
for epoch in range(1, 6):
    for start in range(0, len(x), 64):
        model.train_on_batch(x[start : start + 64], labels[start : start + 64])
    rows = monitor.measure(model, epoch)
for row in rows:
    print(f"epoch {row['epoch']}: {row['distinct']} of {row['units']} units of {row['layer']} are distinct")
