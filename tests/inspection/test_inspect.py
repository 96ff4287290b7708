"""inspect on models of every kind: what it says, that its fixes work when pasted, and that it changes nothing."""

import keras
import numpy as np
import pytest

import keras_initkit as ik
from keras_initkit.units.arrays import to_numpy

L = keras.layers


def sequential(*layers, shape=(6,)):
    return keras.Sequential([keras.Input(shape), *layers])


def constant(value=0.1):
    return {"kernel_initializer": keras.initializers.Constant(value)}


def perceptron(**kwargs):
    return sequential(
        L.Dense(8, "relu", name="one", **kwargs), L.Dense(8, "tanh", name="two", **kwargs), L.Dense(3, **kwargs)
    )


def convolutional(**kwargs):
    return sequential(
        L.Conv2D(6, 3, activation="relu", name="conv", **kwargs),
        L.BatchNormalization(),
        L.MaxPooling2D(),
        L.Flatten(),
        L.Dense(5, "relu", name="dense", **kwargs),
        L.Dense(3, **kwargs),
        shape=(8, 8, 2),
    )


def nested(**kwargs):
    block = keras.Sequential([keras.Input((8,)), L.Dense(8, "gelu", name="inside", **kwargs)], name="block")
    return sequential(L.Dense(8, "tanh", name="stem", **kwargs), block, L.Dense(3, **kwargs))


def residual(**kwargs):
    inputs = keras.Input((6,))
    x = L.Dense(8, name="stem", **kwargs)(inputs)
    for n in range(2):
        branch = L.Dense(12, "gelu", name=f"up_{n}", **kwargs)(L.LayerNormalization()(x))
        x = x + L.Dense(8, name=f"down_{n}", **kwargs)(branch)
    return keras.Model(inputs, L.Dense(3, **kwargs)(x))


class Block(L.Layer):
    def __init__(self, units, **kwargs):
        super().__init__()
        self.first = L.Dense(units, "relu", **kwargs)
        self.parts = [L.Dense(units, **kwargs)]
        self.last_output = None

    def call(self, x):
        self.last_output = self.parts[0](self.first(x))
        return x + self.last_output


class Subclassed(keras.Model):
    def __init__(self, function=keras.ops.relu, **kwargs):
        super().__init__()
        self.embed = L.Dense(8, **kwargs)
        self.block = Block(8, **kwargs)
        self.out = L.Dense(3, **kwargs)
        self.function = function
        self(np.zeros((2, 6), "float32"))

    def call(self, x):
        return self.out(self.function(self.block(self.embed(x))))


def hidden_from_tracing(x):
    """A function that cannot work on symbolic tensors."""
    if isinstance(x, keras.KerasTensor) and x.record_history:
        raise TypeError("numbers only")
    return x


MODELS = {
    "perceptron": perceptron,
    "convolutional": convolutional,
    "nested": nested,
    "residual": residual,
    "subclassed": Subclassed,
    "subclassed, closed": lambda **kwargs: Subclassed(hidden_from_tracing, **kwargs),
}


def errors(inspection):
    return [finding for finding in inspection.findings if finding.severity == "error"]


def code_of(fix):
    return "\n".join(line.split("  #")[0] for line in fix.splitlines())


@pytest.mark.parametrize("name", MODELS)
def test_a_random_start_has_no_findings(name):
    keras.utils.set_random_seed(0)
    inspection = ik.inspect(MODELS[name]())
    assert inspection.rows
    assert inspection.findings == ()
    assert inspection.ok
    inspection.assert_healthy("info")


@pytest.mark.parametrize("value", [0.1, 1.0])
@pytest.mark.parametrize("name", MODELS)
def test_a_constant_start_is_locked_in_every_layer_and_the_fixes_work_when_pasted(name, value):
    keras.utils.set_random_seed(0)
    model = MODELS[name](**constant(value))
    inspection = ik.inspect(model)
    assert [row["verdict"] for row in inspection.rows] == ["locked"] * len(inspection.rows)
    assert {finding.layer for finding in errors(inspection)} == {row["layer"] for row in inspection.rows}
    with pytest.raises(ik.InitializationError, match="locked"):
        inspection.assert_healthy()
    for finding in errors(inspection):
        exec(code_of(finding.fix), {"model": model, "keras": keras})
    assert errors(ik.inspect(model)) == []


@pytest.mark.parametrize("name", ["perceptron", "convolutional", "nested", "residual", "subclassed"])
def test_a_start_from_zeros_names_what_is_at_fault_and_the_fixes_work_when_pasted(name):
    keras.utils.set_random_seed(0)
    model = MODELS[name](kernel_initializer="zeros")
    found = errors(ik.inspect(model))
    assert found
    assert {finding.verdict for finding in found} <= {"dead", "locked"}
    for finding in found:
        exec(code_of(finding.fix), {"model": model, "keras": keras})
    assert errors(ik.inspect(model)) == []


def test_a_layer_of_zeros_into_relu_is_the_cause_of_all_that_is_dead():
    model = sequential(
        L.Dense(8, "relu", name="one"),
        L.Dense(8, "relu", name="two", kernel_initializer="zeros"),
        L.Dense(8, "relu", name="three"),
        L.Dense(3),
    )
    found = {finding.layer: finding for finding in errors(ik.inspect(model))}
    assert list(found) == ["one", "two", "three"]
    assert "nothing comes back through two" in found["one"].cause
    assert "incoming weights are zero, and relu is flat there" in found["two"].cause
    assert "(kernel_initializer is Zeros)" in found["two"].cause
    assert "behind two nothing varies with the data" in found["three"].cause
    assert found["one"].fix == found["three"].fix == "# mended with two"
    assert found["two"].fix.startswith('w = model.get_layer("two").kernel; w.assign(')
    assert all(finding.evidence["released_by"] == ["two"] for finding in found.values())


def test_one_pair_of_copies_is_named_with_its_units_and_a_little_noise_separates_it():
    keras.utils.set_random_seed(0)
    model = perceptron()
    one, two = model.get_layer("one"), model.get_layer("two")
    kernel, rows = to_numpy(one.kernel), to_numpy(two.kernel)
    kernel[:, 6], rows[6] = kernel[:, 2], rows[2]
    one.kernel.assign(kernel)
    two.kernel.assign(rows)
    [finding] = ik.inspect(model).findings
    assert (finding.layer, finding.verdict, finding.severity, finding.units) == ("one", "locked", "error", (2, 6))
    assert finding.cause.startswith("2 of 8 units are copies (one group of 2): incoming and outgoing weights are equal")
    assert finding.evidence["class_sizes"] == [2]
    exec(code_of(finding.fix), {"model": model, "keras": keras})
    assert ik.inspect(model).findings == ()
    np.testing.assert_allclose(to_numpy(one.kernel), kernel, rtol=0.3)  # what was learned is kept


def test_an_output_layer_of_zeros_is_harmless_and_an_equal_start_with_different_readers_separates():
    keras.utils.set_random_seed(0)
    model = sequential(L.Dense(8, "tanh"), L.Dense(3, kernel_initializer="zeros"))
    assert ik.inspect(model).findings == ()
    model = sequential(L.Dense(8, "tanh", name="hidden", **constant()), L.Dense(3))
    [finding] = ik.inspect(model).findings
    assert (finding.verdict, finding.severity) == ("transient", "warning")
    assert "their outgoing weights differ, so they separate with the first step" in finding.cause


def test_a_linear_model_has_nothing_to_judge_and_says_so():
    inspection = ik.inspect(sequential(L.Dense(3, kernel_initializer="zeros")))
    assert inspection.ok
    assert inspection.rows == []
    assert "no hidden layers" in inspection.notes[0]


def test_weights_that_are_not_numbers_are_exploding():
    model = perceptron()
    kernel = to_numpy(model.get_layer("one").kernel)
    kernel[0, 3] = np.nan
    model.get_layer("one").kernel.assign(kernel)
    [finding] = errors(ik.inspect(model))
    assert (finding.layer, finding.verdict, finding.units) == ("one", "exploding", (3,))
    assert "1 of the weights are NaN or infinite" in finding.cause


def test_what_cannot_be_inspected_is_said():
    with pytest.raises(ValueError, match="Expected a built model. Received: model='net', which has no weights yet."):
        ik.inspect(keras.Sequential([L.Dense(3), L.Dense(2)], name="net"))
    with pytest.raises(TypeError, match="Expected `model` to be a Keras model. Received: model='net'"):
        ik.inspect("net")
    with pytest.raises(TypeError, match="Expected `model` to be a Keras model"):
        ik.inspect(L.Dense(3))


def test_layers_whose_consumers_are_not_known_are_said_to_be_judged_by_gradients():
    inspection = ik.inspect(Subclassed(hidden_from_tracing, **constant()))
    [note] = inspection.notes
    assert note.startswith("What reads the units of dense")
    assert "judged by incoming weights and gradients" in note


def test_nothing_is_changed_by_an_inspection():
    keras.utils.set_random_seed(0)
    model = Subclassed(hidden_from_tracing, **constant())
    model.compile("adam", "mse")
    x = np.random.default_rng(0).standard_normal((8, 6)).astype("float32")
    model.fit(x, x[:, :3], verbose=0)
    before = [to_numpy(variable) for variable in model.variables + model.optimizer.variables]
    kept = model.block.last_output
    ik.inspect(model, x, x[:, :3])
    after = [to_numpy(variable) for variable in model.variables + model.optimizer.variables]
    for then, now in zip(before, after, strict=True):
        np.testing.assert_array_equal(then, now)
    assert model.block.last_output is kept


def test_weights_zeroed_after_training_learn_if_the_optimizer_keeps_its_state():
    keras.utils.set_random_seed(0)
    model = sequential(L.Dense(2, "relu", name="hidden"), L.Dense(4), shape=(2,))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    x = np.random.default_rng(0).standard_normal((32, 2)).astype("float32")
    y = np.random.default_rng(1).standard_normal((32, 4)).astype("float32")
    model.fit(x, y, epochs=2, verbose=0)
    model.set_weights([0 * weight for weight in model.get_weights()])
    assert ik.inspect(model).ok
    fresh = keras.optimizers.Adam(0.01)
    [finding] = errors(ik.inspect(model, optimizer=fresh))
    assert (finding.layer, finding.verdict) == ("hidden", "dead")
    model.fit(x, y, epochs=3, verbose=0)
    assert np.ptp(to_numpy(model.get_layer("hidden").kernel)) > 0


def batch(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal((32, *shape)).astype("float32")


def test_with_a_batch_the_scale_of_every_layer_is_judged_and_the_fix_mends_it():
    keras.utils.set_random_seed(0)
    x = batch(64)
    for initializer, verdict in (("ones", "saturated"), (keras.initializers.RandomNormal(stddev=5.0), "exploding")):
        model = sequential(L.Dense(32, "tanh", name="hidden", kernel_initializer=initializer), L.Dense(3), shape=(64,))
        found = {finding.verdict: finding for finding in ik.inspect(model, x).findings}
        assert verdict in found
        exec(code_of(found[verdict].fix), {"model": model, "keras": keras})
        assert ik.inspect(model, x).findings == ()
    small = keras.initializers.RandomNormal(stddev=0.01)
    model = sequential(L.Dense(32, "relu", name="hidden", kernel_initializer=small), L.Dense(3), shape=(64,))
    [finding] = ik.inspect(model, x).findings
    assert (finding.verdict, finding.severity) == ("vanishing", "warning")
    # 0.01 · √64 is the gain of a random layer with this deviation
    assert finding.evidence["ratio"] == pytest.approx(0.08, rel=0.1)


def test_with_a_batch_units_that_give_nothing_are_dead_and_overflow_is_an_error():
    keras.utils.set_random_seed(0)
    low = keras.initializers.Constant(-100.0)
    model = sequential(L.Dense(8, "relu", name="hidden", bias_initializer=low), L.Dense(3))
    found = {finding.verdict: finding for finding in ik.inspect(model, batch(6)).findings}
    assert found["dead"].units == tuple(range(8))
    huge = keras.initializers.RandomNormal(stddev=1e20)
    model = sequential(
        L.Dense(8, name="one", kernel_initializer=huge), L.Dense(8, name="two", kernel_initializer=huge), L.Dense(3)
    )
    [finding] = errors(ik.inspect(model, batch(6)))
    assert (finding.layer, finding.verdict) == ("two", "exploding")


def test_with_targets_a_loss_far_from_that_of_knowing_nothing_is_noted():
    keras.utils.set_random_seed(0)
    x, y = batch(6), np.arange(32) % 3
    for scale, noted in (("glorot_uniform", False), (keras.initializers.RandomNormal(stddev=100.0), True)):
        model = sequential(L.Dense(8, "tanh"), L.Dense(3, kernel_initializer=scale))
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        notes = ik.inspect(model, x, y).notes
        assert any("a model that knows nothing has 1.099" in note for note in notes) == noted


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (batch(5), None, r"Expected `x` to have the shapes that the model takes: \(any, 6\). Received: \(32, 5\)"),
        (batch(2, 6), None, r"Expected `x` to have the shapes"),
        ([batch(6), batch(6)], None, r"Received: \(32, 6\), \(32, 6\)"),
        (batch(6), np.zeros(7), r"same number of samples, at least one. Received: arrays of shapes \(32, 6\), \(7,\)"),
        (batch(6)[:0], None, "at least one"),
        (3.0, None, "Expected `x` and `y` to hold arrays"),
        (np.full((4, 6), np.nan, "float32"), None, "Expected `x` to hold finite numbers. Received: 24 NaN"),
    ],
)  # fmt: skip
def test_a_batch_that_does_not_fit_is_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        ik.inspect(perceptron(), x, y)


def planted_filters(filters, pair):
    """Two equal filters, behind them normalisation, pooling and a flatten, and equal rows of the readers."""
    conv, readers = L.Conv2D(filters, 3, activation="relu", name="conv"), L.Dense(4)
    model = sequential(conv, L.BatchNormalization(), L.MaxPooling2D(), L.Flatten(), readers, shape=(8, 8, 1))
    kernel, rows = to_numpy(conv.kernel), to_numpy(readers.kernel).reshape(9, filters, 4)
    kernel[..., pair[1]], rows[:, pair[1]] = kernel[..., pair[0]], rows[:, pair[0]]
    conv.kernel.assign(kernel)
    readers.kernel.assign(rows.reshape(-1, 4))
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def test_a_trial_of_training_says_whether_a_lock_is_exact_or_holds_up_to_rounding():
    keras.utils.set_random_seed(0)
    x, y = batch(8, 8, 1), np.arange(32) % 4
    found = []
    for filters, pair in ((8, (2, 5)), (10, (3, 9))):
        model = planted_filters(filters, pair)
        before = model.get_weights()
        [finding] = errors(ik.inspect(model, x, y))
        for then, now in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(then, now)
        assert finding.units == pair
        assert ("bit-equal" in finding.cause) == finding.evidence["trial_exact"]
        assert ("up to rounding only" in finding.cause) != finding.evidence["trial_exact"]
        assert finding.evidence["trial_gap"] < 1e-3
        found.append(finding.evidence["trial_exact"])
    assert "trial_exact" not in errors(ik.inspect(model, x))[0].evidence  # without targets nothing is trained
    if keras.backend.backend() == "tensorflow":
        assert found[0]  # a full group of eight is summed alike


def test_with_a_batch_the_disagreement_of_gradients_is_evidence():
    keras.utils.set_random_seed(0)
    locked = ik.inspect(perceptron(**constant()), batch(6)).findings
    assert all(f.evidence["gradient_disagreement"] < 1e-6 for f in locked if f.verdict == "locked")
    model = sequential(L.Dense(8, "tanh", name="hidden", **constant()), L.Dense(3))
    [transient] = [f for f in ik.inspect(model, batch(6)).findings if f.verdict == "transient"]
    assert transient.evidence["gradient_disagreement"] > 0.1
    assert "gradient_disagreement" not in ik.inspect(model).findings[0].evidence
