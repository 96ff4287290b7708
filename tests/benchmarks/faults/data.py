"""Data that is there without a download, in the shapes that the published programs read."""

import functools
from typing import Any

import numpy as np
from sklearn.datasets import load_digits, make_blobs, make_circles


@functools.cache
def digits(*, enlarged: int = 1, channels: int = 1) -> tuple[Any, Any]:
    """Return 1,797 images (samples, side, side, channels) of handwritten digits in [0, 1], and their labels.

    Args:
        enlarged: repeat every pixel so many times in both directions; 3 gives 24 x 24, as many inputs as MNIST has.
        channels: how often the grey value is repeated.
    """
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    images = images.repeat(enlarged, axis=1).repeat(enlarged, axis=2).repeat(channels, axis=3)
    return images, labels


def flat_digits(*, enlarged: int = 1) -> tuple[Any, Any]:
    """Return the digits as vectors (samples, pixels), and their labels."""
    images, labels = digits(enlarged=enlarged)
    return images.reshape(len(images), -1), labels


@functools.cache
def bag_of_words(documents: int = 1600, words: int = 500, topics: int = 8) -> tuple[Any, Any]:
    """Return which words occur in which document (documents, words), and the topics: Reuters in small."""
    rng = np.random.default_rng(0)
    common = rng.uniform(0.02, 0.2, words)
    typical = np.where(rng.uniform(size=(topics, words)) < 0.05, 0.35, 0.0)
    labels = rng.integers(0, topics, documents)
    occurs = rng.uniform(size=(documents, words)) < (common + typical[labels])
    return occurs.astype(np.float32), labels


def circles(scale: float) -> tuple[Any, Any]:
    """Return 700 points (700, 2) on two noisy circles, multiplied by `scale`, and which circle they are on."""
    points, labels = make_circles(700, noise=0.1, factor=0.5, random_state=1)
    return (scale * points).astype(np.float32), labels.astype(np.float32)[:, None]


def blobs(scale: float, *, centres: int = 3) -> tuple[Any, Any]:
    """Return 700 points (700, 2) around some centres, standardised and multiplied by `scale`, and the centres."""
    points, labels = make_blobs(700, centers=centres, n_features=2, cluster_std=2, random_state=2)
    return (scale * (points - points.mean(0)) / points.std(0)).astype(np.float32), labels


def rings() -> tuple[Any, Any]:
    """Return 400 points (400, 2) on three rings, in an order that mixes them, and the rings."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    radius, angle = labels + 1 + 0.1 * rng.standard_normal(400), rng.uniform(0, 2 * np.pi, 400)
    return (np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None] / 2).astype(np.float32), labels
