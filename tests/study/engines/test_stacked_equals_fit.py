"""Models of all kinds of layers: curves and final variables of the stacked engine are those of `fit`."""

import keras
import numpy as np
import pytest

from keras_initkit.study.data import StudyData
from tests.study.engines.fit_oracle import assert_like_fit

L, R = keras.layers, keras.regularizers

# The same operations in another order: what is left is rounding, of 2e-16, over a few steps.
EXACT = 1e-8


def digits(shape=(6,), samples=21, dtype="float64", high=None):
    """Return data of three classes; 21 samples leave a smaller last batch of 8."""
    random = np.random.default_rng(0)
    y = random.integers(0, 3, samples)
    x = random.normal(size=(samples, *shape)) + 0.3 * y.reshape(-1, *[1] * len(shape)) if high is None else None
    x = random.integers(0, high, (samples, *shape)) if x is None else x
    x = x.astype(dtype)
    return StudyData.of(x, y, (x[:9], y[:9]))


def classifier(inputs, outputs, optimizer, **how):
    model = keras.Model(inputs, L.Dense(3, "softmax")(outputs))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], **how)
    return model


def dense_with_everything(initializer):
    x = keras.Input((6,))
    y = L.Dense(6, trainable=False)(L.Rescaling(0.5)(x))
    y = L.Dense(8, "relu", kernel_initializer=initializer, kernel_regularizer=R.L1L2(1e-2, 1e-2), use_bias=True)(y)
    y = L.BatchNormalization()(y)
    y = L.GaussianNoise(0.1)(L.Dropout(0.3)(y))
    y = L.Dense(6, "gelu", kernel_constraint=keras.constraints.MaxNorm(0.5))(y)
    y = L.GroupNormalization(2)(L.Dense(6, activity_regularizer=R.L2(1e-2))(y))
    y = L.EinsumDense("ab,bc->ac", 6, bias_axes="c")(L.UnitNormalization()(y))
    y = L.LayerNormalization()(L.ActivityRegularization(l1=1e-2)(y)) + L.PReLU()(y)
    return classifier(x, y, keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.9)))


def convolutions(initializer):
    x = keras.Input((6, 6, 2))
    y = L.RandomFlip("horizontal")(x)
    y = L.Conv2D(4, 3, activation="relu", padding="same", kernel_initializer=initializer)(y)
    y = L.SpatialDropout2D(0.3)(L.DepthwiseConv2D(2)(y))
    y = L.MaxPooling2D(2)(L.SeparableConv2D(4, 2, padding="same")(y))
    y = L.Conv2DTranspose(3, 2, strides=2)(y) + L.UpSampling2D(2)(L.Conv2D(3, 1, groups=1)(y))
    y = L.AveragePooling2D(2)(L.BatchNormalization()(y))
    y = L.Conv1D(4, 2, padding="causal", activation="tanh")(L.Reshape((-1, 3))(y))
    y = L.Conv1DTranspose(3, 2)(y)
    return classifier(x, L.Flatten()(y), keras.optimizers.AdamW(0.01, weight_decay=0.1, global_clipnorm=0.5))


def recurrent(initializer):
    x = keras.Input((4,), dtype="int32")
    y = L.Embedding(7, 3, mask_zero=True, embeddings_initializer=initializer)(x)
    y = L.Bidirectional(L.LSTM(2, recurrent_dropout=0.2, dropout=0.2))(y)
    return classifier(x, y, keras.optimizers.RMSprop(0.01, momentum=0.5, centered=True, clipnorm=0.1))


def attention(initializer):
    x = keras.Input((5,), dtype="int32")
    y = L.Embedding(7, 6, embeddings_initializer=initializer, embeddings_regularizer=R.L2(1e-2))(x)
    y = L.LayerNormalization()(y + L.MultiHeadAttention(2, 3, dropout=0.1)(y, y, use_causal_mask=True))
    y = y + L.Attention()([y, y])
    return classifier(x, L.GlobalAveragePooling1D()(y), keras.optimizers.Nadam(0.01, weight_decay=0.01))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("build", "data"),
    [
        (dense_with_everything, digits()),
        (convolutions, digits((6, 6, 2))),
        (recurrent, digits((4,), dtype="int32", high=7)),
        (attention, digits((5,), dtype="int32", high=7)),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_layers(build, data):
    assert_like_fit(build, data, rtol=EXACT)
