"""Values of all initializers of the kit that are the same on every backend: written by one process, read by another."""

import hashlib
import json

import numpy as np


def digests() -> dict[str, str]:
    """Return the SHA-256 of the values of every row, drawn through `Portable` where there is a seed."""
    import keras

    from keras_initkit._registry import KIT, ROWS
    from keras_initkit.initializers import Portable
    from keras_initkit.initializers.registry import class_of

    found = {}
    for row in (row for row in ROWS if row.source == KIT and not row.fresh):
        initializer = class_of(row)(**row.example)
        portable = initializer if row.deterministic else Portable(initializer, seed=11)
        for shape in row.shapes:
            for dtype in ("float32", "bfloat16"):
                values = keras.ops.convert_to_numpy(keras.ops.cast(portable(shape, dtype=dtype), "float32"))
                digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
                found[f"{row.name} {shape} {dtype}"] = digest
    return found


if __name__ == "__main__":
    print("RESULT" + json.dumps(digests()))
