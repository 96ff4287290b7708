"""The process of a `Writer`: reads calls from its input, answers on its output, and ends open runs at the end."""

import gc
import os
import pickle
import sys
import threading
import time
from typing import Any, NoReturn

from keras_initkit.tracking.errors import TrackingError, first_line
from keras_initkit.tracking.study_store import end_open_runs, load_mlflow

_LAST_CALL = 20.0  # seconds that a call may go on once nobody waits for it
_working = threading.Lock()


def serve() -> None:
    """Answer calls until the input ends; what ends then without a word is ended as KILLED."""
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    # What libraries print must not get among the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    calls = sys.stdin.buffer
    load_mlflow()
    # MLflow makes many objects that live shortly; to look for garbage in all that is loaded takes a third of the time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)
    while True:
        try:
            function, arguments = pickle.load(calls)
        except (EOFError, pickle.UnpicklingError):
            break
        with _working:
            answer = _answer(function, arguments)
        try:
            pickle.dump(answer, answers)
            answers.flush()
        except OSError:  # nobody listens any more; what was asked for is done all the same
            break
    _end()


def _end() -> NoReturn:
    """End the process after the call that is being worked on, or in the middle of it if it takes too long."""
    if _working.acquire(timeout=_LAST_CALL):
        end_open_runs("KILLED")
    os._exit(0)  # taking all that is loaded apart would take half a second


def _end_with_parent(parent: int) -> None:
    """End the process when its parent has died, even if a fork of the parent holds the pipe open, or a call hangs.

    Windows does not tell; there is only the end of the input.
    """
    while os.getppid() == parent:
        time.sleep(0.5)
    _end()


def _answer(function: Any, arguments: Any) -> tuple[Exception | None, Any]:
    """Return the error, as one that can be pickled, or what the function returned."""
    try:
        return None, function(*arguments)
    except TrackingError as error:
        return TrackingError(str(error)), None
    except Exception as error:
        return TrackingError(first_line(error)), None
