"""Loading saved models: what is registered, what is missing, and what is said about it."""

import importlib
import json
import sys
import warnings
import zipfile

import keras
import numpy as np
import pytest

from keras_initkit.initializers import Perturbed, ZerO
from keras_initkit.inspection.model_file import load_model_file

OWN_LAYERS = """
import keras

@keras.saving.register_keras_serializable("kit_tests")
class Registered(keras.layers.Layer):
    def call(self, x):
        return x

class Plain(keras.layers.Layer):
    def call(self, x):
        return x

class Start(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return keras.ops.ones(shape, dtype)

    def get_config(self):
        return {}

def doubled(x):
    return 2 * x
"""
OWN_TRAINING = """
import keras

class Descent(keras.optimizers.SGD):
    pass

class Error(keras.metrics.MeanSquaredError):
    pass

def squares(y, prediction):
    return keras.ops.mean((y - prediction) ** 2)
"""


def model_of(*layers):
    return keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(2, name="output")])


def hidden(**arguments):
    return keras.layers.Dense(3, name="hidden", **arguments)


def saved(model, name="model.keras"):
    model.save(name)
    return name


@pytest.fixture
def own(tmp_path):
    """Modules of the user, importable while a model is built and forgotten afterwards, as in a new process."""
    for name, source in {"own_layers": OWN_LAYERS, "own_training": OWN_TRAINING}.items():
        (tmp_path / f"{name}.py").write_text(source)
    path = list(sys.path)
    sys.path.insert(0, str(tmp_path))
    yield importlib.import_module

    sys.path[:] = path
    forget()


def forget():
    for name in ("own_layers", "own_training"):
        sys.modules.pop(name, None)
    registered = keras.saving.get_custom_objects()
    registered.pop("kit_tests>Registered", None)


def own_model(own):
    layers = own("own_layers")
    model = model_of(
        layers.Registered(name="gate"),
        layers.Plain(name="plain"),
        hidden(activation=layers.doubled, kernel_initializer=layers.Start()),
    )
    model.compile("sgd", own("own_training").squares)
    path = saved(model)
    forget()
    return path


def own_training(own):
    training = own("own_training")
    model = model_of(hidden())
    model.compile(training.Descent(0.1), training.squares, metrics=[training.Error()])
    path = saved(model)
    forget()
    return path


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_models_are_loaded_compiled_with_their_weights(name):
    model = model_of(hidden(activation="relu"))
    model.compile("adam", keras.losses.MeanSquaredError())
    model.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0)
    loaded, notes = load_model_file(saved(model, name))
    assert notes == ()
    assert loaded.compiled
    assert loaded.optimizer.iterations == 1
    for before, after in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_initializers_of_the_kit_are_known():
    path = saved(model_of(hidden(kernel_initializer=Perturbed(ZerO(), 0.1))))
    loaded, notes = load_model_file(path)
    assert notes == ()
    assert isinstance(loaded.get_layer("hidden").kernel_initializer, Perturbed)


def test_everything_unknown_is_named_at_once(own):
    path = own_model(own)
    with pytest.raises(ValueError, match="Expected Keras to know every class and function") as raised:
        load_model_file(path)
    message = str(raised.value)
    assert "Received: 5 unknown:" in message
    assert "Registered" in message
    assert "registered as 'kit_tests>Registered' (used by 'gate')" in message
    assert "Plain" in message
    assert "(used by 'plain')" in message
    assert "Start" in message
    assert "doubled (used by 'hidden')" in message
    assert "squares (used by 'compile')" in message
    assert "--import MODULE" in message


def test_imported_modules_give_registered_and_unregistered_objects(own):
    path = own_model(own)
    loaded, notes = load_model_file(path, imports=["own_layers", "own_training"])
    assert notes == ()
    assert type(loaded.get_layer("plain")).__name__ == "Plain"
    assert loaded.get_layer("hidden").activation.__name__ == "doubled"


def test_modules_are_imported_from_the_current_folder(own, tmp_path):
    path = own_model(own)
    sys.path[:] = [entry for entry in sys.path if entry not in ("", str(tmp_path))]
    loaded, _ = load_model_file(path, imports=["own_layers"])
    assert loaded.get_layer("gate")


def test_a_model_is_loaded_without_a_training_that_is_unknown(own):
    path = own_training(own)
    loaded, notes = load_model_file(path)
    assert not loaded.compiled
    assert notes == (
        "Loaded without optimizer, loss and metrics, so the state of the optimizer was not considered: Keras does not "
        "know Descent, squares, Error; add --import MODULE.",
    )
    loaded, notes = load_model_file(path, imports=["own_training"])
    assert notes == ()
    assert type(loaded.optimizer).__name__ == "Descent"


def test_a_training_that_fails_otherwise_is_left_out_with_its_error():
    def rename_rate(config):
        rate = config["compile_config"]["optimizer"]["config"]
        rate["rate"] = rate.pop("learning_rate")

    model = model_of(hidden())
    model.compile("sgd", "mse")
    path = edited(saved(model), rename_rate)
    loaded, notes = load_model_file(path)
    assert not loaded.compiled
    assert len(notes) == 1
    assert "the state of the optimizer was not considered: ValueError: Argument(s) not recognized: {'rate'" in notes[0]


def test_an_optimizer_without_a_step_is_nothing_to_note():
    model = model_of(hidden())
    model.compile("adam", "mse")
    loaded, notes = load_model_file(saved(model))
    assert loaded.compiled
    assert notes == ()


def test_warnings_of_keras_become_notes(monkeypatch):
    load = keras.saving.load_model

    def warning(*arguments, **options):
        warnings.warn("Skipping variable loading for optimizer 'sgd'.\nMore.", UserWarning, stacklevel=2)
        return load(*arguments, **options)

    path = saved(model_of(hidden()))
    monkeypatch.setattr(keras.saving, "load_model", warning)
    _, notes = load_model_file(path)
    assert notes == ("Keras said while loading: Skipping variable loading for optimizer 'sgd'.",)


def test_python_code_in_a_file_is_run_only_if_trusted():
    path = saved(model_of(keras.layers.Lambda(lambda x: 3 * x, output_shape=(4,), name="code"), hidden()))
    with pytest.raises(ValueError, match="Expected 'model.keras' to hold no Python code") as raised:
        load_model_file(path)
    assert "Lambda layers with code: 'code'" in str(raised.value)
    assert "--unsafe" in str(raised.value)
    loaded, _ = load_model_file(path, unsafe=True)
    np.testing.assert_array_equal(loaded.get_layer("code")(np.ones((1, 4))), np.full((1, 4), 3))


def test_unknown_classes_and_code_are_said_together(own):
    layers = own("own_layers")
    path = saved(model_of(layers.Plain(name="plain"), keras.layers.Lambda(lambda x: x, output_shape=(4,), name="code")))
    forget()
    with pytest.raises(ValueError, match="(?s)Plain.*--import.*'code'.*--unsafe"):
        load_model_file(path)


def edited(path, change):
    """Change the configuration in a saved model."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**parts, "config.json": json.dumps(config)}.items():
            archive.writestr(name, content)
    return path


def test_layers_of_another_keras_are_unknown():
    def newer(config):
        config["config"]["layers"][1].update(class_name="Denser", module="keras.layers")

    with pytest.raises(ValueError, match=r"1 unknown:\n  Denser of keras.layers \(used by 'hidden'\)"):
        load_model_file(edited(saved(model_of(hidden())), newer))


def test_a_legacy_file_names_what_is_missing(own):
    layers = own("own_layers")
    path = saved(model_of(layers.Plain(name="plain"), hidden(activation="tanh")), "model.h5")
    forget()
    with pytest.raises(ValueError, match=r"1 unknown:\n  Plain"):
        load_model_file(path)
    loaded, _ = load_model_file(path, imports=["own_layers"])
    assert type(loaded.get_layer("plain")).__name__ == "Plain"


def test_any_other_failure_is_one_sentence():
    def other(config):
        config["config"]["layers"][1]["config"]["units"] = -5

    with pytest.raises(ValueError, match=r"^Expected Keras [\d.]+ to load 'model.keras'. Received: \w+: .*units"):
        load_model_file(edited(saved(model_of(hidden())), other))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.keras", None, "'none.keras', which does not exist"),
        ("text.keras", b"no zip", "'text.keras', which cannot be read as one: BadZipFile: File is not a zip file"),
        ("model.txt", b"", r"Expected the model to be a .keras \(or .h5\) file .* Received: 'model.txt'."),
        ("model.weights.h5", b"", "weights without the layers"),
        ("text.h5", b"no hdf5", "'text.h5', which cannot be read as one"),
    ],
)
def test_files_that_hold_no_model_are_refused(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_model_file(name)


def test_a_zip_of_something_else_is_refused():
    with zipfile.ZipFile("other.keras", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="cannot be read as one: KeyError"):
        load_model_file("other.keras")


def test_folders_are_refused(tmp_path):
    (tmp_path / "saved_model").mkdir()
    with pytest.raises(ValueError, match="a folder; a SavedModel has no layers to look at"):
        load_model_file("saved_model")


def test_modules_that_do_not_exist_are_refused(tmp_path):
    path = saved(model_of(hidden()))
    with pytest.raises(ValueError, match="Expected `--import` to name a module.*'no_such_layers'"):
        load_model_file(path, imports=["no_such_layers"])
    (tmp_path / "needs_more.py").write_text("import a_package_that_is_not_there")
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        load_model_file(path, imports=["needs_more"])
