"""The one error of this folder, and how a failure of the store becomes one sentence."""


class TrackingError(RuntimeError):
    """A run cannot be opened, written or served; the message says what was expected, what came and what to do."""


def first_line(error: BaseException) -> str:
    """Return the type and the first non-empty line of an error, short enough for one sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else "no message"
    if len(text) > 300:
        text = text[:297] + "..."
    return f"{type(error).__name__}: {text.rstrip('.')}"
