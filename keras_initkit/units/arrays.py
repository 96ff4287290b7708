"""From Keras variables to NumPy arrays."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


def to_numpy(variable: Any) -> NDArray[Any]:
    """Return a copy of a variable or tensor as a NumPy array."""
    # NumPy 2 deprecates how variables, unlike tensors, become arrays.
    tensor = keras.ops.copy(variable.value) if isinstance(variable, keras.Variable) else variable
    return np.asarray(keras.ops.convert_to_numpy(tensor))
