"""ChronoBias: time constants uniform up to T, in the gate that keeps, in Keras' order."""

import math

import keras
import numpy as np
import pytest
from keras import layers
from scipy import stats

from keras_initkit.initializers import ChronoBias, Distinct, Portable, Scaled

ZEROS = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros"}


def test_lstm_gates(array):
    i, f, c, o = np.split(array(ChronoBias(50, seed=0)((32,))), 4)
    np.testing.assert_array_equal(i, -f)
    assert not c.any()
    assert not o.any()
    assert (f >= 0).all()
    assert (f <= math.log(49)).all()
    assert len(set(f)) == 8


@pytest.mark.parametrize("wrap", [lambda i: i, Portable])
@pytest.mark.parametrize(("cell", "gates", "gate"), [("lstm", 4, 1), ("gru", 3, 0)])
def test_time_constants_are_uniform(array, wrap, cell, gates, gate):
    """1 + exp(b) ~ U(2, 100), whose mean is 51; Kolmogorov-Smirnov at 1e-4, the mean to 5 standard errors."""
    units = 3000
    bias = array(wrap(ChronoBias(100, cell, seed=1))((gates * units,)))
    times = 1 + np.exp(bias[gate * units : (gate + 1) * units])
    assert stats.kstest(times, stats.uniform(2, 98).cdf).pvalue > 1e-4
    assert times.mean() == pytest.approx(51, abs=5 * 98 / math.sqrt(12 * units))


def test_gru_gates(array):
    z, r, h = np.split(array(ChronoBias(50, "gru", seed=0)((24,))), 3)
    assert (z > 0).all()
    assert not r.any()
    assert not h.any()
    of_input, recurrent = array(ChronoBias(50, "gru", seed=0)((2, 24)))
    np.testing.assert_array_equal(of_input, np.concatenate([z, r, h]))
    assert not recurrent.any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.LSTMCell(64, **ZEROS, unit_forget_bias=False, bias_initializer=ChronoBias(100, seed=2)),
        lambda: layers.GRUCell(64, **ZEROS, bias_initializer=ChronoBias(100, "gru", seed=2)),
        lambda: layers.GRUCell(64, **ZEROS, reset_after=False, bias_initializer=ChronoBias(100, "gru", seed=2)),
    ],
    ids=["lstm", "gru", "gru, reset before"],
)
def test_cells_forget_at_that_pace(array, make):
    """With all kernels 0 a step multiplies the state by 1 - 1 / time, a route that knows nothing of gate orders."""
    cell = make()
    cell.build((None, 3))
    sizes = cell.state_size if isinstance(cell.state_size, list) else [cell.state_size]
    _, states = cell(keras.ops.zeros((1, 3)), [keras.ops.ones((1, size)) for size in sizes])
    kept = array(states[-1])[0]
    times = 1 / (1 - kept)
    assert times.min() >= 2 - 1e-3
    assert times.max() <= 100 + 1e-1  # float32: 1 - kept has an error of 6e-8 of 0.01
    assert times.mean() == pytest.approx(51, abs=5 * 98 / math.sqrt(12 * 64))


def test_input_gate_is_as_closed_as_the_forget_gate_is_open(array):
    layer = layers.LSTM(8, unit_forget_bias=False, bias_initializer=ChronoBias(30, seed=0))
    layer.build((None, 4, 2))
    i, f = np.split(1 / (1 + np.exp(-array(layer.cell.bias))), 4)[:2]
    np.testing.assert_allclose(i + f, 1.0, atol=1e-6)


@pytest.mark.parametrize("units", [1, 2, 3, 4, 5, 6, 8, 12, 64, 128])
@pytest.mark.parametrize("kind", [layers.LSTM, lambda n, **k: layers.ConvLSTM1D(n, 3, **k)], ids=["lstm", "conv_lstm"])
def test_unit_forget_bias_is_refused(kind, units):
    """A layer of 4 n units asks for (4 n,), a bias of n units, and only then for (8 n,)."""
    layer = kind(units, **ZEROS, bias_initializer=ChronoBias(100))
    shape = (None, 5, 3) if isinstance(layer, layers.LSTM) else (None, 5, 8, 3)
    with pytest.raises(ValueError, match=r"Set `unit_forget_bias=False` in the LSTM layer"):
        layer.build(shape)


def test_layers_may_share_an_instance(array):
    """Unless the second has twice the units of the first, which cannot be told from the parts of one bias."""
    shared = ChronoBias(100, seed=1)
    for units in (16, 16, 8, 24, 12):
        layer = layers.LSTM(units, **ZEROS, bias_initializer=shared, unit_forget_bias=False)
        layer.build((None, 5, 3))
        assert array(layer.cell.bias).shape == (4 * units,)
    layer = layers.LSTM(24, **ZEROS, bias_initializer=shared, unit_forget_bias=False)
    with pytest.raises(ValueError, match="two layers, of 12 and 24 units, give each its own"):
        layer.build((None, 5, 3))
    layer = layers.LSTM(24, **ZEROS, bias_initializer=shared, unit_forget_bias=False)
    layer.build((None, 5, 3))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ChronoBias(2), "`max_steps` to be a finite number above 2. Received: max_steps=2"),
        (lambda: ChronoBias("100"), "`max_steps` to be a finite number above 2"),
        (lambda: ChronoBias(100, "rnn"), "`cell` to be one of 'lstm', 'gru'"),
        (lambda: ChronoBias(100)((6,)), r"whole bias of an LSTM, \(4 \* units,\). Received: shape=\(6,\).*cell='gru'"),
        (lambda: ChronoBias(100)((2, 24)), r"Received: shape=\(2, 24\) for ChronoBias\(cell='lstm'\).*cell='gru'"),
        (lambda: ChronoBias(100, "gru")((8,)), r"bias of a GRU, \(3 \* units,\) or.*write cell='lstm'"),
        (lambda: ChronoBias(100, "gru")((3, 24)), "bias of a GRU"),
        (lambda: ChronoBias(100, "gru")((2, 3, 24)), "bias of a GRU"),
    ],
)
def test_bad_arguments(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize("wrap", [lambda i: Distinct(i, seed=1), Portable, lambda i: Scaled(i, 0.5)])
def test_unit_forget_bias_is_refused_inside_wrappers(wrap):
    layer = layers.LSTM(8, **ZEROS, bias_initializer=wrap(ChronoBias(50)))
    with pytest.raises(ValueError, match="Set `unit_forget_bias=False` in the LSTM layer"):
        layer.build((None, 5, 3))
