"""compare(): initializers x seeds, trained on the same batches, compared with intervals, kept in MLflow."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from typing import Any

from keras_initkit._checks import check_choice, check_integer, describe
from keras_initkit.convergence import Target, parse_target
from keras_initkit.study.data import StudyData
from keras_initkit.study.engines.group import Training
from keras_initkit.study.executors import check_executor
from keras_initkit.study.grouping import workers_of
from keras_initkit.study.journal import GroupJournal
from keras_initkit.study.naming import named_initializers
from keras_initkit.study.progress import StudyProgress
from keras_initkit.study.results import StudyResults
from keras_initkit.study.running import RunningStudy
from keras_initkit.study.seeding import untouched_randomness
from keras_initkit.study.tracked import StudyTracker
from keras_initkit.tracking.initial_state import initial_params, initial_state


@untouched_randomness()
def compare(
    build_model: Callable[[Any], Any],
    x: Any,
    y: Any = None,
    *,
    validation_data: Any = None,
    initializers: Any,
    seeds: int | Sequence[int] = 10,
    epochs: int = 20,
    batch_size: int = 32,
    sample_weight: Any = None,
    class_weight: dict[int, float] | None = None,
    target: float | str | Target | None = None,
    engine: str = "auto",
    executor: Executor | None = None,
    experiment: str | None = None,
    callbacks: Sequence[Any] = (),
    resume: bool = True,
    catch: type[Exception] | tuple[type[Exception], ...] = (),
    verbose: str | int = "auto",
) -> StudyResults:
    """Train a model with each initializer and seed, and compare how fast they learn.

    Every replica gets the same budget of epochs, and replicas with the same seed see the same batches in the same
    order, so initializers are compared in pairs. A seed fixes everything random while the model is built, as
    `keras.utils.set_random_seed(seed)` before `build_model` would, and the order of the data; no global state is
    changed. Loss and metrics are measured before training too (epoch 0), and the alikeness of the hidden units at
    every epoch.

    Example:

    ```python
    def build_model(kernel_initializer):
        model = keras.Sequential([
            keras.layers.Dense(64, "relu", kernel_initializer=kernel_initializer),
            keras.layers.Dense(10, "softmax", kernel_initializer=kernel_initializer),
        ])
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    results = ik.compare(build_model, x, y, initializers=["zeros", "he_normal", ik.initializers.ZerO()], seeds=5)
    print(results.summary())
    ```

    Args:
        build_model: function from an initializer to a compiled Keras model. It is called once per replica, with what
            was given: a name for a name of Keras, else an instance that gives new values to every layer.
        x: training inputs: an array of shape `(samples, ...)`, a dict or list of such arrays; or what gives its own
            batches in its own order: a `tf.data.Dataset`, a `keras.utils.PyDataset`, a function without arguments that
            returns an iterator of batches, or a generator, which is read once.
        y: training targets in the same form. Defaults to `None`.
        validation_data: `(x, y)`, `(x, y, sample_weight)` or a dataset. Defaults to `None`.
        initializers: list of initializers, or dict `{name: initializer}`; whatever `ik.initializers.get` takes. Seeds
            they have are replaced by those of the study.
        seeds: number n of seeds (0 to n - 1), or the seeds. Defaults to 10.
        epochs: budget of every replica. Defaults to 20.
        batch_size: samples per step. Defaults to 32.
        sample_weight: weights of the training samples, as in `fit`. Defaults to `None`.
        class_weight: dict from class to weight, as in `fit`. Defaults to `None`.
        target: what counts as having learned: a number (the training loss to reach) or a text such as
            `"val_accuracy >= 0.95"`. Defaults to `None`: 90 % of the way from the lowest median loss before training
            of an initializer to the lowest mean final loss of one, taken from the same study, as its summary says.
        engine: `"stacked"` trains the replicas together as one program (TensorFlow and JAX), with the results of
            `fit`; `"sequential"` trains them one by one through `fit`; `"auto"` stacks where that is exact, and says
            in `results.engine` what was done and why. Defaults to `"auto"`.
        executor: a `concurrent.futures.Executor` in whose workers groups of replicas are trained: `processes(n)` and
            `RayExecutor()` of `keras_initkit.study.executors`, `client.get_executor(pure=False)` of a Dask client. Only
            this process writes to MLflow. Defaults to `None`: they are trained here.
        experiment: name of the MLflow experiment. Defaults to `None`: nothing is tracked.
        callbacks: Keras callbacks that are given to every `fit`; workers of an executor have copies of them.
        resume: whether replicas that the experiment already has (same data, code of `build_model` and of what it uses,
            model, initializer, seed, budget and versions) are read instead of trained. Defaults to `True`; never done
            with `callbacks`, or where code or data cannot be compared.
        catch: exception class, or tuple of them, of a replica that do not end the study. A failed replica is recorded
            in any case. Defaults to `()`: the first error is raised.
        verbose: 0 for silence, 1 for a progress bar, `"auto"` for one if the output is a terminal. Defaults to
            `"auto"`.

    Returns:
        A `StudyResults`.

    Raises:
        ValueError: for an unknown initializer or metric, no seeds, no epochs, data that are NaN, empty or of different
            lengths.
        CannotStack: with `engine="stacked"`, if some replica cannot be stacked.
        TypeError: if `build_model` does not return a compiled Keras model, or if something cannot be sent to the
            workers of an executor.
        TrackingError: if the MLflow store cannot be used; before any training.
        StudyIsRunning: if another process trains the same study at the moment, and `resume` is true.
    """
    check_choice("engine", engine, ("auto", "stacked", "sequential"))
    check_integer("epochs", epochs, 1)
    check_integer("batch_size", batch_size, 1)
    if not callable(build_model) or hasattr(build_model, "layers"):
        raise TypeError(
            "Expected `build_model` to be a function from an initializer to a compiled model. "
            f"Received: build_model={describe(build_model)}."
        )
    if executor is not None:
        check_executor(executor)
    named = named_initializers(initializers)
    data = StudyData.of(x, y, validation_data, sample_weight=sample_weight, class_weight=class_weight)
    study = RunningStudy(
        training=Training(build_model, data, epochs, batch_size, _callback_list(callbacks), _describe_model),
        engine=engine,
        named=named,
        seeds=_seed_list(seeds),
        target=None if target is None else parse_target(target),
        catch=catch if isinstance(catch, tuple) else (catch,),
        progress=StudyProgress(verbose, len(named) * len(_seed_list(seeds)) * epochs),
        executor=executor,
    )
    if experiment is None:
        study.probe()
        return study.results(study.train(None, {}, {}, GroupJournal()))
    with StudyTracker(experiment) as tracker:
        identity = study.probe()
        reusable = resume and not callbacks and identity.reproducible
        keys = {(n, s): identity.replica_key(i, s) for n, i in named.items() for s in study.seeds}
        caught = [f"{error.__module__}.{error.__qualname__}" for error in study.catch]
        facts = engine, str(workers_of(executor)), *caught, experiment, tracker.store
        journal = GroupJournal.open(keys, *facts) if reusable else GroupJournal()
        tracker.open(identity.study_id if reusable else uuid.uuid4().hex[:12], identity.params, journal)
        known = tracker.finished(list(keys.values())) if reusable else {}
        return tracker.complete(study.results(study.train(tracker, keys, known, journal)))


def _callback_list(callbacks: Any) -> tuple[Any, ...]:
    if not isinstance(callbacks, (list, tuple)):
        raise ValueError(f"Expected `callbacks` to be a list. Received: callbacks={describe(callbacks)}.")
    return tuple(callbacks)


def _seed_list(seeds: int | Sequence[int]) -> list[int]:
    if not isinstance(seeds, Iterable) or isinstance(seeds, (str, bytes)):
        return list(range(check_integer("seeds", seeds, 1)))
    given = [check_integer("seeds", seed, 0) for seed in seeds]
    if not given or len(set(given)) != len(given):
        raise ValueError(f"Expected `seeds` to be different seeds, at least one. Received: seeds={describe(seeds)}.")
    return given


def _describe_model(model: Any) -> dict[str, Any]:
    layers = initial_state(model)
    return {"layers": layers, "params": initial_params(layers)}
