import json
import math

import numpy as np
import pytest

from keras_initkit.tracking.text import json_text, param_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(0.01), "0.01"),
        (np.array(0.01, dtype=np.float32), "0.01"),
        (0.1 + 0.2, "0.30000000000000004"),
        (2**-20, "9.5367431640625e-07"),
        (np.int64(3), "3"),
        (True, "True"),
        (None, "None"),
        ("he_normal", "he_normal"),
        ({"rate": np.float32(0.1), "steps": (1, 2)}, '{"rate": 0.1, "steps": [1, 2]}'),
    ],
)
def test_params_are_the_shortest_text_that_gives_the_value_back(value, text):
    assert param_text(value) == text


def test_artifacts_are_strict_json():
    value = {"a": math.nan, "b": [np.float64(math.inf), np.float32(0.1)], "c": np.arange(2), "d": {1: {"set"}}}
    assert json.loads(json_text(value)) == {"a": None, "b": [None, 0.1], "c": [0, 1], "d": {"1": ["set"]}}
