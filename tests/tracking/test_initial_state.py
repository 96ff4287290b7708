import hashlib

import keras
import numpy as np

from keras_initkit.tracking.initial_state import initial_params, initial_state


def nested_model():
    keras.backend.clear_session()  # layers are named from the beginning again
    inputs = keras.Input((5, 4))
    x = keras.layers.LSTM(3, return_sequences=True)(inputs)
    x = keras.layers.MultiHeadAttention(2, 2)(x, x)
    x = keras.layers.Bidirectional(keras.layers.GRU(2, recurrent_initializer=keras.initializers.Orthogonal(seed=7)))(x)
    x = keras.layers.BatchNormalization()(x)
    inner = keras.Sequential([keras.layers.Dense(4, kernel_initializer=keras.initializers.HeNormal(seed=3))], name="in")
    return keras.Model(inputs, inner(x))


def test_every_initializer_and_weight_of_a_nested_model_is_listed_once():
    model = nested_model()
    rows = {row["layer"]: row for row in initial_state(model)}
    names = {(path, name) for path, row in rows.items() for name in row["initializers"]}
    for part in ("query", "key", "value", "attention_output"):
        assert (f"multi_head_attention/{part}", "kernel_initializer") in names
    for cell in ("lstm/lstm_cell", "bidirectional/forward_gru/gru_cell", "bidirectional/backward_gru/gru_cell"):
        assert {(cell, f"{kind}_initializer") for kind in ("kernel", "recurrent", "bias")} <= names
    assert ("batch_normalization", "moving_variance_initializer") in names
    assert rows["in/dense"]["initializers"]["kernel_initializer"]["seed"] == 3
    assert rows["bidirectional/forward_gru/gru_cell"]["initializers"]["recurrent_initializer"]["class"] == "Orthogonal"
    listed = [f"{path}/{weight['name']}" for path, row in rows.items() for weight in row["weights"]]
    assert sorted(listed) == sorted(weight.path for weight in model.weights)


def test_numbers_of_a_weight():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, bias_initializer="ones")])
    (row,) = initial_state(model)
    kernel = model.layers[0].kernel.numpy()
    facts = {weight["name"]: weight for weight in row["weights"]}
    assert facts["kernel"]["shape"] == [3, 2]
    assert facts["kernel"]["dtype"] == "float32"
    np.testing.assert_allclose(facts["kernel"]["mean"], kernel.astype("float64").mean(), rtol=1e-12)
    np.testing.assert_allclose(facts["kernel"]["std"], kernel.astype("float64").std(), rtol=1e-12)
    assert (facts["bias"]["mean"], facts["bias"]["std"]) == (1.0, 0.0)
    expected = hashlib.sha256(b"array float32 (3, 2);" + kernel.tobytes()).hexdigest()
    assert facts["kernel"]["sha256"] == expected


def dense(first, second):
    layers = [keras.layers.Dense(4, kernel_initializer=first), keras.layers.Dense(4, kernel_initializer=second)]
    return initial_params(initial_state(keras.Sequential([keras.Input((4,)), *layers])))


def test_params_name_the_initializers():
    he, other = keras.initializers.HeNormal, keras.initializers.VarianceScaling
    params = dense(he(seed=1), he(seed=2))
    assert (params["init/name"], params["init/class"], params["init/seed"]) == ("he_normal", "HeNormal", "1, 2")
    assert dense(he(seed=1), "zeros")["init/name"] == "he_normal, zeros"
    params = dense(other(scale=0.5, seed=1), other(scale=0.5, seed=2))
    assert (params["init/scale"], params["init/distribution"]) == (0.5, "truncated_normal")
    many = keras.Sequential(
        [keras.Input((4,)), *(keras.layers.Dense(4, kernel_initializer=he(seed=i)) for i in range(9))]
    )
    assert initial_params(initial_state(many))["init/seed"] == "9 different ones"
    assert "init/scale" not in dense(other(scale=0.5), other(scale=0.7))


def test_the_digest_of_the_weights_follows_the_weights():
    he = keras.initializers.HeNormal
    assert dense(he(seed=1), "zeros")["init/weights_sha"] == dense(he(seed=1), "zeros")["init/weights_sha"]
    assert dense(he(seed=1), "zeros")["init/weights_sha"] != dense(he(seed=2), "zeros")["init/weights_sha"]


def test_a_model_with_weights_of_its_own_and_low_precision():
    class Own(keras.Model):
        def build(self, input_shape):
            self.gate = self.add_weight(shape=(2,), initializer="ones", name="gate", dtype="bfloat16")
            self.built = True

    model = Own()
    model.build((None, 2))
    (row,) = initial_state(model)
    assert row["weights"][0]["mean"] == 1.0
    assert row["weights"][0]["dtype"] == "bfloat16"
