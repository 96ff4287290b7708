"""TorchDefault and TorchDefaultBias against PyTorch and its formula."""

import math

import numpy as np
import pytest
from scipy import stats

from keras_initkit.initializers import LayerFans, TorchDefault, TorchDefaultBias


@pytest.mark.parametrize("shape", [(100, 60), (3, 3, 16, 40), (5, 20, 50)])
def test_uniform_with_the_bound_of_the_formula(array, shape):
    """kaiming_uniform_(a): gain sqrt(2 / (1 + a²)), bound gain sqrt(3 / fan_in); Kolmogorov-Smirnov at 1e-6."""
    bound = math.sqrt(2 / (1 + math.sqrt(5) ** 2)) * math.sqrt(3 / math.prod(shape[:-1]))
    values = array(TorchDefault(seed=0)(shape)).ravel()
    assert bound == pytest.approx(1 / math.sqrt(math.prod(shape[:-1])))
    assert 0.998 * bound < np.abs(values).max() <= bound * (1 + 1e-6)
    assert stats.kstest(values, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-6


@pytest.mark.parametrize("fan_in", [1, 27, 400])
def test_bias(array, fan_in):
    values = array(TorchDefaultBias(fan_in, seed=0)((4000,)))
    bound = fan_in**-0.5
    assert 0.998 * bound < np.abs(values).max() <= bound * (1 + 1e-6)
    assert stats.kstest(values, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-6


def test_against_torch(array):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    cases = [
        (torch.nn.Linear(60, 200), TorchDefault(seed=0), (60, 200), 60),
        (torch.nn.Conv2d(16, 32, 3), TorchDefault(seed=0), (3, 3, 16, 32), 144),
        (torch.nn.ConvTranspose2d(16, 32, 3), TorchDefault(seed=0), (3, 3, 32, 16), 288),
        (torch.nn.Conv2d(64, 64, 3, groups=64), LayerFans(TorchDefault(seed=0), "depthwise_conv"), (3, 3, 64, 1), 9),
    ]
    for layer, initializer, shape, fan_in in cases:
        theirs, ours = layer.weight.detach().cpu().numpy().ravel(), array(initializer(shape)).ravel()
        assert theirs.size == ours.size
        assert stats.ks_2samp(theirs, ours, method="asymp").pvalue > 1e-6
        assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.02)
        bias = layer.bias.detach().cpu().numpy()
        assert np.abs(bias).max() <= fan_in**-0.5
        assert stats.ks_2samp(bias, array(TorchDefaultBias(fan_in, seed=1)((500,)))).pvalue > 1e-6


@pytest.mark.parametrize("fan_in", [0, 1.5, None])
def test_bad_arguments(fan_in):
    with pytest.raises(ValueError, match="`fan_in` to be an integer of at least 1"):
        TorchDefaultBias(fan_in)
