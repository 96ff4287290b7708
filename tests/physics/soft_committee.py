"""On-line learning of a soft committee machine from a teacher of the same shape (Saad and Solla, 1995), in NumPy."""

import numpy as np
from scipy.special import erf

INPUTS = 100
HIDDEN = 2
RATE = 0.5
# Units of both nets sum up erf(w x / sqrt 2); the teacher's weights are the first two axes.
TEACHER = np.eye(HIDDEN, INPUTS)


def plateau_error(units):
    """Error of the plateau at a small rate: (K/π)(π/6 - K arcsin(1/(2K))) for K units, as many as the teacher has."""
    return units / np.pi * (np.pi / 6 - units * np.arcsin(1 / (2 * units)))


def generalisation_error(student):
    """Mean of half the squared error over all Gaussian inputs, for weights of shape `(units, inputs)`."""
    vectors = np.concatenate([student, TEACHER])
    overlap = vectors @ vectors.T
    size = np.sqrt(1 + np.diag(overlap))
    side = np.repeat([1, -1], [len(student), len(TEACHER)])
    return float((np.arcsin(overlap / np.outer(size, size)) * np.outer(side, side)).sum() / np.pi)


def learn(stds, seeds, time, every):
    """Train students on one fresh example a step, N steps per unit of time, at the rate RATE / N.

    All start from the same `seeds` directions, each scaled to every one of the `stds`, and see the same examples.

    Returns:
        Weights of shape `(times, stds, seeds, units, inputs)`, at time 0 and after every so many units of time.
    """
    rng = np.random.default_rng(0)
    start = rng.standard_normal((seeds, HIDDEN, INPUTS)) / np.sqrt(INPUTS)
    weights = np.concatenate([std * start for std in stds])
    seen = [weights.copy()]
    factor = np.sqrt(2 / np.pi) * RATE / INPUTS
    for now in range(1, time + 1):
        for examples in rng.standard_normal((INPUTS, seeds, INPUTS)):
            label = erf(examples @ TEACHER.T / np.sqrt(2)).sum(axis=1)
            x = np.tile(examples, (len(stds), 1))
            field = np.matmul(weights, x[:, :, None])[:, :, 0]
            miss = np.tile(label, len(stds)) - erf(field / np.sqrt(2)).sum(axis=1)
            push = factor * miss[:, None] * np.exp(-(field**2) / 2)
            weights += push[:, :, None] * x[:, None, :]
        if now % every == 0:
            seen.append(weights.copy())
    return np.stack(seen).reshape(-1, len(stds), seeds, HIDDEN, INPUTS)
