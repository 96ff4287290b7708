"""Arithmetic in double precision, where rounding explains next to nothing."""

import keras
import pytest


@pytest.fixture
def float64():
    """Let new models compute in float64 until the end of the test."""
    before, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    _let_jax(True)
    yield
    _let_jax(False)
    keras.config.set_floatx(before)
    keras.config.set_dtype_policy(policy)


def _let_jax(double):
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_enable_x64", double)
