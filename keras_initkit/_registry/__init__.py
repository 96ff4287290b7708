"""The table of initializers, readable without Keras: what each one is, what it is for and where it comes from."""

from collections.abc import Mapping

from keras_initkit._registry.bias import BIAS
from keras_initkit._registry.deterministic import DETERMINISTIC
from keras_initkit._registry.implicit import IMPLICIT
from keras_initkit._registry.keras_own import KERAS_OWN
from keras_initkit._registry.orthogonal import ORTHOGONAL
from keras_initkit._registry.row import KERAS, KIT, Row, snake_case
from keras_initkit._registry.sparse import SPARSE
from keras_initkit._registry.variance import VARIANCE
from keras_initkit._registry.wrappers import WRAPPERS

__all__ = ["BY_NAME", "KERAS", "KIT", "ROWS", "Row", "snake_case"]

ROWS: tuple[Row, ...] = (*VARIANCE, *ORTHOGONAL, *DETERMINISTIC, *SPARSE, *IMPLICIT, *BIAS, *WRAPPERS, *KERAS_OWN)

BY_NAME: Mapping[str, Row] = {row.name: row for row in ROWS}
