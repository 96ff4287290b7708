"""Comparing initializers over seeds, with intervals. Runs in about 30 seconds."""

import keras
from sklearn.datasets import load_digits

import keras_initkit as ik

images, labels = load_digits(return_X_y=True)
x = (images / 16).astype("float32")


def build_model(kernel_initializer):
    dense = keras.layers.Dense
    model = keras.Sequential(
        [
            keras.Input((64,)),
            dense(32, "relu", kernel_initializer=kernel_initializer, name="hidden_1"),
            dense(32, "relu", kernel_initializer=kernel_initializer, name="hidden_2"),
            dense(10, "softmax", kernel_initializer=kernel_initializer, name="output"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


results = ik.compare(
    build_model,
    x[:1400],
    labels[:1400],
    validation_data=(x[1400:], labels[1400:]),
    initializers=["zeros", "glorot_uniform", "he_normal", ik.initializers.ZerO()],
    seeds=3,
    epochs=8,
    target="accuracy >= 0.9",
    verbose=0,
)
print(results.summary())
print(results.table()[["initializer", "learns", "verdict"]].to_string(index=False))
for kind in ("curves", "ranking", "symmetry", "heatmaps"):
    results.plot(kind).savefig(f"{kind}.png", dpi=120)
print(f"Saved: {results.save('study.npz').name} and four figures")
