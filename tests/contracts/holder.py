"""A layer that holds one variable of any shape, so that every initializer can be saved with a model."""

import keras


@keras.saving.register_keras_serializable(package="tests")
class Holder(keras.layers.Layer):
    def __init__(self, shape, kernel_initializer, **keywords):
        super().__init__(**keywords)
        self.shape = tuple(shape)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=self.shape, initializer=self.kernel_initializer, name="kernel")

    def call(self, inputs):
        return inputs

    def get_config(self):
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), "shape": self.shape, "kernel_initializer": initializer}
