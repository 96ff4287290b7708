import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param_name, _validate_tag_name

from keras_initkit.tracking.keys import clean_key, log_key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("loss", "train/loss"),
        ("val_loss", "val/loss"),
        ("accuracy", "train/accuracy"),
        ("val_accuracy", "val/accuracy"),
        ("learning_rate", "train/learning_rate"),
        ("symmetry/rms", "symmetry/rms"),
        ("symmetry/block/dense_1/rms", "symmetry/block/dense_1/rms"),
        ("val_", "train/val_"),
        ("validity", "train/validity"),
    ],
)
def test_names_of_keras_logs_get_the_section_they_are_drawn_in(name, key):
    assert log_key(name) == key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a//b/", "a/b"),
        ("/a", "a"),
        ("a/../b", "a/_/b"),
        ("./a", "_/a"),
        ("top-5 acc.", "top-5 acc."),
        ("f1(macro)", "f1_macro_"),
        ("a:b", "a_b"),
        ("größe", "größe"),
        ("", "_"),
    ],
)
def test_refused_characters_are_replaced(name, key):
    assert clean_key(name) == key


def test_long_keys_stay_different():
    one, two = clean_key("x" * 300 + "a"), clean_key("x" * 300 + "b")
    assert len(one) == len(two) == 250
    assert one != two


@given(st.text(max_size=300))
def test_mlflow_accepts_every_key_and_cleaning_again_changes_nothing(name):
    key = clean_key(name)
    _validate_metric_name(key)
    _validate_param_name(key)
    _validate_tag_name(key)
    assert clean_key(key) == key
