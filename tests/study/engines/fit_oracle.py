"""What plain `fit` gives for the replicas of a study, to hold against what the stacked engine gives."""

import keras
import numpy as np

from keras_initkit.study.data import EVALUATION_BATCH
from keras_initkit.study.engines.group import Member, Training
from keras_initkit.study.engines.stack import GRADIENT_NORM
from keras_initkit.study.engines.stacked import StackedEngine

SEEDS = (0, 1, 2)


def members(initializer="glorot_uniform", seeds=SEEDS):
    return [Member("own", lambda: initializer, seed) for seed in seeds]


def stack(build, data, epochs=2, batch_size=8, seeds=SEEDS):
    """Return the outcomes of the stacked engine, which has no way out here, and its notes."""
    engine = StackedEngine(Training(build, data, epochs, batch_size), strict=True)
    outcomes = list(engine.train(members(seeds=seeds), lambda _: None))
    return outcomes, engine.notes


def fit(build, data, epochs=2, batch_size=8, seeds=SEEDS):
    """Return for each seed the curves and the final variables that `evaluate` and `fit` give.

    One model is fitted for all seeds, from the variables that `build` gives for each of them: Keras then traces once.
    """
    training = Training(build, data, epochs, batch_size)
    models = [training.build(member) for member in members(seeds=seeds)]
    starts = [values_of(model.variables) for model in models]
    host = models[0]
    host.optimizer.build(host.trainable_variables)
    fresh = values_of(host.optimizer.variables)
    found = []
    for seed, start in zip(seeds, starts, strict=True):
        assign(host.variables, start)
        assign(host.optimizer.variables, fresh)
        before = _evaluated(host, data.x, data.y, data.sample_weight, data.class_weight)
        if data.validation is not None:
            held_out = keras.utils.unpack_x_y_sample_weight(data.validation)
            before |= {f"val_{name}": value for name, value in _evaluated(host, *held_out).items()}
        history = host.fit(
            **data.training(seed, batch_size, epochs), **data.validating(), epochs=epochs, verbose=0
        ).history
        found.append(({name: [before[name], *history[name]] for name in before}, values_of(host.variables)))
    return found


def assert_like_fit(build, data, *, rtol, oracle=None, **how):
    """Check names, order and values of all curves, and the final variables, against `fit`; return the outcomes.

    Args:
        build: from an initializer to a compiled model.
        data: the data of a study.
        rtol: largest difference allowed, relative to the largest value of a curve or a variable.
        oracle: what `fit` trains in place of `build`.
        **how: epochs, batch size and seeds.
    """
    outcomes, notes = stack(build, data, **how)
    expected = fit(oracle or build, data, **how)
    differences = {}
    for outcome, (curves, variables) in zip(outcomes, expected, strict=True):
        assert outcome.exception is None
        found = dict(outcome.replica.curves)
        assert np.isnan(found.pop(GRADIENT_NORM)[0])  # `fit` gives none
        assert list(found) == list(curves), (list(found), list(curves))
        pairs = {name: (found[name], curves[name]) for name in curves}
        pairs |= {f"variable {place}": pair for place, pair in enumerate(zip(outcome.weights, variables, strict=True))}
        for name, (ours, theirs) in pairs.items():
            differences[name] = max(differences.get(name, 0.0), difference(ours, theirs))
    trained = [np.abs(a - b).max() for a, b in zip(expected[0][1], expected[1][1], strict=True) if a.size]
    assert max(trained) > 0, "replicas that are all alike show nothing"
    print(f"worst difference {max(differences.values()):.1e}; {notes}")
    too_large = {name: value for name, value in differences.items() if not value <= rtol}
    assert not too_large
    return outcomes


def difference(ours, theirs):
    """Return the largest difference, relative to the largest value; infinite where one is not finite alone."""
    ours, theirs = (np.asarray(values).astype(np.float64) for values in (ours, theirs))
    if ours.shape != theirs.shape or not np.array_equal(np.isfinite(ours), np.isfinite(theirs)):
        return np.inf
    known = np.isfinite(theirs)
    scale = np.abs(theirs[known]).max(initial=1e-3)
    return np.abs(ours[known] - theirs[known]).max(initial=0) / scale


def values_of(variables):
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _evaluated(model, x, y, sample_weight, class_weight=None):
    sizes = {} if y is None and not isinstance(x, (np.ndarray, dict)) else {"batch_size": EVALUATION_BATCH}
    if class_weight is not None:
        x = x.map(lambda x, y: (x, y, sum(w * keras.ops.cast(y == c, "float32") for c, w in class_weight.items())))
    found = model.evaluate(x, y, sample_weight=sample_weight, verbose=0, return_dict=True, **sizes)
    return {name: value for name, value in found.items() if np.ndim(value) == 0}
