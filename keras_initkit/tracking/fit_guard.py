"""FitGuard: says when a training or validation step raises, which Keras tells no callback."""

import functools
from collections.abc import Callable
from typing import Any

_STEPS = ("train_function", "test_function")


class FitGuard:
    """Calls `on_error` with the error when a step of `fit` raises; the error goes on.

    Keras calls `on_train_end` only if `fit` comes to its end. The compiled steps are attributes of the model in all
    backends, so they are wrapped by `attach` and put back by `detach`. Computation is the same with and without.
    The end of the data, which some iterators report by an exception inside a step, is not an error.

    Args:
        model: the model whose `fit` is about to begin.
        on_error: called with the exception; it calls `detach` if the guard has done its work.
    """

    def __init__(self, model: Any, on_error: Callable[[BaseException], None]):
        self._model = model
        self._on_error = on_error
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    def attach(self) -> None:
        """Wrap the training and the validation step."""
        self._model.make_test_function()
        for name in _STEPS:
            step = getattr(self._model, name, None)
            if step is not None:
                guarded = self._guard(step)
                setattr(self._model, name, guarded)
                self._wrapped[name] = (step, guarded)

    def detach(self) -> None:
        """Put the steps back; those that were replaced in the meantime are left alone."""
        for name, (step, guarded) in self._wrapped.items():
            if getattr(self._model, name, None) is guarded:
                setattr(self._model, name, step)
        self._wrapped = {}

    def _guard(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                return step(*args, **kwargs)
            except BaseException as error:
                if not _is_end_of_data(error):
                    self._on_error(error)
                raise

        # The step may be a compiled object, whose attributes and signature stay with it.
        return functools.update_wrapper(guarded, step, assigned=("__name__", "__doc__"), updated=())


def _is_end_of_data(error: BaseException) -> bool:
    return isinstance(error, StopIteration) or type(error).__name__ == "OutOfRangeError"
