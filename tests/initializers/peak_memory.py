"""Peak memory of large draws, measured in a process of its own: `python -m tests.initializers.peak_memory`.

Linux keeps the high-water mark of a process; `ru_maxrss` will not do, since it starts at that of the parent. Prints a
JSON object: name of the draw -> [peak so far in multiples of the size of the result, error of the Gram matrix].
"""

import json
from pathlib import Path

import keras
import numpy as np

from keras_initkit.initializers import Portable, ScaledOrthogonal

# Portable draws come first: NumPy returns memory to the system, TensorFlow keeps what it once had.
DRAWS = {
    "portable": (Portable(ScaledOrthogonal(), seed=0), (50_000, 512)),
    "wide": (ScaledOrthogonal(seed=0), (512, 50_000)),
    "convolution": (ScaledOrthogonal(seed=0), (5, 5, 2000, 512)),
}


def status(field):
    """Return a field of this process's status in bytes."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def gram_error(kernel):
    """Return the largest deviation from orthogonality of every eighth column (row of wide kernels) to all of them."""
    matrix = kernel.reshape(-1, kernel.shape[-1])
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    gram = sum(part[:, ::8].astype("float64").T @ part.astype("float64") for part in np.array_split(matrix, 50))
    expected = np.eye(matrix.shape[1])[::8]
    return float(np.abs(gram / gram[0, 0] - expected).max())


def main():
    for initializer, _ in DRAWS.values():
        initializer((600, 8))  # starts the backend
    before, found = status("VmRSS"), {}
    for name, (initializer, shape) in DRAWS.items():
        kernel = keras.ops.convert_to_numpy(initializer(shape))
        found[name] = [(status("VmHWM") - before) / kernel.nbytes, gram_error(kernel)]
        del kernel
    print(json.dumps(found))


if __name__ == "__main__":
    main()
