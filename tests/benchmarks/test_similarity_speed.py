"""Similarity of wide layers beside the bare matrix product, and beside scikit-learn and torchmetrics.

All ratios are of fastest rounds in one process, taken in turn, so that a busy machine slows all sides alike.
"""

import time

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances_chunked
from sklearn.metrics.pairwise import cosine_similarity

from keras_initkit.symmetry import mean_cosine, participation_ratio, rms_cosine, unit_similarity

pytestmark = pytest.mark.benchmark

ROUNDS = 7


def gaussian(inputs, units):
    return np.random.default_rng(0).standard_normal((inputs, units)).astype(np.float32)


def fastest(rounds, functions):
    """Return the fewest seconds of each function, all called in turn."""
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(rounds + 1):  # the first round warms up; it is never the fastest
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def product(inputs, units):
    """The bare product U @ V.T of two different matrices, so that no symmetry is used."""
    u, v = np.ascontiguousarray(gaussian(inputs, units).T), np.ascontiguousarray(gaussian(inputs, units).T)
    return lambda: u @ v.T


@pytest.fixture
def show(capsys, benchmark):
    """Print a line now, and record the ratios with the time of one call in pytest-benchmark's table."""

    def line(title, function, seconds, against):
        ratios = {name: value / seconds[against] for name, value in seconds.items() if name != against}
        benchmark.extra_info.update(ratios)
        benchmark.pedantic(function, rounds=1)
        listed = ", ".join(f"{name} {ratio:.4f}" for name, ratio in ratios.items())
        with capsys.disabled():
            print(f"\n{title}: {against} {seconds[against]:.3f} s; as multiples of that: {listed}")
        return ratios

    return line


def test_a_square_layer_beside_the_bare_product(show):
    vectors = gaussian(4096, 4096)
    units_first = np.ascontiguousarray(vectors.T)
    by_activation = {f"all, {name}": lambda n=name: unit_similarity(vectors, activation=n) for name in ("tanh", "relu")}
    functions = {
        "product": product(4096, 4096),
        "all statistics": lambda: unit_similarity(vectors),
        **by_activation,
        "all, units first": lambda: unit_similarity(units_first, axis=0),
        "mean": lambda: mean_cosine(vectors),
    }
    ratios = show("4096 x 4096", functions["all statistics"], fastest(ROUNDS, functions), "product")
    assert ratios["all statistics"] <= 0.75
    assert ratios["mean"] <= 0.02


@pytest.mark.parametrize(("inputs", "units"), [(256, 8192), (512, 4096), (1024, 8192)])
def test_few_inputs_beside_the_bare_product(inputs, units, show):
    vectors = gaussian(inputs, units)
    functions = {
        "product": product(inputs, units),
        "rms": lambda: rms_cosine(vectors),
        "participation": lambda: participation_ratio(vectors),
    }
    found = show(f"{units} units x {inputs} inputs", functions["rms"], fastest(ROUNDS, functions), "product")
    assert found["rms"] <= 2 * inputs / units
    assert found["participation"] <= 2 * inputs / units


@pytest.mark.parametrize(("inputs", "units"), [(784, 512), (512, 512), (64, 64)])
def test_layers_of_every_epoch(inputs, units, show):
    vectors, equal = gaussian(inputs, units), np.ones((inputs, units), np.float32)
    functions = {
        "product": product(inputs, units),
        "all statistics": lambda: unit_similarity(vectors),
        "all, relu": lambda: unit_similarity(vectors, activation="relu"),
        "all, equal units": lambda: unit_similarity(equal, activation="relu"),
    }
    seconds = fastest(100, functions)
    show(f"{inputs} x {units}", functions["all statistics"], seconds, "product")
    assert seconds["all, equal units"] < 0.02


def test_two_seconds(show):
    vectors = gaussian(1024, 8192)
    functions = {"product": product(1024, 8192), "all statistics": lambda: unit_similarity(vectors)}
    seconds = fastest(ROUNDS, functions)
    show("8192 units x 1024 inputs", functions["all statistics"], seconds, "product")
    assert seconds["all statistics"] < 2


def with_sklearn(vectors):
    """The same numbers from blocks of rows of the full matrix; equal units from NumPy's unique rows."""
    rows = np.ascontiguousarray(vectors.T)
    units = len(rows)
    mean = absolute = square = 0.0
    nearest = np.empty(units)

    def reduce(distances, start):
        nonlocal mean, absolute, square
        cosines = np.subtract(1, distances, out=distances)
        inside = np.arange(len(cosines))
        cosines[inside, start + inside] = 0
        mean += cosines.sum(dtype=np.float64)
        np.abs(cosines, out=cosines)
        absolute += cosines.sum(dtype=np.float64)
        nearest[start : start + len(cosines)] = cosines.max(axis=1)
        square += np.vecdot(cosines, cosines).sum(dtype=np.float64)

    # 30 MiB is about the fastest block; the default of 1 GiB is slower.
    for _ in pairwise_distances_chunked(rows, metric="cosine", reduce_func=reduce, working_memory=30):
        pass
    pairs = units * (units - 1)
    return {
        "mean": mean / pairs,
        "rms": (square / pairs) ** 0.5,
        "mean_abs": absolute / pairs,
        "max_abs": nearest.max(),
        "participation": units**2 / (units + square),
        "distinct": len(np.unique(rows, axis=0)),
    }


def test_beside_sklearn(show):
    vectors = gaussian(1024, 8192)
    vectors[:, 5000] = vectors[:, 17]
    ours, theirs = unit_similarity(vectors), with_sklearn(vectors)
    for name, value in theirs.items():
        assert getattr(ours, name) == pytest.approx(value, rel=1e-4, abs=1e-6), name
    functions = {
        "unit_similarity": lambda: unit_similarity(vectors),
        "chunked, same statistics": lambda: with_sklearn(vectors),
        "cosine_similarity, matrix alone": lambda: cosine_similarity(vectors.T),
    }
    ratios = show("8192 x 1024, sklearn", functions["unit_similarity"], fastest(3, functions), "unit_similarity")
    assert min(ratios.values()) > 1


def test_beside_torchmetrics(show):
    torch = pytest.importorskip("torch")
    pairwise = pytest.importorskip("torchmetrics.functional.pairwise")
    vectors = gaussian(1024, 8192)
    rows = torch.from_numpy(np.ascontiguousarray(vectors.T))
    matrix = pairwise.pairwise_cosine_similarity(rows).numpy()
    found = unit_similarity(vectors)
    np.testing.assert_allclose(found.nearest, np.abs(matrix).max(axis=1), atol=1e-5)
    assert found.mean == pytest.approx(matrix.sum(dtype=np.float64) / (8192 * 8191), abs=1e-8)
    functions = {
        "unit_similarity": lambda: unit_similarity(vectors),
        "torchmetrics, matrix alone": lambda: pairwise.pairwise_cosine_similarity(rows),
        "torchmetrics, mean": lambda: pairwise.pairwise_cosine_similarity(rows, reduction="mean"),
    }
    ratios = show("8192 x 1024, torch", functions["unit_similarity"], fastest(3, functions), "unit_similarity")
    assert len(ratios) == 2
