"""Whether rounding will free units that exact arithmetic locks: a few real training steps, then undone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import check_choice, check_integer
from keras_initkit.inspection.gradients import as_tensors, has_loss
from keras_initkit.inspection.restoring import preserved
from keras_initkit.inspection.unit_vectors import incoming
from keras_initkit.symmetry.separation import class_gap, class_signs, growth_rate, steps_until_apart
from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.reading import UnitReader

# Small enough for the first order to rule, large enough to stand out of rounding in float32.
_PLANTED = 1e-3
_EPSILON = float(np.finfo(np.float32).eps)
_STAND_IN_RATE = 0.01

Classes = Mapping[str, NDArray[np.integer]]


@dataclass(frozen=True)
class Forecast:
    """What becomes of the locked units of one layer on this machine.

    Attributes:
        exact: whether the units were bit-equal before and after every step.
        gap: relative difference within their classes after the last step; see `class_gap`.
        growth_per_step: rate r at which a small difference between them grows, as exp(r · steps); negative if it
            shrinks, None if it cannot be told.
        steps_to_separate: training steps until the units are as different as they are large, if rounding makes a
            difference at all and it goes on growing like this; None if it does not grow.
    """

    exact: bool
    gap: float
    growth_per_step: float | None
    steps_to_separate: float | None


def separation_forecast(
    model: Any, reader: UnitReader, classes: Classes, x: Any, y: Any = None, *, steps: int = 10, seed: int = 0
) -> dict[str, Forecast]:
    """Train on one batch for a few steps, twice, and say what becomes of locked units; the model is left as it was.

    Equal units get equal gradients, but sums in another order round differently (a vector instruction takes, say, eight
    filters at once, and what is left over one by one), and if the symmetric point is unstable, the difference grows by
    a factor per step until the units are free. The first run trains as it is: a
    difference shows what rounding does. The second one starts from weights into these layers that are changed by about
    0.1 %: how fast the difference within a class grows there is the rate. In the first order differences within
    different layers do not touch each other, so one run serves all layers.

    Steps are those of the compiled model, with its optimizer and its compiled training function. Without a loss or
    targets the mean squared error to fixed random targets stands in, without an optimizer SGD with rate 0.01.

    Args:
        model: a built Keras model.
        reader: reads the units of this model.
        classes: for each layer of interest, by its path, integer labels `(units,)`; equal labels for units that stay
            equal to each other.
        x: one batch of inputs.
        y: its targets. Defaults to none.
        steps: number of training steps of each run, at least 3. Defaults to 10.
        seed: seed of the change and of the random targets. Defaults to 0.

    Returns:
        `{path: Forecast}` for the layers with a class of at least two units.

    Raises:
        ValueError: if a path is not that of a hidden layer, or `steps` is too small.
    """
    check_integer("steps", steps, 3)
    for path in classes:
        check_choice("classes", path, reader.paths)
    watched = {path: labels for path, labels in classes.items() if len(np.unique(labels)) < len(labels)}
    if not watched or not model.trainable_variables:
        return {}
    with preserved(model):
        x, y = as_tensors(x), as_tensors(y)
        y = _ready_to_train(model, x, y, seed)
        state = [(variable, keras.ops.copy(variable.value)) for variable in _state_of(model)]
        gauge = _Gauge(reader, watched)
        as_it_is = _gaps_of_training(model, x, y, steps, gauge)
        for variable, value in state:
            variable.assign(value)
        _plant(reader, watched, seed)
        changed = _gaps_of_training(model, x, y, steps, gauge)
    return {path: _forecast(as_it_is[path], changed[path]) for path in watched}


class _Gauge:
    """Measures the gaps within the classes, with the signs that mirrored units have at the start."""

    def __init__(self, reader: UnitReader, classes: Classes):
        self._reader, self._classes = reader, classes
        vectors = self._vectors()
        self._signs = {path: class_signs(vectors[path], labels) for path, labels in classes.items()}

    def _vectors(self) -> dict[str, NDArray[Any]]:
        return {units.layer: incoming(units) for units in self._reader.read().layers if units.layer in self._classes}

    def gaps(self) -> dict[str, float]:
        """Return the gap of every layer, NaN if its weights are no longer finite."""
        return {
            path: class_gap(vectors, self._classes[path], signs=self._signs[path])
            if np.isfinite(vectors).all()
            else math.nan
            for path, vectors in self._vectors().items()
        }


def _ready_to_train(model: Any, x: Any, y: Any, seed: int) -> Any:
    """Give the model an optimizer and a loss if it has none, build what is built late, and return the targets."""
    if y is None or not has_loss(model):
        arguments = {"training": False} if model._call_has_training_arg else {}
        rng = np.random.default_rng(seed)
        y = keras.tree.map_structure(
            lambda output: keras.ops.convert_to_tensor(rng.standard_normal(tuple(output.shape)), "float32"),
            model(x, **arguments),
        )
        optimizer = getattr(model, "optimizer", None) or keras.optimizers.SGD(_STAND_IN_RATE)
        model.compile(optimizer, loss="mse", jit_compile=getattr(model, "jit_compile", "auto"))
    if model.steps_per_execution != 1:  # several steps need several batches
        model.steps_per_execution, model.train_function = 1, None
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return y


def _state_of(model: Any) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


def _gaps_of_training(model: Any, x: Any, y: Any, steps: int, gauge: _Gauge) -> dict[str, list[float]]:
    """Return for each layer its gaps before training and after every step."""
    measured = [gauge.gaps()]
    for _ in range(steps):
        model.train_on_batch(x, y)
        measured.append(gauge.gaps())
    return {path: [gaps[path] for gaps in measured] for path in measured[0]}


def _plant(reader: UnitReader, classes: Classes, seed: int) -> None:
    """Change the trained weights of the layers at random, in proportion to the size of each tensor."""
    rng = np.random.default_rng([seed, 1])
    layers = {id(layer): layer for layer in map(reader.layer, classes)}
    for variable in {id(v): v for layer in layers.values() for v in layer.trainable_variables}.values():
        value = to_numpy(variable).astype(np.float64)
        size = math.sqrt(float(np.square(value).mean())) if value.size else 0.0
        variable.assign(value + _PLANTED * size * rng.standard_normal(value.shape))


def _forecast(as_it_is: list[float], changed: list[float]) -> Forecast:
    # The first step is not growth: it fills what starts at zero, such as the shifts of normalisation.
    rate = growth_rate(range(1, len(changed)), changed[1:])
    exact = not any(as_it_is)  # NaN is no 0
    # From the last step at which the difference still grew freely, or from the least that rounding can do.
    step, gap = next(((step, gap) for step, gap in reversed(list(enumerate(as_it_is))) if 0 < gap < 1), (0, _EPSILON))
    further = steps_until_apart(gap, rate)
    return Forecast(
        exact=exact,
        gap=as_it_is[-1],
        growth_per_step=rate if math.isfinite(rate) else None,
        steps_to_separate=step + further if math.isfinite(further) else None,
    )
