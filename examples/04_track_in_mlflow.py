"""The same in MLflow: a single training, then a study, in MLflow's default store. Runs in about 40 seconds."""

import keras
import mlflow
from sklearn.datasets import load_digits

import keras_initkit as ik

images, labels = load_digits(return_X_y=True)
x = (images / 16).astype("float32")


def build_model(kernel_initializer):
    dense = keras.layers.Dense
    model = keras.Sequential(
        [
            keras.Input((64,)),
            dense(32, "relu", kernel_initializer=kernel_initializer, name="hidden"),
            dense(10, "softmax", kernel_initializer=kernel_initializer, name="output"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


# One training: the symmetry of the units and the initial state of every layer go to MLflow with the metrics.
model = build_model("he_normal")
logger = ik.MLflowLogger(experiment="digits", run_name="one training", target=0.5, data=(x, labels))
model.fit(x, labels, epochs=5, verbose=0, callbacks=[ik.SymmetryMonitor(), logger])
run = mlflow.search_runs(experiment_names=["digits"]).iloc[0]
print(f"run {run['tags.mlflow.runName']!r} is {run['status']}, initialised by {run['params.init/name']}")

# A study: one run per replica, a summary run, and a view that groups them by initializer.
results = ik.compare(
    build_model, x, labels, initializers=["zeros", "he_normal"], seeds=2, epochs=5, experiment="digits", verbose=0
)
runs = mlflow.search_runs(experiment_names=["digits"], filter_string="tags.`initkit.kind` = 'replica'")
for name, group in runs.groupby("params.init/name"):
    print(f"{name}: {len(group)} runs, verdict {group['tags.initkit.verdict'].iloc[0]}")
print("Open with `keras-initkit ui`:", results.url.split("?")[0])
