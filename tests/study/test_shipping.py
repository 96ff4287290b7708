import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_initkit.initializers import Tiled
from keras_initkit.study import shipping, worker
from keras_initkit.study.data import StudyData
from keras_initkit.study.engines.group import Member, Training
from keras_initkit.study.engines.stacked import CannotStack
from keras_initkit.study.shipping import trained_elsewhere
from keras_initkit.study.worker import WorkerUnfit, train_group
from tests.study.clusters import KINDS, cluster, is_gone, noted_processes, process_id  # noqa: F401
from tests.study.problem import build_model, digits

REPOSITORY = Path(__file__).parents[2]
OUTSIDE = ("processes", "ray", "dask")  # kinds with workers in other processes


@pytest.fixture
def one_thread():
    with ThreadPoolExecutor(1) as executor:
        yield executor


def training(build=build_model, data=None, epochs=2, **more):
    x, y = digits()
    return Training(build, StudyData.of(x, y, (x, y)) if data is None else data, epochs, 32, **more)


def members(name, seeds, initializer=None):
    return [Member(name, partial(_given, initializer or name), seed) for seed in seeds]


def _given(initializer):
    return initializer


def trained(executor, *args):
    return {index: (outcomes, notes) for index, outcomes, notes in trained_elsewhere(executor, *args)}


def trained_here(study, engine, groups):
    found = {}
    for index, group in enumerate(groups):
        notes = []
        found[index] = (list(train_group(engine, study, group, lambda _: None, notes.append)), notes)
    return found


def assert_same_replicas(ones, others):
    assert list(ones) == sorted(others)
    for index, (outcomes, notes) in ones.items():
        assert others[index][1] == notes
        for one, other in zip(outcomes, others[index][0], strict=True):
            assert other.replica.error == one.replica.error == ""
            assert (other.replica.initializer, other.replica.seed) == (one.replica.initializer, one.replica.seed)
            assert list(other.replica.curves) == list(one.replica.curves)
            for name, curve in one.replica.curves.items():
                np.testing.assert_allclose(other.replica.curves[name], curve, rtol=1e-6, atol=1e-6)
            assert other.replica.symmetry == one.replica.symmetry
            assert other.replica.initial_state == one.replica.initial_state
            assert list(other.pictures) == list(one.pictures)
            assert other.weights == []
            assert one.weights


@pytest.fixture(scope="module")
def study_and_groups():
    """Return a study whose functions cannot be found by name, with initializers of several kinds, and its replicas."""
    units = 6

    class Shifted(keras.initializers.Initializer):
        def __init__(self, by):
            self.by = by

        def __call__(self, shape, dtype=None):
            return keras.random.normal(shape, stddev=0.2, dtype=dtype) + self.by

    def build(initializer):
        inputs = keras.Input((64,))
        hidden = keras.layers.Dense(units, "relu", kernel_initializer=initializer, name="hidden")(inputs)
        hidden = keras.layers.Dropout(0.2)(hidden)
        model = keras.Model(inputs, keras.layers.Dense(3, "softmax", name="output")(hidden))
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    study = training(build, describe_model=lambda model: {"weights": len(model.weights)})
    tiled = members("tiled", (0, 1), Tiled(2, keras.initializers.HeNormal()))
    groups = [members("he_normal", (3, 4, 9)), tiled + members("shifted", (0, 1), Shifted(0.1))]
    return study, groups, trained_here(study, "auto", groups)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_replicas_as_here(cluster, kind, study_and_groups):  # noqa: F811
    study, groups, here = study_and_groups
    done = []
    found = trained(cluster(kind), study, "auto", groups, done.append)
    assert_same_replicas(here, found)
    assert sorted(done) == [6, 8]


def test_generator_functions_as_data(cluster):  # noqa: F811
    x, y = digits(96)

    def batches():
        return ((x[start : start + 32], y[start : start + 32]) for start in range(0, 96, 32))

    study = training(data=StudyData.of(batches, None, iter([(x, y)])))
    groups = [members("he_normal", (0, 1))]
    assert_same_replicas(trained_here(study, "auto", groups), trained(cluster("processes"), study, "auto", groups))


def test_settings_and_registered_objects_go_along(cluster):  # noqa: F811
    def build(initializer):
        activation = keras.saving.get_registered_object("steep")
        model = keras.Sequential(
            [keras.Input((64,)), keras.layers.Dense(3, activation, kernel_initializer=initializer)]
        )
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    def steep(x):
        return 2.0 * x * keras.config.epsilon()

    own = keras.config.epsilon(), keras.config.dtype_policy()
    keras.config.set_epsilon(0.25)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        with keras.saving.custom_object_scope({"steep": steep}):
            study = training(build)
            groups = [members("he_normal", (0, 1))]
            here = trained_here(study, "sequential", groups)
            found = trained(cluster("processes"), study, "sequential", groups)
    finally:
        keras.config.set_epsilon(own[0])
        keras.config.set_dtype_policy(own[1])
    assert_same_replicas(here, found)
    with keras.saving.custom_object_scope({"steep": steep}):
        plain = trained_here(study, "sequential", groups)
    assert plain[0][0][0].replica.curves != here[0][0][0].replica.curves
    # The worker is as it was afterwards.
    left = cluster("processes").submit(worker.keras_settings).result(60)
    assert left == worker.keras_settings()


def test_groups_in_threads_take_turns():
    building = []

    def build(initializer):
        building.append(threading.get_ident())
        time.sleep(0.1)
        assert building.pop() == threading.get_ident()
        assert not building
        return build_model(initializer)

    groups = [members("he_normal", (seed,)) for seed in range(3)]
    with ThreadPoolExecutor(3) as executor:
        found = trained(executor, training(build, epochs=1), "sequential", groups)
    assert {outcome.replica.error for outcomes, _ in found.values() for outcome in outcomes} == {""}


def test_what_other_threads_of_a_worker_draw_changes_nothing(one_thread):
    ended, drawn = threading.Event(), []

    def draw():
        while not ended.is_set():
            drawn.append((random.random(), random.sample(range(100), 3), random.gauss(0, 1), early_choice("abc")))
            time.sleep(0.0002)

    groups = [members("he_normal", (0, 1)), members("he_uniform", (0, 1))]
    here = trained_here(training(), "sequential", groups)
    early_choice = random.choice
    thread = threading.Thread(target=draw)
    thread.start()
    try:
        found = trained(one_thread, training(), "sequential", groups)
    finally:
        ended.set()
        thread.join()
    assert_same_replicas(here, found)
    assert len(set(map(str, drawn))) == len(drawn) > 100
    assert random.random.__self__ is random._inst


@pytest.mark.parametrize("far", [False, True])
def test_large_data_go_through_a_file_that_far_workers_do_not_need(one_thread, monkeypatch, far):
    monkeypatch.setattr(shipping, "_LARGE", 0)
    given, read = [], []
    submit = one_thread.submit

    def noted(function, settings, digest, shared, group):
        given.append(shared)
        return submit(function, settings, digest, shared, group)

    class FarPath(type(Path())):
        def read_bytes(self):
            read.append(str(self))
            if far:
                raise FileNotFoundError(self)
            return super().read_bytes()

    monkeypatch.setattr(one_thread, "submit", noted)
    monkeypatch.setattr(worker, "Path", FarPath)
    study = training(epochs=1)
    found = trained(one_thread, study, "sequential", [members("he_normal", (seed,)) for seed in (0, 1)])
    assert [found[index][0][0].replica.status for index in (0, 1)] == ["finished", "finished"]
    assert [type(shared) for shared in given] == [str, str, *[bytes] * (2 if far else 0)]
    assert len(read) == (2 if far else 1)  # once per process
    assert not Path(given[0]).exists()


def test_a_file_with_other_content_is_not_read(tmp_path):
    path = tmp_path / "study.pickle"
    path.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    assert worker.answer(worker.keras_settings(), "0" * 64, str(path), b"") is None


def test_errors_that_do_not_pickle_come_as_text(one_thread):
    class Odd(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    def build(_):
        raise Odd("this", "that")

    ((outcome,), _) = trained(one_thread, training(build), "sequential", [members("zeros", (0,))])[0]
    assert outcome.replica.error.endswith("Odd: this and that")
    assert type(outcome.exception) is RuntimeError
    assert "Odd: this and that" in str(outcome.exception)
    assert "in build" in str(outcome.exception)


def test_errors_of_the_engine_are_raised(one_thread):
    def build(initializer):
        model = build_model(initializer)
        model.compile(keras.optimizers.SGD(global_clipnorm=1.0), "sparse_categorical_crossentropy", run_eagerly=True)
        return model

    with pytest.raises(CannotStack, match="Expected a model that can be trained in stacks"):
        trained(one_thread, training(build), "stacked", [members("he_normal", (0, 1))])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"backend": "torch"}, 'worker with the Keras backend "torch".* KERAS_BACKEND=torch'),
        ({"versions": {"version/keras": "3.0.0"}}, "versions of the driver. Received: keras .* instead of 3.0.0"),
    ],
)
def test_workers_that_differ_from_the_driver_are_refused(one_thread, monkeypatch, changed, message):
    settings = {**worker.keras_settings(), **changed}
    monkeypatch.setattr(shipping, "keras_settings", lambda: settings)
    with pytest.raises(WorkerUnfit, match=message):
        trained(one_thread, training(), "auto", [members("he_normal", (0,))])


def test_workers_without_a_module_are_refused(cluster, tmp_path, monkeypatch):  # noqa: F811
    cluster("processes").submit(process_id).result(60)  # it is started without the folder
    (tmp_path / "only_here.py").write_text("from tests.study.problem import build_model")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here

    only_here.build_model.__module__, kept = "only_here", only_here.build_model.__module__
    try:
        with pytest.raises(WorkerUnfit, match="Received: ModuleNotFoundError: No module named 'only_here'"):
            trained(cluster("processes"), training(only_here.build_model), "auto", [members("he_normal", (0,))])
    finally:
        only_here.build_model.__module__ = kept


class _Refusing(ThreadPoolExecutor):
    def submit(self, *args, **kwargs):
        raise AssertionError("something was submitted")


def _builds_with(part):
    def helper():
        return part

    def build(initializer):
        helper()
        return build_model(initializer)

    return build


def test_what_cannot_be_pickled_is_named_before_anything_is_submitted(tmp_path):
    tf = pytest.importorskip("tensorflow")
    x, y = digits()
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    lock, groups = threading.Lock(), [members("he_normal", (0,))]
    callback = keras.callbacks.Callback()
    callback.lock = lock
    with open(tmp_path / "log", "w") as file, _Refusing(1) as executor:
        cases = [
            (training(_builds_with(file)), groups, "`build_model`, which uses `helper`, which uses `part`: a _io.Text"),
            (training(partial(build_model, dropout=lock)), groups, "`build_model`, argument `dropout`: a _thread.lock"),
            (training(callbacks=(callback,)), groups, "`callbacks`, its item 0, its attribute `lock`: a _thread.lock"),
            (training(data=StudyData.of(dataset, None, None)), groups, "`x`: a tensorflow.*as_numpy_iterator"),
            (training(data=StudyData.of(x, y, dataset)), groups, "`validation_data`: a tensorflow"),
            (
                training(_builds_with(dataset)),
                groups,
                "`build_model`, which uses `helper`, which uses `part`: a tensor",
            ),
            (
                training(),
                [members("mine", (0,), {"of": [1, lock]})],
                "the initializer 'mine', argument 0, its entry 'of'",
            ),
        ]
        for study, group, message in cases:
            with pytest.raises(TypeError, match=f"Received: {message}") as raised:
                trained_elsewhere(executor, study, "auto", group)
            assert "Expected " in str(raised.value)
            assert "since `executor` trains in other processes" in str(raised.value)


def test_models_and_variables_that_a_function_uses_are_copied(one_thread):
    base = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8, "relu", name="base")])
    base.trainable = False
    scale = keras.Variable(2.0)

    def build(initializer):
        inputs = keras.Input((64,))
        outputs = keras.layers.Dense(3, kernel_initializer=initializer)(
            base(inputs) * float(keras.ops.convert_to_numpy(scale))
        )
        model = keras.Model(inputs, outputs)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    groups = [members("he_normal", (0,))]
    here = trained_here(training(build), "sequential", groups)
    assert_same_replicas(here, trained(one_thread, training(build), "sequential", groups))


@pytest.mark.parametrize("kind", OUTSIDE)
def test_what_goes_wrong_in_one_group_leaves_the_others_alone(cluster, kind):  # noqa: F811
    class Unlucky(ArithmeticError):
        pass

    def build(initializer):
        state = random.getstate()
        if state == random.Random(5).getstate():
            raise Unlucky("seed 5")
        if state == random.Random(13).getstate():
            os.kill(os.getpid(), signal.SIGKILL)
        return build_model(initializer)

    groups = [members("he_normal", (13, 2)), members("zeros", (5, 6)), members("ones", (7,)), members("ones", (1,))]
    if kind == "dask":  # which holds a death against all that its worker had before it
        groups = groups[:2]
    done = []
    found = trained(cluster(kind), training(build, epochs=1), "sequential", groups, done.append)
    assert sorted(found) == list(range(len(groups)))
    assert sorted(done) == sorted(len(group) for group in groups)
    for outcome, seed in zip(found.pop(0)[0], (13, 2), strict=True):
        assert (outcome.replica.initializer, outcome.replica.seed) == ("he_normal", seed)
        assert outcome.replica.status == "failed"
        assert outcome.replica.error.startswith(
            "WorkerLost: Expected a worker that trains a group of 2 replicas to its end. Received: "
        )
        assert isinstance(outcome.exception, shipping.WorkerLost)
    raised, *others = [outcome for index in sorted(found) for outcome in found[index][0]]
    assert {outcome.replica.status for outcome in others} == {"finished"}
    assert raised.replica.error.endswith("Unlucky: seed 5")
    assert type(raised.exception) is Unlucky
    assert "in build" in str(raised.exception.__cause__)


@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_closing_cancels_what_is_left(cluster, kind, tmp_path):  # noqa: F811
    def build(initializer):
        Path(tmp_path, f"{os.getpid()}").touch()
        Path(tmp_path.parent, f"{tmp_path.name}-{initializer}").touch()
        time.sleep(2.0)
        return build_model(initializer)

    names = ("he_normal", "zeros", "ones", "he_uniform", "lecun_normal", "lecun_uniform", "glorot_normal")
    groups = [members(name, (0,)) for name in names]
    with closing(trained_elsewhere(cluster(kind), training(build, epochs=1), "sequential", groups)) as outcomes:
        next(outcomes)
    started = time.monotonic()
    cluster(kind).submit(process_id).result(60)
    assert time.monotonic() - started < 20
    time.sleep(2.0)
    assert len(list(tmp_path.parent.glob(f"{tmp_path.name}-*"))) < len(names) - 1


def test_ctrl_c_ends_the_study_and_its_worker(tmp_path):
    ids = tmp_path / "ids"
    ids.mkdir()
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import os, sys
            sys.path.insert(0, {str(REPOSITORY)!r})
            from functools import partial
            from pathlib import Path
            import numpy as np

            def build(initializer):
                Path({str(ids)!r}, str(os.getpid())).touch()
                import keras
                model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
                model.compile("sgd", "mse")
                return model

            if __name__ == "__main__":
                from keras_initkit.study.data import StudyData
                from keras_initkit.study.engines.group import Member, Training
                from keras_initkit.study.executors import processes
                from keras_initkit.study.shipping import trained_elsewhere
                training = Training(build, StudyData.of(np.ones((64, 1)), np.ones(64), None), 10**6, 8)
                groups = [[Member("zeros", partial(str, "zeros"), seed)] for seed in range(5)]
                list(trained_elsewhere(processes(1), training, "sequential", groups))
            """
        )
    )
    driver = subprocess.Popen([sys.executable, script], start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        (process,) = noted_processes(ids, 1, 120)
        os.kill(driver.pid, signal.SIGINT)
        printed = driver.communicate(timeout=120)[1]
        assert printed.strip().endswith("KeyboardInterrupt")
        assert is_gone(process, 10)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
