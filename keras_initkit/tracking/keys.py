"""Names of metrics, params and tags, as MLflow accepts them and as its UI groups them."""

import hashlib
import re

_REFUSED = re.compile(r"[^\w\-. /]")
_LONGEST = 250


def clean_key(name: str) -> str:
    """Return `name` with everything replaced that MLflow refuses in a key.

    Characters other than letters, digits, `_`, `-`, `.`, space and `/` become `_` (`:` too, which MLflow refuses on
    Windows); empty parts between slashes are dropped, `.` and `..` as parts become `_`. A key of more than 250
    characters keeps its beginning and ends with 8 characters of the hash of the whole. A clean key stays as it is.

    Example:

    ```python
    clean_key("symmetry//dense?/rms")   # "symmetry/dense_/rms"
    ```
    """
    parts = [part.strip() for part in _REFUSED.sub("_", name).split("/")]
    key = "/".join("_" if part in (".", "..") else part for part in parts if part) or "_"
    if len(key) <= _LONGEST:
        return key
    return f"{key[: _LONGEST - 9].rstrip('/ ')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def log_key(name: str) -> str:
    """Return the metric key of an entry of Keras' `logs`.

    | in `logs` | metric |
    |---|---|
    | `loss`, `accuracy`, `learning_rate` | `train/loss`, `train/accuracy`, `train/learning_rate` |
    | `val_loss` | `val/loss` |
    | a name with a slash, such as `symmetry/rms` | the same name |

    The part before the last slash is the section in which the MLflow UI draws the metric.
    """
    if "/" in name.strip("/"):
        return clean_key(name)
    if name.startswith("val_") and len(name) > len("val_"):
        return clean_key(f"val/{name[len('val_') :]}")
    return clean_key(f"train/{name}")


def convergence_name(name: str) -> str:
    """Return what a number of `convergence_metrics` is called in MLflow, where `best` and `final` stand alone."""
    return f"{name}_loss" if name in ("best", "final") else name
