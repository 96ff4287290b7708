"""Many seeds in the time of a few, in one program and in two processes. Runs in about 20 seconds."""

import time

import keras
from sklearn.datasets import load_digits

import keras_initkit as ik
from keras_initkit.study.executors import processes


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


def compare(**changes):
    images, labels = load_digits(return_X_y=True)
    study = {"initializers": ["he_normal", "glorot_uniform"], "seeds": 32, "epochs": 5, "target": "accuracy >= 0.9"}
    return ik.compare(build_model, (images / 16).astype("float32"), labels, **study, **changes, verbose=0)


# A new process imports this file; what the script does stands under this line.
if __name__ == "__main__":
    started = time.perf_counter()
    results = compare()
    print(f"{results.engine}: {time.perf_counter() - started:.0f} s")
    print(results.table()[["initializer", "reached", "epochs_to_target"]].to_string(index=False))
    with processes(2) as workers:
        elsewhere = compare(executor=workers)
    print(f"In two processes: {elsewhere.engine}")
