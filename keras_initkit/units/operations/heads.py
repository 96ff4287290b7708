"""The weights of attention heads, as far as they are not a matter of the coordinates inside a head."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.units.weights import Weights


class HeadWeights:
    """The weights of an attention layer, head by head.

    Args:
        layer: a built `MultiHeadAttention` or `GroupQueryAttention`.

    Attributes:
        heads: number of heads.
        groups: number of heads of keys and values.
        key_size: features of a query or key.
        value_size: features of a value.
        inputs: number of entries of the matrices Q Kᵀ and V O of a head; of as many random numbers the cosine of two
            heads is the mean. Heads that share keys differ by their queries only.
    """

    def __init__(self, layer: Any):
        self._layer = layer
        inputs, self.heads, self.key_size = layer._query_dense.kernel.shape
        memory, self.groups, self.value_size = layer._value_dense.kernel.shape
        outputs = int(np.prod(layer._output_dense.kernel.shape[2:]))
        keys = layer._key_dense.kernel.shape[0] if self.groups == self.heads else self.key_size
        values = memory if self.groups == self.heads else self.value_size
        self.inputs = int(inputs * keys + values * outputs)

    def coordinates(self, weights: Weights) -> NDArray[Any]:
        """Return a vector per head whose inner products are those of [Q Kᵀ, V O], `(coordinates, heads)`.

        The matrices are never formed: ⟨Q_g K_gᵀ, Q_h K_hᵀ⟩ = tr((Q_hᵀ Q_g)(K_gᵀ K_h)). Either part has mean square
        length one over the heads. Biases of queries and values count as weights of an input that is always one.
        """
        q = self._heads_first(weights, self._layer._query_dense)
        k = self._heads_first(weights, self._layer._key_dense, bias=False)
        v = self._heads_first(weights, self._layer._value_dense)
        out = weights.value(self._layer._output_dense, "kernel").astype(np.float64)
        out = out.reshape(self.heads, self.value_size, -1).transpose(0, 2, 1)
        times = self.heads // self.groups
        gram = np.zeros((self.heads, self.heads))
        for left, right in ((q, np.repeat(k, times, axis=0)), (np.repeat(v, times, axis=0), out)):
            if not (np.isfinite(left).all() and np.isfinite(right).all()):
                return np.full((self.heads, self.heads), np.nan, np.float32)
            products = _inner_products(left, right)
            gram += products / (np.trace(products) / self.heads or 1.0)
        lengths, directions = np.linalg.eigh(gram)
        vectors = np.sqrt(np.maximum(lengths, 0.0))[:, None] * directions.T
        return np.asarray(vectors, np.float32)

    def query_key_pairs(self, weights: Weights) -> NDArray[Any]:
        """Return for every feature of every head the weights into the query and, below, into the key it meets."""
        q = weights.value(self._layer._query_dense, "kernel")
        k = np.repeat(weights.value(self._layer._key_dense, "kernel"), self.heads // self.groups, axis=1)
        return np.concatenate([q, k]).reshape(len(q) + len(k), -1)

    @staticmethod
    def _heads_first(weights: Weights, dense: Any, *, bias: bool = True) -> NDArray[np.float64]:
        """Return weights as `(heads, inputs, features)`, the bias as a last input."""
        kernel = weights.value(dense, "kernel").astype(np.float64)
        if bias and dense.bias is not None:
            kernel = np.concatenate([kernel, weights.value(dense, "bias").astype(np.float64)[None]])
        return kernel.transpose(1, 0, 2)


def _inner_products(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inner products of the matrices left_h right_hᵀ, `(heads, heads)`."""
    heads = len(left)
    products = np.empty((heads, heads))
    for g in range(heads):
        products[g] = np.einsum("hab,hab->h", left[g].T @ left, right[g].T @ right)
    return (products + products.T) / 2
